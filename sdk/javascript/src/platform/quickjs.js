// QuickJS's synchronous runtime does not run promise jobs before an export returns. So this package brings its own promises
// (`promise.js`; the build lowers async functions to generators on top of them), and each export runs the event loop until
// its result is settled.

import { runUntilSettled } from "./loop.js";

export { waitForCallsWith } from "./loop.js";

export const serve = (run, error) => {
  const outcome = runUntilSettled(run);
  if (outcome.isFulfilled) return outcome.value;
  throw error ? error(outcome.value) : outcome.value;
};

export const size = (bytes) => bytes;

export const u64 = (number) => number;
