// As harness.py, for the runners of JavaScript.

export const seen = { begun: 0, done: 0 };

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The same tools. A function that computes has no thread to do it on. */
export const TOOLS = {
  fast: async ({ i }) => `fast ${i}`,
  nap: async ({ i }) => {
    seen.begun += 1;
    await sleep(300);
    seen.done += 1;
    return `nap ${i}`;
  },
  boom: async () => {
    throw new Error("boom");
  },
  hang: () => new Promise(() => {}),
  spin: ({ i }) => {
    for (const until = performance.now() + 2000; performance.now() < until; );
    return `spin ${i}`;
  },
};

/** The JSON Schema of each tool's arguments. */
export const INPUT = { type: "object", properties: { i: { type: "integer" } }, required: ["i"] };

/**
 * Measures a scenario, which is given as JSON, and prints what it found. `around` gets the limit in seconds, and
 * returns a function of the calls and a signal that resolves to the ids and texts of the messages.
 */
export async function main(around) {
  const { tools, limit, cancel_after: cancelAfter } = JSON.parse(process.argv[2]);
  const calls = tools.map((name, n) => [`call_${n}`, name, { i: n }]);
  const run = await around(limit ?? undefined);
  let ticks = 0;
  setInterval(() => (ticks += 1), 5);
  await sleep(20);
  ticks = 0;
  const found = {};
  const controller = new AbortController();
  const begun = performance.now();
  let answered = [];
  const running = run(calls, controller.signal).then(
    (messages) => (answered = messages),
    (error) => (found.outcome = `raises ${error.name}`),
  );
  if (cancelAfter != null) {
    await sleep(cancelAfter * 1000);
    controller.abort();
    await Promise.race([running, sleep(10_000)]);
    await sleep(600);
    delete found.outcome;
    found["run on"] = seen.done;
  } else {
    let isOver = false;
    await Promise.race([running.then(() => (isOver = true)), sleep(8000)]);
    found.seconds = Math.round(performance.now() - begun) / 1000;
    found.ticks = ticks;
    if (!isOver) {
      found.outcome = "still running after 8 s";
    }
    const texts = new Map(answered);
    found.lost = calls.filter(([id]) => !texts.has(id)).length;
    const made = calls.filter(([id, name]) => ["fast", "nap"].includes(name) && texts.has(id));
    found.changed = made.filter(([id, name, { i }]) => texts.get(id) !== `${name} ${i}`).length;
    const before = seen.done;
    await sleep(500);
    found["run on"] = seen.done - before;
  }
  console.log(JSON.stringify(found));
  process.exit(0);
}
