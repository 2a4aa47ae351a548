/** Steps that only move numbers: a value into another border, two parts of a gradient into one. */
import type { CopyStep, SumStep } from "../graph_steps.ts";
import type { ShardMemory } from "../shard_memory.ts";
import { extent, type Images } from "../tensor.ts";

/** The kernels of these steps read no tables. */
const NO_TABLES = { tables: 0, period: 4 };

export function copy({ kernels }: ShardMemory, { x, y }: CopyStep, { first, count }: Images): void {
  kernels.copy({ x, y }, first, { ...extent(count, x, y), ...NO_TABLES });
}

export function sum({ kernels }: ShardMemory, { x, w, y }: SumStep, { first, count }: Images): void {
  kernels.sum({ x, w, y }, first, { ...extent(count, x, w, y), ...NO_TABLES });
}
