/**
 * How far opened logits are from floating point, by network: what the small ring costs beside 64-bit words. `trigonometric` evaluates
 * another function, so the same weights give it other logits, with a largest one of their own.
 */
import { numberOf, type Row } from "../report/csv.ts";
import { where } from "../report/claims.ts";
import { table } from "./markdown.ts";
import { rowsOf, type Sources } from "./sources.ts";

const PROTOCOLS = ["honeybadger", "lifted", "trigonometric"];

export function errorsPart(sources: Sources): string {
  const own = where(rowsOf(sources, "inference_latency"), { profile: "none", linear: "masked" });
  const networks = [...Map.groupBy(own, (row) => `${row["model"]} (${row["classes"]})`)];
  return table(networks.flatMap(([network, rows]) => {
    const found = PROTOCOLS.map((activation) => where(rows, { activation })[0]);
    if (found.slice(1).every((row) => row === undefined)) return [];
    return [{
      network,
      ...Object.fromEntries(PROTOCOLS.map((protocol, i) => {
        const row = found[i];
        return [`\`${protocol}\``, row === undefined ? "-" : errorOf(row)];
      })),
    }];
  }));
}

/** "2.9e-2 of 0.52", and whether the class is another. */
const errorOf = (row: Row): string =>
  `${numberOf(row, "logit_error").toExponential(1)} of ${numberOf(row, "largest_logit").toFixed(2)}` +
  (row["argmax_agrees"] === "true" ? "" : ", another class");
