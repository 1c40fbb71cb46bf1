// For the unit tests of a plugin: what the host grants, and what a client would reply. It runs in Node.

import { Content, Output } from "./content.js";
import { CallError, ToolError } from "./errors.js";
import { use } from "./host.js";
import * as json from "./json.js";
import * as offers from "./offers.js";
import { tools } from "./registry.js";
import { Completion, InputRequired, begin, finish } from "./session.js";

const MOST_ROUNDS = 100;

/** The user said no. */
export const declined = { kind: "declined" };
/** The user did not say. */
export const dismissed = { kind: "dismissed" };

/** What the host grants while a test runs: nothing that is not said. */
export class Host {
  #given;
  logs = [];
  progressed = [];
  requests = [];
  /** The calls of tools: name and arguments. */
  called = [];
  /** The questions that calls had to ask, by their keys. */
  asked = {};
  /** The URIs of resources that were said to have changed. */
  updated = [];

  constructor({ config = {}, secrets = {}, fetch, tools = {}, answers = {}, canAsk = true } = {}) {
    this.#given = { config, secrets, fetch, tools, answers, canAsk };
  }

  /** Calls a tool, by what `tool` returned or by its name, with arguments that go through JSON; asks what it asks, from `answers`. */
  async call(tool, args = {}) {
    const found = tools.get(typeof tool === "string" ? tool : tool.name);
    if (!found)
      throw new TypeError(`${typeof tool === "string" ? tool : tool?.name} is not a tool: is its module imported?`);
    const text = typeof args === "string" ? args : json.stringify(args);
    const output = await this.#rounds(() => found.call(text, false));
    return result(output);
  }

  /** Reads a resource. */
  async read(uri) {
    return this.#rounds(async () => {
      const [found, variables] = offers.find(uri);
      return found.read(uri, variables);
    });
  }

  /** Fills in a prompt, whose arguments are texts. */
  async prompt(prompt, texts = {}) {
    return this.#rounds(() => offers.fill(typeof prompt === "string" ? prompt : prompt.name, texts));
  }

  /** What is suggested for an argument. */
  async complete(of, argument, typed = "", others = {}) {
    return (await offers.complete(of, argument, typed, others)).values;
  }

  /** Runs something with what is granted here. */
  async run(run) {
    const before = use(this.#host());
    const fetchBefore = globalThis.fetch;
    globalThis.fetch = (input, init) => this.#fetch(new Request(input, init));
    try {
      return await run();
    } finally {
      globalThis.fetch = fetchBefore;
      use(before);
    }
  }

  /** As the host does it: a call that asks ends, and begins anew with the replies. */
  async #rounds(run) {
    return this.run(async () => {
      let state = "";
      let replies = new Map();
      for (let round = 0; round < MOST_ROUNDS; round += 1) {
        begin(state, replies);
        try {
          return await finish(run);
        } catch (error) {
          if (!(error instanceof InputRequired)) throw error;
          Object.assign(this.asked, Object.fromEntries(error.questions));
          state = error.state;
          replies = new Map([...error.questions.keys()].map((key) => [key, this.#reply(key)]));
        } finally {
          begin();
        }
      }
      throw new ToolError(`it still asks after ${MOST_ROUNDS} rounds: ${Object.keys(this.asked).join(", ")}`);
    });
  }

  #reply(key) {
    const { answers } = this.#given;
    if (!Object.hasOwn(answers, key))
      throw new Error(`the test has no answer to the question \`${key}\`: give \`Host\` some \`answers\``);
    const answer = answers[key];
    if (answer === declined || answer === dismissed) return answer;
    if (typeof answer === "string") return { kind: "completion", value: new Completion(answer, "test") };
    if (answer instanceof Completion) return { kind: "completion", value: answer };
    if (Array.isArray(answer)) return { kind: "roots", value: answer };
    return { kind: "accepted", value: answer ?? undefined };
  }

  async #fetch(request) {
    this.requests.push(request);
    if (!this.#given.fetch) throw new TypeError(`${request.url} is not granted: pass \`fetch\` to \`Host\``);
    return this.#given.fetch(request);
  }

  /** As the host does it: arguments and value are JSON. */
  async #callTool(name, text) {
    const args = json.parse(text);
    this.called.push([name, args]);
    const { tools: granted } = this.#given;
    if (!Object.hasOwn(granted, name))
      throw new CallError("denied", `tool ${name} is not granted: pass \`tools\` to \`Host\``);
    try {
      const value = await granted[name](args);
      if (value instanceof Output) return value.structured ?? value.content;
      return value === undefined ? undefined : json.parse(json.stringify(value));
    } catch (error) {
      if (error instanceof CallError || !(error instanceof ToolError)) throw error;
      throw new CallError(error.kind, error.message);
    }
  }

  #host() {
    const { config, secrets, canAsk } = this.#given;
    return {
      log: (level, message) => this.logs.push([level, message]),
      progress: (...said) => this.progressed.push(said),
      canAsk: (kind) => (typeof canAsk === "function" ? canAsk(kind) : canAsk),
      resourceUpdated: (uri) => this.updated.push(uri),
      resourcesChanged() {},
      config: (key) =>
        typeof config[key] === "string" || config[key] === undefined ? config[key] : json.stringify(config[key]),
      secret: (name) => secrets[name],
      callTool: (name, text) => this.#callTool(name, text),
    };
  }
}

function result(output) {
  const texts = output.content
    .filter((part) => part instanceof Content && part.kind === "text")
    .map((part) => part.text);
  const structured = output.structured === undefined ? undefined : json.parse(json.stringify(output.structured));
  return { content: output.content, text: texts.join("\n"), structured };
}

/** All tools that are defined, with their schemas. */
export function listTools() {
  return [...tools.values()].map(({ name, title, description, inputSchema, outputSchema }) => ({
    name,
    title,
    description,
    inputSchema,
    outputSchema,
  }));
}

export { Completion, InputRequired, Output };
