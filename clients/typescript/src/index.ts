/** Runs the tool calls of language models in parallel, each in a fresh WebAssembly sandbox. */

export type { HostOptions, Manifest } from "./connection.js";
export { BinaryNotFound, type FrameErrorCode, HostClosed, RequestFailed, ToolError, ToolhostError } from "./errors.js";
export type { CallContext, ToolDefinition } from "./functions.js";
export { Host, type RunOptions } from "./host.js";
export type { Call, Content, ErrorCode, Format, Result, Usage } from "./results.js";
export { VERSION } from "./version.js";
