import assert from "node:assert/strict";
import { test } from "node:test";

import { AIMessage } from "@langchain/core/messages";
import { Agent } from "@mastra/core/agent";
import { generateText, stepCountIs } from "ai";
import { MockLanguageModelV3 } from "ai/test";

import * as aiSdk from "../dist/adapters/ai-sdk.js";
import * as langchain from "../dist/adapters/langchain.js";
import * as mastra from "../dist/adapters/mastra.js";
import { Host } from "../dist/index.js";
import { manifest } from "./common.js";

const INPUT = { type: "object", properties: { n: { type: "integer" } } };
const TOOLS = [
  {
    name: "nap",
    description: "Naps for 200 ms",
    inputSchema: INPUT,
    execute: ({ n }) => new Promise((resolve) => setTimeout(resolve, 200, `nap ${n}`)),
  },
  {
    name: "boom",
    inputSchema: INPUT,
    execute: () => {
      throw new Error("the kettle is cold");
    },
  },
];
const CALLS = [
  ["c0", "calculate", { expression: "6*7" }],
  ["c1", "nap", { n: 1 }],
  ["c2", "boom", { n: 2 }],
  ["c3", "nap", { n: "3" }],
  ["c4", "nap", { n: 4 }],
];
const TEXTS = ["42", "nap 1", "Error: boom failed - Error: the kettle is cold", "nap 3", "nap 4"];

test("a node in place of LangGraph's ToolNode", async () => {
  const host = await Host.open(manifest("calculator"), { tools: TOOLS });
  const message = new AIMessage({
    content: "",
    tool_calls: CALLS.map(([id, name, args]) => ({ id, name, args })),
    invalid_tool_calls: [{ id: "c5", name: "nap", args: '{"n": x}', error: "no JSON" }],
  });
  const begun = performance.now();
  const { messages } = await langchain.node(host)({ messages: [message] });
  const took = performance.now() - begun;
  assert.deepEqual(messages.map((it) => it.tool_call_id), ["c0", "c1", "c2", "c3", "c4", "c5"]);
  assert.deepEqual(messages.slice(0, 5).map((it) => it.content), TEXTS);
  assert.deepEqual(messages.map((it) => it.status), ["success", "success", "error", "success", "success", "error"]);
  // Three naps of 200 ms, side by side.
  assert.ok(took < 600, `${took}`);
  const tools = Object.fromEntries((await langchain.tools(host)).map((tool) => [tool.name, tool]));
  const answer = await tools.calculate.invoke({ id: "c", name: "calculate", args: CALLS[0][2], type: "tool_call" });
  assert.deepEqual([answer.content, answer.tool_call_id], ["42", "c"]);
  await assert.rejects(tools.boom.invoke({ n: 1 }), /kettle/);
  await host.close();
});

/** A model that calls the tools, and then says that it is done. What it was asked last is `prompt`. */
function model() {
  const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } };
  const answer = (options) => {
    made.prompt = options.prompt;
    if (options.prompt.some((message) => message.role === "tool")) {
      return { content: [{ type: "text", text: "done" }], finishReason: { unified: "stop" }, usage, warnings: [] };
    }
    assert.ok(options.tools.some((tool) => tool.name === "calculate" && tool.inputSchema.properties.expression));
    const content = CALLS.map(([toolCallId, toolName, input]) => ({
      type: "tool-call",
      toolCallId,
      toolName,
      input: JSON.stringify(input),
    }));
    return { content, finishReason: { unified: "tool-calls" }, usage, warnings: [] };
  };
  const made = new MockLanguageModelV3({ doGenerate: async (options) => answer(options) });
  return made;
}

test("the AI SDK", async () => {
  const host = await Host.open(manifest("calculator"), { tools: TOOLS });
  const asked = model();
  const { text } = await generateText({
    model: asked,
    prompt: "hi",
    tools: await aiSdk.tools(host),
    stopWhen: stepCountIs(3),
  });
  assert.equal(text, "done");
  const results = asked.prompt.at(-1).content;
  assert.deepEqual(results.map((it) => it.toolCallId), ["c0", "c1", "c2", "c3", "c4"]);
  assert.deepEqual(results.map((it) => it.output.value), TEXTS);
  await host.close();
});

test("Mastra", async () => {
  const host = await Host.open(manifest("calculator"), { tools: TOOLS });
  const asked = model();
  const tools = await mastra.tools(host);
  const agent = new Agent({ id: "agent", name: "Agent", instructions: "Use the tools.", model: asked, tools });
  const { text } = await agent.generate("hi");
  assert.equal(text, "done");
  const results = asked.prompt.filter((message) => message.role === "tool").flatMap((message) => message.content);
  assert.deepEqual(results.map((it) => it.toolCallId), ["c0", "c1", "c2", "c3", "c4"]);
  const texts = results.map((it) => it.output.value);
  texts.forEach((text, index) => {
    const said = typeof text === "string" ? text : JSON.stringify(text);
    assert.ok(said.includes(TEXTS[index].replace("Error: ", "")), `${said} is not ${TEXTS[index]}`);
  });
  await host.close();
});
