// The host's process: whole frames in and out. Frames of one turn of the event loop are written together.

import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import type { Writable } from "node:stream";

import { HostClosed } from "./errors.js";

/** Callers wait while the host has left more than this unread. */
const HIGH_WATER = 8 << 20;

/** How long the process has to end once its stdin is closed: it cancels what runs in less. */
const END_TIMEOUT = 6000;

export class HostProcess {
  readonly pid: number | undefined;
  private readonly child: ChildProcess;
  private readonly stdin: Writable;
  private outgoing: string[] = [];
  private rest: Buffer[] = [];
  private whyClosed: string | undefined;
  private readonly ended: Promise<void>;

  constructor(
    command: string,
    env: Record<string, string> | undefined,
    private readonly onLine: (line: string) => void,
    onEnd: (why: string) => void,
  ) {
    this.child = spawn(command, ["pipe"], {
      stdio: ["pipe", "pipe", "inherit"],
      env: env === undefined ? process.env : { ...process.env, ...env },
      // Ctrl-C is the program's to handle: the host ends with it.
      detached: process.platform !== "win32",
    });
    this.pid = this.child.pid;
    const { stdin, stdout } = this.child;
    if (stdin === null || stdout === null) {
      throw new HostClosed("the host's process has no pipes");
    }
    this.stdin = stdin;
    // It has ended; `close` says why.
    stdin.on("error", () => {});
    stdout.on("data", (chunk: Buffer) => this.read(chunk));
    this.ended = new Promise((resolve) => {
      const end = (said: string) => {
        const why = this.whyClosed ?? `the host's process (pid ${this.pid}) ended unexpectedly: ${said}`;
        this.whyClosed = why;
        resolve();
        onEnd(why);
      };
      this.child.once("error", (error) => end(error.message));
      // After the last of its output.
      this.child.once("close", (status, signal) => {
        end(signal === null ? `exit status ${status}` : `killed by ${signal}`);
      });
    });
    this.keepAlive(false);
  }

  /** Whether the program goes on while this is open: not while nothing waits for it. */
  keepAlive(isNeeded: boolean): void {
    const what = isNeeded ? "ref" : "unref";
    this.child[what]();
    for (const stream of [this.child.stdin, this.child.stdout]) {
      (stream as unknown as Partial<Socket>)?.[what]?.();
    }
  }

  send(line: string): void {
    if (this.whyClosed !== undefined) {
      throw new HostClosed(this.whyClosed);
    }
    this.outgoing.push(line);
    if (this.outgoing.length === 1) {
      queueMicrotask(() => this.flush());
    }
  }

  private flush(): void {
    const lines = this.outgoing;
    this.outgoing = [];
    if (lines.length > 0 && this.whyClosed === undefined) {
      this.stdin.write(`${lines.join("\n")}\n`);
    }
  }

  /** Completes once the host has not left too much unread, or has ended. */
  async room(): Promise<void> {
    while (this.stdin.writableLength > HIGH_WATER && this.whyClosed === undefined) {
      await Promise.race([new Promise((resolve) => this.stdin.once("drain", resolve)), this.ended]);
    }
  }

  private read(chunk: Buffer): void {
    try {
      this.lines(chunk);
    } catch (error) {
      // Whoever waits must hear of it.
      this.whyClosed ??= `the host sent what cannot be read: ${error}`;
      this.child.kill("SIGKILL");
    }
  }

  private lines(chunk: Buffer): void {
    let begin = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, begin)) {
      const piece = chunk.subarray(begin, end);
      begin = end + 1;
      if (this.rest.length > 0) {
        this.rest.push(piece);
        this.onLine(Buffer.concat(this.rest).toString());
        this.rest = [];
      } else {
        this.onLine(piece.toString());
      }
    }
    if (begin < chunk.length) {
      this.rest.push(chunk.subarray(begin));
    }
  }

  /** Ends it: what runs is cancelled. */
  async close(why: string): Promise<void> {
    if (this.whyClosed === undefined) {
      this.flush();
      this.whyClosed = why;
      this.keepAlive(true);
      this.stdin.end();
    }
    const killer = setTimeout(() => this.child.kill("SIGKILL"), END_TIMEOUT);
    await this.ended;
    clearTimeout(killer);
  }
}
