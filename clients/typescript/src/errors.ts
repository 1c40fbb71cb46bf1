// What is thrown: faults of the host, the manifest or the program. A tool that fails is a `Result`, not an exception.

import type { Result } from "./results.js";

/** What is wrong with a request or with the session: `docs/pipe.md`. */
export type FrameErrorCode =
  | "invalid-frame"
  | "too-large"
  | "unsupported-version"
  | "invalid-manifest"
  | "untrusted"
  | "invalid-tool"
  | "unknown-format"
  | "invalid-response"
  | "broken-stream";

/** The host cannot do what it was asked for. */
export class ToolhostError extends Error {
  override name = "ToolhostError";
}

/** There is no `toolhost` binary. The message says where it was looked for. */
export class BinaryNotFound extends ToolhostError {
  override name = "BinaryNotFound";
}

/** The host is closed, or its process has ended. */
export class HostClosed extends ToolhostError {
  override name = "HostClosed";
  /** The results of the run that came before. */
  results: Result[] = [];
}

/** The host refused a request, or could not read a response. */
export class RequestFailed extends ToolhostError {
  override name = "RequestFailed";
  /** The results of calls that had run by then. */
  results: Result[] = [];

  constructor(
    readonly code: FrameErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** Thrown by a function of the program: the model reads the message. */
export class ToolError extends Error {
  override name = "ToolError";

  constructor(
    message: string,
    readonly code: "failed" | "invalid-arguments" | "denied" = "failed",
  ) {
    super(message);
  }
}
