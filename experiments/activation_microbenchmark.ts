/** One activation layer alone: time over round-trip time, exchanges and bytes of every protocol. */
import { ACTIVATION_PROTOCOLS } from "../mod.ts";
import { FIGURE_COLUMNS, figuresOf, infer } from "./_infer.ts";
import { defineExperiment, numberOf, type Row, type Size } from "../src/reproduction/experiment.ts";

const ELEMENTS: Record<Size, readonly number[]> = {
  smoke: [2 ** 12],
  quick: [2 ** 12, 2 ** 15],
  full: [2 ** 12, 2 ** 15, 2 ** 18],
};
const ROUND_TRIPS: Record<Size, readonly number[]> = {
  smoke: [0, 50],
  quick: [0, 0.25, 50, 100],
  full: [0, 0.25, 50, 100, 200],
};
const REPETITIONS: Record<Size, number> = { smoke: 3, quick: 10, full: 20 };

const NAMES = ACTIVATION_PROTOCOLS.map(({ name }) => name);
/** Protocols whose words have 32 bits. */
const NARROW = ACTIVATION_PROTOCOLS.filter(({ scaling }) => scaling.kind === "ring").map(({ name }) => name);
/** The layer of the paper's micro-benchmark, or the largest that was measured. */
const shown = (rows: readonly Row[]) => {
  const sizes = rows.map((row) => numberOf(row, "elements"));
  return sizes.includes(32768) ? 32768 : Math.max(...sizes);
};

export const activationMicrobenchmark = defineExperiment({
  key: "activation_microbenchmark",
  title: "One activation layer",
  source: "the public code's micro-benchmark of 32,768 elements",
  explanation:
    "A layer of activations on secret-shared inputs between two processes, its result opened to the client at the end " +
    "(one more message, which the times include and the table's exchanges and bytes do not). With delay, a protocol costs its one-way " +
    "delays; without, its bytes and arithmetic. tree has two exchanges and waits for one: what the server sends first does not depend on " +
    "the input and is under way when the client begins. " +
    "lifted takes three messages here, all of them in the time: the masked input, the server's short reply, the opening, which follows the " +
    "reply at once. In a network the re-masked output of one layer is the masked input of the next, so a layer takes two. After the reply " +
    "both evaluate the polynomial and truncate. What the client sends before the input is known is in offline_party_bytes.",
  columns: {
    protocol: "activation protocol",
    elements: "activations in the layer",
    rtt_ms: "configured round-trip time",
    ...FIGURE_COLUMNS,
  },
  cells: (size) =>
    ELEMENTS[size].flatMap((elements) =>
      NAMES.flatMap((protocol) =>
        // In a quick run only the layer of the figure travels over delayed links.
        ROUND_TRIPS[size].filter((rtt) => size !== "quick" || elements === 2 ** 15 || rtt === 0).map((
          rtt,
        ) => ({
          id: `${protocol} ${elements} rtt:${rtt}`,
          protocol,
          elements,
          rtt,
          seconds: 2 + rtt / 15,
        }))
      )
    ),
  async run({ protocol, elements, rtt }, { size, seed }) {
    const profile = rtt === 0 ? "none" : `rtt:${rtt}`;
    const run = await infer(
      ...["--elements", elements, "--activation", protocol, "--profile", profile],
      ...["--repetitions", REPETITIONS[size], "--seed", seed, "--warm-up", rtt === 0 ? 40 : 5],
    );
    return [{ protocol, elements, rtt_ms: rtt, ...figuresOf(run) }];
  },
  figures(rows, reference) {
    const elements = shown(rows),
      at = (protocol: string) =>
        rows.filter((r) => r["protocol"] === protocol && numberOf(r, "elements") === elements);
    const paper = elements === 32768 ? reference("activation_microbenchmark") : [];
    const PAPER_NAMES: Record<string, string> = {
      CryptGPU: "relu",
      "CrypTen Poly": "tree",
      ESPN: "espn",
      HoneyBadger: "honeybadger",
    };
    return [{
      kind: "lines",
      name: "activation_microbenchmark_rtt",
      see:
        "relu climbs with its nine exchanges, tree, honeybadger and espn lie on one line below it; lifted's three messages here include that of the layer before and of the next.",
      caption:
        `Time of one layer of ${
          elements.toLocaleString("en")
        } activations over round-trip time; hollow: the public code on a GPU, ` +
        "January 2024, read off its plot.",
      x: { title: "round-trip time (ms)" },
      y: { title: "time (ms)", min: 0 },
      series: [
        ...NAMES.map((name, style) => ({
          name,
          style,
          points: at(name).map((row) => ({
            x: numberOf(row, "rtt_ms"),
            y: numberOf(row, "online_ms"),
            low: numberOf(row, "online_q1_ms"),
            high: numberOf(row, "online_q3_ms"),
          })),
        })),
        ...paper.map((row) => ({
          name: `public code, ${PAPER_NAMES[row["method"]]}`,
          style: NAMES.indexOf(PAPER_NAMES[row["method"]]),
          role: "points" as const,
          points: [[0.25, "rtt0.25_s"], [50, "rtt50_s"], [100, "rtt100_s"]].map(([x, column]) => ({
            x: x as number,
            y: 1000 * numberOf(row, column as string),
          })),
        })),
      ],
    }, {
      kind: "bars",
      name: "activation_microbenchmark_bytes",
      see:
        "lifted and trigonometric send a fraction of the bytes of the others online; lifted has most dealt.",
      caption:
        "Bytes per activation that each party sends online for the layer alone, and bytes that the dealer deals for it.",
      width: "double",
      categories: NAMES,
      y: { title: "bytes per activation" },
      labels: true,
      series: [
        { name: "sent by the server", values: NAMES.map((name) => layerAlone(at(name)[0])?.server ?? null) },
        { name: "sent by the client", values: NAMES.map((name) => layerAlone(at(name)[0])?.client ?? null) },
        { name: "dealt offline", values: NAMES.map((name) => layerAlone(at(name)[0])?.dealt ?? null) },
      ],
    }];
  },
  table(rows) {
    const elements = shown(rows);
    return NAMES.map((protocol) => {
      const own = rows.filter((r) => r["protocol"] === protocol && numberOf(r, "elements") === elements);
      const times = Object.fromEntries(
        own.map((r) => [`${r["rtt_ms"]} ms RTT`, `${numberOf(r, "online_ms").toFixed(2)} ms`]),
      );
      const alone = layerAlone(own[0]);
      return {
        protocol,
        exchanges: alone?.exchanges ?? null,
        "server sends": alone?.server ?? null,
        "client sends": alone?.client ?? null,
        "bytes dealt": alone?.dealt ?? null,
        ...times,
      };
    });
  },
});

/**
 * Exchanges and bytes per activation without what is no part of the layer: the opening, one word an element by the server. By `lifted` the
 * client's masked input stands for the re-masked output of a layer in a network, which is as long.
 */
function layerAlone(row: Row | undefined) {
  if (row === undefined) return undefined;
  const elements = numberOf(row, "elements"), isNarrow = NARROW.includes(`${row["protocol"]}`);
  // Whole bits: seeds and the filling of last blocks are less than half of one.
  const each = (bytes: number) => Math.round(8 * bytes / elements) / 8;
  return {
    exchanges: numberOf(row, "exchanges") - 1,
    server: each(numberOf(row, "bytes_server") - elements * (isNarrow ? 4 : 8)),
    client: each(numberOf(row, "bytes_client")),
    dealt: each(numberOf(row, "offline_bytes")),
  };
}
