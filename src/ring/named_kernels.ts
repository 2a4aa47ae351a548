/**
 * Kernels by name. The parameters of a kernel with many of them are one text, its head: the AssemblyScript source is printed with
 * it, and here it gives the names and their order. What is known when a layer is planned is given by name, once; what is
 * left, addresses for the most part, is passed call by call in the order of the head. So a call allocates nothing that
 * lives longer, and costs as much as one by position; to read 22 names from an object each time costs as much as the smallest products.
 */

/** A flag is 0 or 1. */
type Value = number | boolean;
type Kernel = (...values: Value[]) => void;

type Trimmed<Text extends string> = Text extends `${" " | "\n"}${infer Rest}` ? Trimmed<Rest> : Text;

/** Names of the parameters of a head, in order. */
type Names<Head extends string> = Head extends `${infer Name}:${string},${infer Rest}`
  ? [Trimmed<Name>, ...Names<Rest>]
  : Head extends `${infer Name}:${string}` ? [Trimmed<Name>]
  : [];

type Left<All extends readonly string[], Known> = All extends [infer First, ...infer Rest extends string[]]
  ? First extends Known ? Left<Rest, Known> : [Value, ...Left<Rest, Known>]
  : [];

/** Takes what is known of the parameters of `Head` by name, and returns a kernel of those that are left. */
export type NamedKernel<Head extends string> = <
  const Known extends { readonly [name in Names<Head>[number]]?: Value },
>(
  known: Known & Record<Exclude<keyof Known, Names<Head>[number]>, never>,
) => (...left: Left<Names<Head>, keyof Known>) => void;

export type NamedKernels<Heads extends Readonly<Record<string, string>>> = {
  readonly [kernel in keyof Heads]: NamedKernel<Heads[kernel]>;
};

/** The values that a head asks for. */
export type NamedValues<Head extends string> = Readonly<Record<Names<Head>[number], Value>>;

/** Names of the parameters of a head, in order. */
export const parameterNames = (head: string): string[] =>
  head === "" ? [] : head.split(",").map((parameter) => parameter.split(":")[0].trim());

/** The kernels of `exports` that have a head. */
export const nameParameters = <Heads extends Readonly<Record<string, string>>>(
  exports: Readonly<Record<string, Kernel>>,
  heads: Heads,
): NamedKernels<Heads> =>
  Object.fromEntries(
    Object.entries(heads).map(([name, head]) => [name, byName(exports[name], parameterNames(head))]),
  ) as unknown as NamedKernels<Heads>;

const byName = (kernel: Kernel, names: readonly string[]) => (known: Readonly<Record<string, Value>>) => {
  const values = names.map((name) => known[name] ?? 0);
  const left = names.flatMap((name, i) => name in known ? [] : [i]);
  return (...rest: Value[]) => {
    for (let i = 0; i < left.length; i++) values[left[i]] = rest[i];
    kernel(...values);
  };
};
