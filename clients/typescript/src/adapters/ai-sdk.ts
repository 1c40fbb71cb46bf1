// Vercel's AI SDK: the host's tools.
//
//     const { text } = await generateText({ model, prompt, tools: await tools(host), stopWhen: stepCountIs(5) });

import { dynamicTool, jsonSchema, type ToolSet } from "ai";

import type { Host } from "../host.js";

/** The host's tools. A call that fails is a tool error, which the model reads. */
export async function tools(host: Host): Promise<ToolSet> {
  const declared: any[] = await host.tools("json");
  const made = declared.map(({ name, description, input_schema }) => [
    name,
    dynamicTool({
      description,
      inputSchema: jsonSchema(input_schema),
      execute: async (input, { toolCallId, abortSignal }) => {
        const result = await host.call(name, input as Record<string, unknown>, {
          id: toolCallId,
          signal: abortSignal,
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
