// Functions that call the host: no deadlock at one call at a time, and the end of a call ends what it runs.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Host } from "../dist/index.js";
import { checked, END, events, manifest, signal } from "./common.js";

const EMPTY = { type: "object", properties: {} };
const DEPTH = { type: "object", properties: { n: { type: "integer" } }, required: ["n"] };

/** A host that runs one call at a time. */
function oneAtATime(options = {}) {
  return Host.open({ ...manifest("calculator"), host: { "max-concurrency": 1 } }, { maxCalls: 1, ...options });
}

test("functions call the host at one call at a time", async () => {
  const relay = checked();
  const host = await oneAtATime(relay);
  await host.tool({
    name: "down",
    inputSchema: DEPTH,
    execute: async ({ n }) =>
      (await (n === 0 ? host.call("calculate", { expression: "6*7" }) : host.call("down", { n: n - 1 }))).text,
  });
  await host.tool({
    name: "together",
    inputSchema: EMPTY,
    execute: async () => {
      const calls = Array.from({ length: 8 }, (_, n) => ({ name: "calculate", arguments: { expression: `${n}+1` } }));
      const [results, down] = await Promise.all([host.runAll(calls), host.call("down", { n: 1 })]);
      return [...results.map((it) => it.text), down.text].join(" ");
    },
  });
  const results = await Promise.all(Array.from({ length: 30 }, (_, n) => host.call("down", { n: n % 15 })));
  assert.deepEqual(results.map((it) => it.text), Array(30).fill("42"));
  const together = await host.call("together");
  assert.deepEqual([together.text, together.usage.calls], ["1 2 3 4 5 6 7 8 42", 11]);
  assert.match((await host.call("down", { n: 16 })).text, /nested more than 16 deep/);
  await host.close();
  assert.equal(relay.errors(), "");
});

test("a stream in a function, and another host", async () => {
  const [host, other] = [await oneAtATime(), await oneAtATime()];
  await host.tool({ name: "leaf", inputSchema: EMPTY, readOnly: true, execute: () => "leaf" });
  await host.tool({
    name: "agent",
    inputSchema: EMPTY,
    execute: async () => {
      async function* stream() {
        yield* events("leaf", "leaf");
        yield END;
      }
      const messages = await host.answers(stream());
      // The call is none of the other's.
      const answer = await other.call("calculate", { expression: "2+2" });
      return [...messages.map((it) => it.content), answer.text].join(" ");
    },
  });
  assert.equal((await host.call("agent")).text, "leaf leaf 4");
  await host.close();
  await other.close();
});

test("the end of a call ends what its function runs, and not what it starts later", async () => {
  const host = await Host.open(manifest("calculator"));
  const [started, returned] = [signal(), signal()];
  let left;
  await host.tool({
    name: "waits",
    inputSchema: EMPTY,
    execute: (_, { signal }) => {
      started.set();
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
  });
  await host.tool({
    name: "does_not_wait",
    inputSchema: EMPTY,
    execute: async () => {
      left = [host.call("waits"), returned.promise.then(() => host.call("calculate", { expression: "1+1" }))];
      await started.promise;
      return "returned";
    },
  });
  assert.equal((await host.call("does_not_wait")).text, "returned");
  assert.equal((await left[0]).error.code, "cancelled");
  returned.set();
  assert.equal((await left[1]).text, "2");
  await host.close();
});

test("`await using` closes a host", async () => {
  const host = await Host.open();
  const { pid } = host;
  // What the statement does; Node 20 cannot parse it.
  await host[Symbol.asyncDispose]();
  await assert.rejects(host.call("anything"), /the host is closed/);
  assert.throws(() => process.kill(pid, 0), /ESRCH/);
});
