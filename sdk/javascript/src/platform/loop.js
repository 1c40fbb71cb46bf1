// The event loop of a component: promise jobs, timers, and pending operations of the host.

const jobs = [];
let next = 0;

/** Queues a job. */
export function enqueue(job) {
  jobs.push(job);
}

function runJobs() {
  while (next < jobs.length) {
    const job = jobs[next];
    next += 1;
    job();
    if (next === 1024) {
      jobs.splice(0, next);
      next = 0;
    }
  }
  jobs.length = 0;
  next = 0;
}

/** How long calls are waited for before timers and operations of the host are looked at, in milliseconds. */
const LOOK = 5;

/** Timers and operations of the host: `wait` blocks until one is ready, or for so many milliseconds. */
let platform = { isWaiting: () => false, wait: () => false };
/** Calls of tools. */
let calls = { areRunning: () => false, wait() {} };

export function waitWith(waiter) {
  platform = waiter;
}

export function waitForCallsWith(waiter) {
  calls = waiter;
}

/** Blocks until something is ready; false if there is nothing to wait for. */
function wait() {
  if (!calls.areRunning()) return platform.wait(Infinity);
  const isWaiting = platform.isWaiting();
  if (!isWaiting || !platform.wait(0)) calls.wait(isWaiting ? LOOK : undefined);
  return true;
}

/** Runs an async function until it settles, or until there is nothing left to wait for. */
export function runUntilSettled(run) {
  let outcome;
  run().then(
    (value) => (outcome = { isFulfilled: true, value }),
    (value) => (outcome = { isFulfilled: false, value }),
  );
  do runJobs();
  while (!outcome && wait());
  return outcome ?? { isFulfilled: false, value: new Error("the tool awaits a promise that can never settle") };
}
