// The tools as a model sees them, without a host: `npm test`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidArguments } from "toolhost-plugin";
import { Host } from "toolhost-plugin/testing";
import "./index.ts";

test("it greets", async () => {
  const host = new Host();
  assert.equal((await host.call("greet", { name: "Ada" })).text, "Hello, Ada!");
  assert.deepEqual(host.logs, [["info", "greeting Ada"]]);
});

test("a greeting needs a name", async () => {
  await assert.rejects(new Host().call("greet", { name: " " }), InvalidArguments);
});
