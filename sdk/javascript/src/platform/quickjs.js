// QuickJS here runs no jobs while the host waits for an export. So promises are our own (`promise.js`; the build turns async
// functions into generators over them), and an export runs the loop until its answer is there.

import { runUntilSettled } from "./loop.js";

export const serve = (run, error) => {
  const outcome = runUntilSettled(run);
  if (outcome.isFulfilled) return outcome.value;
  throw error ? error(outcome.value) : outcome.value;
};

export const size = (bytes) => bytes;

export const u64 = (number) => number;
