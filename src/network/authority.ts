/**
 * A small authority for the roles of one deployment: it signs a certificate for each role, and its key, which nothing needs
 * afterwards, is never kept. P-256 and SHA-256, which every TLS library takes.
 */
// What @peculiar/x509 is built on wants this first.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { certifiedName, type TlsIdentity } from "./node_tls.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const SERVER_AND_CLIENT = [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth];
/** Clocks of two machines differ. */
const LEEWAY_MS = 24 * 3600 * 1000;

/** Certificates of roles under one new authority, valid for `days`. */
export async function certifyRoles<Role extends string>(
  roles: readonly Role[],
  days: number,
): Promise<Record<Role, TlsIdentity>> {
  const validity = {
    notBefore: new Date(Date.now() - LEEWAY_MS),
    notAfter: new Date(Date.now() + days * 24 * 3600 * 1000),
    signingAlgorithm: ALGORITHM,
  };
  const serialNumber = () => `00${crypto.getRandomValues(new Uint8Array(16)).toHex()}`;
  const newKeys = () => crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const keys = await newKeys();
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    ...validity,
    serialNumber: serialNumber(),
    name: "CN=authority of private-inference",
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  const identities = roles.map(async (role): Promise<[Role, TlsIdentity]> => {
    const { publicKey, privateKey } = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      ...validity,
      serialNumber: serialNumber(),
      subject: `CN=${role}`,
      issuer: authority.subject,
      publicKey,
      signingKey: keys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(SERVER_AND_CLIENT),
        new x509.SubjectAlternativeNameExtension([{ type: "dns", value: certifiedName(role) }]),
      ],
    });
    const key = await crypto.subtle.exportKey("pkcs8", privateKey);
    return [role, {
      cert: certificate.toString("pem") + "\n",
      key: x509.PemConverter.encode(key, "PRIVATE KEY") + "\n",
      ca: authority.toString("pem") + "\n",
    }];
  });
  return Object.fromEntries(await Promise.all(identities)) as Record<Role, TlsIdentity>;
}
