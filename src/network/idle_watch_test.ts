import { assertEquals, assertThrows } from "@std/assert";
import { it } from "@std/testing/bdd";
import { IdleWatch } from "./idle_watch.ts";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

it("IdleWatch reports once when nothing happens, and not while there is progress or nobody waits", async () => {
  let reports = 0;
  const watch = new IdleWatch(80, () => reports++);
  watch.start();
  for (let i = 0; i < 6; i++) {
    await pause(25);
    watch.progress();
  }
  watch.stop();
  await pause(120);
  assertEquals(reports, 0);
  watch.start();
  await pause(200);
  assertEquals(reports, 1);
  watch.close();
});

it("IdleWatch does not accuse the peer of this end's own blocking", async () => {
  let reports = 0;
  const watch = new IdleWatch(40, () => reports++);
  watch.start();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  await pause(0);
  watch.progress();
  watch.stop();
  assertEquals(reports, 0);
  watch.close();
});

it("IdleWatch refuses time-outs that a timer cannot keep", () => {
  for (const timeoutMs of [0, -1, NaN, Infinity, 2 ** 31]) {
    assertThrows(() => new IdleWatch(timeoutMs, () => {}), RangeError, `${timeoutMs} came`);
  }
});
