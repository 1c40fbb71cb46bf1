import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { BinaryNotFound, Host, HostClosed, RequestFailed, ToolError } from "../dist/index.js";
import { BINARY, chat, checked, END, events, manifest, runtime, signal } from "./common.js";

const CALLS = chat(
  ["c1", "calculate", { expression: "6*7" }],
  ["c2", "calculat", {}],
  ["c3", "calculate", '{"expression": '],
);
const EMPTY = { type: "object", properties: {} };

/** Runs a test with a host. */
async function withHost(given, options, run) {
  const host = await Host.open(given, options);
  try {
    await run(host);
  } finally {
    await host.close();
  }
}

test("each call of a response has a result", async () => {
  const relay = checked();
  await withHost(manifest("calculator"), relay, async (host) => {
    const results = await host.runAll(CALLS);
    assert.deepEqual(results.map((it) => it.id), ["c1", "c2", "c3"]);
    assert.deepEqual(results.map((it) => it.error?.code), [undefined, "unknown-tool", "invalid-arguments"]);
    assert.equal(results[0].text, "42");
    assert.ok(results[0].usage.runMs > 0);
    const seen = [];
    for await (const result of host.run(CALLS)) {
      seen.push(result.index);
    }
    assert.deepEqual(seen.sort(), [0, 1, 2]);
    const messages = await host.answers(CALLS);
    assert.deepEqual(messages.map((it) => it.tool_call_id), ["c1", "c2", "c3"]);
    assert.equal(messages[0].content, "42");
  });
  assert.equal(relay.errors(), "");
});

test("a response is taken in every shape", async () => {
  await withHost(manifest("calculator"), {}, async (host) => {
    const text = JSON.stringify(CALLS);
    for (const response of [CALLS, text, new TextEncoder().encode(text), CALLS.choices[0].message]) {
      assert.equal((await host.runAll(response))[0].text, "42");
    }
    assert.deepEqual(await host.answers({ role: "assistant", content: "Hi." }, { format: "openai-chat" }), []);
    await assert.rejects(host.runAll("<html>"), (error) => error instanceof RequestFailed && error.code === "invalid-response");
    await assert.rejects(host.runAll(undefined), TypeError);
    assert.equal((await host.runAll([{ name: "calculate", arguments: { expression: "1+1" } }]))[0].text, "2");
    assert.deepEqual(await host.runAll([]), []);
    const late = await host.call("calculate", { expression: "1" }, { timeout: 10_000, id: "mine" });
    assert.equal(late.id, "mine");
  });
});

test("tools, manifests and reloads", async () => {
  await withHost(manifest("calculator"), {}, async (host) => {
    assert.equal((await host.tools())[0].function.name, "calculate");
    assert.equal((await host.tools("anthropic"))[0].input_schema.type, "object");
    await assert.rejects(host.tools("anthropics"), /known formats/);
    await host.reload({});
    assert.deepEqual(await host.tools(), []);
    await assert.rejects(host.reload({ hosts: {} }), /unknown key/);
  });
  await assert.rejects(Host.open({ hosts: {} }), (error) => error.code === "invalid-manifest");
  await withHost(undefined, { plugins: ["calculator"] }, async (host) => {
    assert.equal((await host.call("calculate", { expression: "6*7" })).text, "42");
  });
  await assert.rejects(Host.open("no-such-file.toml"), /no-such-file.toml/);
});

test("functions are tools", async () => {
  const relay = checked();
  const who = new AsyncLocalStorage();
  await withHost(manifest("calculator"), relay, async (host) => {
    await host.tool({
      name: "add",
      description: "Adds",
      readOnly: true,
      inputSchema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } }, required: ["a"] },
      execute: async ({ a, b = 2 }) => a + b,
    });
    await host.tool({ name: "whoami", inputSchema: EMPTY, execute: () => who.getStore() });
    await host.tool({ name: "nothing", inputSchema: EMPTY, execute: () => {} });
    await host.tool({ name: "found", inputSchema: EMPTY, execute: (_, { callId }) => ({ callId }) });
    await host.tool({
      name: "fails",
      inputSchema: { type: "object", properties: { how: { type: "string" } } },
      execute: ({ how }) => {
        throw how === "denied" ? new ToolError("the cellar", "denied") : new TypeError("no cup");
      },
    });
    assert.equal((await host.call("add", { a: "1" })).text, "3");
    assert.equal((await who.run("Ada", () => host.call("whoami"))).text, "Ada");
    assert.equal((await host.call("nothing")).text, "Done.");
    assert.deepEqual((await host.call("found", {}, { id: "mine" })).structured, { callId: "mine" });
    assert.equal((await host.call("fails", { how: "denied" })).error.code, "denied");
    assert.match((await host.call("fails", { how: "x" })).text, /TypeError: no cup/);
    assert.equal((await host.call("add", {})).error.code, "invalid-arguments");
    await assert.rejects(
      host.tool({ name: "calculate", inputSchema: EMPTY, execute: () => "mine" }),
      (error) => error.code === "invalid-tool",
    );
    assert.equal((await host.call("calculate", { expression: "1" })).text, "1");
    assert.equal((await host.tools("json")).find((it) => it.name === "add").description, "Adds");
  });
  assert.equal(relay.errors(), "");
});

test("deadlines hold whether or not a function obeys", async () => {
  const { promise: obeyed, set } = signal();
  const runsOn = signal();
  const tools = [
    {
      name: "obeys",
      inputSchema: EMPTY,
      timeout: 50,
      execute: (_, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => (set(), reject(signal.reason)))),
    },
    { name: "runs_on", inputSchema: EMPTY, timeout: 50, execute: () => runsOn.promise },
  ];
  await withHost(undefined, { tools }, async (host) => {
    const results = await host.runAll([{ name: "obeys" }, { name: "runs_on" }]);
    assert.deepEqual(results.map((it) => it.error.code), ["timeout", "timeout"]);
    await obeyed;
    runsOn.set();
  });
});

test("a signal cancels the calls", async () => {
  const [started, aborted] = [signal(), signal()];
  const tools = [
    {
      name: "waits",
      inputSchema: EMPTY,
      execute: (_, { signal }) => {
        started.set();
        return new Promise((_, reject) => signal.addEventListener("abort", () => (aborted.set(), reject(signal.reason))));
      },
    },
    { name: "quick", inputSchema: EMPTY, execute: () => "quick" },
  ];
  await withHost(undefined, { tools }, async (host) => {
    const controller = new AbortController();
    const running = host.runAll([{ name: "waits" }], { signal: controller.signal });
    await started.promise;
    controller.abort();
    await assert.rejects(running, { name: "AbortError" });
    await aborted.promise;
    await assert.rejects(host.call("quick", {}, { signal: controller.signal }), { name: "AbortError" });
    // Leaving a loop over results as well.
    for await (const result of host.run([{ name: "waits" }, { name: "quick" }])) {
      assert.equal(result.name, "quick");
      break;
    }
    assert.equal((await host.call("quick")).text, "quick");
  });
});

test("calls start while the stream arrives", async () => {
  const relay = checked();
  let ran = signal();
  const tools = [{ name: "early", readOnly: true, inputSchema: EMPTY, execute: () => (ran.set(), "early") }];
  async function* stream(as) {
    ran = signal();
    const made = (event) => (as === "events" ? event : `data: ${JSON.stringify(event)}\n\n`);
    for (const event of events("early", "early")) {
      yield made(event);
    }
    await ran.promise;
    yield made(END);
  }
  await withHost(undefined, { tools, ...relay }, async (host) => {
    for (const as of ["events", "text"]) {
      const seen = [];
      const messages = await host.answers(stream(as), { onEvent: (event) => seen.push(event) });
      assert.deepEqual(messages.map((it) => it.content), ["early", "early"]);
      assert.equal(seen.length, 3);
      const texts = [];
      for await (const result of host.run(stream(as))) {
        texts.push(result.text);
      }
      assert.deepEqual(texts, ["early", "early"]);
    }
    const body = new Response(`data: ${JSON.stringify(events("early")[0])}\n\ndata: ${JSON.stringify(END)}\n\n`);
    assert.equal((await host.answers(body))[0].content, "early");
  });
  assert.equal(relay.errors(), "");
});

test("a stream that breaks throws, and keeps what ran", async () => {
  let ran = signal();
  const tools = [{ name: "early", readOnly: true, inputSchema: EMPTY, execute: () => (ran.set(), "early") }];
  async function* breaks() {
    ran = signal();
    yield* events("early", "early");
    await ran.promise;
    throw new Error("reset");
  }
  async function* ends() {
    yield* events("early", "early");
  }
  await withHost(undefined, { tools }, async (host) => {
    await assert.rejects(host.runAll(breaks()), /reset/);
    await assert.rejects(async () => {
      for await (const result of host.run(breaks())) {
        assert.equal(result.name, "early");
      }
    }, /reset/);
    await assert.rejects(host.runAll(ends()), (error) => error.code === "broken-stream" && error.results.length === 2);
  });
});

test("a killed host is an error with the results so far", async () => {
  let host;
  const tools = [
    { name: "quick", inputSchema: EMPTY, execute: () => "quick" },
    {
      name: "kills",
      inputSchema: EMPTY,
      execute: async () => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        process.kill(host.pid, "SIGKILL");
        return new Promise(() => {});
      },
    },
  ];
  host = await Host.open(undefined, { tools });
  await assert.rejects(host.runAll([{ name: "quick" }, { name: "kills" }]), (error) => {
    assert.ok(error instanceof HostClosed && /killed by SIGKILL/.test(error.message), error);
    assert.deepEqual(error.results.map((it) => it.name), ["quick"]);
    return true;
  });
  await assert.rejects(host.call("quick"), HostClosed);
  await host.close();
});

test("many calls at once, and much data in both directions", async () => {
  const tools = [{ name: "back", inputSchema: { type: "object" }, execute: ({ text }) => text }];
  await withHost({ host: { "max-input": "8MiB", "max-output": "8MiB" } }, { tools }, async (host) => {
    const texts = [...Array(24).keys()].map((n) => String.fromCharCode(65 + n).repeat(1 << 20));
    const results = await Promise.all(texts.map((text) => host.call("back", { text })));
    assert.deepEqual(results.map((it) => it.text === texts[results.indexOf(it)]), Array(24).fill(true));
    const many = await Promise.all([...Array(1000).keys()].map((n) => host.call("back", { text: `${n} ä` })));
    assert.deepEqual(many.map((it) => it.text), [...Array(1000).keys()].map((n) => `${n} ä`));
  });
});

test("a binary that is not there says where it was looked for", async () => {
  await assert.rejects(Host.open({}, { binary: "/nowhere" }), /option `binary` names a file that is not there/);
  await assert.rejects(Host.open({}, { binary: "/bin/false" }), /exit status 1/);
  // evanw/esbuild#2129: what is no host must not hang, nor end the program.
  await assert.rejects(Host.open({}, { binary: "/bin/echo" }), /cannot be read/);
  const { PATH, TOOLHOST_BINARY } = process.env;
  delete process.env.TOOLHOST_BINARY;
  process.env.PATH = "/nowhere";
  await assert.rejects(Host.open(), (error) => error instanceof BinaryNotFound && /toolhost on PATH/.test(error.message));
  Object.assign(process.env, { PATH, TOOLHOST_BINARY });
});

async function program(text) {
  const code = `import { Host } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)};\n${text}`;
  const [command, ...words] = runtime(undefined, code);
  const child = spawn(command, words, {
    env: { ...process.env, TOOLHOST_BINARY: BINARY },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  child.stdout.on("data", (chunk) => (out += chunk));
  const [status, killedBy] = await once(child, "close");
  return { out, status, killedBy };
}

async function isGone(pid) {
  for (let tries = 0; tries < 1000; tries++) {
    try {
      process.kill(pid, 0);
    } catch {
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return false;
}

test("a program ends with an open host, and leaves none", async () => {
  const idle = await program(`const host = await Host.open({}); console.log(host.pid);`);
  assert.equal(idle.status, 0);
  assert.ok(await isGone(Number(idle.out)));
  const killed = await program(
    `const host = await Host.open({}); console.log(host.pid); setTimeout(() => process.kill(process.pid, "SIGKILL"), 50);`,
  );
  assert.equal(killed.killedBy, "SIGKILL");
  assert.ok(await isGone(Number(killed.out)));
});

test("the binary and the package have one version or say so", async () => {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const said = execFileSync(BINARY, ["--version"], { encoding: "utf8" }).trim();
  assert.equal(said, `toolhost ${version}`);
  const other = join(mkdtempSync(join(tmpdir(), "toolhost-")), "toolhost");
  const greeting = '{"type":"hello","version":1,"host":"9.8.7","max_frame":1000,"formats":[]}';
  writeFileSync(other, `#!/bin/sh\nread hello\necho '${greeting}'\ncat > /dev/null\n`, { mode: 0o755 });
  const warned = once(process, "warning");
  const host = await Host.open({}, { binary: other });
  const [warning] = await warned;
  assert.match(warning.message, new RegExp(`${other} has version 9.8.7, and the package ${version}`));
  await host.close();
});

test("what has returned is answered though a function of the same batch blocks the loop", async () => {
  const folder = mkdtempSync(join(tmpdir(), "toolhost-"));
  const [script, binary] = [join(folder, "host.mjs"), join(folder, "toolhost")];
  // A host that calls both at once, and whose result is how long the second answer came after the first.
  writeFileSync(
    script,
    `import { createInterface } from "node:readline";
    const send = (...frames) => process.stdout.write(frames.map((it) => JSON.stringify(it) + "\\n").join(""));
    let first;
    createInterface({ input: process.stdin }).on("line", (line) => {
      const frame = JSON.parse(line);
      if (frame.type === "hello") {
        send({ type: "hello", version: 1, host: "0.1.0", max_frame: 1e6, formats: [] });
      } else if (frame.type === "run") {
        send(...["fast", "spin"].map((tool, id) => ({ type: "call", id: id + 1, run: frame.id, tool, arguments: {}, timeout_ms: 1 })));
      } else if (frame.type === "answer" && frame.id === 1) {
        first = performance.now();
      } else if (frame.type === "answer") {
        const result = { name: "fast", text: String(performance.now() - first), usage: { queue_ms: 0, run_ms: 0, cpu_ms: 0 } };
        send({ type: "done", run: 1, results: [{ index: 0, result }] });
      }
    });`,
  );
  const command = runtime(script).map((word) => `"${word}"`).join(" ");
  writeFileSync(binary, `#!/bin/sh\nexec ${command}\n`, { mode: 0o755 });
  const spin = () => {
    for (const until = performance.now() + 500; performance.now() < until; );
  };
  const tools = [
    { name: "fast", inputSchema: EMPTY, execute: () => "fast" },
    { name: "spin", inputSchema: EMPTY, execute: spin },
  ];
  await withHost({}, { binary, tools }, async (host) => {
    const { text } = await host.call("fast");
    assert.ok(Number(text) > 300, text);
  });
});
