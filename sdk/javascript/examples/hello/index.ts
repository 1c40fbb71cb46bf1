// A first plugin: a tool, with the schemas of its arguments and its result.

import { InvalidArguments, config, log, tool } from "toolhost-plugin";

export const greet = tool({
  name: "greet",
  description: "Greets somebody.",
  readOnly: true,
  idempotent: true,
  openWorld: false,
  input: {
    type: "object",
    properties: {
      name: { type: "string", description: "Who to greet." },
      times: { type: "integer", minimum: 1, maximum: 10, description: "How often.", default: 1 },
      language: { enum: ["English", "Deutsch"], description: "In which language.", default: "English" },
    },
    required: ["name"],
    additionalProperties: false,
  },
  output: {
    type: "object",
    properties: { text: { type: "string" }, length: { type: "integer" } },
    required: ["text", "length"],
  },
  async run({ name, times = 1, language = "English" }) {
    if (!name.trim()) throw new InvalidArguments("`name` is empty");
    const word = language === "English" ? "Hello" : "Hallo";
    log(`greeting ${name} in ${language}`);
    const text = Array(times)
      .fill(`${word}, ${name}${config("mark") ?? "!"}`)
      .join(" ");
    return { text, length: text.length };
  },
});
