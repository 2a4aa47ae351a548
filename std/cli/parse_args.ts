/** `@std/cli/parse-args` as npm has it: the code of the package, without its types. */
// @ts-types="./parse_args.d.ts"
export * from "npm:deno-std@1.4.0/cli/parse_args.js";
