/**
 * `docs/machines.md` as it stands: its commands, each role in a network namespace of its own, joined by a bridge, with the names of
 * the document in a hosts file that only they see. Needs root, or user namespaces.
 */
import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { it } from "@std/testing/bdd";
import { fileURLToPath } from "node:url";
import { readModelFolder } from "../src/data/model_folder.ts";
import { evaluateLogits } from "../src/models/float_engine.ts";
import { foldBatchNorm } from "../src/models/fold.ts";
import { GREY, png, RGB } from "./support/png.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const PATIENCE_MS = 40_000;

/** The commands of the document by name. */
async function commands(): Promise<Record<string, string>> {
  const text = await Deno.readTextFile(`${ROOT}/docs/machines.md`);
  return Object.fromEntries(
    [...text.matchAll(/^ *```sh (\w+)\n([^]*?)^ *```$/gm)].map(([, name, command]) => [name, command]),
  );
}

/** In a mount and a network namespace of its own, whose processes end with it: bridge, three machines, their names. */
const NETWORK = `
set -e
mount -t tmpfs none /run
mkdir -p /run/netns
printf '10.77.0.1 server.example\\n10.77.0.2 dealer.example\\n127.0.0.1 localhost\\n' > /run/hosts
mount --bind /run/hosts /etc/hosts
ip link set lo up
ip link add bridge type bridge
ip link set bridge up
i=0
for role in server dealer client; do
  i=$((i + 1))
  ip netns add $role
  ip link add $role type veth peer name eth0 netns $role
  ip link set $role master bridge up
  ip -n $role link set lo up
  ip -n $role link set eth0 up
  ip -n $role address add 10.77.0.$i/24 dev eth0
done
at() { role=$1; shift; ip netns exec $role bash -c "cd $CHECKOUT; $*"; }
`;

const isolated = (script: string, env: Record<string, string>) =>
  new Deno.Command("unshare", {
    args: [
      "--user",
      "--map-root-user",
      "--mount",
      "--net",
      "--pid",
      "--fork",
      "--kill-child",
      "bash",
      "-c",
      NETWORK + script,
    ],
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });

const { success: canIsolate } = await isolated("ip netns exec client ip address", { CHECKOUT: "/" }).output()
  .catch(() => ({ success: false }));

const reason = canIsolate ? "" : " (skipped: no network namespaces)";

(canIsolate ? it : it.ignore)(
  `the commands of docs/machines.md run on three machines${reason}`,
  async () => {
    const { keys, dealer, server, client, ...others } = await commands();
    assertEquals(Object.keys(others).filter((name) => !/^(own|import)_/.test(name)), []);
    const checkout = await Deno.makeTempDir();
    try {
      for (const name of ["src", "std", "build", "results", "deno.json", "deno.lock", "mod.ts"]) {
        await Deno.symlink(`${ROOT}/${name}`, `${checkout}/${name}`);
      }
      const script = `
at client '${keys}'
at dealer '${dealer}' > $CHECKOUT/dealer.log 2>&1 &
at server '${server}' > $CHECKOUT/server.log 2>&1 &
for i in 1 2; do at client '${client}'; done
# A stranger, who has no keys.
at client 'echo hello > /dev/tcp/server.example/7700'
sleep 1
`;
      const running = isolated(script, { CHECKOUT: checkout, INIT_CWD: checkout }).spawn();
      const late = setTimeout(() => running.kill("SIGKILL"), PATIENCE_MS);
      const { code, stdout, stderr } = await running.output();
      clearTimeout(late);
      const said = new TextDecoder().decode(stdout),
        log = (role: string) => Deno.readTextFile(`${checkout}/${role}.log`);
      assertEquals(
        code,
        0,
        said + new TextDecoder().decode(stderr) + await log("server") + await log("dealer"),
      );
      assertEquals(
        said.match(/^client: class \d, logit -?\d+\.\d{4}, \d+\.\d ms online$/gm)?.length,
        2,
        said,
      );
      assertMatch(await log("server"), /info server: session [0-9a-f]{8} with 10\.77\.0\.3:\d+\n/);
      assertMatch(await log("server"), /warn server: dropped 10\.77\.0\.3:\d+: /);
      assertMatch(
        await log("dealer"),
        /info dealer: session [0-9a-f]{8} of 10\.77\.0\.[13]:\d+ and 10\.77\.0\.[13]:\d+\n/,
      );
      assert(!/error/.test(await log("server") + await log("dealer")));
    } finally {
      await Deno.remove(checkout, { recursive: true });
    }
  },
);

/** Networks that PyTorch wrote, their pictures, how `import` was told to normalise a byte, and a link of ours between server and client. */
const OWN = [
  { name: "digits", side: 28, colour: GREY, channels: 1, mean: 0.1307, deviation: 0.3081, rttMs: 0 },
  { name: "residual", side: 32, colour: RGB, channels: 3, mean: 0, deviation: 1, rttMs: 100 },
] as const;

for (const { name, side, colour, channels, mean, deviation, rttMs } of OWN) {
  (canIsolate ? it : it.ignore)(
    `docs/machines.md takes ${name} of PyTorch to an answer; client and dealer hold no weight${reason}`,
    async () => {
      const found = await commands(), root = await Deno.makeTempDir();
      const link = rttMs === 0 ? "" : `--profile rtt:${rttMs}`;
      const samples = Uint8Array.from({ length: side * side * channels }, (_, i) => (i * 73) % 256);
      try {
        for (const role of ["server", "dealer", "client"]) {
          await Deno.mkdir(`${root}/${role}`);
          const needed = ["src", "std", "build", "deno.json", "deno.lock", "mod.ts"];
          for (const entry of role === "server" ? [...needed, "tests"] : needed) {
            await Deno.symlink(`${ROOT}/${entry}`, `${root}/${role}/${entry}`);
          }
        }
        const picture = png({ width: side, height: side, colour, samples });
        await Deno.writeFile(`${root}/client/picture.png`, picture);
        const script = `
export INIT_CWD
own() { CHECKOUT=$ROOT/$1; INIT_CWD=$CHECKOUT; at "$@"; }
own server '${found.keys}'
own server '${found[`import_${name}`]}'
for role in dealer client; do
  mkdir -p $ROOT/$role/keys $ROOT/$role/networks/own
  mv $ROOT/server/keys/$role $ROOT/$role/keys/
  cp $ROOT/server/networks/own/graph.json $ROOT/server/networks/own/model.json $ROOT/$role/networks/own/
done
own dealer '${found.own_dealer}' > $ROOT/dealer.log 2>&1 &
own server '${found.own_server.trimEnd()} ${link}' > $ROOT/server.log 2>&1 &
own client '${found.own_client.trimEnd()} ${link}'
`;
        const running = isolated(script, { ROOT: root, INIT_CWD: root, CHECKOUT: root }).spawn();
        const late = setTimeout(() => running.kill("SIGKILL"), 2 * PATIENCE_MS);
        const { code, stdout, stderr } = await running.output();
        clearTimeout(late);
        const said = new TextDecoder().decode(stdout);
        assertEquals(code, 0, said + new TextDecoder().decode(stderr));
        for (const role of ["dealer", "client"]) {
          const held = [...Deno.readDirSync(`${root}/${role}/networks/own`)].map(({ name }) => name).sort();
          assertEquals(held, ["graph.json", "model.json"]);
        }
        const { graph, weights, activation } = await readModelFolder(`${root}/server/networks/own`);
        const folded = foldBatchNorm(graph, weights);
        const image = Array.from(samples, (value) => (value / 255 - mean) / deviation);
        const logits = [...evaluateLogits(folded.graph, folded.weights, activation, image)];
        const [, label, logit, onlineMs] =
          /^client: class (\d), logit (-?\d+\.\d{4}), (\d+\.\d) ms online$/m.exec(said) ?? [said];
        assertEquals(Number(label), logits.indexOf(Math.max(...logits)));
        assertAlmostEquals(Number(logit), Math.max(...logits), 2e-3);
        // A layer of `relu` takes nine one-way delays; there are more than two.
        assert(Number(onlineMs) >= 9 * rttMs, said);
      } finally {
        await Deno.remove(root, { recursive: true });
      }
    },
  );
}
