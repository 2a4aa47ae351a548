/** The protocols by name. To add one, write its file and list it here. */
import type { Activation } from "../models/graph.ts";
import { espn } from "./activation/espn.ts";
import { honeybadger } from "./activation/honeybadger.ts";
import { lifted } from "./activation/lifted.ts";
import { relu } from "./activation/relu.ts";
import { tree } from "./activation/tree.ts";
import { trigonometric } from "./activation/trigonometric.ts";
import { beaver } from "./linear/beaver.ts";
import { masked } from "./linear/masked.ts";
import type { ActivationProtocol, LinearProtocol } from "./protocol.ts";

export const ACTIVATION_PROTOCOLS: readonly ActivationProtocol[] = [
  relu,
  tree,
  honeybadger,
  espn,
  lifted,
  trigonometric,
];
export const LINEAR_PROTOCOLS: readonly LinearProtocol[] = [beaver, masked];

/** What commands take unless another is asked for. */
export const DEFAULT_ACTIVATION: ActivationProtocol = lifted;
/** What computes a line and a wave. */
export const WAVE_ACTIVATION: ActivationProtocol = trigonometric;
export const DEFAULT_LINEAR: LinearProtocol = masked;

/** What computes a function unless another is asked for: the default where it can. */
export const protocolFor = ({ kind }: Activation): ActivationProtocol =>
  [DEFAULT_ACTIVATION, ...ACTIVATION_PROTOCOLS].find(({ usual }) => usual.kind === kind) ??
    DEFAULT_ACTIVATION;

/** The activation protocol called `name`; a RangeError lists the names. */
export const activationProtocol = (name: string): ActivationProtocol =>
  find(ACTIVATION_PROTOCOLS, name, "activation");

/** The linear protocol called `name`; a RangeError lists the names. */
export const linearProtocol = (name: string): LinearProtocol => find(LINEAR_PROTOCOLS, name, "linear");

function find<P extends { readonly name: string }>(protocols: readonly P[], name: string, kind: string): P {
  const protocol = protocols.find((candidate) => candidate.name === name);
  if (protocol) return protocol;
  throw new RangeError(
    `unknown ${kind} protocol "${name}"; known: ${protocols.map((p) => p.name).join(", ")}`,
  );
}
