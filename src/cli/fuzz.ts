/** `deno task fuzz`: attacks on server and dealer, and on the files that they read. */
import { fileURLToPath } from "node:url";
import { fuzz } from "../fuzzing/fuzz.ts";
import { onExit, runCommand } from "../terminal/command.ts";
import { Progress } from "../terminal/progress.ts";
import { formatTable } from "../terminal/table.ts";

await runCommand({
  name: "fuzz",
  summary: "attack server and dealer, and the files that they read",
  notes:
    "Strangers, impostors with keys of others, holders of keys with wrong messages, relays that alter one frame, model folders and ONNX " +
    "files with wrong bytes; half of the roles prove themselves by tokens, half by certificates. Nothing may hang, " +
    "throw unheard, keep memory, say a secret or harm another client's session; what does is printed, with exit code 1.",
  time: "a second for ten cases",
  interrupted: "the attacks were ended",
  options: {
    cases: { type: "integer", min: 1, max: 1_000_000, default: 300, help: "attacks, of all kinds in turn" },
    seed: { type: "integer", min: 0, default: 1, help: "seed of what they do" },
  },
  async run({ cases, seed }) {
    const copies = await Deno.makeTempDir();
    onExit(() => Deno.remove(copies, { recursive: true }));
    const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
    const folder = at("results/models/convnet-pillar-shapes"), onnx = at("tests/onnx");
    const progress = new Progress("fuzz", cases, { unit: "cases" });
    const { tallies, findings } = await fuzz(
      cases,
      seed,
      { folder, copies, onnx },
      (done) => progress.update(done),
    );
    progress.finish();
    console.log(formatTable(tallies.map(({ kind, cases, endedWell }) => ({
      kind: kind.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`),
      cases,
      "ended well": endedWell,
    }))));
    for (const finding of findings) console.log(finding);
    return findings.length === 0 ? 0 : 1;
  },
});
