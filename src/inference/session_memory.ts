/**
 * How much ring memory a server's session takes at most, from the plan alone: what its prepared queries hold, and what one step works
 * with. A bound, not a measurement: tests compare it with what sessions of every protocol take.
 */
import { type Correlation, lengthOf } from "../correlations/correlation.ts";
import { planConvolution } from "../ring/convolution_plan.ts";
import { scratchParts } from "../ring/convolution_scratch.ts";
import { blockSize, type Ring } from "../ring/ring.ts";
import { scratchBytes } from "../ring/scratch.ts";
import type { Wire } from "../wires/wire.ts";
import type { Plan, Step } from "./plan.ts";

const sum = <T>(list: readonly T[], bytesOf: (item: T) => number) =>
  list.reduce((total, item) => total + bytesOf(item), 0);

const drawnBytes = (correlation: Correlation) => blockSize(lengthOf(correlation) * correlation.bits / 8);
const wireBytes = ({ words, width }: Wire) => blockSize(words * width / 8);

const convolutionsOf = ({ query }: Step) => query.filter((correlation) => correlation.kind === "convolution");

/** Packed weights of a step's convolutions: of the server's own, or of what a protocol opens in their place. */
const packedBytes = (step: Step) =>
  sum(convolutionsOf(step), ({ spec, bits }) => {
    const { weightPlanes, length, outputs } = planConvolution(spec, bits);
    return blockSize(weightPlanes * length * outputs * bits / 8);
  });

/** Bytes of one session that holds `prepared` queries. */
export function sessionBytes({ steps }: Plan, prepared: number): number {
  const held = sum(steps, ({ query, outputs }) => sum(query, drawnBytes) + sum(outputs, wireBytes));
  // A session opens masked weights layer by layer and may keep two packed forms of each.
  const opened = sum(steps, (step) => 2 * packedBytes(step)) +
    3 * Math.max(0, ...steps.map(({ session }) => sum(session, drawnBytes)));
  const working = Math.max(
    ...steps.map(({ query, outputs }) => sum(query, drawnBytes) + 4 * sum(outputs, wireBytes)),
  );
  return opened + (prepared + 1) * held + 2 * working;
}

/** Working memory of the layers, all sessions together. */
const workingBytes = ({ steps }: Plan): number =>
  scratchBytes(Math.max(
    0,
    ...steps.flatMap(convolutionsOf).map(({ spec, bits }) =>
      scratchParts(spec, planConvolution(spec, bits), bits / 8).bytes
    ),
  ));

/** Sessions that a server, or a dealer, which holds none `prepared`, has room for side by side, its packed weights and the scratch memory of its layers apart. */
export function mostSessions(ring: Ring, plan: Plan, prepared: number): number {
  const room = ring.bytes.length - ring.bytesInUse - sum(plan.steps, packedBytes) - workingBytes(plan);
  return Math.floor(room / sessionBytes(plan, prepared));
}
