// Calls of the host's other tools. Used only by plugins that call tools: others do not import `toolhost:calls`.

import { CallError } from "./errors.js";
import { host } from "./host.js";
import { stringify } from "./json.js";
import { run } from "./platform/calls.js";

/** Calls a tool that `permissions.tools` grants. Calls that are awaited together run together. */
export async function callTool(name, args = {}) {
  const { callTool: fake } = host();
  try {
    // A JSON text, as it is sent: what is no JSON is the same error everywhere.
    return await (fake ?? run)(String(name), stringify(args ?? {}));
  } catch (error) {
    if (error instanceof CallError) error.tool ??= String(name);
    throw error;
  }
}
