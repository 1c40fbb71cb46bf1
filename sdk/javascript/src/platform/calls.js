// The build substitutes calls-component.js: only a component has a host. Elsewhere the tools are those of `testing.Host`.

import { CallError } from "../errors.js";

export async function run(name) {
  throw new CallError("denied", `tool ${name} is not granted: pass \`tools\` to \`Host\``);
}
