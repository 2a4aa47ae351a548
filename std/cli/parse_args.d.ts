/** The part of the types of `@std/cli/parse-args` that this project uses; those of the package are narrower. */
export interface ParseOptions {
  boolean?: string[];
  string?: string[];
  collect?: string[];
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

export interface Args {
  _: (string | number)[];
  [name: string]: unknown;
}

export function parseArgs(args: string[], options?: ParseOptions): Args;
