// Functions of the program as tools. Each call is answered exactly once, when its function has returned: the host has
// long ended a call that is late, and counts the function as running until then.

import { AsyncLocalStorage } from "node:async_hooks";

import { ToolError } from "./errors.js";
import type { Content } from "./results.js";

/** A schema library's schema, by <https://standardschema.dev/json-schema>: zod, valibot, arktype. */
interface StandardJsonSchema {
  "~standard": { jsonSchema: { input(options: { target: string }): Record<string, unknown> } };
}

/** What a function is called with beside its arguments. */
export interface CallContext {
  /** Aborted at the call's deadline, and when it is cancelled. */
  signal: AbortSignal;
  /** The id that the model gave to the call. */
  callId: string | undefined;
  /** For whom the call is. */
  client: string | undefined;
}

/** A function of the program. */
export interface ToolDefinition<Arguments = any> {
  name: string;
  title?: string;
  /** What the model reads. */
  description?: string;
  /** The JSON Schema of its arguments, or a schema that has one. */
  inputSchema: Record<string, unknown> | StandardJsonSchema;
  /** The JSON Schema of its structured output. */
  outputSchema?: Record<string, unknown>;
  /** It changes nothing, so that it may start while the model still speaks. */
  readOnly?: boolean;
  destructive?: boolean;
  idempotent?: boolean;
  openWorld?: boolean;
  /** The deadline of each call in milliseconds, if it is sooner than the manifest's. */
  timeout?: number;
  /** Text, `{ content, structured }`, or a value that is written as JSON. Throw a `ToolError` to tell the model why not. */
  execute(args: Arguments, context: CallContext): unknown;
}

/** How many functions run at once, unless the host says otherwise. */
export const MAX_CALLS = 64;

/** A call whose function runs. */
interface RunningCall {
  id: number;
  of: Functions;
  isOpen: boolean;
  controller: AbortController;
}

/** The call whose function runs: what that function runs is nested in it. */
const currentCall = new AsyncLocalStorage<RunningCall>();

/** Restores the context of a run for the functions that it calls. */
export type Restore = <T>(run: () => T) => T;

export class Functions {
  readonly tools = new Map<string, ToolDefinition>();
  private readonly running = new Map<number, RunningCall>();

  constructor(private readonly send: (frame: Record<string, unknown>) => void) {}

  declarations(): Record<string, unknown>[] {
    return [...this.tools.values()].map(declaration);
  }

  /** Starts a call. */
  call(frame: any, restore: Restore | undefined): void {
    const call = { id: frame.id, of: this, isOpen: true, controller: new AbortController() };
    this.running.set(frame.id, call);
    const run = () => currentCall.run(call, () => this.run(frame, call));
    // One by one, so that the answers of others are written before a function that computes blocks the loop.
    setImmediate(() => void (restore === undefined ? run() : restore(run)));
  }

  /** The host has ended the call. */
  cancel(id: number): void {
    this.running.get(id)?.controller.abort();
  }

  cancelAll(): void {
    this.running.forEach((call) => call.controller.abort());
  }

  /** The call of this host whose function runs here. */
  currentCall(): number | undefined {
    const call = currentCall.getStore();
    // What a function leaves running when it returns is a run of its own.
    return call !== undefined && call.of === this && call.isOpen ? call.id : undefined;
  }

  private async run(frame: any, call: RunningCall): Promise<void> {
    const { signal } = call.controller;
    let answer: Record<string, unknown>;
    try {
      signal.throwIfAborted();
      const tool = this.tools.get(frame.tool);
      if (tool === undefined) {
        throw new ToolError(`the program has no function for \`${frame.tool}\` any more`);
      }
      const context = { signal, callId: frame.call_id, client: frame.client };
      answer = answerOf(await tool.execute(frame.arguments, context));
    } catch (error) {
      answer = { error: errorOf(error, signal) };
    }
    call.isOpen = false;
    this.running.delete(frame.id);
    try {
      this.send({ type: "answer", id: frame.id, ...answer });
    } catch (error) {
      // The result is too long or not JSON, or the host is closed.
      try {
        const message = `its result cannot be sent: ${(error as Error).message}`;
        this.send({ type: "answer", id: frame.id, error: { message } });
      } catch {}
    }
  }
}

function errorOf(error: unknown, signal: AbortSignal): Record<string, unknown> {
  if (error instanceof ToolError) {
    return { code: error.code, message: error.message };
  }
  if (signal.aborted && (error as Error)?.name === "AbortError") {
    return { code: "cancelled", message: "cancelled" };
  }
  return { code: "failed", message: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
}

function declaration(tool: ToolDefinition): Record<string, unknown> {
  const { name, title, description, inputSchema, outputSchema, timeout } = tool;
  const annotations = {
    read_only: tool.readOnly,
    destructive: tool.destructive,
    idempotent: tool.idempotent,
    open_world: tool.openWorld,
  };
  return {
    name,
    title,
    description: description ?? "",
    input_schema:
      "~standard" in inputSchema
        ? (inputSchema as StandardJsonSchema)["~standard"].jsonSchema.input({ target: "draft-2020-12" })
        : inputSchema,
    output_schema: outputSchema,
    annotations,
    timeout_ms: timeout === undefined ? undefined : Math.max(1, Math.round(timeout)),
  };
}

function answerOf(value: any): { content: Content[]; structured?: unknown } {
  if (value === undefined || value === null) {
    // A model takes an empty answer for a failure.
    return { content: [{ type: "text", text: "Done." }] };
  }
  if (typeof value === "string") {
    return { content: [{ type: "text", text: value }] };
  }
  if (Array.isArray(value.content) && value.content.every((part: any) => typeof part?.type === "string")) {
    return { content: value.content, structured: value.structured };
  }
  const text = JSON.stringify(value);
  const isObject = typeof value === "object" && !Array.isArray(value);
  return { content: [{ type: "text", text }], ...(isObject ? { structured: value } : {}) };
}
