/** Kernels give the same words where V8 joins their vectors: their own tests once more, in a process with the flag that roles have. */
import { assertEquals } from "@std/assert";
import { it } from "@std/testing/bdd";
import { REVECTORIZE, v8Arguments } from "../src/terminal/v8_flags.ts";

// Compiled as a role's kernels are after their first calls, from the first call on.
const EAGER = ["--no-liftoff", "--no-wasm-lazy-compilation"];

const canJoin = REVECTORIZE.length > 0;

(canJoin ? it : it.ignore)(
  `kernels joined to vectors of 256 bits pass their tests${
    canJoin ? "" : " (skipped: V8 joins them on x86-64 alone)"
  }`,
  async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["test", "--no-check", "--allow-all"],
        ...v8Arguments([...EAGER, ...REVECTORIZE]),
        ...["src/ring/", "src/random/", "src/protocols/"],
      ],
      env: { NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder();
    assertEquals(code, 0, text.decode(stdout).slice(-3000) + text.decode(stderr).slice(-1000));
  },
);
