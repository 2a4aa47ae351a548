/** `deno task calibrate`: what a network profile really delivers between two processes on this machine. */
import { calibrate } from "../network/calibration.ts";
import { networkProfile } from "../network/profiles.ts";
import { connect, listen } from "../network/tcp.ts";
import { fileURLToPath } from "node:url";
import type { CalibrateResult } from "../reproduction/command_results.ts";
import { onExit, runCommand } from "../terminal/command.ts";
import { parseAddress } from "../roles/endpoint.ts";
import { LINK_OPTIONS } from "../options/inference_options.ts";
import { formatTable } from "../terminal/table.ts";

await runCommand({
  name: "calibrate",
  summary: "measure round-trip time and throughput of a network profile between two processes",
  time: "about 2 seconds a profile",
  options: {
    profile: LINK_OPTIONS.profile,
    budget: {
      type: "integer",
      min: 50,
      max: 60_000,
      default: 1000,
      help: "milliseconds that pings and bulk transfer may take each",
    },
    connect: { type: "string", value: "HOST:PORT", help: "be the second process", hidden: true },
    json: { type: "boolean", help: "print one JSON object on one line" },
  },
  async run({ profile: name, budget, connect: address, json }) {
    const profile = networkProfile(name);
    if (address !== undefined) {
      const channel = await connect({
        ...parseAddress(address),
        role: "client",
        expectedPeer: "server",
        profile,
      });
      onExit(() => channel.close());
      await calibrate(channel, "responder");
      return;
    }
    const listener = await listen({
      host: "127.0.0.1",
      port: 0,
      role: "server",
      expectedPeer: "client",
      profile,
    });
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--allow-net=127.0.0.1",
        fileURLToPath(import.meta.url),
        "--profile",
        name,
        "--connect",
        `127.0.0.1:${listener.port}`,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const gone = endOf(child);
    onExit(() => {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended by itself.
      }
    });
    const channel = await Promise.race([listener.accept(), gone]);
    const measured = await Promise.race([calibrate(channel, "initiator", { budgetMs: budget }), gone]);
    channel.close();
    listener.close();
    const result = {
      profile: name,
      configured: { rttMs: profile.rttMs, bitsPerSecond: profile.bitsPerSecond },
      measured,
      source: profile.source,
    } satisfies CalibrateResult;
    if (json) console.log(JSON.stringify(result));
    else print(result);
  },
});

/** Never gives anything: throws when the second process has failed, and waits where it ends well, having done its part. */
async function endOf(child: Deno.ChildProcess): Promise<never> {
  const [{ success, code, signal }, said] = await Promise.all([
    child.status,
    new Response(child.stderr).text(),
  ]);
  if (success) return await new Promise<never>(() => {});
  const reason = said.trim().split("\n")[0].replace(/^error: /, "");
  throw new Error(`the second process ended with ${signal ?? `exit code ${code}`}${reason && `: ${reason}`}`);
}

function print({ profile, configured, measured }: CalibrateResult): void {
  const gigabits = (bits: number | null) =>
    bits === null ? "no limit" : `${(bits / 1e9).toPrecision(3)} Gbit/s`;
  const { median, q1, q3, p99 } = measured.rttMs;
  console.log(formatTable([
    {
      profile,
      what: "round trip",
      configured: `${configured.rttMs} ms`,
      measured: `${median.toFixed(3)} ms`,
    },
    {
      profile,
      what: "throughput",
      configured: gigabits(configured.bitsPerSecond),
      measured: gigabits(measured.bitsPerSecond),
    },
  ]));
  console.log(
    `${measured.pings} pings: quartiles ${q1.toFixed(3)} and ${q3.toFixed(3)} ms, 99th percentile ${
      p99.toFixed(3)
    } ms`,
  );
}
