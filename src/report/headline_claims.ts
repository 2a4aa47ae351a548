/**
 * The headline of the paper, 3 to 110 times faster, against the rivals' times as its authors' early plots show them; its body and
 * its tables were not at hand.
 */
import { type Claim, claim, type Obstacle, where } from "./claim.ts";
import { optionalNumber, type Row } from "./csv.ts";
import { isSameKind, noiseOf, OTHER_KIND } from "./gauge.ts";

const LEAST = 3, MOST = 110;
/** Networks of the paper. Without one of them, as where memory lacks for ResNet-50, the range is not that of the headline. */
const NETWORKS = 8;

/** How many times longer a recorded rival took than we. */
interface Lead {
  readonly ratio: number;
  readonly rival: string;
  readonly network: string;
  readonly isExtrapolated: boolean;
}

interface Headline {
  readonly leads: readonly Lead[];
  /** Of `lifted` on ResNet-50: which network it evaluated. */
  readonly isOtherNetwork: boolean;
  readonly obstacle: Obstacle | undefined;
}

const RIVAL_COLUMN = /^wan_(cryptgpu|coinn|gforce)_(gpu|cpu)_s$/;
const RIVAL_NAMES: Readonly<Record<string, string>> = {
  cryptgpu: "CryptGPU",
  coinn: "COINN",
  gforce: "GForce",
};

function leadsIn(row: Row, protocol: string): Lead[] {
  const ours = optionalNumber(row, `wan_${protocol}_s`);
  if (ours === undefined) return [];
  return Object.keys(row).flatMap((column) => {
    const [, rival, device] = RIVAL_COLUMN.exec(column) ?? [];
    const theirs = rival === undefined ? undefined : optionalNumber(row, column);
    if (rival === undefined || theirs === undefined) return [];
    return [{
      ratio: theirs / ours,
      rival: `${RIVAL_NAMES[rival]}, ${device.toUpperCase()}`,
      network: `${row["network"]} on ${row["dataset"]}`,
      isExtrapolated: row["extrapolated"].split(" ").includes(column),
    }];
  });
}

const extreme = (leads: readonly Lead[], pick: (...ratios: number[]) => number): Lead | undefined => {
  const ratio = pick(...leads.map((lead) => lead.ratio));
  return leads.find((lead) => lead.ratio === ratio);
};
const times = (ratio: number) => ratio < 10 ? ratio.toFixed(1) : ratio.toFixed(0);
const named = ({ rival, network, isExtrapolated }: Lead) =>
  `${rival}, ${network}${isExtrapolated ? ", extrapolated beyond its plot" : ""}`;

function headlineClaim(id: string, protocol: string): Claim {
  return claim<Headline>({
    id,
    sentence:
      `Over all networks of the paper and the rivals recorded for them, ${protocol} on the WAN is at least ${LEAST} times faster, ` +
      `and against one of them at least ${MOST} times.`,
    source: "our reading of the range in the paper's abstract; rivals from its early timings",
    experiment: "speedup_table",
    size: "quick",
    fully: "full",
    timed: "inference_latency",
    expected: `smallest at least ${LEAST}x, largest at least ${MOST}x`,
    tolerance:
      "none; times that a size does not measure are predicted; if missed, not judged on another kind of machine or where the gauge says noise",
    refuted:
      `one recorded rival that is less than ${LEAST} times slower, or none that is ${MOST} times slower`,
    measure(rows, data) {
      const found = rows.map((row) => leadsIn(row, protocol)).filter((own) => own.length > 0);
      if (found.length < NETWORKS) return undefined;
      const leads = found.flat();
      const behind = where(data.rows("inference_latency"), { activation: protocol, linear: "masked" });
      const noisy = behind.filter((row) => noiseOf(row, data) !== undefined);
      return {
        leads,
        isOtherNetwork: rows.some((row) => row["lifted_model"] !== row["model"]) && protocol === "lifted",
        obstacle: !behind.every(isSameKind)
          ? OTHER_KIND
          : noisy[0] && { ...noiseOf(noisy[0], data)!, cells: noisy.map((row) => row["cell"]) },
      };
    },
    test: isHeadline,
    unjudged: (headline) => isHeadline(headline) ? undefined : headline.obstacle,
    show({ leads, isOtherNetwork }) {
      const least = extreme(leads, Math.min)!, most = extreme(leads, Math.max)!;
      const read = extreme(leads.filter(({ isExtrapolated }) => !isExtrapolated), Math.max);
      return `${times(least.ratio)} to ${times(most.ratio)}x; smallest over ${named(least)}; largest over ${
        named(most)
      }` +
        (read ? `; inside a plot at most ${times(read.ratio)}x` : "") +
        (isOtherNetwork ? "; ResNet-50 here with average pooling, another network" : "");
    },
  });
}

function isHeadline({ leads }: Headline): boolean {
  const ratios = leads.map(({ ratio }) => ratio);
  return Math.min(...ratios) >= LEAST && Math.max(...ratios) >= MOST;
}

export const headlineClaims: readonly Claim[] = [
  headlineClaim("headline-range", "honeybadger"),
  headlineClaim("headline-range-lifted", "lifted"),
];
