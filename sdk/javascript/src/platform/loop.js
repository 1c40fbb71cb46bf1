// The loop of a component: jobs of promises, timers, and what the host will answer.

const jobs = [];
let next = 0;

/** Runs this after what runs now. */
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

/** What waits for the host: it returns whether there was something to wait for, once some of it is done. */
let wait = () => false;

export function waitWith(waiter) {
  wait = waiter;
}

/** Runs an async function to its end, or until nothing is left that could bring it there. */
export function runUntilSettled(run) {
  let outcome;
  run().then(
    (value) => (outcome = { isFulfilled: true, value }),
    (value) => (outcome = { isFulfilled: false, value }),
  );
  do runJobs();
  while (!outcome && wait());
  return outcome ?? { isFulfilled: false, value: new Error("the tool waits for a promise that nothing will settle") };
}
