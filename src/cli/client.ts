/** `deno task client`: holds an image and has it classified without showing it. */
import { isUnreliable } from "../inference/guard.ts";
import { classOf, query } from "../inference/roles.ts";
import { connect } from "../network/tcp.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { onExit, runCommand } from "../terminal/command.ts";
import { connecting, connectOption, SECURITY_OPTIONS } from "../roles/endpoint.ts";
import {
  DRAWN_OPTION,
  GRAPH_OPTION,
  IMAGE_OPTION,
  LINK_OPTIONS,
  MANY_IMAGES_OPTIONS,
  PLAN_OPTIONS,
  planFrom,
  PREPARE_OPTION,
  profileFrom,
  sayPrecision,
  THREADS_OPTION,
} from "../options/inference_options.ts";
import { describeTags, meetAtDealer, withPeers } from "../roles/meeting.ts";
import { imagesFrom, pixelsBeside } from "../options/query_images.ts";
import { peakRssMB, reportLine, tokenFromParent, WITH_PARENT_OPTION } from "../roles/role_report.ts";

await runCommand({
  name: "client",
  summary: "have an image classified by a server without showing it",
  interrupted: "the session was ended",
  options: {
    ...PLAN_OPTIONS,
    graph: GRAPH_OPTION,
    image: IMAGE_OPTION,
    drawn: DRAWN_OPTION,
    ...MANY_IMAGES_OPTIONS,
    seed: {
      type: "integer",
      min: 0,
      default: 1,
      help: "seed of the random image that is used without --image",
    },
    repetitions: {
      type: "integer",
      min: 1,
      max: 100_000,
      help: "queries, each with fresh correlations (default: one an image)",
    },
    connect: connectOption(7700, "address of the server"),
    dealer: connectOption(7701, "address of the dealer"),
    ...LINK_OPTIONS,
    prepare: PREPARE_OPTION,
    threads: THREADS_OPTION,
    ...SECURITY_OPTIONS,
    json: { type: "boolean", help: "report on standard output as JSON lines" },
    withParent: WITH_PARENT_OPTION,
  },
  async run(options) {
    if (options.withParent) void tokenFromParent();
    const plan = planFrom(options), profile = profileFrom(options.profile);
    sayPrecision(plan);
    const serverAt = await connecting(options, options.connect),
      dealerAt = await connecting(options, options.dealer);
    const { images, note } = await imagesFrom(options, {
      graph: plan.graph,
      pixels: pixelsBeside(plan.graph, options.graph),
    });
    const pool = new ConvolutionPool(await Ring.open(), options.threads);
    onExit(() => pool[Symbol.dispose]());
    const common = { role: "client", timeoutMs: options.timeout * 1000, describeTag: describeTags(plan) };

    const figures = await withPeers(async (hold) => {
      const peer = hold(await connect({ ...serverAt, ...common, expectedPeer: "server", profile }));
      const dealer = await meetAtDealer(
        peer,
        async () => hold(await connect({ ...dealerAt, ...common, expectedPeer: "dealer" })),
      );
      const imageOf = (i: number) => images[i % images.length]!;
      return await query({ pool, peer, dealer, plan }, imageOf, options.repetitions ?? images.length, {
        prepare: options.prepare,
        onQuery: ({ onlineMs }) => options.json && console.log(JSON.stringify({ query: { onlineMs } })),
      });
    });
    if (note !== null && !options.json) console.log(`client: ${note}`);
    const { logits, onlineMs } = figures.queries.at(-1)!, label = classOf(logits);
    const unreliable = figures.queries.some(({ logits }) => isUnreliable(plan, logits));
    const verdict = unreliable
      ? "unreliable: logits beyond their public bound, no class"
      : `class ${label}, logit ${logits[label]!.toFixed(4)}`;
    reportLine(
      options.json,
      { ...figures, unreliable, class: unreliable ? null : label, peakRssMB: peakRssMB() },
      `client: ${verdict}, ${onlineMs.toFixed(1)} ms online`,
    );
  },
});
