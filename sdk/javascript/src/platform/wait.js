// Waits for timers and pollables, with `wasi:io/poll`.

import * as clock from "wasi:clocks/monotonic-clock@0.2.12";
import * as polling from "wasi:io/poll@0.2.12";
import { waitWith } from "./loop.js";

const pollables = new Map();
const timers = new Map();
let lastTimer = 0;

/** Calls this once the pollable is ready. */
export function whenReady(pollable, callback) {
  pollables.set(pollable, callback);
}

const now = () => Number(clock.now()) / 1e6;

export function addTimer(callback, milliseconds, args, isRepeated) {
  lastTimer += 1;
  const delay = Math.max(0, Number(milliseconds) || 0);
  timers.set(lastTimer, { callback, args, at: now() + delay, every: isRepeated ? Math.max(1, delay) : undefined });
  return lastTimer;
}

export function clearTimer(id) {
  timers.delete(id);
}

function fireDue() {
  const time = now();
  const due = [...timers].filter(([, timer]) => timer.at <= time).sort(([, one], [, other]) => one.at - other.at);
  // One at a time: jobs of promises run between two timers.
  if (due.length === 0) return false;
  const [id, timer] = due[0];
  if (timer.every === undefined) timers.delete(id);
  else timer.at = time + timer.every;
  timer.callback(...timer.args);
  return true;
}

const isWaiting = () => pollables.size > 0 || timers.size > 0;

/** Returns whether something was ready. */
function wait(most) {
  if (!isWaiting()) return false;
  if (fireDue()) return true;
  const waiting = [...pollables];
  const list = waiting.map(([pollable]) => pollable);
  const first = Math.min(...[...timers.values()].map((timer) => timer.at - now()), most);
  let timer;
  if (Number.isFinite(first)) {
    timer = clock.subscribeDuration(nanoseconds(Math.ceil(first * 1e6)));
    list.push(timer);
  }
  const ready = polling.poll(list);
  timer?.[Symbol.dispose]?.();
  let any = most === Infinity;
  for (const index of ready) {
    if (index >= waiting.length) continue;
    any = true;
    const [pollable, callback] = waiting[index];
    pollables.delete(pollable);
    pollable[Symbol.dispose]?.();
    callback();
  }
  return any;
}

waitWith({ isWaiting, wait });

/** QuickJS takes a 64-bit integer as a number. */
const nanoseconds = (count) => Math.max(0, count);
