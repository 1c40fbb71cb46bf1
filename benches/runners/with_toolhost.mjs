// toolhost: functions of the program, through the pipe.

import { Host } from "../../clients/typescript/dist/index.js";
import { INPUT, main, TOOLS } from "./harness.mjs";

await main(async (limit) => {
  const tools = Object.entries(TOOLS).map(([name, execute]) => ({ name, inputSchema: INPUT, execute }));
  const host = await Host.open(limit === undefined ? {} : { host: { timeout: `${limit}s` } }, { tools });
  return async (calls, signal) => {
    const made = calls.map(([id, name, args]) => ({ id, name, arguments: args }));
    const results = await host.runAll(made, { signal });
    return results.map(({ id, text }) => [id, text]);
  };
});
