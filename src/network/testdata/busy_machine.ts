/**
 * How much worse than on an idle machine timings may be now, 1 or more. An idle machine wakes a sleeping
 * thread 0.1 ms late. With more programs than cores a thread waits for a scheduler's slice of 4 ms now and
 * then, and no software link can be on time: what is left to test then is the order of magnitude.
 */
export function busyFactor(): number {
  if (Deno.loadavg()[0] > navigator.hardwareConcurrency) return 10;
  const neverNotified = new Int32Array(new SharedArrayBuffer(4));
  let latestMs = 0;
  for (let i = 0; i < 20; i++) {
    const startMs = performance.now();
    Atomics.wait(neverNotified, 0, 0, 1);
    latestMs = Math.max(latestMs, performance.now() - startMs - 1);
  }
  return Math.max(1, latestMs / 0.25);
}
