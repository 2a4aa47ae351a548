/** `@std/assert` as npm has it: the code of the package, without its types. */
// @ts-types="./mod.d.ts"
export * from "npm:deno-std@1.4.0/assert/mod.js";
