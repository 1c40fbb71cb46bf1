// The package as an author uses it, in Node, without a host.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parse, stringify } from "../src/json.js";
import { Host, declined, dismissed, listTools } from "../src/testing.js";
import { Denied, InvalidArguments, ToolError, ask, tool } from "../src/index.js";
import "./everything.js";

const rejects = (promise, type, message) =>
  assert.rejects(
    promise,
    (error) => (error instanceof type && message.test(error.message)) || assert.fail(String(error)),
  );

test("JSON keeps integers, and refuses what it has no form for", () => {
  for (const text of [
    "9007199254740993",
    '{"a":[-9223372036854775808,1.5,"12345678901234567890",{"__proto__":12345678901234567890}]}',
    "[]",
    "{}",
  ]) {
    assert.equal(stringify(parse(text)), text);
  }
  assert.equal(parse("9007199254740993"), 9007199254740993n);
  assert.equal(parse("12345678901234567890.0"), 12345678901234567890);
  const long = `{"a":"${'\\\\\\"é'.repeat(100_000)}","b":12345678901234567890,"c":[[],{},[ 1 , "]" ],{"d" : null}],"e":"\\\\"}`;
  assert.equal(stringify(parse(long)), long.replaceAll(" ", ""));
  assert.deepEqual(parse(' [ 12345678901234567890 , { "a" : [ ] } ] '), [12345678901234567890n, { a: [] }]);
  for (const bad of [NaN, [Infinity], { a: new Map() }, new Uint8Array(1), [() => {}], undefined])
    assert.throws(() => stringify(bad), TypeError);
  const round = {};
  round.self = round;
  assert.throws(() => stringify(round), /\/self contains itself/);
  assert.equal(
    stringify({ a: undefined, b: new Date(0), c: "\ud800" }),
    '{"b":"1970-01-01T00:00:00.000Z","c":"\\ud800"}',
  );
});

test("errors are what the tool threw", async () => {
  const host = new Host();
  await rejects(host.call("fail", { how: "error" }), ToolError, /^no luck$/);
  await rejects(host.call("fail", { how: "type" }), TypeError, /length/);
  await rejects(host.call("fail", { how: "nan" }), TypeError, /\/deep\/1: NaN cannot be represented in JSON/);
  await rejects(host.call("fail", {}), InvalidArguments, /missing member `how`/);
  await rejects(host.call("nothing like it"), TypeError, /is not a tool/);
  assert.equal((await host.call("fail", { how: "undefined" })).text, "Done.");
});

test("nothing is granted that is not said", async () => {
  const host = new Host({ config: { a: { b: 1 } }, secrets: { a: "s" } });
  const { structured } = await host.call("host", { key: "a" });
  assert.deepEqual([structured.config, structured.secret], ['{"b":1}', "s"]);
  assert.equal((await host.call("host", { key: "b" })).structured.secret, undefined);
  assert.deepEqual(host.logs[0], ["notice", "noticed"]);
  assert.deepEqual(host.progressed[0], [1, 2, "half"]);
});

test("requests are answered by a function", async () => {
  const host = new Host({
    fetch: async (request) => new Response(`${request.method} ${request.url} ${await request.text()}`),
  });
  const { structured } = await host.call("fetch", { urls: ["https://a.example/x"], post: "hi" });
  assert.deepEqual(structured, { result: ['200 POST https://a.example/x?q=a+b {"text":"hi"}'] });
  await rejects(new Host().call("fetch", { urls: ["https://a.example/"] }), TypeError, /is not granted/);
});

test("tools are those that the test grants", async () => {
  const greet = async ({ name }) => {
    if (name === "nobody") throw new InvalidArguments("there is nobody");
    return { text: `hi ${name}` };
  };
  const host = new Host({ tools: { greet } });
  const { structured } = await host.call("together", { names: ["a", "nobody"] });
  assert.deepEqual(structured.result, ["greet invalid-arguments: there is nobody", "hi a", "slept"]);
  assert.deepEqual(host.called, [
    ["greet", { name: "a" }],
    ["greet", { name: "nobody" }],
  ]);
  const odd = new Host({ tools: { greet: () => ({ text: NaN }) } });
  await rejects(odd.call("together", { names: ["a"] }), TypeError, /NaN cannot be represented/);
  const denied = await new Host().call("together", { names: ["a"] });
  assert.deepEqual(denied.structured.result, [
    "greet denied: tool greet is not granted: pass `tools` to `Host`",
    "slept",
  ]);
});

test("files are those of Node", async () => {
  const folder = await mkdtemp(join(tmpdir(), "toolhost-plugin-files-"));
  await writeFile(join(folder, "a.txt"), "hi");
  const got = parse((await new Host().call("files", { folder })).text);
  assert.deepEqual(got.slice(0, 6), ["hi", "first sëcond", 13, 1_400_000, "a.txt,c", "false,true"]);
  assert.match(got[6], /^ENOENT: no such file or directory, open '.*c'$/);
  await rm(folder, { recursive: true });
});

test("each question ends a round", async () => {
  const host = new Host({ answers: { who: { name: "Ada", age: 36 }, motto: "Onward!" } });
  assert.equal((await host.call("welcome")).text, "Ada, 36: Onward!");
  assert.deepEqual(Object.keys(host.asked), ["who", "motto"]);
  assert.equal(
    (await new Host({ answers: { who: { name: "Ada" }, motto: declined } }).call("welcome")).text,
    "Ada, undefined: no motto",
  );
  await rejects(new Host({ answers: { who: dismissed } }).call("welcome"), ask.Dismissed, /dismissed/);
  await rejects(new Host().call("welcome"), Error, /no answer to the question `who`/);
  const sure = new Host({ answers: { sure: { sure: true } } });
  const [made] = (await sure.call("remembered")).text.split(" ");
  assert.ok(sure.asked.sure.message.includes(made));
  assert.equal((await new Host({ answers: { never: declined } }).call("fail", { how: "swallowed" })).text, "swallowed");
});

test("resources and prompts", async () => {
  const host = new Host();
  assert.equal((await host.read("note://welcome"))[0].body, "Nice to see you.");
  assert.equal(new TextDecoder().decode((await host.read("note://by-day/a%20b"))[0].body), "On a b: nothing.");
  await rejects(host.read("note://by-day/a/b"), InvalidArguments, /there is no resource/);
  assert.deepEqual(
    (await host.prompt("review", { code: "x" })).map((message) => message.content),
    ["Review this Python.", "Show me.", "x"],
  );
  await rejects(host.prompt("review"), InvalidArguments, /missing argument `code`/);
  assert.deepEqual(await host.complete("review", "language", "r"), ["Rust"]);
});

test("what cannot be a tool says so", () => {
  const run = () => {};
  assert.throws(() => tool({ name: "a b", description: "", run }), /"a b" cannot be the name of a tool/);
  assert.throws(() => tool({ name: "fail", description: "", run }), /two tools are called `fail`/);
  assert.throws(() => tool({ name: "x", description: "" }), /`run` is not a function/);
  assert.throws(
    () => tool({ name: "x", description: "", input: { type: "string" }, run }),
    /not the schema of an object/,
  );
  assert.throws(
    () => tool({ name: "x", description: "", readOnly: true, destructive: true, run }),
    /read-only and destructive/,
  );
  const bare = { "~standard": { vendor: "valibot", version: 1, validate: () => ({}) } };
  assert.throws(() => tool({ name: "x", description: "", input: bare, run }), /wrap it in `toStandardJsonSchema`/);
  assert.ok(listTools().some((found) => found.name === "fail"));
  assert.equal(new Denied("x").kind, "denied");
});
