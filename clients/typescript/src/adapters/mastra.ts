// Mastra: the host's tools.
//
//     const agent = new Agent({ id: "agent", name: "Agent", instructions, model, tools: await tools(host) });

import { createTool, type ToolAction } from "@mastra/core/tools";

import type { Host } from "../host.js";

/** The host's tools, by their names. A call that fails is a tool error, which the model reads. */
export async function tools(host: Host): Promise<Record<string, ToolAction<any, any, any, any, any, any>>> {
  const declared: any[] = await host.tools("json");
  const made = declared.map(({ name, description, input_schema }) => [
    name,
    createTool({
      id: name,
      description,
      inputSchema: checkedByTheHost(input_schema) as any,
      execute: async (input: any, context: any) => {
        const result = await host.call(name, input, {
          id: context?.agent?.toolCallId,
          signal: context?.abortSignal,
        });
        if (result.error !== undefined) {
          throw new Error(result.text);
        }
        return result.text;
      },
    }),
  ]);
  return Object.fromEntries(made);
}

/** The schema for the model. The host checks the arguments, and repairs what has one meaning only. */
function checkedByTheHost(schema: object): object {
  const validate = (value: unknown) => ({ value });
  return {
    "~standard": { version: 1, vendor: "toolhost", validate, jsonSchema: { input: () => schema, output: () => schema } },
  };
}
