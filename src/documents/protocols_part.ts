/** The protocols in one line each, as the registry has them. */
import { ACTIVATION_PROTOCOLS, LINEAR_PROTOCOLS } from "../protocols/registry.ts";
import { list, paragraph } from "./markdown.ts";

const lines = (protocols: readonly { readonly name: string; readonly summary: string }[]) =>
  list(protocols.map(({ name, summary }) => `[\`${name}\`](docs/${name}.md): ${summary}`));

export const protocolsPart = (): string =>
  [
    paragraph("Of activations:"),
    lines(ACTIVATION_PROTOCOLS),
    paragraph("Of convolutions and dense layers:"),
    lines(LINEAR_PROTOCOLS),
  ].join("\n\n");
