/** What people and programs do to the roles that they should not: each kind of case as one function, from the numbers of a seed. */
import { setTimeout as pause } from "node:timers/promises";
import { readModelFolder } from "../data/model_folder.ts";
import type { Plan } from "../inference/plan.ts";
import { CONTROL_TAG, FIGURES_TAG, MEETING_TAG, PLAN_TAG, SESSION_TAG } from "../inference/tags.ts";
import { REQUEST_TAG } from "../correlations/request.ts";
import type { SeededRandom } from "../models/seeded_random.ts";
import { encodeHeader, FrameKind, HEADER_BYTES } from "../network/frame.ts";
import { connect, type ConnectOptions, type TcpOptions } from "../network/tcp.ts";
import { decodeModel } from "../onnx/format.ts";
import { importOnnx } from "../onnx/import.ts";
import type { ConvolutionPool } from "../ring/pool.ts";
import { ask } from "../roles/asking.ts";
import { type RoleName, ROLES } from "../roles/endpoint.ts";
import { type Frame, type Interference, Relay } from "./relay.ts";

/** What each role proves itself by: tokens, or certificates of one authority. */
export type Keys = Readonly<Record<RoleName, Pick<TcpOptions, "tls" | "tokens">>>;

/** A server and its dealer, their keys, and keys of the same kind that somebody else has made. */
export interface Deployment {
  readonly ports: Readonly<Record<"server" | "dealer", number>>;
  readonly keys: Keys;
  readonly foreignKeys: Keys;
}

/** The roles under attack, and what one who attacks them may hold. */
export interface Target {
  /** One of each kind of keys. */
  readonly deployments: readonly Deployment[];
  readonly plan: Plan;
  readonly pool: ConvolutionPool;
  readonly images: readonly Float32Array[];
  readonly timeoutMs: number;
  /** A model folder, and one in which altered copies of its files may be written. */
  readonly folder: string;
  readonly copies: string;
  /** A folder of ONNX files. */
  readonly onnx: string;
}

/** One case: ends when the attacker is done, well or with the error that it was given. */
export type Case = (target: Target, random: SeededRandom) => Promise<void>;

const below = (random: SeededRandom, n: number) => random.nextUint32() % n;
const oneOf = <T>(random: SeededRandom, list: readonly T[]): T => list[below(random, list.length)];
const bytesOf = (random: SeededRandom, n: number) =>
  Uint8Array.from({ length: n }, () => random.nextUint32());
const local = (port: number) => ({ host: "127.0.0.1", port });

/** A few bits of a copy turned. */
function altered(random: SeededRandom, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  for (let i = 0; copy.length > 0 && i <= below(random, 4); i++) {
    copy[below(random, copy.length)] ^= 1 << below(random, 8);
  }
  return copy;
}

/** A frame as a peer of ours would write it, or nearly. */
function frame(kind: number, tag: number, sequence: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const header = { kind, tag, sequence, length: payload.length, departureMs: 0, delays: 0 };
  encodeHeader(header, new DataView(bytes.buffer));
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

function greeting(role: string): Uint8Array<ArrayBuffer> {
  const payload = new Uint8Array(72);
  new TextEncoder().encodeInto(role, payload.subarray(48));
  return frame(FrameKind.hello, 0, 0, payload);
}

/** Somebody without keys. */
const stranger: Case = async ({ deployments }, random) => {
  const { ports } = oneOf(random, deployments);
  const says: readonly (() => Uint8Array<ArrayBuffer>)[] = [
    () => new Uint8Array(0),
    () => bytesOf(random, below(random, 300)),
    () => new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    () => altered(random, greeting(oneOf(random, ["server", "client", "dealer"]))),
    () => greeting("client").slice(0, below(random, 112)),
    () => new Uint8Array([...greeting("client"), ...frame(FrameKind.proof, 0, 1, bytesOf(random, 32))]),
  ];
  const connection = await Deno.connect({
    hostname: "127.0.0.1",
    port: ports[oneOf(random, ["server", "dealer"] as const)],
  });
  try {
    await connection.write(oneOf(random, says)());
    if (below(random, 2) === 0) await connection.closeWrite();
    await pause(below(random, 30));
  } catch {
    // It was thrown out.
  } finally {
    connection.close();
  }
};

const TAGS = [SESSION_TAG, MEETING_TAG, PLAN_TAG, CONTROL_TAG, FIGURES_TAG, REQUEST_TAG, 0, 3, 4099];
const LENGTHS = [0, 8, 16, 24, 32, 40, 144];

/** Somebody with the keys of a role, who sends other messages than that role would. */
const holder: Case = async ({ deployments, timeoutMs }, random) => {
  const { ports, keys } = oneOf(random, deployments);
  const [role, expectedPeer] = oneOf(
    random,
    [["client", "server"], ["client", "dealer"], ["server", "dealer"]] as const,
  );
  const options: ConnectOptions = {
    ...local(ports[expectedPeer]),
    role,
    expectedPeer,
    ...keys[role],
    timeoutMs,
  };
  const channel = await connect(options);
  try {
    for (let i = 0; i <= below(random, 4); i++) {
      const length = below(random, 5) === 0 ? below(random, 5000) : oneOf(random, LENGTHS);
      const tag = below(random, 5) === 0 ? random.nextUint32() : oneOf(random, TAGS);
      await channel.send(tag, bytesOf(random, length));
    }
    if (below(random, 3) === 0) {
      await channel.abort("\x1b[2J\nerror: a second line\u202e" + "x".repeat(below(random, 600)));
    } else if (below(random, 2) === 0) {
      await channel.receive(oneOf(random, TAGS), new Uint8Array(oneOf(random, LENGTHS)));
    }
  } finally {
    channel.close();
  }
};

/** Somebody with the keys of another role, or of another authority. */
const impostor: Case = async ({ deployments, timeoutMs }, random) => {
  const { ports, keys, foreignKeys } = oneOf(random, deployments);
  const role = oneOf(random, ROLES), expectedPeer = oneOf(random, ["server", "dealer"] as const);
  const another = oneOf(random, ROLES.filter((other) => other !== role));
  const held = oneOf(random, [keys[another], foreignKeys[role], foreignKeys[another]]);
  const channel = await connect({ ...local(ports[expectedPeer]), role, expectedPeer, ...held, timeoutMs });
  channel.close();
};

/** A whole session, of which one frame is altered on its way: to the server or to the dealer, in either direction. */
const relay: Case = async ({ deployments, plan, pool, images, timeoutMs }, random) => {
  const { ports, keys } = oneOf(random, deployments);
  const between = oneOf(random, ["server", "dealer"] as const);
  let left = below(random, 25);
  const interfere = (passing: Frame): Interference | undefined => {
    if (left-- !== 0) return;
    const { bytes } = passing,
      ways: readonly (() => Interference)[] = [
        () => ({ send: altered(random, bytes) }),
        () => ({
          send: new Uint8Array([
            ...altered(random, bytes.subarray(0, HEADER_BYTES)),
            ...bytes.subarray(HEADER_BYTES),
          ]),
        }),
        () => ({ send: bytes.slice(0, below(random, bytes.length)), then: "close" }),
        () => ({ send: new Uint8Array([...bytes, ...bytes]) }),
        () => ({ send: new Uint8Array(0) }),
        () => ({ then: "silence" }),
      ];
    return oneOf(random, ways)();
  };
  await using altering = new Relay(ports[between], interfere);
  const at = { ...ports, [between]: altering.port };
  const to = (expectedPeer: "server" | "dealer") => () =>
    connect({ ...local(at[expectedPeer]), role: "client", expectedPeer, ...keys.client, timeoutMs });
  const asking = { pool, plan, connectToServer: to("server"), connectToDealer: to("dealer") };
  await ask(asking, (query) => images[query], images.length);
};

/** A folder of weights with a few wrong bytes, or cut off. */
const modelFolder: Case = async ({ folder, copies }, random) => {
  const spoilt = oneOf(random, ["model.json", "weights.safetensors"]);
  for (const name of ["model.json", "weights.safetensors"]) {
    const bytes = await Deno.readFile(`${folder}/${name}`);
    const start = bytes.subarray(0, 2000), rest = bytes.subarray(start.length);
    const copy = name !== spoilt
      ? bytes
      : below(random, 3) === 0
      ? bytes.slice(0, below(random, bytes.length))
      : new Uint8Array([...altered(random, start), ...rest]);
    await Deno.writeFile(`${copies}/${name}`, copy);
  }
  await readModelFolder(copies);
};

/** An ONNX file with a few wrong bytes, or cut off; most of them where its nodes and shapes stand. */
const onnxFile: Case = async ({ onnx }, random) => {
  const bytes = await Deno.readFile(
    `${onnx}/${oneOf(random, ["digits", "residual", "keras", "external"])}.onnx`,
  );
  const from = oneOf(random, [0, 0, Math.max(0, bytes.length - 1000)]), until = from + 1000;
  const spoilt = below(random, 4) === 0 ? bytes.slice(0, below(random, bytes.length)) : new Uint8Array([
    ...bytes.subarray(0, from),
    ...altered(random, bytes.subarray(from, until)),
    ...bytes.subarray(until),
  ]);
  const beside = await Deno.readFile(`${onnx}/external.weights`);
  importOnnx(decodeModel(spoilt, () => beside), "altered");
};

export const CASES = { stranger, impostor, holder, relay, modelFolder, onnxFile } as const;
export type CaseName = keyof typeof CASES;
