// Finds the `toolhost` binary: named by the program, by the environment, in a platform package, on PATH.

import { accessSync, constants, statSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";

import { BinaryNotFound } from "./errors.js";

const VARIABLE = "TOOLHOST_BINARY";
const NAME = process.platform === "win32" ? "toolhost.exe" : "toolhost";

export function findBinary(named: string | undefined): string {
  if (named !== undefined) {
    return existing(named, "the option `binary`");
  }
  const variable = process.env[VARIABLE];
  if (variable) {
    return existing(variable, `the environment variable ${VARIABLE}`);
  }
  const looked: string[] = [];
  const platform = `@toolhost/${process.platform}-${process.arch}`;
  try {
    const manifest = createRequire(import.meta.url).resolve(`${platform}/package.json`);
    const inside = join(dirname(manifest), "bin", NAME);
    if (problem(inside) === undefined) {
      return inside;
    }
    looked.push(inside);
  } catch {
    looked.push(`the package ${platform}`);
  }
  for (const folder of (process.env["PATH"] ?? "").split(delimiter).filter(Boolean)) {
    const file = join(folder, NAME);
    if (problem(file) === undefined) {
      return file;
    }
  }
  looked.push(`${NAME} on PATH`);
  const places = looked.map((place) => `  ${place}\n`).join("");
  throw new BinaryNotFound(
    `cannot find the toolhost binary; looked for\n${places}install it, set ${VARIABLE}, or pass \`binary\``,
  );
}

function existing(file: string, saidBy: string): string {
  const what = problem(file);
  if (what !== undefined) {
    throw new BinaryNotFound(`${saidBy} names a file that ${what}: ${file}`);
  }
  return file;
}

function problem(file: string): string | undefined {
  try {
    if (!statSync(file).isFile()) {
      return "is no file";
    }
  } catch {
    return "is not there";
  }
  try {
    accessSync(file, constants.X_OK);
    return undefined;
  } catch {
    return "cannot be executed";
  }
}
