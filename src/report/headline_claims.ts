/**
 * The headline of the paper, 3 to 110 times faster, against the rivals' times as its authors' early plots show them; its body and
 * its tables were not at hand.
 */
import { type Claim, claim, type Data, where } from "./claim.ts";
import { optionalNumber, type Row } from "./csv.ts";
import { excuse, isSameKind, loopbackNoise, OTHER_KIND, type Timing, timing } from "./gauge.ts";

const LEAST = 3, MOST = 110;
/** Networks of the paper. Without one of them, as where memory lacks for ResNet-50, the range is not that of the headline. */
const NETWORKS = 8;

/** How many times longer a recorded rival took than we. */
interface Lead extends Timing {
  readonly rival: string;
  readonly network: string;
  readonly isExtrapolated: boolean;
}

interface Headline {
  readonly leads: readonly Lead[];
  /** As `lifted` on ResNet-50. */
  readonly isOtherNetwork: boolean;
  readonly sameKind: boolean;
}

const RIVAL_COLUMN = /^wan_(cryptgpu|coinn|gforce)_(gpu|cpu)_s$/;
const RIVAL_NAMES: Readonly<Record<string, string>> = {
  cryptgpu: "CryptGPU",
  coinn: "COINN",
  gforce: "GForce",
};

/** The network that a protocol evaluated where the paper has another: a column of the protocol's own, if there is one. */
const evaluated = (row: Row, protocol: string) => row[`${protocol}_model`] ?? row["model"];

/** The row behind our time: on the WAN, or the one without delay that it is predicted from, of a twin where no other is there. */
function rowBehind(row: Row, protocol: string, data: Data): Row | undefined {
  const isPredicted = (row["predicted"] ?? "").split(" ").includes(`wan_${protocol}_s`);
  const own = where(data.rows("inference_latency"), {
    ...{ activation: protocol, linear: "masked", profile: isPredicted ? "none" : "wan" },
    model: evaluated(row, protocol),
  });
  return own.find(({ classes }) => classes === row["classes"]) ?? own[0];
}

/** What is wrong with our time, links set by the shaper. */
function timingOf(behind: Row | undefined, ratio: number, data: Data): Timing {
  if (behind === undefined) return { ratio, noise: undefined, cells: [] };
  const own = timing(ratio, [behind], data);
  return {
    ...own,
    noise: own.noise ?? (behind["profile"] === "wan" ? loopbackNoise(behind, data) : undefined),
  };
}

function leadsIn(row: Row, protocol: string, data: Data): Lead[] {
  const behind = rowBehind(row, protocol, data);
  const ours = optionalNumber(row, `wan_${protocol}_s`);
  if (ours === undefined) return [];
  return Object.keys(row).flatMap((column) => {
    const [, rival, device] = RIVAL_COLUMN.exec(column) ?? [];
    const theirs = rival === undefined ? undefined : optionalNumber(row, column);
    if (rival === undefined || theirs === undefined) return [];
    return [{
      ...timingOf(behind, theirs / ours, data),
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
      "none; times that a size does not measure are predicted; if missed, not judged on another kind of machine or where the gauge says noise at the times that miss",
    refuted:
      `one recorded rival that is less than ${LEAST} times slower, or none that is ${MOST} times slower`,
    measure(rows, data) {
      const found = rows.map((row) => leadsIn(row, protocol, data)).filter((own) => own.length > 0);
      if (found.length < NETWORKS) return undefined;
      return {
        leads: found.flat(),
        isOtherNetwork: rows.some((row) => evaluated(row, protocol) !== row["model"]),
        sameKind: rows.every((row) => isSameKind(rowBehind(row, protocol, data) ?? row)),
      };
    },
    test: ({ leads }) => missed(leads).length === 0,
    unjudged: ({ leads, sameKind }) => {
      const found = missed(leads);
      return found.length === 0 ? undefined : sameKind ? excuse(found, () => false) : OTHER_KIND;
    },
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

/** The leads that are too small, and where none is large enough the largest. */
function missed(leads: readonly Lead[]): Lead[] {
  const most = extreme(leads, Math.max)!;
  return [...leads.filter(({ ratio }) => ratio < LEAST), ...most.ratio < MOST ? [most] : []];
}

export const headlineClaims: readonly Claim[] = [
  headlineClaim("headline-range", "honeybadger"),
  headlineClaim("headline-range-lifted", "lifted"),
];
