/**
 * One progress line on the error stream: what is done, out of how much, and the time left. On a terminal
 * the line is rewritten in place; in a log a line appears at most every ten seconds.
 */

/** Writes a duration the way people say it: `8 s`, `3 min 20 s`, `2 h 05 min`. */
export function formatDuration(seconds: number): string {
  if (seconds < 10) {
    return `${seconds < 0.95 ? Math.max(0, seconds).toFixed(1) : Math.round(seconds)} s`;
  }
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) {
    return s % 60 === 0 ? `${s / 60} min` : `${Math.floor(s / 60)} min ${s % 60} s`;
  }
  const minutes = Math.round(s / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** Options of {@linkcode Progress}; all of them have sensible defaults. */
export interface ProgressOptions {
  /** What is counted, for example `cells`. */
  readonly unit?: string;
  /** Milliseconds between two lines of a log. */
  readonly logIntervalMs?: number;
  readonly terminal?: boolean;
  readonly write?: (text: string) => void;
  readonly now?: () => number;
}

/**
 * A task whose size is known beforehand.
 *
 * @example
 * ```ts
 * import { Progress } from "./progress.ts";
 * const progress = new Progress("training", 10, { unit: "epochs" });
 * for (let epoch = 1; epoch <= 10; epoch++) progress.update(epoch);
 * progress.finish();
 * ```
 */
export class Progress {
  readonly #label: string;
  readonly #total: number;
  readonly #unit: string;
  readonly #terminal: boolean;
  readonly #write: (text: string) => void;
  readonly #now: () => number;
  readonly #start: number;
  readonly #logIntervalMs: number;
  #work = 0;
  #workTotal: number;
  #lastLog: number;
  #shown = false;

  constructor(label: string, total: number, options: ProgressOptions = {}) {
    const encoder = new TextEncoder();
    this.#label = label;
    this.#total = total;
    this.#workTotal = total;
    this.#unit = options.unit ?? "";
    this.#terminal = options.terminal ?? Deno.stderr.isTerminal();
    this.#write = options.write ??
      ((text) => void Deno.stderr.writeSync(encoder.encode(text)));
    this.#now = options.now ?? (() => performance.now());
    this.#logIntervalMs = options.logIntervalMs ?? 10_000;
    this.#start = this.#now();
    this.#lastLog = this.#start;
  }

  /**
   * Reports that `done` of the total are complete.
   *
   * @param done how many are complete
   * @param note what happens now
   * @param work share of the work behind `done`, if the pieces are of unequal size: `[done, total]`
   */
  update(
    done: number,
    note = "",
    work?: readonly [done: number, total: number],
  ): void {
    [this.#work, this.#workTotal] = work ?? [done, this.#total];
    const now = this.#now(), elapsed = (now - this.#start) / 1000;
    const left = this.#work > 0 && this.#work < this.#workTotal
      ? `${formatDuration(elapsed * (this.#workTotal - this.#work) / this.#work)} left`
      : "";
    const count = `${done}/${this.#total}${this.#unit && " " + this.#unit}`;
    const text = [`${this.#label} ${count}`, left, note].filter((part) => part !== "").join(", ");
    if (this.#terminal) {
      // Cut to the width of the terminal: a wrapped line could not be rewritten.
      this.#write(
        "\r\x1b[K" +
          [...text].slice(0, Math.max(20, terminalColumns() - 1)).join(""),
      );
      this.#shown = true;
    } else if (now - this.#lastLog >= this.#logIntervalMs) {
      this.#write(text + "\n");
      this.#lastLog = now;
    }
  }

  /** Takes the progress line away, so that other output can be printed. */
  clear(): void {
    if (this.#shown) this.#write("\r\x1b[K");
    this.#shown = false;
  }

  /** Ends the progress line; `summary`, if given, stays. */
  finish(summary?: string): void {
    this.clear();
    if (summary !== undefined) this.#write(summary + "\n");
  }
}

function terminalColumns(): number {
  try {
    return Deno.consoleSize().columns;
  } catch {
    return 80;
  }
}
