// What the tests share: the real binary, which TOOLHOST_BINARY names.

import { accessSync, chmodSync, constants, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));
export const BINARY = process.env.TOOLHOST_BINARY || join(root, "target/debug/toolhost");
const PLUGINS = process.env.TOOLHOST_PLUGINS || join(root, "target/guests");
accessSync(BINARY, constants.X_OK);
accessSync(join(PLUGINS, "echo.wasm"));
process.env.TOOLHOST_BINARY = BINARY;
process.env.TOOLHOST_CODE_CACHE ??= join(root, "target/code-cache");

/** A manifest with these plugins or guests. */
export function manifest(...names) {
  return { plugin: Object.fromEntries(names.map((name) => [name, { path: join(PLUGINS, `${name}.wasm`) }])) };
}

/** What runs a file, or a module's text, with the runtime that runs the tests. */
export function runtime(file, text) {
  if (globalThis.Deno !== undefined) {
    return [process.execPath, ...(file === undefined ? ["eval", text] : ["run", "--allow-all", file])];
  }
  return [process.execPath, ...(file === undefined ? ["--input-type=module", "--eval", text] : [file])];
}

/** A binary that holds every frame against the schema, and what was wrong. */
export function checked() {
  const folder = mkdtempSync(join(tmpdir(), "toolhost-"));
  const [binary, errors] = [join(folder, "toolhost"), join(folder, "errors")];
  const relay = fileURLToPath(new URL("relay.js", import.meta.url));
  const command = [...runtime(relay), BINARY, errors].map((word) => `"${word}"`).join(" ");
  writeFileSync(binary, `#!/bin/sh\nexec ${command} "$@"\n`);
  chmodSync(binary, 0o755);
  return { binary, errors: () => readFileSync(errors, "utf8") };
}

/** A chat completion with these calls: id, name, arguments. */
export function chat(...calls) {
  const made = calls.map(([id, name, given]) => ({
    id,
    type: "function",
    function: { name, arguments: typeof given === "string" ? given : JSON.stringify(given) },
  }));
  const message = { role: "assistant", content: null, tool_calls: made };
  return { choices: [{ index: 0, finish_reason: "tool_calls", message }] };
}

/** Events of a chat completion with calls of these tools. */
export function events(...names) {
  return names.map((name, index) => ({
    choices: [
      { index: 0, delta: { tool_calls: [{ index, id: `c${index}`, function: { name, arguments: "{}" } }] } },
    ],
  }));
}

export const END = { choices: [{ index: 0, delta: {}, finish_reason: "tool_calls" }] };

/** A promise, and what fulfils it. */
export function signal() {
  let set;
  const promise = new Promise((resolve) => (set = resolve));
  return { promise, set };
}
