// Tools: functions that a model can call.

import { Content, Output, icons, text } from "./content.js";
import { InvalidArguments, ToolError } from "./errors.js";
import { stringify } from "./json.js";
import * as json from "./json.js";
import { add, tools } from "./registry.js";
import { Mismatch, Schema } from "./schema.js";

const NOTHING = { type: "object", properties: {}, additionalProperties: false };

/** Makes a tool. It is offered from then on; what is returned is what was given. */
export function tool(options) {
  const { name, run } = options;
  const where = `tool \`${name}\``;
  if (typeof run !== "function") throw new TypeError(`${where}: \`run\` is not a function`);
  if (options.readOnly && options.destructive) throw new TypeError(`${where} cannot be read-only and destructive`);
  add("tool", tools, name, new Tool(options, where));
  return options;
}

export class Tool {
  constructor(options, where) {
    this.options = options;
    this.name = options.name;
    this.title = options.title;
    this.description = options.description ?? "";
    this.icons = icons(options.icon);
    this.input = new Schema(options.input ?? NOTHING, "input", where);
    if (!this.input.isObject)
      throw new TypeError(`${where}: \`input\` is not the schema of an object: arguments have names`);
    this.output = options.output === undefined ? undefined : new Schema(options.output, "output", where);
  }

  get inputSchema() {
    return this.input.json;
  }

  get outputSchema() {
    if (!this.output) return undefined;
    return this.output.isObject ? this.output.json : wrapped(this.output.json);
  }

  /** Calls it with a JSON object as text, as the host does. */
  async call(text, isChecked) {
    let args;
    try {
      args = await this.input.check(json.parse(text), isChecked);
    } catch (error) {
      throw error instanceof Mismatch ? new InvalidArguments(error.message) : error;
    }
    return this.#output(await this.options.run(args));
  }

  async #output(result) {
    if (result instanceof Output) return result;
    if (result instanceof Content) return new Output([result]);
    if (Array.isArray(result) && result.some((part) => part instanceof Content)) {
      return new Output(
        result.map((part) => (part instanceof Content || typeof part === "string" ? part : text(stringify(part)))),
      );
    }
    if (this.output) {
      const checked = await this.#promised(result);
      const shown = typeof checked === "string" ? checked : stringify(checked);
      return new Output([shown], this.output.isObject ? checked : { result: checked });
    }
    // A model takes an empty answer for a failure.
    if (result === undefined || result === null) return new Output(["Done."]);
    if (typeof result === "string") return new Output([result]);
    const shown = stringify(result);
    return new Output([shown], shown.startsWith("{") ? result : undefined);
  }

  async #promised(result) {
    try {
      // As JSON has it, dates for instance; a library's schema has the value itself.
      return this.output.standard ? await this.output.check(result, true) : json.parse(stringify(result));
    } catch (error) {
      if (error instanceof Mismatch)
        throw new ToolError(
          `\`${this.name}\` returned a value that does not match its output schema: ${error.message}`,
        );
      throw error;
    }
  }
}

/** Structured results are objects: any other is the `result` of one. */
function wrapped({ $defs, ...schema }) {
  const object = (result, definitions) => ({
    type: "object",
    properties: { result },
    required: ["result"],
    additionalProperties: false,
    ...(definitions && { $defs: definitions }),
  });
  const text = JSON.stringify({ schema, $defs });
  const elsewhere = /"\$ref":"#(?!\/\$defs\/)/g;
  if (!elsewhere.test(text)) return object(schema, $defs);
  // It refers to itself by its place, which is another now.
  const moved = JSON.parse(text.replace(elsewhere, '"$ref":"#/$defs/result'));
  return object({ $ref: "#/$defs/result" }, { ...moved.$defs, result: moved.schema });
}
