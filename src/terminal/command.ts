/**
 * One way to write a command: options are data, the values given to `run` are typed from them, and every
 * mistake of the user is answered by one sentence and exit code 1. Help, signals, clean-up and errors are
 * handled here so that a command file holds only what it does.
 */
import { resolve } from "node:path";
import { parseArgs } from "@std/cli/parse-args";
import { visible } from "./visible.ts";

interface OptionBase {
  /** One line for `--help`. */
  readonly help: string;
  /** Name of the value in the usage text, for example `DIR`. */
  readonly value?: string;
  /** Left out of `--help`. */
  readonly hidden?: boolean;
  /** Options that it would make do nothing: both together are refused. */
  readonly excludes?: readonly string[];
  /** Options without which it would do nothing: one of them must be given too. */
  readonly needs?: readonly string[];
}

/** A flag: `--json`. */
export interface BooleanOption extends OptionBase {
  readonly type: "boolean";
}

/** Text, free or one of `choices`, or in the form of `pattern`, which `accepts` puts into words. */
export interface StringOption extends OptionBase {
  /** A path is made absolute, from where the user stands; its default starts in the repository. */
  readonly type: "string" | "path";
  readonly choices?: readonly string[];
  readonly pattern?: RegExp;
  readonly accepts?: string;
  readonly default?: string;
  readonly required?: boolean;
  /** May be the first argument without its name; one option of a command at most. */
  readonly positional?: boolean;
}

/** Several texts: `--only a,b --only c`. In a path a comma is written twice. */
export interface ListOption extends OptionBase {
  readonly type: "list" | "paths";
  readonly choices?: readonly string[];
  readonly default?: readonly string[];
}

/** A number in a range, both ends included. */
export interface NumberOption extends OptionBase {
  readonly type: "integer" | "number";
  readonly min?: number;
  readonly max?: number;
  readonly default?: number;
  readonly required?: boolean;
}

/** An option of a command. */
export type Option = BooleanOption | StringOption | ListOption | NumberOption;
/** Options by name; `oneWayMs` is written `--one-way-ms` on the command line. */
export type OptionSpecs = Readonly<Record<string, Option>>;

type Optional<O, T> = O extends { default: unknown } | { required: true } ? T
  : T | undefined;
type Choice<O> = O extends { choices: readonly (infer C)[] } ? C : string;

/** Type of the value of one option. */
export type OptionValue<O extends Option> = O extends BooleanOption ? boolean
  : O extends NumberOption ? Optional<O, number>
  : O extends ListOption ? O extends { default: unknown } ? Choice<O>[] : Choice<O>[] | undefined
  : O extends StringOption ? Optional<O, Choice<O>>
  : never;

/** Types of the values of all options. */
export type OptionValues<S extends OptionSpecs> = {
  -readonly [K in keyof S]: OptionValue<S[K]>;
};

/** A command. */
export interface Command<S extends OptionSpecs> {
  /** Name of the task: `deno task <name>`. */
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** Further lines for `--help`. */
  readonly notes?: string | readonly string[];
  /** Time it takes, for `--help`. */
  readonly time?: string;
  /** Disk it takes, for `--help`. */
  readonly disk?: string;
  /** Example command lines for `--help`, without `deno task`. */
  readonly examples?: readonly string[];
  readonly options: S;
  /** Ends the sentence "interrupted; ...". */
  readonly interrupted?: string;
  /** Does the work; the number returned is the exit code (0 if none). */
  run(options: OptionValues<S>): number | void | Promise<number | void>;
}

/** Mistake on the command line: reported in one sentence with a pointer to `--help`. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/**
 * A path as the user meant it, absolute. `deno task` starts every command in the repository, and says in INIT_CWD where it was
 * called; what this process starts itself is given absolute paths only.
 */
function fromUser(path: string): string {
  const variable = "INIT_CWD", { state } = Deno.permissions.querySync({ name: "env", variable });
  return resolve(state === "granted" && Deno.env.get(variable) || ".", path);
}

/** `oneWayMs` as it is written behind two dashes: `one-way-ms`. */
export const kebab = (name: string): string => name.replace(/[A-Z]/g, (c) => "-" + c.toLowerCase());

/** Number of insertions, deletions, replacements and swaps of neighbours between two words. */
function editDistance(a: string, b: string): number {
  const d = Array.from(
    { length: a.length + 1 },
    (_, i) => [i, ...new Array<number>(b.length).fill(0)],
  );
  for (let j = 0; j <= b.length; j++) d[0][j] = j;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(
        d[i - 1][j] + 1,
        d[i][j - 1] + 1,
        d[i - 1][j - 1] + same,
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, d[i - 2][j - 2] + 1);
      }
      d[i][j] = best;
    }
  }
  return d[a.length][b.length];
}

/** The candidate a person probably meant, if one is near enough. */
export function nearest(
  given: string,
  candidates: readonly string[],
): string | undefined {
  const word = given.toLowerCase();
  const scored = candidates.map((candidate) => ({
    candidate,
    distance: editDistance(word, candidate.toLowerCase()),
  }));
  scored.sort((a, b) => a.distance - b.distance);
  const best = scored[0];
  if (best && best.distance <= Math.max(1, Math.floor(word.length / 3))) {
    return best.candidate;
  }
  return word.length >= 3 ? candidates.find((c) => c.toLowerCase().startsWith(word)) : undefined;
}

const meant = (given: string, candidates: readonly string[], prefix = "") => {
  const guess = nearest(given, candidates);
  return guess === undefined ? "" : `; did you mean ${prefix}${guess}?`;
};

function accepted(option: Option): string {
  switch (option.type) {
    case "boolean":
      return "no value";
    case "integer":
    case "number": {
      const what = option.type === "integer" ? "an integer" : "a number";
      const { min, max } = option;
      if (min !== undefined && max !== undefined) {
        return `${what} from ${min} to ${max}`;
      }
      if (min !== undefined) return `${what} of at least ${min}`;
      return max !== undefined ? `${what} of at most ${max}` : what;
    }
    case "list":
    case "paths":
      return option.choices
        ? `any of ${option.choices.join(", ")}, separated by commas`
        : `${option.type === "paths" ? "paths" : "texts"} separated by commas`;
    case "path":
      return "a path";
    case "string":
      if (option.choices) return `one of ${option.choices.join(", ")}`;
      return option.accepts ?? "text";
  }
}

function parseValue(flag: string, option: Option, given: string): unknown {
  const refuse = (value: string, hint = "") => {
    throw new UsageError(
      `--${flag} was given "${value}" but accepts ${accepted(option)}${hint}`,
    );
  };
  switch (option.type) {
    case "boolean":
      return true;
    case "integer":
    case "number": {
      const value = Number(given.replaceAll("_", ""));
      if (!/\d/.test(given) || !Number.isFinite(value)) refuse(given);
      if (option.type === "integer" && !Number.isSafeInteger(value)) {
        refuse(given);
      }
      if (
        value < (option.min ?? -Infinity) || value > (option.max ?? Infinity)
      ) refuse(given);
      return value;
    }
    case "list": {
      const values = given.split(",").map((part) => part.trim()).filter((
        part,
      ) => part !== "");
      if (values.length === 0) refuse(given);
      for (const value of values) {
        if (option.choices && !option.choices.includes(value)) {
          refuse(value, meant(value, option.choices));
        }
      }
      return values;
    }
    case "paths":
      return given.split(/(?<!,),(?!,)/).filter((path) => path !== "")
        .map((path) => fromUser(path.replaceAll(",,", ",")));
    case "path":
      return fromUser(given);
    case "string":
      if (option.choices && !option.choices.includes(given)) {
        refuse(given, meant(given, option.choices));
      }
      if (option.pattern && !option.pattern.test(given)) refuse(given);
      return given;
  }
}

/** The option that the first argument is for, if it has no name. */
const positionalOf = ({ options }: Pick<Command<OptionSpecs>, "options">): string | undefined => {
  const found = Object.entries(options).find(([, option]) => "positional" in option && option.positional);
  return found && kebab(found[0]);
};

/**
 * Reads the values of a command's options from `given`; `"help"` if they ask for it.
 *
 * @throws {UsageError} in one sentence that names the option, what was given and what is accepted
 */
export function parseCommand<const S extends OptionSpecs>(
  command: Pick<Command<S>, "name" | "options">,
  given: readonly string[],
): OptionValues<S> | "help" {
  const first = positionalOf(command), isNamed = first === undefined || !/^[^-]/.test(given[0] ?? "");
  const args = isNamed ? given : [`--${first}`, ...given];
  const specs = new Map(
    Object.entries(command.options).map((
      [name, option],
    ) => [kebab(name), { name, option }]),
  );
  if (args.includes("--help") || args.includes("-h")) return "help";
  const flags = [...specs].filter(([, { option }]) => option.type === "boolean")
    .map(([flag]) => flag);
  const valued = [...specs].filter(([, { option }]) => option.type !== "boolean").map(([flag]) => flag);
  for (const arg of args) {
    const withValue = /^--([^=]+)=([^]*)$/.exec(arg);
    if (withValue && flags.includes(withValue[1])) {
      throw new UsageError(
        `--${withValue[1]} was given "${withValue[2]}" but takes no value`,
      );
    }
  }
  const parsed = parseArgs(withNegativeValues(args, valued), {
    boolean: flags,
    string: valued,
    collect: valued,
    unknown(arg: string, key?: string) {
      const known = [...specs.keys(), "help"];
      if (key === undefined) {
        throw new UsageError(
          `"${arg}" is not an option${meant(arg, known, "--")}`,
        );
      }
      const dashes = arg.startsWith("--") ? "--" : "-";
      throw new UsageError(
        `unknown option ${dashes}${key}${meant(key, known, "--")}`,
      );
    },
  }) as Record<string, unknown>;
  const rest = parsed["_"] as (string | number)[];
  if (rest.length > 0) throw new UsageError(`"${rest[0]}" is not an option`);

  checkTogether([...specs.values()].filter(({ name }) => isGiven(parsed[kebab(name)])));

  const values = [...specs].map(([flag, { name, option }]) => [name, valueOf(flag, option, parsed[flag])]);
  return Object.fromEntries(values) as OptionValues<S>;
}

/** The value of an option that was given once, several times (a list of texts), or not at all. */
function valueOf(flag: string, option: Option, found: unknown): unknown {
  if (option.type === "boolean") return found === true;
  const given = found as string[];
  if (given.includes("")) {
    throw new UsageError(`--${flag} lacks its value: it accepts ${accepted(option)}`);
  }
  if (option.type === "list" || option.type === "paths") {
    const list = given.flatMap((value) => parseValue(flag, option, value) as string[]);
    return given.length > 0 ? [...new Set(list)] : option.default && [...option.default];
  }
  if (given.length > 1) {
    throw new UsageError(`--${flag} was given ${given.length} times but accepts one value`);
  }
  if (given.length === 1) return parseValue(flag, option, given[0]);
  if ("required" in option && option.required) {
    throw new UsageError(`--${flag} is needed: it accepts ${accepted(option)}`);
  }
  return option.default;
}

/** `--name -1` as `--name=-1`: a number behind an option that takes a value is that value, not an option; nor is an empty text. */
function withNegativeValues(args: readonly string[], valued: readonly string[]): string[] {
  const joined: string[] = [];
  for (const arg of args) {
    const before = joined.at(-1);
    if (/^(-[\d.]|$)/.test(arg) && before?.startsWith("--") && valued.includes(before.slice(2))) {
      joined[joined.length - 1] = `${before}=${arg}`;
    } else joined.push(arg);
  }
  return joined;
}

const isGiven = (value: unknown) => value === true || (Array.isArray(value) && value.length > 0);

/** Refuses what would make another option do nothing, and what would do nothing without another. */
function checkTogether(given: readonly { readonly name: string; readonly option: Option }[]): void {
  const names = given.map(({ name }) => name);
  for (const { name, option: { excludes = [], needs } } of given) {
    const other = names.find((one) => excludes.includes(one));
    if (other !== undefined) {
      throw new UsageError(`--${kebab(name)} and --${kebab(other)} were both given; give one`);
    }
    if (needs === undefined || needs.some((one) => names.includes(one))) continue;
    const flags = needs.map((one) => `--${kebab(one)}`).join(" or ");
    throw new UsageError(`--${kebab(name)} does nothing without ${flags}; give that too, or leave it out`);
  }
}

const wrap = (text: string, width: number, indent: string) => {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1)!;
    if (last !== "" && last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines.join("\n" + indent);
};

const defaultText = (option: Option) => {
  if (option.type === "boolean" || option.default === undefined) return "";
  const value = option.default;
  return ` (default: ${typeof value === "object" ? value.join(",") : value})`;
};

/** The text of `--help`. */
export function usage<const S extends OptionSpecs>(
  command: Command<S>,
): string {
  const shown = Object.entries(command.options).filter(([, option]) => !option.hidden);
  const left = shown.map(([name, option]) => {
    const placeholder = option.value ??
      (option.type === "integer"
        ? "N"
        : option.type === "number"
        ? "X"
        : option.type === "list" || option.type === "paths"
        ? "A,B,..."
        : option.type === "string" && option.choices
        ? option.choices.join("|")
        : "TEXT");
    return `--${kebab(name)}${option.type === "boolean" ? "" : " " + placeholder}`;
  });
  left.push("--help");
  const column = Math.min(34, Math.max(...left.map((text) => text.length)) + 4),
    margin = " ".repeat(column);
  const right = shown.map(([, option]) => {
    const required = "required" in option && option.required ? " (required)" : "";
    return option.help + defaultText(option) + required;
  });
  right.push("print this text");
  const lines = left.map((text, i) => {
    const help = wrap(right[i], Math.max(40, 100 - column), margin);
    return text.length + 4 > column ? `  ${text}\n${margin}${help}` : `  ${text}`.padEnd(column) + help;
  });
  const notes = command.notes === undefined ? [] : [command.notes].flat();
  const facts = [
    command.time && `Time: ${command.time}`,
    command.disk && `Disk: ${command.disk}`,
  ].filter(Boolean);
  return [
    `${command.name}: ${command.summary}`,
    `Usage: deno task ${command.name} ${positionalOf(command) === undefined ? "" : "FILE "}[options]`,
    `Options:\n${lines.join("\n")}`,
    ...(facts.length > 0 ? [facts.join("\n")] : []),
    ...(notes.length > 0 ? [notes.map((note) => wrap(note, 100, "")).join("\n")] : []),
    ...(command.examples
      ? [
        `Examples:\n${command.examples.map((e) => `  deno task ${e}`).join("\n")}`,
      ]
      : []),
  ].join("\n\n");
}

type Cleanup = () => void | Promise<void>;
const cleanups = new Set<Cleanup>();

/**
 * Runs `cleanup` when the command ends, however it ends: done, failed, or interrupted. Later ones run
 * first. Returns a function that takes it off the list again.
 */
export function onExit(cleanup: Cleanup): () => void {
  cleanups.add(cleanup);
  return () => cleanups.delete(cleanup);
}

let terminate: (() => void) | undefined;

/**
 * A signal to a whole group, as service managers send it, comes twice to a command under `deno task`, which passes its own on. The second
 * one, some milliseconds later, is not another wish.
 */
const SAME_SIGNAL_MS = 1000;

/** What the first SIGTERM does in place of interrupting: a service lets its work end. A second one interrupts. */
export function onTerminate(drain: () => void): void {
  terminate = drain;
}

async function cleanUp(): Promise<void> {
  for (const cleanup of [...cleanups].reverse()) {
    cleanups.delete(cleanup);
    try {
      await cleanup();
    } catch (error) {
      report(
        "error",
        `clean-up failed: ${error instanceof Error ? error.message : error}`,
      );
    }
  }
}

function report(label: string, text: string): void {
  const bold = Deno.stderr.isTerminal() && !Deno.noColor;
  const start = bold ? (label === "error" ? "\x1b[1;31m" : "\x1b[1;33m") : "",
    end = bold ? "\x1b[0m" : "";
  console.error(
    `${start}${label}${end}${label === "error" ? ":" : ";"} ${visible(text)}`,
  );
}

/** Asked before anything runs: roles give the permission away. */
const isTracing = (() => {
  const variable = "PRIVATE_INFERENCE_TRACE";
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" && Deno.env.get(variable) === "1";
})();

/** What the runtime says of a file: `Is a directory (os error 21): readfile '/a'`, behind a sentence of ours where that names the file. */
const FILE_ERROR = /^(?:(.*): )?([^:]+) \(os error \d+\)(?:: (\w+) '(.*)')?$/s;

function inWords(message: string): string {
  const [, before, reason, call, path] = FILE_ERROR.exec(message) ?? [];
  if (reason === undefined) return message;
  if (before !== undefined) return `${before}: ${reason}`;
  if (path === undefined) return reason;
  const does = /read|stat/.test(call) ? "read" : call === "open" ? call : "write";
  return `cannot ${does} ${path.split("' -> '").at(-1)}: ${reason}`;
}

function reportError(error: unknown): void {
  const text = error instanceof Error ? error.message || error.name : String(error);
  report("error", inWords(text));
  if (isTracing && error instanceof Error) console.error(error.stack);
}

/**
 * Runs a command and ends the process: exit code 0 when `run` is done, its own number if it returns one,
 * 1 after a mistake, an error, Ctrl-C or SIGTERM. Set `PRIVATE_INFERENCE_TRACE=1` to see stack traces.
 */
export async function runCommand<const S extends OptionSpecs>(
  command: Command<S>,
  args: readonly string[] = Deno.args,
): Promise<never> {
  let ending = false;
  const end = async (code: number): Promise<never> => {
    // A clean-up that hangs must not keep the process; five seconds are ample to end children and close files.
    const limit = setTimeout(() => Deno.exit(1), 5000);
    await cleanUp();
    clearTimeout(limit);
    Deno.exit(code);
  };
  const interrupt = () => {
    if (ending) Deno.exit(1);
    ending = true;
    if (Deno.stderr.isTerminal()) console.error();
    report("interrupted", command.interrupted ?? "nothing further was written");
    void end(1);
  };
  // Not SIGHUP: a run under nohup outlives its terminal. So nothing may lie about that a clean-up would have to remove.
  Deno.addSignalListener("SIGINT", interrupt);
  if (Deno.build.os !== "windows") {
    let latest = -Infinity;
    Deno.addSignalListener("SIGTERM", () => {
      const now = performance.now(), isSame = now - latest < SAME_SIGNAL_MS;
      latest = now;
      if (isSame) return;
      const drain = terminate;
      terminate = undefined;
      (drain ?? interrupt)();
    });
  }
  const stray = (event: Event, reason: unknown) => {
    event.preventDefault();
    if (ending) return;
    ending = true;
    reportError(reason);
    void end(1);
  };
  globalThis.addEventListener("unhandledrejection", (event) => stray(event, event.reason));
  // What the listener of a signal or a timer throws.
  globalThis.addEventListener("error", (event) => stray(event, event.error));

  let code = 0;
  try {
    const values = parseCommand(command, args);
    if (values === "help") console.log(usage(command));
    else code = (await command.run(values)) ?? 0;
  } catch (error) {
    if (!ending) {
      if (error instanceof UsageError) {
        report(
          "error",
          `${error.message}\nSee deno task ${command.name} --help`,
        );
      } else reportError(error);
    }
    code = 1;
  }
  // After an interruption the handler above ends the process; errors that follow from it are not news.
  if (ending) return await new Promise<never>(() => {});
  ending = true;
  return await end(code);
}
