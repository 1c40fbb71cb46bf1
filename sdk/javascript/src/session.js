// The questions and replies of the current call, and the state that is carried to the next round. An instance serves one call.

import { parse, stringify } from "./json.js";

/** What the client's model said. */
export class Completion {
  constructor(content, model = "", stopReason = undefined, role = "assistant") {
    Object.assign(this, { content, model, stopReason, role });
  }

  /** What it said, if that is a text; else nothing. */
  get text() {
    return typeof this.content === "string" ? this.content : "";
  }
}

/** Nothing is wrong: this has to be asked first. */
export class InputRequired extends Error {
  constructor(questions, state) {
    super(`this has to be asked first: ${[...questions.keys()].join(", ")}`);
    this.questions = questions;
    this.state = state;
  }
  get name() {
    return "InputRequired";
  }
}

class Session {
  #replies = new Map();
  #asked;
  kept = new Map();
  /** The question that ends the call, even if the tool caught and swallowed it. */
  pending;

  constructor(state = "", replies = new Map()) {
    // The host knows that the plugin wrote it. If that was another version of the plugin, all is asked again.
    try {
      const known = state ? parse(state) : {};
      for (const [key, reply] of known.replies ?? []) {
        if (reply.kind === "completion") {
          const { content, model, stopReason, role } = reply.value;
          reply.value = new Completion(content, model, stopReason, role);
        }
        this.#replies.set(key, reply);
      }
      this.kept = new Map(known.kept ?? []);
    } catch {
      this.#replies = new Map();
    }
    // A client may have answered what it was not asked: only what was asked for goes on.
    this.#asked = new Set(this.#replies.keys());
    for (const [key, reply] of replies) if (!this.#replies.has(key)) this.#replies.set(key, reply);
  }

  reply(key) {
    if (this.#replies.has(key)) this.#asked.add(key);
    return this.#replies.get(key);
  }

  forget(key) {
    this.#replies.delete(key);
  }

  ask(questions) {
    // Bytes are no JSON: an image that a model made is asked for again.
    const replies = [...this.#replies].filter(
      ([key, { value }]) => this.#asked.has(key) && !(value?.content instanceof Object),
    );
    const state = replies.length || this.kept.size ? stringify({ replies, kept: [...this.kept] }) : "";
    this.pending ??= new InputRequired(questions, state);
    return this.pending;
  }
}

let current = new Session();

export const session = () => current;

/** A call begins, with what is known of its questions. */
export function begin(state, replies) {
  current = new Session(state, replies);
}

/** Runs a call to its end, which may be a question. */
export async function finish(run) {
  try {
    const result = await run();
    if (current.pending) throw current.pending;
    return result;
  } catch (error) {
    throw current.pending ?? error;
  }
}
