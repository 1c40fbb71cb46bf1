// LangChain.js and LangGraph.js: the host's tools, and a node in place of `ToolNode`.
//
//     graph.addNode("tools", node(host));         // every call gets its message, whatever its siblings do

import { type AIMessage, ToolMessage } from "@langchain/core/messages";
import { DynamicStructuredTool } from "@langchain/core/tools";

import type { Host } from "../host.js";
import type { Call } from "../results.js";

/** The host's tools, for `bindTools` and prebuilt agents. */
export async function tools(host: Host): Promise<DynamicStructuredTool[]> {
  const declared: any[] = await host.tools("json");
  return declared.map(
    ({ name, description, input_schema }) =>
      new DynamicStructuredTool({
        name,
        description,
        schema: input_schema,
        func: async (input: any, _manager: any, config: any) => {
          const result = await host.call(name, input, { signal: config?.signal, id: config?.toolCall?.id });
          if (result.error !== undefined) {
            throw new Error(result.text);
          }
          return result.text;
        },
      }),
  );
}

/** A node that answers the calls of the last message, invalid ones included. */
export function node(host: Host): (state: { messages: any[] }, config?: any) => Promise<{ messages: ToolMessage[] }> {
  return async (state, config) => {
    const last = state.messages.at(-1) as AIMessage;
    const calls: Call[] = [
      ...(last.tool_calls ?? []).map((call) => ({ name: call.name, arguments: call.args, id: call.id })),
      ...(last.invalid_tool_calls ?? []).map((call) => ({ name: call.name ?? "", arguments: call.args, id: call.id })),
    ];
    const results = await host.runAll(calls, { signal: config?.signal });
    return {
      messages: results.map(
        (result) =>
          new ToolMessage({
            content: result.text,
            tool_call_id: result.id ?? "",
            name: result.name,
            status: result.error === undefined ? "success" : "error",
            artifact: result.structured,
          }),
      ),
    };
  };
}
