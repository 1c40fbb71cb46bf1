// What the modules of this plugin offer.

import { Denied } from "./errors.js";

export const tools = new Map();
export const prompts = new Map();
export const resources = new Map();
export const listings = [];
export const completions = new Map();

const NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** Adds to one of these; two of one name are a mistake. */
export function add(kind, known, name, offered) {
  if (typeof name !== "string" || (kind !== "resource" && !NAME.test(name))) {
    throw new TypeError(
      `${JSON.stringify(name)} cannot be the name of a ${kind}: it may have letters, digits, \`_\` and \`-\``,
    );
  }
  if (known.has(name)) throw new TypeError(`two ${kind}s are called \`${name}\``);
  known.set(name, offered);
}

/** The host while a component is built: modules run then, and nothing is granted yet. */
export function building() {
  const refuse = (what) => () => {
    throw new Denied(`${what} is not available while the component is built: call it inside \`run\``);
  };
  return {
    log() {},
    progress() {},
    canAsk: () => false,
    resourceUpdated() {},
    resourcesChanged() {},
    config: refuse("config"),
    secret: refuse("secret"),
    callTool: refuse("callTool"),
  };
}
