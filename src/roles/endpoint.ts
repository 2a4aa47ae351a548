/** Addresses of the three roles, and how each proves to the others which one it is. */
import { readText } from "../files/read_file.ts";
import type { TcpOptions, TlsIdentity } from "../network/tcp.ts";
import { TOKEN_DIGITS } from "../network/handshake.ts";
import { UsageError } from "../terminal/command.ts";
import { tokensFromParent } from "./role_report.ts";

export const ROLES = ["server", "client", "dealer"] as const;
export type RoleName = typeof ROLES[number];

/** What `deno task keys` writes to the folder of a role. */
export const KEY_FILES = { cert: "cert.pem", key: "key.pem", ca: "ca.pem", tokens: "tokens.json" } as const;

/** By the other role: the secret of the two. */
export type Tokens = Readonly<Record<string, string>>;

const ADDRESS = {
  type: "string",
  value: "HOST:PORT",
  pattern: /^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/,
  accepts: "HOST:PORT",
} as const;

export const listenOption = (
  port: number,
  help: string,
) => ({ ...ADDRESS, default: `127.0.0.1:${port}`, help } as const);
export const connectOption = listenOption;

/** Who a role is to the others. */
export const IDENTITY_OPTIONS = {
  identity: {
    type: "path",
    value: "DIR",
    help:
      `this role's folder of \`deno task keys\` (${KEY_FILES.cert}, ${KEY_FILES.key}, ${KEY_FILES.ca}): TLS, in which both ends show ` +
      "a certificate",
  },
  tokens: {
    type: "path",
    value: "FILE",
    help: `with all three roles on this machine, instead of --identity: ${KEY_FILES.tokens} of that folder`,
  },
} as const;

export interface IdentityValues {
  readonly identity: string | undefined;
  readonly tokens: string | undefined;
  readonly withParent: boolean;
}

export function parseAddress(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(":"), port = Number(text.slice(colon + 1));
  if (port > 65_535) throw new UsageError(`${text} names port ${port}, but ports end at 65535`);
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ""), port };
}

/** What `role` proves itself by on all its connections. */
export async function identityFrom(
  role: RoleName,
  values: IdentityValues,
): Promise<Pick<TcpOptions, "tls" | "tokens">> {
  const { identity, tokens, withParent } = values;
  if (withParent) return { tokens: await tokensFromParent() };
  if (identity !== undefined && tokens !== undefined) {
    throw new UsageError("--identity and --tokens were both given; give one");
  }
  if (identity !== undefined) return { tls: await readIdentity(role, identity) };
  if (tokens !== undefined) return { tokens: parseTokens(role, await readSecret(tokens), tokens) };
  throw new UsageError(
    "a role must prove to the others which one it is; make keys by deno task keys, then give --identity, or --tokens on one machine",
  );
}

async function readIdentity(role: RoleName, folder: string): Promise<TlsIdentity> {
  const identity = {
    cert: await readKey(`${folder}/${KEY_FILES.cert}`),
    key: await readSecret(`${folder}/${KEY_FILES.key}`),
    ca: await readKey(`${folder}/${KEY_FILES.ca}`),
  };
  // Loaded when needed, as TLS is.
  const fault = (await import("../network/certificate.ts")).faultOf(identity, role);
  if (fault === null) return identity;
  throw new Error(
    `${folder} is no identity of the ${role}: ${fault}; make keys for all roles by deno task keys`,
  );
}

function parseTokens(own: RoleName, text: string, path: string): Tokens {
  const fail = () => {
    throw new Error(
      `${path} holds no tokens of the ${own}, at least ${TOKEN_DIGITS} hex digits for each of the other two roles; make it by deno task keys`,
    );
  };
  try {
    const tokens = JSON.parse(text) as Tokens, digits = new RegExp(`^[0-9a-f]{${TOKEN_DIGITS},}$`);
    const isRight = ROLES.every((role) =>
      role === own ? !Object.hasOwn(tokens, role) : digits.test(tokens[role] ?? "")
    );
    return isRight ? tokens : fail();
  } catch {
    return fail();
  }
}

/** A file that nobody else may read. */
async function readSecret(path: string): Promise<string> {
  const text = await readKey(path), { mode } = await Deno.stat(path);
  if (mode !== null && (mode & 0o077) !== 0) {
    throw new Error(`other users of this machine may read ${path}; take that right away: chmod 600`);
  }
  return text;
}

async function readKey(path: string): Promise<string> {
  try {
    return await readText(path);
  } catch (error) {
    throw new Error(`cannot read ${path}: ${(error as Error).message}`);
  }
}
