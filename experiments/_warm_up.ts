/**
 * How many queries do not count since the engine still optimises: V8 compiles what it finds hot anew for some seconds. Private queries
 * of roundnet take 5.3 ms at first and 3.1 after 120, plaintext ones by TensorFlow.js 6.0 and, after 180, 4.8.
 */
import { buildModel, countModel } from "../mod.ts";

const LEAST = 4, MOST = 150;
const SECONDS = { private: 4, plaintext: 1.5 };

const counts = (model: string) => countModel(buildModel(model));
const queriesIn = (seconds: number, each: number) =>
  Math.min(MOST, Math.max(LEAST, Math.round(seconds / each)));

/** Roughly, the offline phase included. */
export const secondsPerQuery = (model: string): number => counts(model).activations / 5e6;

/** Roughly, of a runtime in WebAssembly on one thread. */
export const secondsInTheClear = (model: string): number => counts(model).macs / 12e9;

export const warmUpOf = (model: string): number => queriesIn(SECONDS.private, secondsPerQuery(model));

export const warmUpInTheClear = (model: string): number =>
  queriesIn(SECONDS.plaintext, secondsInTheClear(model));
