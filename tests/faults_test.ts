/**
 * Bad input and faults: each ends in one sentence that says what, where and what to do, with exit code 1, at every
 * surviving process and within the time that the project promises.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { MODEL_NAMES } from "../src/models/zoo.ts";
import { encodeHeader, type FrameHeader, FrameKind, HEADER_BYTES } from "../src/network/frame.ts";
import { NETWORK_PROFILES } from "../src/network/profiles.ts";
import { MOST_PENDING } from "../src/network/reception.ts";
import { ACTIVATION_PROTOCOLS, LINEAR_PROTOCOLS } from "../src/protocols/registry.ts";
import { identityOptions } from "./support/keys.ts";
import { type FolderOptions, writeFolder } from "./support/model_folders.ts";
import { GREY, png } from "./support/png.ts";
import { residentMB } from "./support/process_list.ts";
import { END_MS, poll, Program, within } from "./support/program.ts";
import { type Frame, type Interference, isLayer, Relay } from "../src/fuzzing/relay.ts";
import { moment, ROLE_NAMES, type RoleName, type RolesOptions, startRoles } from "./support/roles.ts";

const names = (protocols: readonly { readonly name: string }[]) =>
  protocols.map(({ name }) => name).join(", ");

/** Runs a command that must refuse what it is given; a command that starts to work instead fails the test. */
async function refused(
  command: string,
  args: readonly string[],
  parts: readonly (string | RegExp)[],
): Promise<void> {
  await using program = Program.start(command, args);
  await program.failsWith(parts);
  assertEquals((await program.ended()).stdout, "");
}

const HONEYBADGER = "--activation honeybadger";
/** A polynomial whose coefficient leaves 64 bits. */
const STEEP = "0,0,0,0,0,0,0,0,0,0,1000000000/0";

describe("a mistake on the command line", () => {
  const mistakes: readonly [command: string, args: string, ...parts: (string | RegExp)[]][] = [
    ["infer", "--model lenet", '--model was given "lenet"', MODEL_NAMES.join(", ")],
    ["server", "--model resnet-18", "did you mean resnet18?"],
    ["server", "--activation gelu", '--activation was given "gelu"', names(ACTIVATION_PROTOCOLS)],
    ["client", "--linear gmw", '--linear was given "gmw"', names(LINEAR_PROTOCOLS)],
    ["infer", "--profile moon", '"moon" is no network profile', names(NETWORK_PROFILES), "rtt:<ms>"],
    ["client", "--profile rtt:10001", '"rtt:10001" is no network profile', "at most 10000 ms"],
    ["dealer", "--model convnet --ranges 1,1e999,1,1", "--ranges: number 2 is beyond every number"],
    ["infer", "--repetitons 3", "unknown option --repetitons", "did you mean --repetitions?"],
    ["dealer", "--colour red", "unknown option --colour"],
    ["dealer", "--fraction-bits 21", '--fraction-bits was given "21"', "from 8 to 20"],
    ["infer", "--fraction-bits 7", '--fraction-bits was given "7"', "from 8 to 20"],
    ["server", "--threads 0", '--threads was given "0"', "from 1 to 64"],
    ["client", "--repetitions 2.5", '--repetitions was given "2.5"', "an integer"],
    ["infer", "--repetitions many", '--repetitions was given "many"', "an integer"],
    ["dealer", "--queries 0", '--queries was given "0"', "from 1 to"],
    ["server", "--timeout -1", /--timeout/, "from 1 to"],
    ["infer", "--classes 1", '--classes was given "1"', "from 2 to"],
    ["infer", "--elements 0", '--elements was given "0"', "from 1 to"],
    ["infer", "--json=yes", '--json was given "yes" but takes no value'],
    ["infer", "--model", "--model lacks its value", MODEL_NAMES.join(", ")],
    ["dealer", "--queries 1 --queries 2", "--queries was given 2 times"],
    ["infer", "resnet18", '"resnet18" is not an option'],
    ["dealer", "-x", "unknown option -x"],
    ["server", "--polynomial 1/2", '--polynomial was given "1/2"', "322,512,160,0,-3/10"],
    ["infer", `${HONEYBADGER} --polynomial ${STEEP}`, "does not fit 64-bit words", "fraction bits"],
    ["client", "--polynomial 322,0,0/10", '--polynomial was given "322,0,0/10"', "constant"],
    ["infer", `${HONEYBADGER} --polynomial 0,1/60`, "no random weights", "choose another --polynomial"],
    ["infer", "--polynomial 0,1/10", "needs a polynomial of degree 2"],
    [
      "infer",
      "--linear beaver",
      "only weights in clear at the server give",
      "choose another activation protocol",
    ],
    ["infer", "--model resnet50", "no max pooling", "resnet50-avg"],
    [
      "client",
      "--fraction-bits 14",
      "--fraction-bits belongs to relu, tree, honeybadger, espn, not to lifted",
    ],
    ["server", `${HONEYBADGER} --ring-bits 24`, "--ring-bits belongs to lifted"],
    ["server", "--activation relu --polynomial 0,1,1/2", "--polynomial belongs to", "not to relu"],
    ["client", "--wave 8:1,-0.8", "--wave belongs to trigonometric", "not to lifted"],
    ["infer", "--wave 8:1", '--wave was given "8:1"', "a period and after it"],
    ["explain", "--repetitions 3", "unknown option --repetitions"],
    ["server", "--listen 7700", '--listen was given "7700"', "HOST:PORT"],
    ["client", "--connect 127.0.0.1:70000", "127.0.0.1:70000 names port 70000", "65535"],
    [
      "server",
      "--model resnet18 --clients 64",
      /memory has room for \d+ sessions with --prepare 1, not for --clients 64/,
    ],
    ["server", "--identity a --tokens b", "--identity and --tokens were both given"],
    ["dealer", "--tokens /nowhere/tokens.json", "cannot read /nowhere/tokens.json"],
    ["client", "--identity /nowhere", "cannot read /nowhere/cert.pem"],
    ["client", "--tokens deno.json", "deno.json", /holds no tokens|other users/],
    [
      "audit",
      "--weights results/models/convnet-pillar --polynomial 0,1,1/2 --write",
      "--write",
      "--polynomial",
    ],
  ];
  for (const [command, args, ...parts] of mistakes) {
    it(`${command} ${args} is refused`, () => refused(command, args.split(" "), parts));
  }
});

describe("a model folder", () => {
  let root = "";
  beforeAll(async () => {
    root = await Deno.makeTempDir();
  });
  afterAll(() => Deno.remove(root, { recursive: true }));

  const folders: readonly {
    readonly what: string;
    readonly options?: FolderOptions;
    readonly spoil?: (folder: string) => Promise<void>;
    readonly args?: readonly string[];
    readonly parts: readonly (string | RegExp)[];
  }[] = [
    {
      what: "that does not exist",
      spoil: (folder) => Deno.remove(folder, { recursive: true }),
      parts: ["is not a model folder", "model.json is missing", "train and import write"],
    },
    {
      what: "that is a file",
      spoil: async (folder) => {
        await Deno.remove(folder, { recursive: true });
        await Deno.writeTextFile(folder, "text");
      },
      parts: ["is not a model folder"],
    },
    {
      what: "without weights",
      spoil: (folder) => Deno.remove(`${folder}/weights.safetensors`),
      parts: ["is not a model folder", "weights.safetensors"],
    },
    {
      what: "with truncated weights",
      spoil: (folder) => Deno.truncate(`${folder}/weights.safetensors`, 10_000),
      parts: ["weights.safetensors", "tensor", "is it truncated?"],
    },
    {
      what: "whose weights are no safetensors",
      spoil: (folder) => Deno.writeTextFile(`${folder}/weights.safetensors`, "x".repeat(1000)),
      parts: ["weights.safetensors", "header length"],
    },
    {
      what: "with an empty file of weights",
      spoil: (folder) => Deno.truncate(`${folder}/weights.safetensors`),
      parts: ["weights.safetensors", "0 bytes"],
    },
    {
      what: "with a tensor of another shape",
      options: {
        change: (weights) => weights.set("conv1.weight", { shape: [2, 2], data: new Float32Array(4) }),
      },
      parts: ["weights.safetensors", "tensor conv1.weight must have shape", "found [2,2]"],
    },
    {
      what: "that lacks a tensor",
      options: { change: (weights) => weights.delete("conv2.weight") },
      parts: ["weights.safetensors", "tensor conv2.weight", "is missing"],
    },
    {
      what: "with a weight that is no number",
      options: { change: (weights) => void (weights.get("conv1.weight")!.data[7] = NaN) },
      parts: ["weights.safetensors", "tensor conv1.weight", "NaN at index 7"],
    },
    {
      what: "whose description is no JSON",
      spoil: (folder) => Deno.writeTextFile(`${folder}/model.json`, "{"),
      parts: ["model.json is not valid JSON"],
    },
    {
      what: "whose description lacks a field",
      spoil: (folder) => Deno.writeTextFile(`${folder}/model.json`, "{}"),
      parts: ["model.json must hold", '"activation"'],
    },
    {
      what: "whose description names an unknown network",
      spoil: (folder) =>
        Deno.writeTextFile(
          `${folder}/model.json`,
          '{"model":"lenet","classes":10,"activation":{"kind":"relu"}}',
        ),
      parts: ["model.json", "lenet", MODEL_NAMES.join(", ")],
    },
    {
      what: "of another network",
      args: ["--model", "minionn"],
      parts: ["holds convnet with 10 classes, not minionn with 10", "--model"],
    },
    {
      what: "with another number of classes",
      args: ["--model", "convnet", "--classes", "100"],
      parts: ["holds convnet with 10 classes, not convnet with 100", "--classes"],
    },
    {
      what: "trained with ReLU for a polynomial protocol",
      options: { activation: { kind: "relu" } },
      parts: ["trained with ReLU", "espn computes a polynomial", "--activation"],
    },
    {
      what: "trained with the sigmoid",
      options: { activation: { kind: "sigmoid" } },
      parts: ["trained with the sigmoid", "no protocol computes", "sigmoid:4:10"],
    },
    {
      what: "trained with another polynomial than the default",
      options: { activation: { kind: "polynomial", coefficients: [1, 2, 3], precision: 4 } },
      parts: ["was trained with another function", "--polynomial=1,2,3/4"],
    },
    {
      what: "trained with a polynomial for ReLU",
      args: ["--model", "convnet", "--activation", "relu"],
      parts: ["trained with a polynomial", "relu computes ReLU", "--activation"],
    },
  ];

  for (
    const { what, options, spoil, args = ["--model", "convnet", "--activation", "espn"], parts } of folders
  ) {
    it(`${what} is refused`, async () => {
      const folder = `${root}/${what.replaceAll(" ", "-")}`;
      await writeFolder(folder, options);
      await spoil?.(folder);
      await refused("server", ["--weights", folder, ...args], [
        folder,
        ...parts,
      ]);
    });
  }

  for (
    const [activation, room] of [
      ["lifted", "does not fit 32-bit words with 11 fraction bits"],
      ["honeybadger", "does not fit fixed point with 16 fraction bits"],
    ] as const
  ) {
    it(`with a weight too large for ${activation} is refused before the server listens`, async () => {
      const folder = `${root}/too-large-${activation}`;
      await writeFolder(folder, { change: (weights) => void (weights.get("conv2.weight")!.data[3] = 1e12) });
      await refused("server", ["--model", "convnet", "--activation", activation, "--weights", folder], [
        "weight of conv2: element 3",
        room,
        /^(?!.*1e\+?12|.*1000000000000)/,
      ]);
    });
  }
});

describe("an image", () => {
  let root = "";
  beforeAll(async () => {
    root = await Deno.makeTempDir();
    await Deno.writeTextFile(`${root}/text.png`, "not an image");
    const grey = { width: 32, height: 32, colour: GREY, samples: new Uint8Array(1024) };
    await Deno.writeFile(`${root}/truncated.png`, png(grey).slice(0, -20));
    await Deno.writeFile(`${root}/bomb.png`, png({ ...grey, width: 20_000, height: 20_000 }));
  });
  afterAll(() => Deno.remove(root, { recursive: true }));

  const images: readonly [what: string, file: string, ...parts: string[]][] = [
    ["that does not exist", "nowhere.png", "cannot read the image"],
    ["that is no image", "text.png", "is not an image that can be decoded", "PNG"],
    ["that is truncated", "truncated.png", "is damaged: its end is missing"],
    ["that is too large", "bomb.png", "20000 x 20000 pixels", "make it smaller"],
  ];
  for (const [what, file, ...parts] of images) {
    it(`${what} is refused`, async () => {
      const path = `${root}/${file}`;
      await refused("client", ["--model", "convnet", "--image", path], [path, ...parts]);
    });
  }
  it("that is too large is refused by infer before a role starts", async () => {
    await refused("infer", ["--model", "convnet", "--image", `${root}/bomb.png`], ["20000 x 20000 pixels"]);
  });
});

const others = (name: RoleName) => ROLE_NAMES.filter((other) => other !== name);
const isGone = (name: RoleName) => new RegExp(`lost the connection to ${name}|${name} closed the connection`);

describe("a role that dies in the middle of a query", () => {
  /** Which frame tells that the moment has come; it is held back. */
  const moments: Readonly<Record<RoleName, (hit: () => void) => RolesOptions>> = {
    server: (hit) => ({ onPeerFrame: (frame) => isLayer(frame) ? (hit(), HELD) : undefined }),
    client: (hit) => ({
      onPeerFrame: (frame) => isLayer(frame) && frame.from === "listening" ? (hit(), HELD) : undefined,
    }),
    dealer: (hit) => ({ onDealerFrame: (frame) => isCorrection(frame) ? (hit(), HELD) : undefined }),
  };
  const HELD: Interference = { send: new Uint8Array(0) };

  for (const name of ROLE_NAMES) {
    it(`kill -9 of the ${name} ends the others`, async () => {
      const hit = Promise.withResolvers<void>();
      await using roles = await startRoles(moments[name](hit.resolve));
      await moment(roles, hit.promise);
      roles[name].kill();
      for (const other of others(name)) {
        await roles[other].failsWith([isGone(name)]);
      }
    });
  }

  it("kill -9 of the dealer during the online phase ends the others at the next query", async () => {
    const hit = Promise.withResolvers<void>();
    await using roles = await startRoles({
      client: ["--repetitions", "1000"],
      onPeerFrame: (frame) => {
        if (isLayer(frame)) hit.resolve();
      },
    });
    await moment(roles, hit.promise);
    roles.dealer.kill();
    for (const other of others("dealer")) await roles[other].failsWith([isGone("dealer")]);
  });
});

describe("a role that dies before all three have met", () => {
  const met = (hit: () => void) => ({ kind }: Frame) => kind === FrameKind.proof ? hit() : undefined;
  const start = (name: RoleName, ...args: string[]) =>
    Program.start(name, ["--model", "convnet", "--once", ...args]);
  const LISTEN = ["--listen", "127.0.0.1:0"];

  it("the client that looks for the dealer notices that the server is gone", async () => {
    const hit = Promise.withResolvers<void>();
    // Listens but never answers.
    using nobody = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const dealer = ["--dealer", `127.0.0.1:${nobody.addr.port}`];
    await using server = start("server", ...LISTEN, ...dealer);
    await using relay = new Relay(await server.port(), met(hit.resolve));
    await using client = start("client", "--connect", relay.address, ...dealer);
    await within(2 * END_MS, hit.promise, "the meeting of server and client");
    server.kill();
    await client.failsWith([isGone("server")]);
  });

  it("the dealer that awaits the server notices that the client is gone", async () => {
    const hit = Promise.withResolvers<void>();
    using nobody = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    await using dealer = start("dealer", ...LISTEN);
    await using relay = new Relay(await dealer.port(), met(hit.resolve));
    await using server = start("server", ...LISTEN, "--dealer", `127.0.0.1:${nobody.addr.port}`);
    await using client = start(
      "client",
      ...["--connect", `127.0.0.1:${await server.port()}`, "--dealer", relay.address],
    );
    await within(2 * END_MS, hit.promise, "the meeting of client and dealer");
    client.kill();
    for (const program of [dealer, server]) await program.failsWith([isGone("client")]);
  });
});

/** A message of the dealer in which it corrects what the server expands from its seed. */
const isCorrection = ({ from, kind, tag }: Frame) =>
  from === "listening" && kind === FrameKind.data && tag < 4096;

describe("a peer that misbehaves", () => {
  const altered = (frame: Frame, change: Partial<FrameHeader>): Interference => {
    const send = frame.bytes.slice();
    encodeHeader({ ...frame, ...change }, new DataView(send.buffer));
    return { send };
  };
  const faults: readonly {
    readonly what: string;
    readonly interfere: (frame: Frame) => Interference;
    /** In the sentences of all three roles. */
    readonly cause: RegExp;
    readonly limitMs?: number;
  }[] = [
    {
      what: "sends a wrong tag",
      interfere: (frame) => altered(frame, { tag: frame.tag + 1 }),
      cause: /expected step \d.* came step \d/,
    },
    {
      what: "announces an oversized length",
      interfere: (frame) => altered(frame, { length: 2 ** 47 }),
      cause: /expected step \d.* came step \d.* with 140737488355328 bytes/,
    },
    {
      what: "sends garbage",
      interfere: (frame) => ({ send: crypto.getRandomValues(frame.bytes.slice(0, 4096)) }),
      cause: /starts no message of this protocol/,
    },
    {
      what: "sends a short message and closes",
      interfere: (frame) => ({ send: frame.bytes.slice(0, HEADER_BYTES + 8), then: "close" }),
      cause: /closed the connection|lost the connection/,
    },
    {
      what: "falls silent",
      interfere: () => ({ then: "silence" }),
      // Whoever notices first closes; the others may hear of it by the time-out or by the closed connection.
      cause: /nothing for 2 s while|closed the connection/,
      limitMs: END_MS + 2000,
    },
  ];
  const links = [
    { from: "client", to: "server", side: "connecting", matches: isLayer, observe: "onPeerFrame" },
    { from: "server", to: "client", side: "listening", matches: isLayer, observe: "onPeerFrame" },
    { from: "dealer", to: "server", side: "listening", matches: isCorrection, observe: "onDealerFrame" },
  ] as const;

  for (const { from, to, side, matches, observe } of links) {
    for (const { what, interfere, cause, limitMs = END_MS } of faults) {
      it(`the ${from} ${what} to the ${to}: every role ends`, async () => {
        const hit = Promise.withResolvers<void>();
        let done = false;
        await using roles = await startRoles({
          all: what === "falls silent" ? ["--timeout", "2"] : [],
          [observe]: (frame: Frame) => {
            if (done || frame.from !== side || !matches(frame)) return;
            done = true;
            hit.resolve();
            return interfere(frame);
          },
        });
        await moment(roles, hit.promise);
        await Promise.all(ROLE_NAMES.map((name) => roles[name].failsWith([cause], limitMs)));
      });
    }
  }
});

describe("a stranger", () => {
  const bytes: Readonly<Record<string, Uint8Array<ArrayBuffer>>> = {
    "speaks another protocol": new TextEncoder().encode(
      "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a stranger, by mistake\r\n\r\n",
    ),
    "says nothing": new Uint8Array(0),
  };
  for (const [what, said] of Object.entries(bytes)) {
    it(`that ${what} is no more to server and dealer than a line of their logs`, async () => {
      await using started = new AsyncDisposableStack();
      using closing = new DisposableStack();
      const strangers: Deno.TcpConn[] = [];
      const start = async (name: "server" | "dealer", ...args: string[]) => {
        const options = ["--model", "convnet", "--once", "--listen", "127.0.0.1:0"];
        const program = started.use(Program.start(name, [...options, ...args]));
        const port = await program.port();
        const connection = closing.use(await Deno.connect({ hostname: "127.0.0.1", port }));
        await connection.write(said);
        strangers.push(connection);
        return { program, at: `127.0.0.1:${port}` };
      };
      const dealer = await start("dealer"), server = await start("server", "--dealer", dealer.at);
      const to = ["--model", "convnet", "--connect", server.at, "--dealer", dealer.at];
      // Until it has been dropped, a silent one stands beside those who come.
      const client = started.use(Program.start("client", to));
      await client.succeeds();
      const [dealt, served] = [await dealer.program.ended(), await server.program.ended()];
      assertEquals([dealt.code, served.code], [0, 0]);
      if (said.length === 0) return;
      for (const [i, { stderr }] of [dealt, served].entries()) {
        const { port } = strangers[i].localAddr;
        assertMatch(
          stderr,
          new RegExp(`^\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z warn \\w+: dropped 127.0.0.1:${port}: [^\\n]+\\n$`),
        );
      }
    });
  }
  it("that hangs up again and again ends neither server nor dealer", async () => {
    for (const name of ["server", "dealer"] as const) {
      await using program = Program.start(name, ["--model", "convnet", "--listen", "127.0.0.1:0"]);
      const port = await program.port();
      for (let i = 0; i < 20; i++) (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      await program.line(/dropped 127\.0\.0\.1:\d+: /, true);
      program.kill("SIGTERM");
      assertEquals((await program.ended(END_MS)).code, 0);
    }
  });
  for (const role of ["server", "dealer"] as const) {
    for (const proof of ["tokens", "certificates"] as const) {
      it(`costs the ${role} with ${proof} little: a thousand silent ones take less than 64 MB`, async () => {
        const identity = proof === "tokens" ? [] : (await identityOptions())[role];
        const options = ["--model", "convnet", "--listen", "127.0.0.1:0", ...identity];
        await using program = Program.start(role, options);
        using silent = new DisposableStack();
        const port = await program.port(), before = await residentMB(program.pid);
        let grown = 0;
        for (let i = 0; i < 1000; i++) {
          silent.use(await Deno.connect({ hostname: "127.0.0.1", port }));
          if (i % 50 === 0) grown = Math.max(grown, await residentMB(program.pid) - before);
        }
        // Each was heard, and all but those that still may speak were dropped for it.
        const dropped = () =>
          [...program.said.matchAll(/ dropped 127\.0\.0\.1:| (\d+) more lines/g)]
            .reduce((sum, [, more]) => sum + Number(more ?? 1), 0);
        await within(
          20_000,
          poll(() => Promise.resolve(dropped() >= 1000 - MOST_PENDING || undefined)),
          "the last of them",
        );
        grown = Math.max(grown, await residentMB(program.pid) - before);
        assert(grown < 64, `grew by ${grown} MB`);
      });
    }
  }
  it("in a server's place ends the client with a sentence", async () => {
    for (const said of Object.values(bytes)) {
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const to = ["--connect", `127.0.0.1:${listener.addr.port}`, "--timeout", "2", "--once"];
      await using client = Program.start("client", ["--model", "convnet", ...to]);
      using connection = await within(2 * END_MS, listener.accept(), "the client's connection");
      await connection.write(said);
      await client.failsWith(["127.0.0.1:", "the greeting"], END_MS + 2000);
    }
  });
});

describe("roles that do not fit together", () => {
  for (const role of ["dealer", "server"] as const) {
    it(`the ${role} refuses a port in use`, async () => {
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const address = `127.0.0.1:${listener.addr.port}`;
      await refused(role, ["--model", "convnet", "--listen", address], [
        `${address} is in use`,
        "choose another port",
      ]);
    });
  }
  it("the client gives up a server that does not listen", async () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 }),
      address = `127.0.0.1:${listener.addr.port}`;
    listener.close();
    await using client = Program.start("client", [
      "--model",
      "convnet",
      "--connect",
      address,
      "--timeout",
      "1",
      "--once",
    ]);
    await client.failsWith([`server at ${address} does not accept connections`], END_MS + 1000);
  });

  const misfits: readonly [what: string, options: RolesOptions, ...parts: string[]][] = [
    [
      "the dealer was to deal fewer queries than the client asks for",
      { dealer: ["--queries", "1"], client: ["--repetitions", "2"] },
      "the dealer ran out of correlations",
      "query 1 was asked for",
    ],
    [
      "the client has other fraction bits",
      { all: HONEYBADGER.split(" "), client: ["--fraction-bits", "14"] },
      "different plans",
      "fraction bits",
    ],
    [
      "the server has another polynomial",
      { server: ["--polynomial", "1,2,3/4"] },
      "different plans",
      "polynomial",
    ],
    [
      "the dealer has other fraction bits",
      { all: HONEYBADGER.split(" "), dealer: ["--fraction-bits", "14"] },
      "the dealer",
      "fraction bits",
    ],
    [
      "the dealer has another activation protocol",
      { dealer: ["--activation", "tree"] },
      "the dealer",
      "activation",
    ],
  ];
  for (const [what, options, ...parts] of misfits) {
    it(`${what}: every role says so`, async () => {
      await using roles = await startRoles(options);
      for (const name of ROLE_NAMES) await roles[name].failsWith(parts);
    });
  }
  it("server and client on different network profiles refuse each other", async () => {
    await using roles = await startRoles({ client: ["--profile", "lan"] });
    await roles.client.failsWith(["network profile"]);
    await roles.server.line(/dropped .*network profile/, true);
  });
});
