// Vercel's AI SDK. Its limit is one of the whole turn, which tools see as a signal.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { INPUT, main, TOOLS } from "./harness.mjs";

// It is installed for the tests of the client.
const { resolve } = createRequire(new URL("../../clients/typescript/package.json", import.meta.url));
const from = (name) => import(pathToFileURL(resolve(name)).href);
const { generateText, jsonSchema, stepCountIs, tool } = await from("ai");
const { MockLanguageModelV3 } = await from("ai/test");

await main(async (limit) => async (calls, abortSignal) => {
  let answered = [];
  const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } };
  const model = new MockLanguageModelV3({
    doGenerate: async ({ prompt }) => {
      const messages = prompt.filter(({ role }) => role === "tool").flatMap(({ content }) => content);
      if (messages.length > 0) {
        answered = messages.map(({ toolCallId, output }) => [toolCallId, String(output.value)]);
        return { content: [{ type: "text", text: "done" }], finishReason: { unified: "stop" }, usage, warnings: [] };
      }
      const content = calls.map(([toolCallId, toolName, input]) => ({
        type: "tool-call",
        toolCallId,
        toolName,
        input: JSON.stringify(input),
      }));
      return { content, finishReason: { unified: "tool-calls" }, usage, warnings: [] };
    },
  });
  const tools = Object.entries(TOOLS).map(([name, execute]) => [
    name,
    tool({ description: name, inputSchema: jsonSchema(INPUT), execute }),
  ]);
  const timeout = limit === undefined ? {} : { timeout: { totalMs: limit * 1000 } };
  await generateText({
    model,
    prompt: "hi",
    tools: Object.fromEntries(tools),
    stopWhen: stepCountIs(3),
    abortSignal,
    ...timeout,
  });
  return answered;
});
