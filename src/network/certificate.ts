/** Whether what a role shows its peers is in order, so that it says so itself at its start: a peer could only say that TLS failed. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { certifiedName, type TlsIdentity } from "./node_tls.ts";

/** What is wrong with the identity of `role`, as the end of a sentence that begins with its folder; null where nothing is. */
export function faultOf({ cert, key, ca }: TlsIdentity, role: string, now = new Date()): string | null {
  const certificate = parsed(() => new X509Certificate(cert)),
    authority = parsed(() => new X509Certificate(ca));
  const privateKey = parsed(() => createPrivateKey(key));
  if (certificate === null) return "its cert.pem is no certificate";
  if (authority === null) return "its ca.pem is no certificate";
  if (privateKey === null) return "its key.pem is no private key";
  if (!certificate.checkPrivateKey(privateKey)) return "its key.pem is not the key of its cert.pem";
  if (!certificate.verify(authority.publicKey)) {
    return "its cert.pem was not signed by the authority of its ca.pem";
  }
  if (certificate.subjectAltName !== `DNS:${certifiedName(role)}`) {
    return `its cert.pem is not that of a ${role}`;
  }
  const [from, to] = [certificate.validFrom, certificate.validTo].map((text) => new Date(text));
  if (now > to) return `its cert.pem has expired on ${dayOf(to)}`;
  if (now < from) return `its cert.pem is valid from ${dayOf(from)} on`;
  return null;
}

const dayOf = (date: Date) => date.toISOString().slice(0, 10);

function parsed<T>(parse: () => T): T | null {
  try {
    return parse();
  } catch {
    return null;
  }
}
