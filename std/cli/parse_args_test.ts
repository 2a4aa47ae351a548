import { assertEquals } from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";

Deno.test("parseArgs() reads values, flags, aliases and defaults", () => {
  const args = parseArgs(["--seed", "7", "-j", "--name=a=b", "rest", "12"], {
    string: ["seed", "name"],
    boolean: ["json", "quiet"],
    alias: { json: "j" },
    default: { size: 3, seed: "1" },
  });
  assertEquals(
    { ...args },
    {
      seed: "7",
      json: true,
      j: true,
      name: "a=b",
      size: 3,
      quiet: false,
      _: ["rest", 12],
    } as typeof args,
  );
});

Deno.test("parseArgs() keeps strings, converts undeclared numbers, stops at --", () => {
  const args = parseArgs(["--id", "007", "--n", "-3", "--flag", "--", "--id", "x"], { string: ["id"] });
  assertEquals([args.id, args["n"], args["flag"], args._], ["007", -3, true, ["--id", "x"]]);
});

Deno.test("parseArgs() collects, negates and reports what is not declared", () => {
  const unknown: string[] = [];
  const args = parseArgs(["--only", "a", "--only", "b", "--no-color", "--what", "stray", "--empty"], {
    string: ["only", "empty"],
    boolean: ["color"],
    collect: ["only"],
    negatable: ["color"],
    default: { color: true },
    unknown: (arg) => {
      unknown.push(arg);
      return false;
    },
  });
  assertEquals(
    [args["only"], args.color, args.empty, unknown],
    [["a", "b"], false, "", ["--what"]] as unknown[],
  );
});
