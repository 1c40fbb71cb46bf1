// Plugins for toolhost: tools for language models, each a function in a WebAssembly sandbox.

export * as ask from "./ask.js";
export { callTool } from "./calls.js";
export { audio, embedded, image, link, output, text } from "./content.js";
export { CallError, Denied, InvalidArguments, NotFound, ToolError } from "./errors.js";
export { config, log, progress, resourceUpdated, resourcesChanged, secret } from "./host.js";
export { completes, listing, prompt, resource } from "./offers.js";
export { tool } from "./tool.js";
