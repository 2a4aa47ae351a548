/**
 * A party of a `lifted` private inference. Between layers the server holds y - a and the client a, for every value y: only so can
 * the client do all of its linear work before the image is known.
 */
import { ask } from "../dealer/request.ts";
import type { Material } from "../dealer/material.ts";
import { ProtocolError } from "../network/channel.ts";
import {
  evaluateLifted,
  holdLifted,
  type LiftedMaterial,
  packedBytes,
  partsOf,
  replyBits,
} from "../protocols/activation/lifted.ts";
import { disposeAll, weightsOf } from "../protocols/linear/layers.ts";
import { Seed } from "../random/stream.ts";
import { encode32 } from "../ring/fixed_point.ts";
import type { RunnableConvolution } from "../ring/pool.ts";
import type { Ring } from "../ring/ring.ts";
import { RingTensor } from "../ring/tensor.ts";
import { forget, type Parts, passOn, product } from "./lifted_parts.ts";
import type { LiftedScales } from "./lifted_plan.ts";
import type { ActivationStep, Plan, Step } from "./plan.ts";
import {
  imageLabel,
  LOGITS_TAG,
  materialOf,
  observeOutputs,
  type OnlineTime,
  type PartySession,
  type PreparedQuery,
  queryTag,
  type SessionOptions,
} from "./party_session.ts";
import { TimedChannel } from "./timed_channel.ts";

/** What a party keeps of a query until it runs. */
interface Prepared {
  readonly number: number;
  /** By activation step: dealt material; at the server R, at the client the mask of the output. */
  readonly gates: ReadonlyMap<number, LiftedMaterial & { readonly word: RingTensor<32> }>;
  /** The client's mask of the image; null at the server. */
  readonly image: RingTensor<32> | null;
  /** This party's part of the logits: the server's constants if there are any, the client's all. */
  readonly logits: RingTensor<32> | undefined;
}

export class LiftedSession implements PartySession {
  readonly #peer: TimedChannel;
  #queries = 0;

  private constructor(
    private readonly options: SessionOptions,
    private readonly scales: LiftedScales,
    /** W at the server, W - B at the client. */
    private readonly convolutions: ReadonlyMap<string, RunnableConvolution>,
    private readonly biases: ReadonlyMap<string, RingTensor<32>>,
    private readonly digest: Uint8Array,
  ) {
    this.#peer = new TimedChannel(options.peer);
  }

  /** Set-up: the server sends W - B; plans have been compared. */
  static async open(
    options: SessionOptions,
    scales: LiftedScales,
    digest: Uint8Array,
  ): Promise<LiftedSession> {
    const { pool, peer, dealer, plan, weights } = options, { ring } = pool;
    const seed = new Seed((await ask(dealer, { kind: "session" }, digest))!);
    const convolutions = new Map<string, RunnableConvolution>(), biases = new Map<string, RingTensor<32>>();
    for (const step of plan.steps) {
      if (step.kind !== "linear") continue;
      const material = materialOf(options, seed, step.label);
      for (const [i, node] of step.nodes.entries()) {
        const layer = step.group.layers[i]!, count = weightsOf(layer);
        if (weights === null) {
          using difference = new RingTensor(ring, 32, count);
          await peer.receive(step.label, difference.bytes);
          convolutions.set(node.id, pool.convolution(32, layer, difference.address));
          continue;
        }
        const factor = step.weightFactors[i]!, { data } = weights.get(`${node.id}.weight`)!;
        using w = encode32(
          ring,
          data.map((v) => v * factor),
          scales.weightBits.get(node.id)!,
          `weight of ${node.id}`,
        );
        using b = await material.own32(count);
        ring.kernels.sub32(w.address, b.address, b.address, count);
        await peer.send(step.label, b.bytes);
        convolutions.set(node.id, pool.convolution(32, layer, w.address, { small: true }));
        const bias = weights.get(`${node.id}.bias`);
        if (bias) {
          biases.set(
            node.id,
            encode32(ring, bias.data, scales.fractionBits.get(node.id)!, `bias of ${node.id}`),
          );
        }
      }
    }
    return new LiftedSession(options, scales, convolutions, biases, digest);
  }

  /** The offline phase of the next query. */
  async prepare(): Promise<LiftedQuery> {
    const { role, plan, dealer } = this.options, number = this.#queries++;
    const seed = new Seed((await ask(dealer, { kind: "query", number }, this.digest))!);
    const of = (label: number) => materialOf(this.options, seed, label);
    const prepared = role === "server"
      ? await this.#prepareServer(number, of)
      : await this.#prepareClient(number, of);
    return new LiftedQuery(this.options, this.#peer, this.scales, this.convolutions, prepared, plan);
  }

  async end(): Promise<void> {
    await ask(this.options.dealer, { kind: "end" }, this.digest);
    disposeAll([...this.convolutions.values(), ...this.biases.values()]);
  }

  /** Everything that the server adds to z before it replies is one word R: its share of B * a, bias, v and its mask. */
  async #prepareServer(number: number, of: (label: number) => Material): Promise<Prepared> {
    const { plan, pool: { ring }, observe } = this.options,
      constants: Parts = new Map(),
      gates = new Map<number, LiftedMaterial & { word: RingTensor<32> }>();
    for (const step of plan.steps) {
      const material = of(step.label);
      if (step.kind === "activation") {
        const spec = this.scales.specs.get(step.index)!, held = await holdLifted(spec, material);
        using v = new RingTensor(ring, 32, spec.length);
        await this.#peer.receive(queryTag(step.label, number), v.bytes);
        const word = new RingTensor(ring, 32, spec.length), constant = constants.get(step.input);
        ring.kernels.addShifted32(
          v.address,
          held.mask.address,
          spec.extraBits,
          word.address,
          spec.length,
        );
        if (constant) ring.kernels.add32(word.address, constant.address, word.address, spec.length);
        gates.set(step.index, { ...held, word });
      } else {
        const shares = step.kind === "linear" ? await this.#sharesOf(step, material) : [];
        passOn(step, this.scales, constants, (step, i) => this.#withBias(shares[i]!, step.nodes[i]!.id));
      }
      if (observe) await observeOutputs(step, constants, observe);
      this.#forgetBut(step, constants);
    }
    return { number, gates, image: null, logits: constants.get(plan.output) };
  }

  #withBias(share: RingTensor<32>, id: string): RingTensor<32> {
    const bias = this.biases.get(id);
    if (bias) {
      share.ring.kernels.addRow32(share.address, bias.address, share.address, share.length, bias.length);
    }
    return share;
  }

  /** The client's linear layers, on its masks; v = z_client + s_client goes to the server. */
  async #prepareClient(number: number, of: (label: number) => Material): Promise<Prepared> {
    const { plan, pool: { ring }, observe } = this.options,
      gates = new Map<number, LiftedMaterial & { word: RingTensor<32> }>();
    const image = await of(imageLabel(plan)).own32(plan.inputLength, this.scales.imageBits);
    const masks: Parts = new Map([[plan.input, image]]);
    for (const step of plan.steps) {
      const material = of(step.label);
      if (step.kind === "activation") {
        const spec = this.scales.specs.get(step.index)!, held = await holdLifted(spec, material);
        using v = new RingTensor(ring, 32, spec.length);
        ring.kernels.addShifted32(
          masks.get(step.input)!.address,
          held.mask.address,
          spec.extraBits,
          v.address,
          spec.length,
        );
        await this.#peer.send(queryTag(step.label, number), v.bytes);
        const word = await material.own32(spec.length, spec.outputBits);
        gates.set(step.index, { ...held, word });
        masks.set(step.node, word);
      } else {
        const shares = step.kind === "linear" ? await this.#sharesOf(step, material) : [];
        passOn(step, this.scales, masks, (step, i, input) => {
          const id = step.nodes[i]!.id, z = product(this.convolutions.get(id)!, id, this.scales, input!);
          ring.kernels.add32(z.address, shares[i]!.address, z.address, z.length);
          shares[i]![Symbol.dispose]();
          return z;
        });
      }
      if (observe) await observeOutputs(step, masks, observe);
      this.#forgetBut(step, masks, image, ...[...gates.values()].map(({ word }) => word));
    }
    return { number, gates, image, logits: masks.get(plan.output) };
  }

  /** This party's shares of B * a, one tensor a layer. */
  async #sharesOf(step: Step & { readonly kind: "linear" }, material: Material): Promise<RingTensor<32>[]> {
    const { ring } = this.options.pool, shares: RingTensor<32>[] = [];
    for (const node of step.nodes) {
      const { spec } = this.convolutions.get(node.id)!,
        along = (n: number) => Math.floor((n + 2 * spec.padding - spec.kernel) / spec.stride) + 1;
      const share = new RingTensor(
        ring,
        32,
        along(spec.height) * along(spec.width) * spec.outputs,
        this.scales.fractionBits.get(node.id)!,
      );
      await material.share(share);
      shares.push(share);
    }
    return shares;
  }

  /** Frees what no later step reads, except tensors that are kept for the online phase. */
  #forgetBut(step: Step, parts: Parts, ...kept: RingTensor<32>[]): void {
    for (const id of step.lastUses) {
      const part = parts.get(id);
      parts.delete(id);
      if (part && !kept.includes(part)) part[Symbol.dispose]();
    }
  }
}

/** One query: its offline phase is over, its online phase may run once. */
export class LiftedQuery implements PreparedQuery {
  #used = false;

  constructor(
    private readonly options: SessionOptions,
    private readonly peer: TimedChannel,
    private readonly scales: LiftedScales,
    private readonly convolutions: ReadonlyMap<string, RunnableConvolution>,
    private readonly prepared: Prepared,
    private readonly plan: Plan,
  ) {}

  get number(): number {
    return this.prepared.number;
  }

  async run(image: ArrayLike<number> | null): Promise<{ logits: Float64Array | null; time: OnlineTime }> {
    const { role, pool: { ring } } = this.options;
    if (this.#used) {
      throw new ProtocolError("the correlations of this query were used before; prepare another one");
    }
    if (role === "client" && image?.length !== this.plan.inputLength) {
      throw new RangeError(
        `the image has ${image?.length ?? 0} numbers, the network takes ${this.plan.inputLength}`,
      );
    }
    this.#used = true;
    const start = performance.now(), waited = this.peer.milliseconds;
    const logits = role === "client" ? await this.#runClient(ring, image!) : await this.#runServer(ring);
    for (const { mask, g, word } of this.prepared.gates.values()) disposeAll([mask, g, word]);
    const milliseconds = performance.now() - start;
    return {
      logits,
      time: { milliseconds, computeMilliseconds: milliseconds - (this.peer.milliseconds - waited) },
    };
  }

  async #runClient(ring: Ring, image: ArrayLike<number>): Promise<Float64Array> {
    const { prepared, plan, scales } = this, mask = prepared.image!;
    using x = encode32(ring, image, scales.imageBits, "image", scales.ringBits);
    ring.kernels.sub32(x.address, mask.address, x.address, x.length);
    mask[Symbol.dispose]();
    await this.#sendPacked(x, scales.ringBits, queryTag(imageLabel(plan), prepared.number));
    for (const step of plan.steps) {
      if (step.kind !== "activation") continue;
      const spec = scales.specs.get(step.index)!,
        { g, word } = prepared.gates.get(step.index)!,
        tag = queryTag(step.label, prepared.number);
      // This party would only wait for the server's convolution. From memory the dealt words, read once, cost as much as the arithmetic.
      for (const dealt of [g, word]) ring.kernels.touch(dealt.address, dealt.byteLength);
      const sent: Promise<void>[] = [];
      for (const { spec: part, start, more, of } of partsOf(spec)) {
        using opened = new RingTensor(ring, 32, part.length);
        await this.#receivePacked(opened, replyBits(spec), tag, more);
        using y = new RingTensor(ring, 32, part.length);
        evaluateLifted(part, opened, of(g), word.view(start, part.length), y);
        // Not awaited before the server's last part is read: until then the server does not read.
        sent.push(this.#sendPacked(y, spec.ringBits, tag, more));
        sent.at(-1)!.catch(() => {});
      }
      await Promise.all(sent);
    }
    const mine = prepared.logits!;
    using other = new RingTensor(ring, 32, mine.length);
    await this.peer.receive(LOGITS_TAG, other.bytes);
    return this.#decodeLogits(other, mine);
  }

  async #runServer(ring: Ring): Promise<null> {
    const { prepared, plan, scales, options: { observe } } = this, parts: Parts = new Map();
    const x = new RingTensor(ring, 32, plan.inputLength);
    await this.#receivePacked(x, scales.ringBits, queryTag(imageLabel(plan), prepared.number));
    parts.set(plan.input, x);
    for (const step of plan.steps) {
      if (step.kind === "activation") {
        parts.set(step.node, await this.#serveActivation(ring, step, parts.get(step.input)!));
      } else {
        passOn(step, scales, parts, (step, i, input) => {
          const id = step.nodes[i]!.id;
          return product(this.convolutions.get(id)!, id, scales, input!);
        });
      }
      if (observe) await observeOutputs(step, parts, observe);
      forget(step, parts);
    }
    const logits = parts.get(plan.output)!;
    if (prepared.logits) {
      ring.kernels.add32(logits.address, prepared.logits.address, logits.address, logits.length);
      prepared.logits[Symbol.dispose]();
    }
    await this.peer.send(LOGITS_TAG, this.#truncated(logits).bytes);
    disposeAll([...parts.values()]);
    return null;
  }

  async #serveActivation(
    ring: Ring,
    step: Step & ActivationStep,
    z: RingTensor<32>,
  ): Promise<RingTensor<32>> {
    const spec = this.scales.specs.get(step.index)!, { g, word } = this.prepared.gates.get(step.index)!;
    const { length: n } = spec, reply = replyBits(spec), tag = queryTag(step.label, this.prepared.number);
    using y = new RingTensor(ring, 32, n, spec.outputBits);
    for (const { spec: part, start, more, of } of partsOf(spec)) {
      using e = new RingTensor(ring, 32, part.length);
      ring.kernels.reply32(
        z.address + 4 * start,
        word.address + 4 * start,
        e.address,
        part.length,
        spec.inputBits - spec.keptBits + spec.extraBits,
        reply,
      );
      // The reply travels while this party evaluates its own share.
      const sent = this.#sendPacked(e, reply, tag, more);
      evaluateLifted(part, e, of(g), null, y.view(start, part.length));
      await sent;
    }
    const masked = new RingTensor(ring, 32, n);
    for (const { spec: { length }, start, more } of partsOf(spec)) {
      await this.#receivePacked(masked.view(start, length), spec.ringBits, tag, more);
    }
    ring.kernels.add32(masked.address, y.address, masked.address, n);
    return masked;
  }

  async #sendPacked(values: RingTensor<32>, bits: number, tag: number, more = false): Promise<void> {
    const { ring, length } = values, bytes = packedBytes(length, bits);
    using packed = new RingTensor(ring, 32, bytes / 4);
    ring.kernels.pack32(values.address, length, bits, packed.address);
    await this.peer.send(tag, packed.bytes, more);
  }

  /** Fills `into`. */
  async #receivePacked(into: RingTensor<32>, bits: number, tag: number, more = false): Promise<void> {
    const { ring, length } = into;
    using packed = new RingTensor(ring, 32, packedBytes(length, bits) / 4);
    await this.peer.receive(tag, packed.bytes, more);
    ring.kernels.unpack32(packed.address, length, bits, into.address);
  }

  /**
   * Truncate and reduce. The bits below the scale at which logits are opened tell the client nothing that it asked for; those above the ring hold
   * wrap-arounds of masked words times weights, which nothing masks: they must not leave the server.
   */
  #truncated(logits: RingTensor<32>): RingTensor<32> {
    const words = logits.uint32, { fractionBits, bits } = this.scales.logits;
    const cut = this.scales.fractionBits.get(this.plan.output)! - fractionBits, mask = 2 ** bits - 1;
    for (let i = 0; i < words.length; i++) words[i] = (words[i]! >>> cut) & mask;
    return logits;
  }

  #decodeLogits(other: RingTensor<32>, mine: RingTensor<32>): Float64Array {
    const { ring } = other, { fractionBits, bits } = this.scales.logits, modulus = 2 ** bits;
    ring.kernels.add32(other.address, this.#truncated(mine).address, other.address, other.length);
    mine[Symbol.dispose]();
    return Float64Array.from(other.uint32, (v) => {
      const reduced = v % modulus;
      return (reduced >= modulus / 2 ? reduced - modulus : reduced) * 2 ** -fractionBits;
    });
  }
}
