// Questions to the client: its user, its model, and itself.
//
// Nothing waits. Without a reply the function throws, which ends the call, and the host passes the question on. With the reply
// it calls the tool again, in a fresh instance: the code runs from the top, and each question finds its reply by its key.

import { ToolError } from "./errors.js";
import { host, log } from "./host.js";
import { parse, stringify } from "./json.js";
import { Mismatch, Schema } from "./schema.js";
import { session } from "./session.js";

export { Completion } from "./session.js";

/** The user gave no answer. Catch it to go on without one. */
export class Refused extends ToolError {}
/** The user said no. */
export class Declined extends Refused {}
/** The user did not say. */
export class Dismissed extends Refused {}

const wrong = "it is the reply to a question of another kind";

/** A form to ask for with `all`: see `form`. */
export function Form(key, message, schema) {
  const form = new Schema(schema, "input", `form \`${key}\``);
  return {
    key,
    question: { kind: "form", message, schema: form.json },
    async hear(reply) {
      if (reply.kind !== "accepted" || !reply.value) throw new Mismatch(wrong);
      return form.check(reply.value, false);
    },
  };
}

/** A page to visit, to ask for with `all`: see `page`. */
export function Page(key, message, url, id = digest(key, url)) {
  return {
    key,
    question: { kind: "page", message, url: String(url), id },
    async hear(reply) {
      if (reply.kind !== "accepted") throw new Mismatch(wrong);
    },
  };
}

/** A conversation to ask for with `all`: see `sample`. */
export function Sample(key, messages, { system, maxTokens = 1000, temperature, stopSequences = [] } = {}) {
  const said = typeof messages === "string" ? [{ role: "user", content: messages }] : messages;
  return {
    key,
    question: { kind: "prompt", messages: said, system, maxTokens, temperature, stopSequences },
    async hear(reply) {
      if (reply.kind !== "completion") throw new Mismatch(wrong);
      return reply.value;
    },
  };
}

/** The client's folders, to ask for with `all`: see `roots`. */
export function Roots(key = "roots") {
  return {
    key,
    question: { kind: "roots" },
    async hear(reply) {
      if (reply.kind !== "roots") throw new Mismatch(wrong);
      return reply.value;
    },
  };
}

/** Has the user fill in a form: a flat JSON Schema, or a schema of a library. An answer that does not fit is asked for again. */
export const form = (key, message, schema) => one(Form(key, message, schema));

/** Has the user visit a page. That they agreed does not mean that they are done there. */
export const page = (key, message, url) => one(Page(key, message, url));

/** Has the client's model answer a text, or go on with messages. */
export const sample = (key, messages, settings) => one(Sample(key, messages, settings));

/** The folders that the client works on; the question's key is `roots`. */
export const roots = () => one(Roots());

async function one(question) {
  const [answer] = await all(question);
  return answer;
}

/** Asks several questions in one round; the answers come in their order. What is answered already is not asked again. */
export async function all(...questions) {
  const answers = [];
  const missing = new Map();
  for (const question of questions) {
    const { key } = question;
    const reply = session().reply(key);
    if (reply) {
      if (reply.kind === "declined") throw new Declined(`the user declined to answer the question \`${key}\``);
      if (reply.kind === "dismissed")
        throw new Dismissed(`the user dismissed the question \`${key}\` without an answer`);
      try {
        answers.push(await question.hear(reply));
        continue;
      } catch (error) {
        if (!(error instanceof Mismatch)) throw error;
        log.warning(`the reply to \`${key}\` does not fit: ${error.message}`);
        session().forget(key);
      }
    }
    if (missing.has(key)) throw new ToolError(`two questions have the key \`${key}\``);
    missing.set(key, question.question);
  }
  if (missing.size) throw session().ask(missing);
  return answers;
}

/** Whether there is somebody who could answer: `"form"`, `"page"`, `"prompt"` or `"roots"`. */
export function can(kind) {
  return host().canAsk(kind);
}

/** Makes a value in the first round, and finds it again in later ones. It must be JSON, and who asked can read it. */
export async function remember(key, make) {
  const { kept } = session();
  if (!kept.has(key)) kept.set(key, parse(stringify(await make())));
  return kept.get(key);
}

function digest(...parts) {
  let hash = 0xcbf29ce484222325n;
  for (const letter of parts.join("\0"))
    hash = BigInt.asUintN(64, (hash ^ BigInt(letter.codePointAt(0))) * 0x100000001b3n);
  return hash.toString(16).padStart(16, "0");
}
