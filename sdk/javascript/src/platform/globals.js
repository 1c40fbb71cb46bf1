// The console, which writes to the call's log, and web globals that the engine lacks. Imported before the plugin's modules.
// Globals that need imports of the host (fetch, timers, crypto) are injected where they are used, see `build.js`.

import { host, inspect, use } from "../host.js";
import { building } from "../registry.js";
import { Blob, File, FormData } from "./blob.js";
import { enqueue } from "./loop.js";
import { Promise } from "./promise.js";
import { TextDecoder, TextEncoder } from "./text.js";
import { URL, URLSearchParams } from "./url.js";
import { AbortController, AbortSignal, Headers, Request, Response } from "./web.js";

use(building());

const line =
  (level) =>
  (...parts) =>
    host().log(level, format(parts));

function format(parts) {
  if (typeof parts[0] !== "string" || !parts[0].includes("%")) return parts.map((part) => inspect(part)).join(" ");
  const rest = parts.slice(1);
  const text = parts[0].replace(/%([sdifoOjc%])/g, (all, kind) => {
    if (kind === "%") return "%";
    if (rest.length === 0) return all;
    const part = rest.shift();
    if (kind === "c") return "";
    if (kind === "d" || kind === "i" || kind === "f") return String(kind === "i" ? parseInt(part, 10) : Number(part));
    return kind === "s" && typeof part !== "object" ? String(part) : inspect(part);
  });
  return [text, ...rest.map((part) => inspect(part))].join(" ");
}

const counts = new Map();
const times = new Map();

globalThis.console = {
  log: line("info"),
  info: line("info"),
  debug: line("debug"),
  warn: line("warning"),
  error: line("error"),
  dir: line("info"),
  table: line("info"),
  group: line("info"),
  groupEnd() {},
  trace: (...parts) => line("debug")(...parts, new Error("Trace").stack),
  assert: (holds, ...parts) => holds || line("error")("Assertion failed", ...parts),
  count(label = "default") {
    counts.set(label, (counts.get(label) ?? 0) + 1);
    line("info")(`${label}: ${counts.get(label)}`);
  },
  time: (label = "default") => times.set(label, Date.now()),
  timeEnd: (label = "default") => line("info")(`${label}: ${Date.now() - times.get(label)} ms`),
};

if (__ENGINE__ === "quickjs") {
  globalThis.Promise = Promise;
  globalThis.queueMicrotask = (callback) => enqueue(() => callback());
  Object.assign(globalThis, {
    TextDecoder,
    TextEncoder,
    URL,
    URLSearchParams,
    AbortController,
    AbortSignal,
    Blob,
    File,
    FormData,
    Headers,
    Request,
    Response,
    structuredClone,
  });
}

function structuredClone(value, _, seen = new Map()) {
  if (typeof value === "function" || typeof value === "symbol")
    throw new TypeError(`a ${typeof value} cannot be cloned`);
  if (typeof value !== "object" || value === null) return value;
  if (seen.has(value)) return seen.get(value);
  const copy = (part) => structuredClone(part, undefined, seen);
  const keep = (made) => (seen.set(value, made), made);
  if (value instanceof Date) return keep(new Date(value));
  if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
  if (value instanceof ArrayBuffer) return keep(value.slice(0));
  if (ArrayBuffer.isView(value)) return keep(value.slice ? value.slice() : new DataView(value.buffer.slice(0)));
  if (value instanceof Map) {
    const made = keep(new Map());
    for (const [key, part] of value) made.set(copy(key), copy(part));
    return made;
  }
  if (value instanceof Set) {
    const made = keep(new Set());
    for (const part of value) made.add(copy(part));
    return made;
  }
  if (value instanceof Error) return keep(Object.assign(new value.constructor(value.message), { stack: value.stack }));
  const made = keep(Array.isArray(value) ? new Array(value.length) : {});
  for (const key of Object.keys(value)) made[key] = copy(value[key]);
  return made;
}
