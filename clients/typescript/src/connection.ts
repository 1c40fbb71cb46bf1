// The protocol with one host (`docs/pipe.md`): who waits for which frame.

import { AsyncLocalStorage } from "node:async_hooks";

import { findBinary } from "./binary.js";
import { HostClosed, RequestFailed } from "./errors.js";
import { Functions, MAX_CALLS, type Restore, type ToolDefinition } from "./functions.js";
import { HostProcess } from "./process.js";
import { type Result, resultOf } from "./results.js";
import { VERSION } from "./version.js";

const PROTOCOL = 1;

/** The path of a manifest, or its content. */
export type Manifest = string | Record<string, unknown>;

export interface HostOptions {
  /** Plugins that ship with toolhost, by name. They are granted nothing. */
  plugins?: string[];
  /** The `toolhost` binary, if it is not to be looked for. */
  binary?: string;
  /** Environment variables for it, in addition to this process's. */
  env?: Record<string, string>;
  /** How many functions of the program run at once [default: 64]. */
  maxCalls?: number;
  /** Functions of the program. */
  tools?: ToolDefinition[];
}

/** Something that waits for frames of the host: a run, or a request. */
export class Waiting {
  id = 0;
  results: Result[] = [];
  /** The last frame. */
  done: any;
  error: Error | undefined;
  restore: Restore | undefined;
  private wake: (() => void) | undefined;

  take(frame: any): void {
    if (frame.type === "result") {
      this.results.push(resultOf(frame.index, frame.result));
    } else {
      if (frame.type === "done") {
        for (const { index, result } of frame.results ?? []) {
          this.results.push(resultOf(index, result));
        }
      }
      const failure = frame.type === "error" ? frame : frame.failure;
      if (failure !== undefined) {
        this.error = new RequestFailed(failure.code, failure.message);
      }
      this.done = frame;
    }
    this.wake?.();
  }

  close(why: string): void {
    if (this.done === undefined) {
      this.error = new HostClosed(why);
      this.done = {};
      this.wake?.();
    }
  }

  /** Waits for the next frame. */
  more(): Promise<void> {
    return new Promise((resolve) => (this.wake = resolve));
  }

  async end(): Promise<void> {
    while (this.done === undefined) {
      await this.more();
    }
  }

  /** Throws what went wrong with the run as a whole. */
  throwFailure(results: Result[]): void {
    const { error } = this;
    if (error !== undefined) {
      if (error instanceof RequestFailed || error instanceof HostClosed) {
        error.results = results;
      }
      throw error;
    }
  }
}

export class Connection {
  readonly functions: Functions;
  private readonly process: HostProcess;
  private readonly waiting = new Map<number, Waiting>();
  private next = 1;
  private greeting: Waiting | undefined;
  private maxFrame = Infinity;
  private known = new Map<string, Promise<any>>();

  private constructor(command: string, env: Record<string, string> | undefined) {
    this.functions = new Functions((frame) => this.send(JSON.stringify(frame)));
    this.process = new HostProcess(
      command,
      env,
      (line) => this.take(JSON.parse(line)),
      (why) => this.ended(why),
    );
  }

  static async open(manifest: Manifest | undefined, options: HostOptions): Promise<Connection> {
    const command = findBinary(options.binary);
    const connection = new Connection(command, options.env);
    for (const tool of options.tools ?? []) {
      connection.functions.tools.set(tool.name, tool);
    }
    const greeting = (connection.greeting = new Waiting());
    connection.process.keepAlive(true);
    connection.send(
      JSON.stringify({
        type: "hello",
        version: PROTOCOL,
        client: `toolhost for Node ${VERSION}`,
        manifest: sourceOf(manifest),
        plugins: options.plugins ?? [],
        tools: connection.functions.declarations(),
        max_calls: options.maxCalls ?? MAX_CALLS,
      }),
    );
    await greeting.end();
    connection.settle();
    if (greeting.error !== undefined) {
      await connection.close();
      throw greeting.error;
    }
    connection.maxFrame = greeting.done.max_frame;
    const { host } = greeting.done;
    if (host !== VERSION) {
      process.emitWarning(
        `the toolhost binary ${command} has version ${host}, and the package ${VERSION}: install the same of both`,
      );
    }
    return connection;
  }

  get pid(): number | undefined {
    return this.process.pid;
  }

  close(): Promise<void> {
    this.functions.cancelAll();
    return this.process.close("the host is closed");
  }

  room(): Promise<void> {
    return this.process.room();
  }

  /** Sends what `waiting` waits for. The members are JSON already. */
  begin(waiting: Waiting, type: string, members: Record<string, string | undefined>): void {
    const id = this.next++;
    if (this.functions.tools.size > 0) {
      waiting.restore = AsyncLocalStorage.snapshot() as Restore;
    }
    let line = `{"type":"${type}","id":${id}`;
    for (const [key, json] of Object.entries(members)) {
      if (json !== undefined) {
        line += `,"${key}":${json}`;
      }
    }
    this.send(`${line}}`);
    if (this.waiting.size === 0) {
      this.process.keepAlive(true);
    }
    waiting.id = id;
    this.waiting.set(id, waiting);
  }

  /** Sends another frame of a run. */
  sendOf(waiting: Waiting, frame: Record<string, unknown>): void {
    this.send(JSON.stringify({ ...frame, id: waiting.id }));
  }

  /** Cancels an abandoned run. */
  cancel(waiting: Waiting): void {
    if (waiting.done === undefined && this.waiting.has(waiting.id)) {
      try {
        this.sendOf(waiting, { type: "cancel" });
      } catch {
        // It is closed, and with it the run.
      }
    }
  }

  async request(type: string, members: Record<string, string | undefined>): Promise<any> {
    const waiting = new Waiting();
    this.begin(waiting, type, members);
    await waiting.end();
    waiting.throwFailure([]);
    return waiting.done;
  }

  /** The tools in a format, asked for once until they change. */
  tools(format: string): Promise<any> {
    let known = this.known.get(format);
    if (known === undefined) {
      known = this.request("tools", { format: JSON.stringify(format) });
      this.known.set(format, known);
      known.catch(() => this.known.delete(format));
    }
    return known.then((frame) => frame.tools);
  }

  async declare(): Promise<void> {
    await this.request("declare", { tools: JSON.stringify(this.functions.declarations()) });
    this.known.clear();
  }

  private send(line: string): void {
    if (line.length > this.maxFrame) {
      throw new RangeError(`a frame of ${line.length} characters; the host reads at most ${this.maxFrame} bytes`);
    }
    this.process.send(line);
  }

  private take(frame: any): void {
    switch (frame.type) {
      case "result":
        this.waiting.get(frame.run)?.take(frame);
        break;
      case "done":
        this.finished(frame.run, frame);
        break;
      case "call":
        this.functions.call(frame, this.waiting.get(frame.run)?.restore);
        break;
      case "cancel":
        this.functions.cancel(frame.id);
        break;
      case "changed":
        this.known.clear();
        break;
      case "hello":
        this.greeted(frame);
        break;
      default:
        if (frame.id !== undefined) {
          this.finished(frame.id, frame);
        } else {
          this.greeted(frame);
        }
    }
  }

  private greeted(frame: any): void {
    const { greeting } = this;
    this.greeting = undefined;
    greeting?.take(frame);
  }

  private finished(id: number, frame: any): void {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    this.settle();
    waiting?.take(frame);
  }

  /** An idle host does not keep the program from ending. */
  private settle(): void {
    if (this.waiting.size === 0) {
      this.process.keepAlive(false);
    }
  }

  private ended(why: string): void {
    const waiting = [...this.waiting.values(), ...(this.greeting === undefined ? [] : [this.greeting])];
    this.waiting.clear();
    this.functions.cancelAll();
    waiting.forEach((it) => it.close(why));
  }
}

export function sourceOf(manifest: Manifest | undefined): Record<string, unknown> {
  return typeof manifest === "string" ? { file: manifest } : { inline: { tables: manifest ?? {} } };
}
