/** `deno task server`: holds a network and answers one client's private queries. */
import { readModelFolder } from "../data/model_folder.ts";
import { serve } from "../inference/roles.ts";
import { foldBatchNorm } from "../models/fold.ts";
import type { Weights } from "../models/graph.ts";
import { connect, listen } from "../network/tcp.ts";
import { activationProtocol } from "../protocols/registry.ts";
import { ConvolutionPool } from "../ring/pool.ts";
import { Ring } from "../ring/ring.ts";
import { onExit, runCommand } from "../terminal/command.ts";
import { connecting, connectOption, listening, listenOption, SECURITY_OPTIONS } from "../roles/endpoint.ts";
import {
  activationFunction,
  checkModel,
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
import { describeTags, meetAtDealer, withPeers } from "../roles/meeting.ts";
import { plainNetwork } from "../options/network_and_plan.ts";
import { usableRandomWeights } from "../options/random_model.ts";
import type { Plan } from "../inference/plan.ts";
import { peakRssMB, reportLine, tokenFromParent, WITH_PARENT_OPTION } from "../roles/role_report.ts";

await runCommand({
  name: "server",
  summary: "hold a network and answer one client's private queries",
  interrupted: "the session was ended",
  options: {
    ...PLAN_OPTIONS,
    graph: GRAPH_OPTION,
    weights: INFER_OPTIONS.weights,
    modelSeed: INFER_OPTIONS.modelSeed,
    listen: listenOption(7700, "address on which the client is awaited"),
    dealer: connectOption(7701, "address of the dealer"),
    ...LINK_OPTIONS,
    prepare: {
      ...PREPARE_OPTION,
      help: "most queries that the client may have prepared ahead, held in memory",
    },
    threads: THREADS_OPTION,
    ...SECURITY_OPTIONS,
    json: { type: "boolean", help: "report on standard output as JSON lines" },
    withParent: WITH_PARENT_OPTION,
  },
  async run(options) {
    if (options.withParent) void tokenFromParent();
    const plan = planFrom(options), profile = profileFrom(options.profile);
    sayPrecision(plan);
    const listenAt = await listening(options, options.listen),
      dealerAt = await connecting(options, options.dealer);
    const weights = options.elements === undefined ? await loadWeights(plan, options) : new Map();
    const pool = new ConvolutionPool(await Ring.open(), options.threads);
    onExit(() => pool[Symbol.dispose]());
    const common = { role: "server", timeoutMs: options.timeout * 1000, describeTag: describeTags(plan) };
    const listener = await listen({ ...listenAt, ...common, expectedPeer: "client", profile });
    onExit(() => listener.close());
    reportLine(
      options.json,
      { listening: listener.port },
      `server: waiting for a client on port ${listener.port}`,
    );

    const queries = await withPeers(async (hold) => {
      const peer = hold(await listener.accept());
      const dealer = await meetAtDealer(
        peer,
        async () => hold(await connect({ ...dealerAt, ...common, expectedPeer: "dealer" })),
      );
      return await serve({ pool, peer, dealer, plan, weights }, options.prepare);
    });
    reportLine(options.json, { queries, peakRssMB: peakRssMB() }, `server: ${queries} queries answered`);
  },
});

/** Folded weights from a folder, or seeded random ones. */
async function loadWeights(
  plan: Plan,
  options: PlanValues & { readonly weights: string | undefined; readonly modelSeed: number },
): Promise<Weights> {
  const wanted = activationFunction(plan);
  if (options.weights === undefined) {
    const graph = graphFrom(options);
    const weights = usableRandomWeights(graph, options.modelSeed, wanted);
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
