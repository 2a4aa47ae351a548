/**
 * What protocols on rings of few bits have in common: one short opening of a masked value, a local gate behind it, and the re-masking of the
 * result on the way back.
 *
 * z = z_server + z_client modulo 2^k, s = s_server + s_client, each summand known to its party. Offline the client sends v = z_client +
 * s_client, which it knows before the image. Online the server forms E = z_server + v + s_server = z + s modulo 2^k and sends a part of
 * its bits, the reply: bits of a uniform word. From them and from dealt words both evaluate the gate.
 *
 * Where a linear layer reads y, the client sends its part less a fresh mask a at once, while the server's next part of the reply is on
 * its way: y is re-masked (server y - a, client a) without a message of its own.
 */
import { type Dealt, type Own, own } from "../../correlations/correlation.ts";
import type { Drawn } from "../../correlations/drawn.ts";
import { RingTensor } from "../../ring/tensor.ts";
import { packedBytes, PACKING, receiveNumbers, sendNumbers } from "../../wires/packing.ts";
import { type Half, sharedWire, valueBits } from "../../wires/wire.ts";
import {
  type ActivationLayer,
  type ActivationStep,
  type Message,
  once,
  type Party,
  type Prepared,
  type ProtocolStep,
  stateless,
} from "../protocol.ts";

/** Scales and widths of one activation layer; public. */
export interface ShortSpec {
  readonly length: number;
  /** k: the ring of the linear layers. */
  readonly ringBits: number;
  /** Fraction bits of the input z and of the output y. */
  readonly inputBits: number;
  readonly outputBits: number;
  /** Bits by which the shares of z are scaled up beyond f_z: the two of Winograd, or none. */
  readonly extraBits: number;
}

/** What is a protocol's own: which bits are opened, what is dealt, and what both make of it. */
export interface Gate {
  /** Numbers dealt for the masks, words of one element side by side. */
  dealt(s: Own<32>): Dealt<48 | 64 | 128>;
  /** The server keeps E modulo 2^k without its `dropped` low bits. */
  readonly dropped: number;
  readonly replyBits: number;
  /** The reply out of what the server keeps; left out where it is all of that. */
  reply?(kept: RingTensor<32>, out: RingTensor<32>): void;
  /** A party's part of y, less `mask` if given: the server's from what it keeps, the client's from the reply. */
  evaluate(
    role: Party["role"],
    opened: RingTensor<32>,
    words: RingTensor,
    mask: RingTensor<32> | null,
    out: RingTensor<32>,
  ): void;
}

/** The input of a layer as such a protocol reads it; throws a RangeError where it does not. */
export function shortInput(protocol: string, { name, input }: ActivationLayer) {
  if (input.width !== 32) {
    throw new RangeError(
      `${name}: ${protocol} reads words of 32 bits, not of ${input.width}; use another activation protocol`,
    );
  }
  if (input.clientLate) {
    throw new RangeError(
      `${name}: ${protocol} needs the client's part of its input before the image is known, which only weights in clear at the server give: ` +
        `linear protocol masked; or choose another activation protocol`,
    );
  }
  const { words: length, ringBits, extraBits } = input;
  if (ringBits + extraBits > 32) {
    throw new RangeError(
      `${name}: ${protocol} with ${ringBits} ring bits does not fit 32-bit words after Winograd's transform`,
    );
  }
  return { length, ringBits, extraBits, inputBits: valueBits(input) };
}

/** All of a step but what it computes. */
export function shortOpening(
  protocol: string,
  spec: ShortSpec,
  remasks: boolean,
  gate: Gate,
): Omit<ProtocolStep, "spec"> & Pick<ActivationStep, "inputBits" | "limit"> {
  const { length: n, ringBits, inputBits, outputBits } = spec;
  const s = own("s", "both", n, 32), words = gate.dealt(s), a = remasks ? own("a", "client", n, 32) : null;
  const messages: Message[] = [
    { phase: "offline", from: "client", bytes: 4 * n },
    { phase: "online", from: "server", bytes: packedBytes(n, gate.replyBits) },
  ];
  if (a) messages.push({ phase: "online", from: "client", bytes: packedBytes(n, ringBits), remasks: true });
  const opening: ShortOpening = { protocol, spec, gate, s, words, a };
  return {
    outputs: [{ ...sharedWire(n, 32, ringBits, outputBits), clientLate: a === null, mask: a }],
    session: [],
    query: a ? [s, words, a] : [s, words],
    messages,
    setUp: stateless((party, drawn, [early]) =>
      (party.role === "server" ? server : client)(opening, party, drawn, early)
    ),
    inputBits,
    limit: 2 ** (ringBits - 2 - inputBits),
  };
}

/** What the plan chose for a layer, and what it draws. */
interface ShortOpening {
  readonly protocol: string;
  readonly spec: ShortSpec;
  readonly gate: Gate;
  /** The mask of z: each summand known to its party. */
  readonly s: Own<32>;
  readonly words: Dealt<48 | 64 | 128>;
  /** The mask of y; null where nothing reads it masked. */
  readonly a: Own<32> | null;
}

/** Offline: everything that the server adds to z before it replies becomes one word R: its early half (B * a, biases), v, its part of s. */
async function server(opening: ShortOpening, party: Party, drawn: Drawn, early: Half): Promise<Prepared> {
  const { protocol, spec, gate, s, words, a } = opening;
  const { ring, peer, tag } = party, { kernels } = ring, n = spec.length;
  using mask = drawn.own(s);
  const shares = await drawn.share(words), word = new RingTensor(ring, 32, n);
  using v = new RingTensor(ring, 32, n);
  await receiveNumbers(peer, tag, v, 32);
  kernels.addShifted32(v.address, mask.address, spec.extraBits, word.address, n);
  if (early) kernels.add32(word.address, early.address, word.address, n);

  const online = async (z: RingTensor<32>) => {
    const y = new RingTensor(ring, 32, n, spec.outputBits);
    const shift = gate.dropped + spec.extraBits, keptBits = spec.ringBits - gate.dropped;
    for (const { length, start, more, of } of partsOf(opening)) {
      using kept = new RingTensor(ring, 32, length);
      using reply = gate.reply ? new RingTensor(ring, 32, length) : kept.retain();
      const at = 4 * start;
      kernels.reply32(z.address + at, word.address + at, kept.address, length, shift, keptBits);
      gate.reply?.(kept, reply);
      // The reply travels while this party evaluates its own share.
      const sent = sendNumbers(peer, tag, reply, gate.replyBits, more);
      // Heard below, unless the evaluation fails first: then that is what ends the session, and not the process.
      sent.catch(() => {});
      gate.evaluate("server", kept, of(shares as RingTensor), null, y.view(start, length));
      await sent;
    }
    word[Symbol.dispose]();
    shares[Symbol.dispose]();
    if (a === null) return y;
    const masked = new RingTensor(ring, 32, n, spec.outputBits);
    for (const { length, start, more } of partsOf(opening)) {
      await receiveNumbers(peer, tag, masked.view(start, length), spec.ringBits, more);
    }
    kernels.add32(masked.address, y.address, masked.address, n);
    y[Symbol.dispose]();
    return masked;
  };
  return { early: [undefined], online: once(protocol, async ([z]) => [await online(z as RingTensor<32>)]) };
}

/** Offline: v = z_client + s_client, 2^e times, goes to the server. */
async function client(opening: ShortOpening, party: Party, drawn: Drawn, early: Half): Promise<Prepared> {
  const { protocol, spec, gate, s, words, a } = opening;
  const { ring, peer, tag } = party, { kernels } = ring, n = spec.length;
  using mask = drawn.own(s);
  const shares = await drawn.share(words);
  using v = new RingTensor(ring, 32, n);
  if (early) kernels.addShifted32(early.address, mask.address, spec.extraBits, v.address, n);
  else kernels.shl32(mask.address, spec.extraBits, v.address, n);
  await sendNumbers(peer, tag, v, 32);
  const next = a && drawn.own(a).withFractionBits(spec.outputBits);

  const online = async () => {
    // This party would only wait for the server's convolution. From memory the dealt words, read once, cost as much as the arithmetic.
    for (const dealt of next ? [shares, next] : [shares]) kernels.touch(dealt.address, dealt.byteLength);
    const sent: Promise<void>[] = [], y = next ? null : new RingTensor(ring, 32, n, spec.outputBits);
    for (const { length, start, more, of } of partsOf(opening)) {
      using opened = new RingTensor(ring, 32, length);
      await receiveNumbers(peer, tag, opened, gate.replyBits, more);
      using out = y ? y.view(start, length) : new RingTensor(ring, 32, length);
      gate.evaluate("client", opened, of(shares as RingTensor), next?.view(start, length) ?? null, out);
      if (y) continue;
      // Not awaited before the server's last part is read: until then the server does not read.
      sent.push(sendNumbers(peer, tag, out, spec.ringBits, more));
      sent.at(-1)!.catch(() => {});
    }
    await Promise.all(sent);
    for (const tensor of [shares, next]) tensor?.[Symbol.dispose]();
    return y ?? undefined;
  };
  return { early: [next?.retain()], online: once(protocol, async () => [await online()]) };
}

/** Elements of a part of a message: while it travels, the next one is computed. A multiple of {@linkcode PACKING}. */
const PART = PACKING << 7;

/** The parts in which the messages of a layer travel; small layers are one. */
function partsOf({ spec: { length: n }, words }: ShortOpening) {
  return Array.from({ length: Math.max(1, Math.ceil(n / PART)) }, (_, i) => {
    const start = i * PART, length = Math.min(PART, n - start);
    return {
      start,
      length,
      /** Whether others follow. */
      more: start + length < n,
      /** The dealt words of the part. */
      of(dealt: RingTensor): RingTensor {
        const each = n === 0 ? 0 : words.words * words.bits / dealt.width / n;
        return dealt.view(start * each, length * each);
      },
    };
  });
}
