/** Certificates made at test time by `openssl`, for the names under which the tests connect. */

/** Files of an authority, of a certificate for localhost and 127.0.0.1 signed by it, and of an authority that signed nothing. */
export interface Certificates {
  readonly ca: string;
  readonly otherCa: string;
  readonly cert: string;
  readonly key: string;
}

/** Writes certificates to `folder`; a sentence says why there are none. */
export async function makeCertificates(folder: string): Promise<Certificates | string> {
  const make = (name: string, subject: string, extra: readonly string[]) =>
    openssl([
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
      ...["-keyout", `${folder}/${name}_key.pem`, "-out", `${folder}/${name}.pem`, "-subj", `/CN=${subject}`],
      ...extra,
    ]);
  try {
    await make("ca", "test authority", []);
    await make("other_ca", "another authority", []);
    await make("server", "localhost", [
      ...["-CA", `${folder}/ca.pem`, "-CAkey", `${folder}/ca_key.pem`],
      ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
      ...["-addext", "basicConstraints=critical,CA:FALSE"],
    ]);
  } catch (error) {
    return `openssl makes no certificates here: ${(error as Error).message}`;
  }
  return {
    ca: `${folder}/ca.pem`,
    otherCa: `${folder}/other_ca.pem`,
    cert: `${folder}/server.pem`,
    key: `${folder}/server_key.pem`,
  };
}

async function openssl(args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args: [...args], stdin: "null" }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr).trim().split("\n").at(-1));
}
