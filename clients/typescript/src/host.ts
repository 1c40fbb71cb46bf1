import { Connection, type HostOptions, type Manifest, sourceOf, Waiting } from "./connection.js";
import type { ToolDefinition } from "./functions.js";
import { isStream, piecesOf, toJson } from "./responses.js";
import type { Call, Format, Result } from "./results.js";

/** Options of runs. */
export interface RunOptions {
  /** The response's format, if it is not to be detected. */
  format?: Format | undefined;
  /** For whom the calls are: the client's folders, its name in the audit log. */
  client?: string | undefined;
  /** The deadline of each call in milliseconds, if it is sooner than the tool's. */
  timeout?: number | undefined;
  /** The same calls with the same key run once. */
  idempotencyKey?: string | undefined;
  /** Cancels the calls. */
  signal?: AbortSignal | undefined;
}

/**
 * The tools of a manifest, and functions of this program.
 *
 * ```ts
 * await using host = await Host.open("toolhost.toml");
 * const reply = await client.responses.create({ model, input, tools: await host.tools("openai-responses") });
 * input.push(...reply.output, ...(await host.answers(reply)));
 * ```
 *
 * A tool that fails, hangs or crashes has a `Result` with an `error`, as its siblings have theirs.
 */
export class Host implements AsyncDisposable {
  private constructor(private readonly connection: Connection) {}

  /** Starts a host with a manifest: its path, or its content; without plugins if there is none. */
  static async open(manifest?: Manifest, options: HostOptions = {}): Promise<Host> {
    return new Host(await Connection.open(manifest, options));
  }

  /** Ends the host: what runs is cancelled. */
  close(): Promise<void> {
    return this.connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The process of the host. */
  get pid(): number | undefined {
    return this.connection.pid;
  }

  /** Makes a tool of a function; one with the same name is replaced. */
  async tool<Arguments = any>(definition: ToolDefinition<Arguments>): Promise<void> {
    const { tools } = this.connection.functions;
    const before = tools.get(definition.name);
    tools.set(definition.name, definition);
    try {
      await this.connection.declare();
    } catch (error) {
      if (before === undefined) {
        tools.delete(definition.name);
      } else {
        tools.set(definition.name, before);
      }
      throw error;
    }
  }

  /** The tools as an API takes them: what goes into the request's `tools`, or Bedrock's `toolConfig`. */
  tools(format: Format = "openai-chat"): Promise<any> {
    return this.connection.tools(format);
  }

  /** Calls one tool. */
  async call(
    name: string,
    args?: Record<string, unknown> | string,
    options: RunOptions & { id?: string | undefined } = {},
  ): Promise<Result> {
    const waiting = await this.runToEnd([{ name, arguments: args, id: options.id }], options);
    waiting.throwFailure(waiting.results);
    return waiting.results[0] as Result;
  }

  /** Runs the calls of a response, or an array of `Call`, and returns their results in the order of the calls. */
  async runAll(response: unknown, options: RunOptions = {}): Promise<Result[]> {
    const waiting = await this.runToEnd(response, options);
    const results = waiting.results.sort((one, other) => one.index - other.index);
    waiting.throwFailure(results);
    return results;
  }

  /**
   * Runs the calls of a response, and returns the messages that go back to the model; none if it has no calls.
   *
   * Of a stream, calls that can change nothing start while it arrives. `onEvent` sees each of its events.
   */
  async answers(
    response: unknown,
    options: RunOptions & { onEvent?: ((event: any) => void) | undefined } = {},
  ): Promise<any[]> {
    const wanted = { results: "false", messages: "true" };
    const waiting = await this.runToEnd(response, options, wanted, options.onEvent);
    waiting.throwFailure(waiting.results);
    return waiting.done.messages ?? [];
  }

  /** Runs the calls of a response, or an array of `Call`, and yields each result as it completes. */
  async *run(response: unknown, options: RunOptions = {}): AsyncGenerator<Result, void, void> {
    const waiting = new Waiting();
    let thrown: unknown;
    const release = this.cancelled(waiting, options.signal);
    const feeding = this.feed(waiting, response, options, {}, undefined).catch((error) => {
      // Thrown where the results are taken, after those of what ran.
      thrown = error;
      if (waiting.id === 0) {
        waiting.take({ type: "none" });
      }
    });
    const seen: Result[] = [];
    try {
      for (;;) {
        for (let result = waiting.results.shift(); result !== undefined; result = waiting.results.shift()) {
          seen.push(result);
          yield result;
        }
        if (waiting.done !== undefined) {
          break;
        }
        await waiting.more();
      }
    } finally {
      release();
      this.connection.cancel(waiting);
    }
    await feeding;
    if (thrown !== undefined) {
      throw thrown;
    }
    options.signal?.throwIfAborted();
    waiting.throwFailure(seen);
  }

  /** Loads the manifest, its plugins and its servers again. What runs goes on; if it fails, nothing changes. */
  async reload(manifest?: Manifest): Promise<void> {
    const named = manifest === undefined ? undefined : JSON.stringify(sourceOf(manifest));
    await this.connection.request("reload", { manifest: named });
  }

  private async runToEnd(
    response: unknown,
    options: RunOptions,
    wanted: Record<string, string> = {},
    onEvent?: (event: any) => void,
  ): Promise<Waiting> {
    const { signal } = options;
    signal?.throwIfAborted();
    const waiting = new Waiting();
    const release = this.cancelled(waiting, signal);
    try {
      try {
        await this.feed(waiting, response, options, wanted, onEvent);
      } finally {
        // What ran ends first; the program hears of its own error.
        if (waiting.id !== 0) {
          await waiting.end();
        }
      }
    } finally {
      release();
    }
    // The results of cancelled calls are dropped.
    signal?.throwIfAborted();
    return waiting;
  }

  /** Cancels a run with a signal. Returns what ends that. */
  private cancelled(waiting: Waiting, signal: AbortSignal | undefined): () => void {
    if (signal === undefined) {
      return () => {};
    }
    const cancel = () => this.connection.cancel(waiting);
    signal.addEventListener("abort", cancel);
    return () => signal.removeEventListener("abort", cancel);
  }

  /** Sends a response, to its end if it is a stream. */
  private async feed(
    waiting: Waiting,
    response: unknown,
    options: RunOptions,
    wanted: Record<string, string>,
    onEvent: ((event: any) => void) | undefined,
  ): Promise<void> {
    const { connection } = this;
    await connection.room();
    const begin = (what: Record<string, string>) => {
      const parent = connection.functions.currentCall();
      connection.begin(waiting, "run", { ...what, ...membersOf(options, parent), ...wanted });
    };
    if (!isStream(response)) {
      begin(isCalls(response) ? { calls: toJson(response) } : { response: toJson(response) });
      return;
    }
    try {
      for await (const { kind, data } of piecesOf(response, onEvent)) {
        if (waiting.id === 0) {
          begin({ stream: JSON.stringify(kind) });
        }
        connection.sendOf(waiting, { type: "data", data });
        await connection.room();
        if (waiting.done !== undefined || options.signal?.aborted) {
          return;
        }
      }
    } catch (error) {
      if (waiting.id !== 0) {
        connection.sendOf(waiting, { type: "end", error: String(error) });
      }
      throw error;
    }
    if (waiting.id === 0) {
      begin({ stream: '"text"' });
    }
    connection.sendOf(waiting, { type: "end" });
  }
}

/** Whether it is an array of `Call`, rather than the parts of a response. */
function isCalls(response: unknown): response is Call[] {
  return (
    Array.isArray(response) &&
    response.every((it) => typeof it?.name === "string" && !("type" in it) && !("function" in it))
  );
}

function membersOf(options: RunOptions, parent: number | undefined): Record<string, string | undefined> {
  const json = (value: unknown) => (value === undefined ? undefined : JSON.stringify(value));
  const { timeout } = options;
  return {
    format: json(options.format),
    client: json(options.client),
    timeout_ms: timeout === undefined ? undefined : `${Math.max(1, Math.round(timeout))}`,
    idempotency_key: json(options.idempotencyKey),
    parent: json(parent),
  };
}
