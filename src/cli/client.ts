/** `deno task client`: holds an image and has it classified without showing it. */
import { answersIn, batchOf, type OpenedAnswer, viewsOf } from "../inference/batches.ts";
import { classOf, type QueryFigures, type SessionFigures } from "../inference/parties.ts";
import { checkEncodable } from "../inference/session.ts";
import { describeTag } from "../inference/tags.ts";
import { connect } from "../network/tcp.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { onExit, runCommand } from "../terminal/command.ts";
import { visible, visibleName } from "../terminal/visible.ts";
import { connectOption, IDENTITY_OPTIONS, identityFrom, parseAddress } from "../roles/endpoint.ts";
import {
  DRAWN_OPTION,
  GRAPH_OPTION,
  IMAGE_OPTION,
  LINK_OPTIONS,
  MANY_IMAGES_OPTIONS,
  MIRROR_OPTION,
  PLAN_OPTIONS,
  planFrom,
  PREPARE_OPTION,
  profileFrom,
  sayPrecision,
  SEED_OPTION,
  THREADS_OPTION,
} from "../options/inference_options.ts";
import { ask } from "../roles/asking.ts";
import { confine } from "../roles/confinement.ts";
import { batchFrom, imagesFrom, pixelsBeside } from "../options/query_images.ts";
import { withReconnections } from "../roles/reconnection.ts";
import { logOf, ONCE_OPTION, peakRssMB, tokensFromParent, WITH_PARENT_OPTION } from "../roles/role_report.ts";

await runCommand({
  name: "client",
  summary: "have an image classified by a server without showing it",
  notes:
    "A session that breaks off is begun anew, with new correlations, for the queries that are left; answers that were there stay.",
  interrupted: "the session was ended",
  options: {
    ...PLAN_OPTIONS,
    graph: GRAPH_OPTION,
    image: IMAGE_OPTION,
    drawn: DRAWN_OPTION,
    ...MANY_IMAGES_OPTIONS,
    mirror: MIRROR_OPTION,
    seed: SEED_OPTION,
    repetitions: {
      type: "integer",
      min: 1,
      // Those of `infer`, and its warm-up.
      max: 101_000,
      help: "queries, each with fresh correlations (default: every image once)",
    },
    connect: connectOption(7700, "address of the server"),
    dealer: connectOption(7701, "address of the dealer"),
    ...LINK_OPTIONS,
    prepare: PREPARE_OPTION,
    threads: THREADS_OPTION,
    ...IDENTITY_OPTIONS,
    once: ONCE_OPTION,
    json: { type: "boolean", help: "report on standard output as JSON lines" },
    withParent: WITH_PARENT_OPTION,
  },
  async run(options) {
    if (options.withParent) void tokensFromParent();
    const plan = planFrom({ ...options, batch: batchFrom(options) }),
      profile = profileFrom(options.profile),
      log = logOf("client", options.json);
    sayPrecision(plan);
    const serverAt = parseAddress(options.connect), dealerAt = parseAddress(options.dealer);
    const identity = await identityFrom("client", options);
    const { images, names, note } = await imagesFrom(options, {
      graph: plan.graph,
      pixels: pixelsBeside(plan.graph, options.graph),
    });
    const pool = new ConvolutionPool(await Ring.open(), options.threads);
    onExit(() => pool[Symbol.dispose]());
    for (const [i, image] of images.entries()) {
      checkEncodable(pool.ring, plan, image, names === null ? "image" : `image ${names[i]}`);
    }
    const common = {
      role: "client",
      timeoutMs: options.timeout * 1000,
      describeTag: describeTag(plan),
      onWaiting: (sentence: string) => log.info(sentence),
      ...identity,
    };
    const views = images.flatMap((image) => viewsOf(image, plan.graph.inputShape, options.mirror)),
      viewsOfEach = views.length / images.length,
      queries = options.repetitions ?? Math.ceil(views.length / plan.batch);
    // Every image once, or as often as wanted; what else a query had room for is dropped.
    const total = options.repetitions === undefined ? images.length : queries * plan.batch / viewsOfEach;
    const answers: OpenedAnswer[] = [];
    let answered = 0;
    const asking = {
      pool,
      plan,
      connectToServer: () => connect({ ...serverAt, ...common, expectedPeer: "server", profile }),
      connectToDealer: (signal: AbortSignal) =>
        connect({ ...dealerAt, ...common, expectedPeer: "dealer", signal }),
      prepare: options.prepare,
      onSetup: (setup: SessionFigures["setup"]) => options.json && console.log(JSON.stringify({ setup })),
      onQuery: (figures: QueryFigures) => {
        answered++;
        if (options.json) console.log(JSON.stringify({ query: figures }));
        for (const answer of answersIn(plan, figures.logits, viewsOfEach).slice(0, total - answers.length)) {
          answers.push(answer);
          const what = names?.[(answers.length - 1) % images.length] ?? `query ${answered} of ${queries}`;
          if (!options.json) {
            console.log(
              `client: ${total > 1 ? `${visibleName(what)}: ` : ""}${verdictOf(answer, figures.onlineMs)}`,
            );
          }
        }
      },
    };
    // A session begun anew takes over nothing but the list of what is left.
    const session = () => {
      const before = answered;
      return ask(asking, (query) => batchOf(views, plan, before + query), queries - before);
    };
    if (note !== null && !options.json) console.log(`client: ${visible(note)}`);
    confine(pool);
    if (options.once) await session();
    else await withReconnections(session, () => answered, log);
    const last = answers.at(-1)!, unreliable = answers.some(({ unreliable }) => unreliable);
    const report = { unreliable, class: unreliable ? null : classOf(last.logits), peakRssMB: peakRssMB() };
    if (options.json) console.log(JSON.stringify(report));
  },
});

function verdictOf({ logits, unreliable }: OpenedAnswer, onlineMs: number): string {
  const label = classOf(logits);
  const verdict = unreliable
    ? "unreliable: logits beyond their public bound, no class"
    : `class ${label}, logit ${logits[label].toFixed(4)}`;
  return `${verdict}, ${onlineMs.toFixed(1)} ms online`;
}
