import type { Completion, Root } from "./ask.js";
import type { Content, Message, PromptOptions, ToolOptions } from "./index.js";

/** The user said no. */
export const declined: { readonly kind: "declined" };
/** The user did not say. */
export const dismissed: { readonly kind: "dismissed" };

/** What a question is answered with: an object fills in a form, a text is what the model said, `null` visits a page. */
export type Answer = typeof declined | typeof dismissed | Completion | string | Root[] | Record<string, unknown> | null;

export interface HostOptions {
  config?: Record<string, unknown>;
  secrets?: Record<string, string>;
  /** Answers requests. */
  fetch?: (request: Request) => Response | Promise<Response>;
  /** The tools that `callTool` calls, by their names. One that throws a `CallError` or a `ToolError` fails. */
  tools?: Record<string, (args: any) => unknown>;
  /** The replies to questions, by their keys. */
  answers?: Record<string, Answer>;
  canAsk?: boolean | ((kind: "form" | "page" | "prompt" | "roots") => boolean);
}

export interface Result {
  content: Content[];
  /** The texts in it, one a line. */
  text: string;
  /** The value for programs; integers beyond 2^53 are bigints. */
  structured: any;
}

/** What the host grants while a test runs: nothing that is not said. */
export class Host {
  constructor(options?: HostOptions);
  readonly logs: [level: string, message: string][];
  readonly progressed: [done: number, total: number | undefined, message: string | undefined][];
  readonly requests: Request[];
  /** The calls of tools: name and arguments. */
  readonly called: [name: string, args: any][];
  /** The questions that calls had to ask, by their keys. */
  readonly asked: Record<string, any>;
  /** The URIs of resources that were said to have changed. */
  readonly updated: string[];

  /** Calls a tool, with arguments that go through JSON; asks what it asks, from `answers`. */
  call(tool: string | ToolOptions<any, any>, args?: object | string): Promise<Result>;
  /** Reads a resource. */
  read(uri: string): Promise<{ uri: string; mimeType?: string; body: string | Uint8Array }[]>;
  /** Fills in a prompt, whose arguments are texts. */
  prompt(prompt: string | PromptOptions<any>, texts?: Record<string, string>): Promise<Message[]>;
  /** What is suggested for an argument. */
  complete(of: string, argument: string, typed?: string, others?: Record<string, string>): Promise<string[]>;
  /** Runs something with what is granted here. */
  run<T>(run: () => T | Promise<T>): Promise<T>;
}

/** All tools that are defined, with their schemas. */
export function listTools(): {
  name: string;
  title?: string;
  description: string;
  inputSchema: any;
  outputSchema?: any;
}[];
