// What calls are, and what comes of them.

/** The codes of `docs/errors.md`. */
export type ErrorCode =
  | "unknown-tool"
  | "not-found"
  | "invalid-arguments"
  | "timeout"
  | "limit"
  | "invalid-options"
  | "denied"
  | "trap"
  | "failed"
  | "input-required"
  | "cancelled"
  | "internal";

/** The wire formats of `docs/wire.md`. */
export type Format =
  | "openai-chat"
  | "openai-responses"
  | "anthropic"
  | "gemini"
  | "ollama"
  | "bedrock"
  | "mcp"
  | "json";

/** A call by hand: `arguments` is an object, or the JSON text that a model wrote. */
export interface Call {
  name: string;
  arguments?: Record<string, unknown> | string | undefined;
  id?: string | undefined;
}

/** A part of a result, as MCP writes it. */
export type Content =
  | { type: "text"; text: string }
  | { type: "image" | "audio"; data: string; mimeType: string }
  | { type: "resource_link"; uri: string; name: string; description?: string; mimeType?: string }
  | { type: "resource"; resource: { uri: string; mimeType?: string; text?: string; blob?: string } };

/** What a call used. */
export interface Usage {
  queueMs: number;
  runMs: number;
  cpuMs: number;
  peakMemoryBytes: number;
  outputBytes: number;
  /** The calls that it made, and those that they made. */
  calls: number;
}

/** The result of one call, whatever came of it. */
export interface Result {
  /** The call's position in its run. */
  index: number;
  id: string | undefined;
  /** The tool's name as it was called. */
  name: string;
  /** What the model sees; an error reads `Error: …`. */
  text: string;
  /** Why there is no output. */
  error: { code: ErrorCode; message: string } | undefined;
  /** The output for programs, if the tool gave one. */
  structured: unknown;
  content: Content[];
  usage: Usage;
  log: { source: string; text: string }[];
  repairs: { path: string; what: string }[];
}

/** The result in a frame. */
export function resultOf(index: number, body: any): Result {
  const usage = body.usage;
  return {
    index,
    id: body.id,
    name: body.name,
    text: body.text,
    error: body.error,
    structured: body.structured,
    content: body.content ?? (body.error ? [] : [{ type: "text", text: body.text }]),
    usage: {
      queueMs: usage.queue_ms,
      runMs: usage.run_ms,
      cpuMs: usage.cpu_ms,
      peakMemoryBytes: usage.peak_memory_bytes,
      outputBytes: usage.output_bytes,
      calls: usage.calls ?? 0,
    },
    log: body.log ?? [],
    repairs: body.repairs ?? [],
  };
}
