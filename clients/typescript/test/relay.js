// Runs the binary (first argument), and holds each frame on its way against the schema. What is wrong goes to a file.

import { spawn } from "node:child_process";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import Ajv from "ajv/dist/2020.js";

const [binary, errors, ...rest] = process.argv.slice(2);
const schema = JSON.parse(readFileSync(new URL("../../../docs/pipe.schema.json", import.meta.url), "utf8"));
const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
const validators = new Map();
for (const side of ["client", "host"]) {
  for (const frame of schema.$defs[side].oneOf) {
    validators.set(`${side} ${frame.title}`, ajv.compile({ ...frame, $defs: schema.$defs }));
  }
}
writeFileSync(errors, "");

const child = spawn(binary, rest, { stdio: ["pipe", "pipe", "inherit"] });
child.stdin.on("error", () => {});
process.stdout.on("error", () => {});
relay("client", process.stdin, child.stdin);
relay("host", child.stdout, process.stdout);
child.on("close", (status) => process.exit(status ?? 1));

function relay(side, source, sink) {
  const lines = createInterface({ input: source, crlfDelay: Infinity });
  lines.on("line", (line) => {
    const frame = JSON.parse(line);
    const validate = validators.get(`${side} ${frame.type}`);
    if (validate === undefined) {
      appendFileSync(errors, `${side}: unknown type ${frame.type}\n`);
    } else if (!validate(frame)) {
      appendFileSync(errors, `${side}: ${frame.type}: ${ajv.errorsText(validate.errors)}: ${line}\n`);
    }
    sink.write(`${line}\n`);
  });
  lines.on("close", () => side === "client" && sink.end());
}
