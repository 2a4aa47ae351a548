import { assertEquals, assertRejects } from "@std/assert";
import { it } from "@std/testing/bdd";
import type { Batch, StepReport, StepSettings, TrainingEngine } from "./engine.ts";
import { presetOf } from "./presets.ts";
import { stepSettings } from "./schedule.ts";
import { type PlannedStep, takeSteps } from "./take_steps.ts";

const SETTINGS: StepSettings = stepSettings(presetOf("convnet-relu"), 0, 0, 1);
const REPORT: StepReport = { crossEntropy: 0, penalty: 0, correct: 0, largestInput: [], outOfRange: 0 };

/** Notes when steps, numbered by the size of their batches, begin and end, and which of them are drawn. */
function rehearsal(failing: readonly number[] = []) {
  const events: string[] = [];
  const step = async ({ size }: Batch): Promise<StepReport> => {
    events.push(`begin ${size}`);
    await new Promise((done) => setTimeout(done));
    events.push(`end ${size}`);
    if (failing.includes(size)) throw new Error(`step ${size} failed`);
    return { ...REPORT, correct: size };
  };
  const plan = function* (stops: readonly boolean[]): Generator<PlannedStep> {
    for (const [i, isStop] of stops.entries()) {
      events.push(`draw ${i + 1}`);
      const batch = { size: i + 1, images: new Float32Array(), targets: new Float32Array() };
      yield { batch, settings: SETTINGS, isStop };
    }
  };
  return { events, engine: { step } as unknown as TrainingEngine, plan };
}

it("takeSteps() yields the reports in order, one step ahead", async () => {
  const { events, engine, plan } = rehearsal(), reports: number[] = [];
  for await (const { correct } of takeSteps(engine, plan([false, false, false]))) {
    reports.push(correct);
    events.push(`report ${correct}`);
  }
  assertEquals(reports, [1, 2, 3]);
  const before = (a: string, b: string) =>
    assertEquals(events.indexOf(a) < events.indexOf(b), true, `${a}, ${b}`);
  before("begin 2", "end 1");
  before("report 1", "draw 3"); // the batch of step 1 may then be written over
  before("begin 3", "report 2");
});

it("takeSteps() begins no step after a stop until its report has been taken", async () => {
  const { events, engine, plan } = rehearsal();
  for await (const { correct } of takeSteps(engine, plan([false, true, false]))) {
    events.push(`report ${correct}`);
  }
  assertEquals(events.slice(-5), ["report 2", "draw 3", "begin 3", "end 3", "report 3"]);
});

it("takeSteps() leaves no step running when its caller stops", async () => {
  const { events, engine, plan } = rehearsal();
  for await (const _ of takeSteps(engine, plan([false, false, false, false]))) break;
  assertEquals(events, ["draw 1", "begin 1", "draw 2", "begin 2", "end 1", "end 2"]);
});

it("takeSteps() throws the first failure, and none goes unhandled", async () => {
  const { events, engine, plan } = rehearsal([2, 3]), seen: number[] = [];
  const run = async () => {
    for await (const { correct } of takeSteps(engine, plan([false, false, false, false]))) seen.push(correct);
  };
  await assertRejects(run, Error, "step 2 failed");
  assertEquals([seen, events.at(-1)], [[1], "end 3"]);
});

it("takeSteps() of no steps yields nothing", async () => {
  const { engine, plan } = rehearsal();
  assertEquals(await Array.fromAsync(takeSteps(engine, plan([]))), []);
});
