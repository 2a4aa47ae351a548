/** Buffers of gradients, used again by others of the same geometry as soon as nobody needs them: zero borders stay zero. */
import { type Shape, sizeOf } from "../../models/graph.ts";
import { stepsOf, type Tensor } from "./tensor.ts";

const geometry = ({ shape, border }: Pick<Tensor, "shape" | "border">) =>
  border === 0 ? `${sizeOf(shape)}` : `${shape} ${border}`;

export class GradientBuffers {
  readonly #free = new Map<string, Tensor[]>();
  /** How many use a buffer, by its address. */
  readonly #users = new Map<number, number>();

  constructor(readonly make: (shape: Shape, border: number) => Tensor) {}

  acquire(shape: Shape, border: number): Tensor {
    const free = this.#free.get(geometry({ shape, border }))?.pop();
    const t = free ? { ...free, ...stepsOf(shape, border), shape } : this.make(shape, border);
    this.#users.set(t.base, 1);
    return t;
  }

  retain({ base }: Tensor): void {
    this.#users.set(base, this.#users.get(base)! + 1);
  }

  release(t: Tensor): void {
    const left = this.#users.get(t.base)! - 1;
    this.#users.set(t.base, left);
    if (left > 0) return;
    const key = geometry(t), list = this.#free.get(key);
    if (list) list.push(t);
    else this.#free.set(key, [t]);
  }

  /** Whether a tensor has a single user, who may write over it. */
  isOwn({ base }: Tensor): boolean {
    return this.#users.get(base) === 1;
  }
}
