/** Timing for `bench`: what is compared is interleaved, so that a disturbance of the machine meets all alike. */
import { median } from "../report/statistics.ts";

/** Something to be timed. */
export interface Candidate {
  readonly name: string;
  run(): void;
}

/** Milliseconds of one candidate. */
export interface Timing {
  readonly medianMs: number;
  readonly bestMs: number;
  readonly repetitions: number;
}

/**
 * Runs the candidates in turns for about `seconds` in all (three turns at least), after a warm-up of a fifth of it.
 *
 * @returns timings by name
 */
export function measure(candidates: readonly Candidate[], seconds: number): Map<string, Timing> {
  const samples = candidates.map(() => [] as number[]);
  const turn = (record: boolean) =>
    candidates.forEach(({ run }, i) => {
      const started = performance.now();
      run();
      if (record) samples[i].push(performance.now() - started);
    });
  for (const started = performance.now(); performance.now() - started < 200 * seconds;) turn(false);
  const started = performance.now();
  for (let turns = 0; turns < 3 || performance.now() - started < 1000 * seconds; turns++) turn(true);
  return new Map(candidates.map(({ name }, i) => {
    const times = samples[i];
    return [name, { medianMs: median(times), bestMs: Math.min(...times), repetitions: times.length }];
  }));
}
