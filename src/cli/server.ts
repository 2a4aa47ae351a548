/** `deno task server`: holds a network and answers clients' private queries. */
import { readModelFolder } from "../data/model_folder.ts";
import { foldBatchNorm } from "../models/fold.ts";
import type { Weights } from "../models/graph.ts";
import type { Plan } from "../inference/plan.ts";
import { ServerWeights } from "../inference/server_weights.ts";
import { mostSessions } from "../inference/session_memory.ts";
import { describeTag } from "../inference/tags.ts";
import { connect, listen } from "../network/tcp.ts";
import { activationProtocol } from "../protocols/registry.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { onExit, runCommand } from "../terminal/command.ts";
import {
  connectOption,
  IDENTITY_OPTIONS,
  identityFrom,
  listenOption,
  parseAddress,
} from "../roles/endpoint.ts";
import {
  activationFunction,
  checkModel,
  DEFAULT_SEED,
  formatRangesOption,
  GRAPH_OPTION,
  graphFrom,
  INFER_OPTIONS,
  LINK_OPTIONS,
  PLAN_OPTIONS,
  planFrom,
  type PlanValues,
  PREPARE_OPTION,
  profileFrom,
  sayPrecision,
  THREADS_OPTION,
} from "../options/inference_options.ts";
import { formatFunctions, functionArguments, trainedFunctions } from "../options/function_options.ts";
import { plainNetwork } from "../options/network_and_plan.ts";
import { usableRandomWeights } from "../options/random_model.ts";
import { answer, answerAll } from "../roles/answering.ts";
import { confine } from "../roles/confinement.ts";
import {
  logOf,
  ONCE_OPTION,
  peakRssMB,
  reportLine,
  tokensFromParent,
  WITH_PARENT_OPTION,
} from "../roles/role_report.ts";

await runCommand({
  name: "server",
  summary: "hold a network and answer clients' private queries",
  notes:
    "Serves until SIGTERM, which lets running queries end and begins no others, or Ctrl-C. A session that fails ends alone.",
  interrupted: "the sessions were ended",
  options: {
    ...PLAN_OPTIONS,
    graph: GRAPH_OPTION,
    weights: INFER_OPTIONS.weights,
    modelSeed: INFER_OPTIONS.modelSeed,
    listen: listenOption(7700, "address on which clients are awaited"),
    dealer: connectOption(7701, "address of the dealer"),
    clients: {
      type: "integer",
      min: 1,
      max: 64,
      default: 1,
      help:
        "clients that are served side by side, if memory has room for them; others are told to come later",
    },
    ...LINK_OPTIONS,
    prepare: {
      ...PREPARE_OPTION,
      help: "most queries that a client may have prepared ahead, held in memory",
    },
    threads: THREADS_OPTION,
    ...IDENTITY_OPTIONS,
    once: ONCE_OPTION,
    json: { type: "boolean", help: "report on standard output as JSON lines" },
    withParent: WITH_PARENT_OPTION,
  },
  async run(options) {
    if (options.withParent) void tokensFromParent();
    const plan = planFrom(options),
      profile = profileFrom(options.profile),
      log = logOf("server", options.json);
    sayPrecision(plan);
    const listenAt = parseAddress(options.listen), dealerAt = parseAddress(options.dealer);
    const identity = await identityFrom("server", options);
    const pool = new ConvolutionPool(await Ring.open(), options.threads);
    onExit(() => pool[Symbol.dispose]());
    checkRoom(pool.ring, plan, options);
    const folded = options.elements === undefined ? await loadWeights(plan, options) : new Map();
    const weights = new ServerWeights(pool, plan, folded);
    const common = {
      role: "server",
      timeoutMs: options.timeout * 1000,
      describeTag: describeTag(plan),
      ...identity,
    };
    confine(pool);
    const listener = await listen({
      ...listenAt,
      ...common,
      expectedPeer: "client",
      profile,
      onDropped: (address, reason) => log.warn(`dropped ${address}: ${reason}`),
    });
    onExit(() => listener.close());
    reportLine(
      options.json,
      { listening: listener.port },
      `server: waiting for clients on port ${listener.port}`,
    );

    let queries = 0;
    const answering = {
      pool,
      plan,
      weights,
      connectToDealer: (signal: AbortSignal) =>
        connect({ ...dealerAt, ...common, expectedPeer: "dealer", signal }),
      prepare: options.prepare,
      onQuery: () => queries++,
    };
    if (options.once) {
      const client = await listener.accept();
      listener.close();
      await answer(answering, client);
    } else {
      const draining = new AbortController();
      await answerAll(listener, answering, { clients: options.clients, draining, log });
    }
    reportLine(options.json, { queries, peakRssMB: peakRssMB() }, `server: ${queries} queries answered`);
  },
});

/** Several sessions must have room by the bound that the plan gives; one may turn out to need less than that. */
function checkRoom(
  ring: Ring,
  plan: Plan,
  { clients, prepare }: { readonly clients: number; readonly prepare: number },
): void {
  const room = Math.max(1, mostSessions(ring, plan, prepare));
  if (clients <= room) return;
  throw new Error(
    `memory has room for ${room} sessions with --prepare ${prepare}, not for --clients ${clients}; lower one of them, or --batch`,
  );
}

/** Folded weights from a folder, or seeded random ones. */
async function loadWeights(
  plan: Plan,
  options: PlanValues & { readonly weights: string | undefined; readonly modelSeed: number | undefined },
): Promise<Weights> {
  const wanted = activationFunction(plan);
  if (options.weights === undefined) {
    const graph = graphFrom(options);
    const weights = usableRandomWeights(graph, options.modelSeed ?? DEFAULT_SEED, wanted);
    return plainNetwork(plan, foldBatchNorm(graph, weights).weights).weights;
  }
  const folder = options.weights, model = await readModelFolder(folder);
  checkModel(folder, model, plan);
  // The other roles cannot know the functions of this folder: all must be told.
  const trained = trainedFunctions(plan.graph, plan.options.activation, model.activation, model.weights);
  if (options.polynomial === undefined && options.wave === undefined) {
    if (JSON.stringify(trained) !== JSON.stringify(formatFunctions(plan.graph, plan.options))) {
      throw new Error(
        `${folder} was trained with another function; start all three roles with ${
          functionArguments(trained).join(" ")
        }`,
      );
    }
  }
  const { scaling } = activationProtocol(plan.options.activation);
  if (scaling.kind === "ring" && model.ranges && !plan.options.ranges) {
    throw new Error(
      `${folder} was audited; start all three roles with --ranges=${
        formatRangesOption(plan.graph, model.ranges)
      }`,
    );
  }
  return plainNetwork(plan, foldBatchNorm(model.graph, model.weights).weights).weights;
}
