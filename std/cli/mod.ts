/**
 * Stand-in for the part of `@std/cli` that this project uses. Remove `./std/cli` from `links` in
 * `deno.json` to use the real package.
 */
export * from "./parse_args.ts";
