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

/** Blocks until a timer or an operation of the host is ready; false if there is none. */
let wait = () => false;

export function waitWith(waiter) {
  wait = waiter;
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
