/** Addresses, certificates and the session token of the three roles. */
import type { ConnectOptions, ListenOptions } from "../network/tcp.ts";
import { UsageError } from "../terminal/command.ts";
import { tokenFromParent } from "./role_report.ts";

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

/** Options of a role on another machine. */
export const SECURITY_OPTIONS = {
  tokenFile: {
    type: "path",
    value: "FILE",
    help: "file with a secret that all three roles of the session share",
  },
  tlsCert: {
    type: "path",
    value: "FILE",
    help: "certificate chain (PEM) that this role shows to those who connect",
  },
  tlsKey: { type: "path", value: "FILE", help: "its private key (PEM)" },
  tlsCa: {
    type: "path",
    value: "FILE",
    help: "authority (PEM) whose certificates this role accepts when it connects",
  },
  tlsName: {
    type: "string",
    value: "NAME",
    help: "name that the other end's certificate must carry, if it is not the host",
  },
  allowPlaintext: {
    type: "boolean",
    help: "let plain TCP leave this machine (nothing is encrypted or authenticated)",
  },
} as const;

export interface SecurityValues {
  readonly tokenFile: string | undefined;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  readonly tlsCa: string | undefined;
  readonly tlsName: string | undefined;
  readonly allowPlaintext: boolean;
  readonly withParent: boolean;
}

async function readFile(path: string, what: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    throw new Error(`cannot read the ${what} ${path}: ${(error as Error).message}`);
  }
}

export function parseAddress(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(":"), port = Number(text.slice(colon + 1));
  if (port > 65_535) throw new UsageError(`${text} names port ${port}, but ports end at 65535`);
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ""), port };
}

async function common(values: SecurityValues) {
  const token = values.withParent
    ? await tokenFromParent()
    : values.tokenFile === undefined
    ? undefined
    : (await readFile(values.tokenFile, "token file")).trim();
  if (token === "") throw new Error(`the token file ${values.tokenFile} is empty`);
  return { ...(token === undefined ? {} : { token }), allowPlaintext: values.allowPlaintext };
}

/** How this role listens: with TLS when it has a certificate. */
export async function listening(
  values: SecurityValues,
  address: string,
): Promise<Pick<ListenOptions, "host" | "port" | "token" | "allowPlaintext" | "tls">> {
  if ((values.tlsCert === undefined) !== (values.tlsKey === undefined)) {
    throw new UsageError("--tls-cert and --tls-key go together");
  }
  const tls = values.tlsCert === undefined ? {} : {
    tls: {
      cert: await readFile(values.tlsCert, "certificate"),
      key: await readFile(values.tlsKey!, "private key"),
    },
  };
  return { ...parseAddress(address), ...await common(values), ...tls };
}

/** How this role connects: with TLS when it was given an authority or a name to check. */
export async function connecting(
  values: SecurityValues,
  address: string,
): Promise<Pick<ConnectOptions, "host" | "port" | "token" | "allowPlaintext" | "tls">> {
  const { tlsCa, tlsName } = values;
  const tls = tlsCa === undefined && tlsName === undefined ? {} : {
    tls: {
      ...(tlsCa === undefined ? {} : { ca: await readFile(tlsCa, "certificate authority") }),
      ...(tlsName === undefined ? {} : { hostName: tlsName }),
    },
  };
  return { ...parseAddress(address), ...await common(values), ...tls };
}
