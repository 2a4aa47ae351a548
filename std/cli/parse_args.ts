/**
 * Stand-in for the part of `@std/cli/parse-args` that this project uses, for machines that reach npm but
 * not JSR: `--name value`, `--name=value`, `--flag`, `-x`, aliases, defaults, collected options, negated
 * flags, `--`, and a callback for what is not declared. Same names, same signatures, own code.
 */

/** Options of {@linkcode parseArgs}. */
export interface ParseOptions<
  B extends string = string,
  S extends string = string,
> {
  /** Options without a value; absent means `false`. */
  boolean?: readonly B[];
  /** Options with a value that stays a string; given without one they are `""`. */
  string?: readonly S[];
  /** Options that may be repeated; always an array. */
  collect?: readonly string[];
  /** Flags that also exist as `--no-<name>`. */
  negatable?: readonly string[];
  /** Values of options that are not given. */
  default?: Record<string, unknown>;
  /** Other names of an option. */
  alias?: Record<string, string | readonly string[]>;
  /** Called for undeclared options and for positional arguments; `false` drops them. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** What {@linkcode parseArgs} returns: positional arguments under `_`, every option under its name. */
export type Args<B extends string = string, S extends string = string> =
  & { _: (string | number)[] }
  & { [K in B]: boolean }
  & { [K in S]?: string }
  & { [key: string]: unknown };

const numeric = /^[-+]?(?:0x[0-9a-f]+|(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)$/i;

/**
 * Parses command line arguments.
 *
 * @example
 * ```ts
 * import { parseArgs } from "@std/cli/parse-args";
 * const { seed, json } = parseArgs(["--seed", "7", "--json"], { string: ["seed"], boolean: ["json"] });
 * ```
 */
export function parseArgs<
  const B extends string = never,
  const S extends string = never,
>(
  args: readonly string[],
  options: ParseOptions<B, S> = {},
): Args<B, S> {
  const flags = new Set<string>(options.boolean ?? []),
    strings = new Set<string>(options.string ?? []);
  const collected = new Set(options.collect ?? []),
    negatable = new Set(options.negatable ?? []);
  const names = new Map<string, string>();
  for (const [name, alias] of Object.entries(options.alias ?? {})) {
    for (const other of typeof alias === "string" ? [alias] : alias) {
      // Either side of an alias pair may be the declared one.
      const [main, also] = flags.has(other) || strings.has(other) ? [other, name] : [name, other];
      names.set(also, main);
    }
  }
  const declared = new Set<string>([
    ...flags,
    ...strings,
    ...collected,
    ...names.keys(),
    ...names.values(),
  ]);
  const found: Record<string, unknown> = {};
  const positional: (string | number)[] = [];

  const put = (arg: string, key: string, value: string | boolean) => {
    const name = names.get(key) ?? key;
    if (!declared.has(key) && options.unknown?.(arg, key, value) === false) {
      return;
    }
    const typed = flags.has(name)
      ? value !== false && value !== "false"
      : typeof value === "string" && !strings.has(name) && numeric.test(value)
      ? Number(value)
      : strings.has(name) && value === true
      ? ""
      : value;
    if (collected.has(name)) {
      found[name] = [...(found[name] as unknown[] ?? []), typed];
    } else found[name] = typed;
  };

  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === "--") {
      positional.push(...args.slice(i + 1));
      break;
    }
    const option = /^(--[^=]+|-[^-\d.=][^=]*)(?:=([^]*))?$/.exec(arg);
    if (!option) {
      if (options.unknown?.(arg) !== false) {
        positional.push(numeric.test(arg) ? Number(arg) : arg);
      }
      continue;
    }
    let keys = [option[1].replace(/^--?/, "")];
    if (!option[1].startsWith("--")) keys = [...keys[0]];
    for (const single of keys.slice(0, -1)) put(arg, single, true);
    const key = keys.at(-1)!, name = names.get(key) ?? key;
    const negated = key.startsWith("no-") && negatable.has(key.slice(3)) ? key.slice(3) : undefined;
    const next = args[i + 1];
    if (option[2] !== undefined) put(arg, key, option[2]);
    else if (negated !== undefined) put(arg, negated, false);
    else if (
      next !== undefined && !flags.has(name) &&
      (!next.startsWith("-") || numeric.test(next))
    ) {
      put(arg, key, next);
      i++;
    } else put(arg, key, true);
  }

  for (const [name, value] of Object.entries(options.default ?? {})) {
    found[name] ??= value;
  }
  for (const name of flags) found[name] ??= collected.has(name) ? [] : false;
  for (const name of collected) found[name] ??= [];
  for (const [also, main] of names) {
    if (main in found) found[also] = found[main];
  }
  return { ...found, _: positional } as Args<B, S>;
}
