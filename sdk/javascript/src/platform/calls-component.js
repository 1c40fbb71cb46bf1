// Calls of tools, by `toolhost:calls`.

import * as wit from "toolhost:calls/calls@0.1.0";
import { Content, output } from "../content.js";
import { CallError } from "../errors.js";
import { parse, wellFormed } from "../json.js";
import { u64, waitForCallsWith } from "../platform/engine.js";

/** The promises of the calls that run, by their numbers. */
const running = new Map();

export function run(name, args) {
  let number;
  try {
    number = wit.start(wellFormed(name), wellFormed(args));
  } catch (error) {
    const { code, message } = error?.payload ?? error;
    throw new CallError(code, message);
  }
  return new Promise((resolve, reject) => {
    running.set(number, { resolve, reject });
    waitForCallsWith({ areRunning: () => running.size > 0, wait });
  });
}

/** Waits until a call has ended, for at most this many milliseconds if it is given. */
function wait(most) {
  if (most !== undefined) {
    try {
      wit.startTimer(u64(most));
    } catch {
      // Without a clock it waits for as long as the calls do.
    }
  }
  for (const [number, outcome] of wit.wait()) {
    const call = running.get(number);
    if (!call) continue; // A timer.
    running.delete(number);
    if (outcome.tag === "ok") call.resolve(value(outcome.val));
    else call.reject(new CallError(outcome.val.code, outcome.val.message));
  }
}

/** The structured output, or else the text, or else all contents. */
function value({ content, structured }) {
  if (structured !== undefined && structured !== null) return parse(structured);
  if (content.every((part) => part.tag === "text")) return content.map((part) => part.val).join("\n");
  return output(content.map(part)).content;
}

function part({ tag, val }) {
  switch (tag) {
    case "text":
      return val;
    case "link":
      return new Content("link", {
        ...val,
        description: val.description ?? undefined,
        mimeType: val.mimeType ?? undefined,
      });
    case "embedded":
      return new Content("embedded", { uri: val.uri, mimeType: val.mimeType ?? undefined, body: val.body.val });
    default:
      return new Content(tag, val);
  }
}
