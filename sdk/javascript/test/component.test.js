// The same plugins as components, called through the command. `TOOLHOST` names it; without it there is nothing to do.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build as bundle } from "esbuild";
import { BuildError, build } from "../src/build.js";
import { parse, stringify } from "../src/json.js";

const here = dirname(fileURLToPath(import.meta.url));
const { TOOLHOST } = process.env;
const LIMIT = 300;
/** StarlingMonkey takes a minute to build, and half of one to compile in a debug build of the host. */
const engines = process.env.ENGINES?.split(",") ?? ["quickjs", "starlingmonkey"];

let folder;
let server;
let url;
let signatures;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "toolhost-plugin-test-"));
  server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    response.writeHead(request.url === "/gone" ? 404 : 200);
    response.end(
      `${request.method} ${request.url} ${request.headers["x-test"] ?? request.headers["content-type"]} ${body}`.trim(),
    );
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${server.address().port}`;
  const outfile = join(here, `.cases-${process.pid}.mjs`);
  await bundle({
    entryPoints: [join(here, "signatures.ts")],
    bundle: true,
    format: "esm",
    platform: "node",
    outfile,
    alias: { "toolhost-plugin": join(here, "../src/index.js") },
  });
  signatures = await import(outfile);
  await rm(outfile);
});

after(async () => {
  server.close();
  server.closeAllConnections();
  await rm(folder, { recursive: true, force: true });
});

async function load(engine) {
  const plugins = { hello: join(here, "../examples/hello"), everything: join(here, "everything.js") };
  if (engine === "quickjs") plugins.signatures = join(here, "signatures.ts");
  for (const [name, path] of Object.entries(plugins))
    await build(path, { output: join(folder, engine, `${name}.wasm`), engine, timeout: LIMIT });
  const manifest = join(folder, engine, "toolhost.toml");
  await mkdir(join(folder, engine, "notes"));
  await writeFile(join(folder, engine, "notes/a.txt"), "hi");
  await writeFile(join(folder, engine, "secret"), "s3cret-value");
  await writeFile(
    manifest,
    `[host]
    max-compile = "${LIMIT}s"
    [plugin.hello]
    path = "hello.wasm"
    [plugin.everything]
    path = "everything.wasm"
    config = { key = "value" }
    permissions.secrets = { key = { file = "secret" } }
    permissions.http = ["${url}"]
    permissions.tools = ["greet", "s_image"]
    permissions.files = [{ host = "notes", guest = "/notes", access = "read-write" }]
    ${engine === "quickjs" ? '[plugin.signatures]\npath = "signatures.wasm"\nprefix = "s_"' : ""}`,
  );
  return manifest;
}

/** Runs calls of a tool's name and its arguments as JSON text. */
async function runCalls(manifest, calls) {
  const lines = calls.map(([name, args], index) => `{"id":"${index}","name":"${name}","arguments":${args}}`).join("\n");
  const output = await new Promise((resolve, reject) => {
    const options = { timeout: LIMIT * 1000, maxBuffer: 1 << 26 };
    const child = execFile(
      TOOLHOST,
      ["--manifest", manifest, "run", "--format", "json", "--full"],
      options,
      (error, stdout, stderr) => (error ? reject(new Error(`${error.message}\n${stderr}`)) : resolve(stdout)),
    );
    child.stdin.end(lines);
  });
  return output.trim().split("\n").map(parse);
}

const call = async (manifest, name, args) => (await runCalls(manifest, [[name, JSON.stringify(args)]]))[0];

/** As much of an MCP client over stdio as these tests need. */
async function withClient(manifest, answer, use) {
  const child = spawn(TOOLHOST, ["--manifest", manifest, "serve"], { stdio: ["pipe", "pipe", "inherit"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT * 1000);
  const waiting = new Map();
  const send = (message) => child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  createInterface({ input: child.stdout }).on("line", (line) => {
    const message = JSON.parse(line);
    if (message.method && message.id !== undefined)
      send({ id: message.id, result: answer(message.method, message.params) });
    else if (waiting.has(message.id)) waiting.get(message.id)(message);
  });
  let last = 0;
  const request = async (method, params = {}) => {
    last += 1;
    const id = last;
    const reply = await new Promise((resolve) => {
      waiting.set(id, resolve);
      send({ id, method, params });
    });
    if (reply.error) throw new Error(JSON.stringify(reply.error));
    return reply.result;
  };
  try {
    const capabilities = { elicitation: {}, sampling: {}, roots: {} };
    await request("initialize", {
      protocolVersion: "2025-06-18",
      capabilities,
      clientInfo: { name: "test", version: "1" },
    });
    send({ method: "notifications/initialized" });
    return await use(request);
  } finally {
    child.stdin.end();
    await new Promise((resolve) => child.on("exit", resolve));
    clearTimeout(timer);
  }
}

for (const engine of engines) {
  describe(engine, { skip: !TOOLHOST && "TOOLHOST does not name the command" }, () => {
    let manifest;
    before(async () => {
      manifest = await load(engine);
    });

    test("a tool with schemas", async () => {
      const result = await call(manifest, "greet", { name: "Ada", times: 2 });
      assert.deepEqual(result.structured, { text: "Hello, Ada! Hello, Ada!", length: 23 });
      assert.deepEqual(result.log, [{ source: "info", text: "greeting Ada in English" }]);
      assert.equal((await call(manifest, "greet", { name: " " })).error.message, "invalid arguments: `name` is empty");
    });

    test("errors are the language's own last line", async () => {
      const expected = {
        error: ["failed", /^no luck$/],
        arguments: ["invalid-arguments", /`how` is wrong$/],
        denied: ["denied", /a key$/],
        type: ["failed", /^TypeError: .*length/],
        text: ["failed", /^Uncaught "a text"$/],
        recursion:
          engine === "quickjs" ? ["limit", /stack size limit exceeded \(512 KiB\)/] : ["failed", /^InternalError: too much recursion$/],
        rejected: ["failed", /^RangeError: one$/],
        cause: ["failed", /^Error: outer \(cause: TypeError: inner\)$/],
        never: engine === "quickjs" ? ["failed", /a promise that can never settle/] : ["trap", /event loop error/],
        nan: ["failed", /^TypeError: \/deep\/1: NaN cannot be represented in JSON$/],
        map: ["failed", /a Map cannot be represented in JSON: use Object.fromEntries/],
      };
      const results = await runCalls(
        manifest,
        Object.keys(expected).map((how) => ["fail", `{"how":"${how}"}`]),
      );
      for (const [index, [how, [code, message]]] of Object.entries(expected).entries()) {
        assert.equal(results[index].error?.code, code, `${how}: ${stringify(results[index])}`);
        assert.match(results[index].error.message, message);
        if (how === "type") assert.match(results[index].log[0].text, /TypeError: .*\n.* at |run@/s);
      }
      assert.equal((await call(manifest, "fail", { how: "surrogate" })).content, "a\ufffdb");
      assert.equal((await call(manifest, "fail", { how: "undefined" })).content, "Done.");
    });

    test("the host is there", async () => {
      const [first, second] = await runCalls(manifest, [
        ["host", '{"key":"key"}'],
        ["host", '{"key":"key"}'],
      ]);
      assert.equal(first.structured.config, "value");
      assert.equal(first.structured.secret, "***");
      assert.notEqual(first.structured.random, second.structured.random);
      assert.match(first.structured.uuid, /^[0-9a-f-]{36}$/);
      assert.ok(first.structured.year >= 2026);
      const lines = first.log.map(({ source, text }) => `${source}: ${text}`);
      assert.deepEqual(lines, ['info: printed { a: [1, Map(1) {"b" => 2n}] }', "warning: one of 2", "notice: noticed"]);
    });

    test("requests and timers", async () => {
      const fetched = await call(manifest, "fetch", { urls: [0, 1, 2].map((number) => `${url}/${number}`) });
      assert.deepEqual(
        fetched.structured?.result,
        [0, 1, 2].map((number) => `200 GET /${number} yes`),
        stringify(fetched),
      );
      const posted = await call(manifest, "fetch", { urls: [`${url}/p`], post: "ä" });
      assert.deepEqual(
        posted.structured?.result,
        ['200 POST /p?q=a+b application/json {"text":"ä"}'],
        stringify(posted),
      );
      assert.equal((await call(manifest, "fetch", { urls: ["http://127.0.0.1:1/"] })).error.code, "denied");
      assert.equal((await call(manifest, "slow", {})).content, "1 10 tick 20 a 1 b microtask");
    });

    test("calls of tools", async () => {
      const got = await call(manifest, "together", { names: ["a", "b", " "], url: `${url}/x` });
      const [fetched, ...others] = got.structured?.result ?? [];
      assert.match(fetched ?? "", /^GET \/x/, stringify(got));
      const refused = "greet invalid-arguments: invalid arguments: `name` is empty";
      assert.deepEqual(others, ["Hello, a!", "Hello, b!", refused, "slept"]);
      if (engine === "quickjs") {
        const denied = await call(manifest, "calls", { name: "s_nothing" });
        assert.equal(denied.error?.code, "denied", stringify(denied));
        assert.match(denied.error.message, /permissions\.tools/);
      }
      // Who calls none does not ask for it.
      const asks = async (name) => (await readFile(join(folder, engine, `${name}.wasm`))).includes("toolhost:calls");
      assert.deepEqual([await asks("everything"), await asks("hello")], [true, false]);
    });

    test("files", async () => {
      const missing = (path) => `ENOENT: no such file or directory, open '${path}'`;
      const result = await call(manifest, "files", {
        folder: "/notes",
        outside: ["/etc/passwd", "/notes/../../etc/passwd"],
      });
      assert.deepEqual(
        parse(result.content),
        [
          "hi",
          "first sëcond",
          13,
          1_400_000,
          "a.txt,c",
          "false,true",
          "/notes/c",
          "/etc/passwd",
          "/notes/../../etc/passwd",
        ].map((part, index) => (index > 5 ? missing(part) : part)),
        stringify(result),
      );
      assert.deepEqual(await readdir(join(folder, engine, "notes")), ["a.txt"]);
    });

    test("questions, resources and prompts", async () => {
      const answer = (method, params) => {
        if (method === "sampling/createMessage") {
          return {
            role: "assistant",
            content: { type: "text", text: `re: ${params.messages[0].content.text}` },
            model: "m",
          };
        }
        return {
          action: "accept",
          content: params.requestedSchema.properties.sure ? { sure: true } : { name: "Ada", age: 36 },
        };
      };
      await withClient(manifest, answer, async (request) => {
        const run = async (name) => (await request("tools/call", { name, arguments: {} })).content;
        assert.equal((await run("welcome"))[0].text, "Ada, 36: re: A motto for Ada, please.");
        assert.match((await run("remembered"))[0].text, /^0\.\d+(e-\d+)? true$/);
        assert.deepEqual(
          (await run("picture")).map((part) => part.type),
          ["text", "image", "resource_link"],
        );
        const { resources } = await request("resources/list");
        assert.deepEqual(resources.map((found) => found.uri).sort(), ["note://by-day/2026-02-28", "note://welcome"]);
        assert.equal(resources.find((found) => found.uri === "note://welcome").size, 16);
        const [read] = (await request("resources/read", { uri: "note://by-day/2026-02-28" })).contents;
        assert.equal(Buffer.from(read.blob, "base64").toString(), "On 2026-02-28: nothing.");
        const [found] = (await request("prompts/list")).prompts;
        assert.deepEqual(
          found.arguments.map(({ name, required }) => [name, required]),
          [
            ["code", true],
            ["language", false],
          ],
        );
        const filled = await request("prompts/get", { name: "review", arguments: { code: "x" } });
        assert.equal(filled.messages[2].content.text, "x");
        const completed = await request("completion/complete", {
          ref: { type: "ref/prompt", name: "review" },
          argument: { name: "language", value: "p" },
        });
        assert.deepEqual(completed.completion.values, ["Python"]);
      });
    });

    test(
      "signatures round trip",
      { skip: engine !== "quickjs" && "they are the package's, not the engine's" },
      async () => {
        const results = await runCalls(
          manifest,
          signatures.cases.map(([name, value]) => [`s_${name}`, `{"value":${value}}`]),
        );
        for (const [index, [name, value, back]] of signatures.cases.entries()) {
          const { error, structured, content } = results[index];
          assert.equal(error, undefined, `${name} ${value}: ${stringify(results[index])}`);
          const got =
            structured === undefined
              ? content
              : Object.keys(structured).length === 1 && "result" in structured
                ? structured.result
                : structured;
          assert.deepEqual(got, parse(back), `${name} ${value}`);
        }
        const wrong = await runCalls(
          manifest,
          signatures.refused.map(([name, value]) => [`s_${name}`, `{"value":${value}}`]),
        );
        for (const [index, [name, value]] of signatures.refused.entries()) {
          // What can be meant in one way only is repaired by the host.
          if (!wrong[index].repairs)
            assert.equal(wrong[index].error?.code, "invalid-arguments", `${name} ${value}: ${stringify(wrong[index])}`);
        }
      },
    );
  });
}

test(
  "a package without side effects still offers its tools",
  { skip: !TOOLHOST && "TOOLHOST does not name the command" },
  async () => {
    const project = join(folder, "project");
    await mkdir(project);
    await writeFile(join(project, "package.json"), '{ "type": "module", "main": "main.js", "sideEffects": false }');
    await writeFile(
      join(project, "main.js"),
      'import { tool } from "toolhost-plugin"; tool({ name: "t", description: "", run() {} });',
    );
    await build(project, { output: join(folder, "project.wasm"), timeout: LIMIT });
  },
);

test("mistakes are said where they are", { skip: !TOOLHOST && "TOOLHOST does not name the command" }, async () => {
  const sources = [
    ["const x = ;", /bad\.ts:1:10/],
    ['import "./nothing-like-it.js";', /Could not resolve "\.\/nothing-like-it\.js"/],
    ["null.x;", /TypeError: .*\n.*bad\.ts:1/],
    ["let x: number = 1; x += 1;", /defines no tools/],
    ['import { config } from "toolhost-plugin"; config("x");', /config is not available while the component is built/],
    ['import "node:net";', /node:net/],
    ["for (;;);", /timed out after 3 s/],
  ];
  for (const [source, message] of sources) {
    const place = join(folder, "bad");
    await writeFile(join(folder, "bad.ts"), source);
    await assert.rejects(build(join(folder, "bad.ts"), { output: join(place, "bad.wasm"), timeout: 3 }), (error) => {
      assert.ok(error instanceof BuildError, `${source}: ${error.stack}`);
      assert.match(error.message, message);
      return true;
    });
  }
  assert.ok(!(await readdir(folder)).includes("bad"));
});
