// Round trips of typed signatures, in Node.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { parse, stringify } from "../src/json.js";

const here = dirname(fileURLToPath(import.meta.url));
let folder;
let module;

before(async () => {
  folder = await mkdtemp(join(here, ".signatures-"));
  const outfile = join(folder, "signatures.mjs");
  const contents = 'export * from "./signatures.ts"; export { Host } from "../src/testing.js";';
  await build({
    stdin: { contents, resolveDir: here },
    bundle: true,
    format: "esm",
    platform: "node",
    outfile,
    alias: { "toolhost-plugin": join(here, "../src/index.js") },
  });
  module = await import(outfile);
});
after(() => rm(folder, { recursive: true, force: true }));

/** The value that came back, as JSON. */
export const got = ({ structured, text }) =>
  structured === undefined
    ? stringify(text)
    : stringify("result" in structured && Object.keys(structured).length === 1 ? structured.result : structured);

test("values come back as they went", async () => {
  assert.ok(new Set(module.cases.map(([name]) => name)).size >= 30);
  for (const [name, value, back] of module.cases) {
    const result = await new module.Host()
      .call(name, `{"value":${value}}`)
      .catch((error) => assert.fail(`${name} ${value}: ${error}`));
    assert.equal(got(result), stringify(parse(back)), `${name} ${value}`);
  }
});

test("what does not fit is refused", async () => {
  for (const [name, value] of module.refused) {
    await assert.rejects(
      new module.Host().call(name, `{"value":${value}}`),
      { name: "InvalidArguments" },
      `${name} ${value}`,
    );
  }
});
