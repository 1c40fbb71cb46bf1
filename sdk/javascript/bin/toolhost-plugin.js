#!/usr/bin/env node
import { stat } from "node:fs/promises";
import { parseArgs } from "node:util";
import { BuildError, build } from "../src/build.js";

const HELP = `Build a component of a plugin's module.

Usage: toolhost-plugin build [OPTIONS] [MODULE]

Arguments:
  [MODULE]  The module's file, or its folder [default: .]

Options:
  -o, --output <FILE>      The component [default: the module's name and .wasm, here]
      --engine <ENGINE>    quickjs or starlingmonkey [default: quickjs]
      --timeout <SECONDS>  Give up after this long [default: 300]
  -h, --help               Print help
`;

function fail(message, status) {
  process.stderr.write(`error: ${message}\n`);
  process.exit(status);
}

let parsed;
try {
  parsed = parseArgs({
    allowPositionals: true,
    options: {
      output: { type: "string", short: "o" },
      engine: { type: "string", default: "quickjs" },
      timeout: { type: "string", default: "300" },
      help: { type: "boolean", short: "h" },
    },
  });
} catch (error) {
  fail(`${error.message}\n\n${HELP}`, 2);
}
const { values, positionals } = parsed;
const [command, app = ".", ...more] = positionals;
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
if (command !== "build" || more.length) fail(`expected \`build [MODULE]\`\n\n${HELP}`, 2);
const timeout = Number(values.timeout);
if (!(timeout > 0)) fail("`--timeout` is a number of seconds", 2);

const started = performance.now();
try {
  const made = await build(app, { ...values, timeout, log: (line) => process.stderr.write(`${line}\n`) });
  const size = (await stat(made)).size / 1e6;
  process.stderr.write(`${made}: ${size.toFixed(1)} MB in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  fail(error.message, 1);
}
