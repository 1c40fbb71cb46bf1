// StarlingMonkey has promises, timers, fetch and the rest by itself: exports may be async.

export const serve = async (run, error) => {
  try {
    return await run();
  } catch (thrown) {
    throw error ? error(thrown) : thrown;
  }
};

export const size = (bytes) => (bytes === undefined ? undefined : BigInt(bytes));

export const u64 = (number) => BigInt(number);

/** How long calls are waited for before its own event loop goes on, in milliseconds. */
const LOOK = 5;

let isWaiting = false;

/** Its event loop cannot wait for calls: they are waited for in turn with it. */
export function waitForCallsWith(calls) {
  if (isWaiting) return;
  isWaiting = true;
  setTimeout(() => {
    isWaiting = false;
    calls.wait(LOOK);
    if (calls.areRunning()) waitForCallsWith(calls);
  }, 0);
}
