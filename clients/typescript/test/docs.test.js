// The blocks of docs/typescript.md run, and print what their comments say.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { manifest, runtime } from "./common.js";

const text = readFileSync(new URL("../../../docs/typescript.md", import.meta.url), "utf8");
const blocks = [...text.matchAll(/```js\n(.*?)```/gs)].map(([, block]) => block);
const index = new URL("../dist/index.js", import.meta.url).href;

test("the blocks of docs/typescript.md print what they say", () => {
  assert.ok(blocks.length >= 3);
  for (const block of blocks) {
    const expected = [...block.matchAll(/console\.log\(.*\); \/\/ (.*)/g)].map(([, said]) => `${said}\n`).join("");
    assert.notEqual(expected, "");
    const path = manifest("calculator").plugin.calculator.path;
    const code = block.replace('"toolhost"', JSON.stringify(index)).replaceAll('"calculator.wasm"', JSON.stringify(path));
    const [command, ...words] = runtime(undefined, code);
    const ran = spawnSync(command, words, { encoding: "utf8" });
    assert.equal(ran.stdout, expected, ran.stderr);
  }
});
