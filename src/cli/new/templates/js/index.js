// The tools of the plugin `{{name}}`: functions with a JSON Schema of their arguments.

import { InvalidArguments, log, tool } from "toolhost-plugin";

tool({
  name: "greet",
  description: "Greets a person.",
  readOnly: true,
  idempotent: true,
  openWorld: false,
  input: {
    type: "object",
    properties: {
      name: { type: "string", description: "Name of the person." },
    },
    required: ["name"],
  },
  async run({ name }) {
    name = name.trim();
    if (!name) throw new InvalidArguments("`name` is empty");
    log.info(`greeting ${name}`);
    return `Hello, ${name}!`;
  },
});
