import type { AnySchema, Checked, FromSchema, JsonSchema, StandardSchema, Unchecked } from "./schema.js";

export type { FromSchema, JsonSchema, StandardSchema };
export * as ask from "./ask.js";

/** The tool could not do it. The model reads the message unchanged. */
export class ToolError extends Error {
  readonly kind: "failed" | "invalid-arguments" | "denied";
}
/** A tool that was called has no output. */
export class CallError extends ToolError {
  constructor(code: string, message: string, tool?: string);
  /** A stable name of the reason: `unknown-tool`, `invalid-arguments`, `denied`, `failed`, `timeout`, `limit` and so on. */
  readonly code: string;
  /** The tool's name. */
  readonly tool: string;
}
/** The arguments fit the schema and are wrong all the same: say which, and why. The model can correct them. */
export class InvalidArguments extends ToolError {}
/** The call needs something that the manifest does not grant: name it. */
export class Denied extends ToolError {}
/** There is no resource of this URI. */
export class NotFound extends InvalidArguments {
  constructor(uri: string);
}

/** A picture that stands for something: its `https:` or `data:` URI, or that with a media type and sizes. */
export type Icon = string | { src: string; mimeType?: string; sizes?: string[] };

/** A text, an image, a sound, a link or a resource, made by the functions of these names. */
export interface Content {
  readonly kind: "text" | "image" | "audio" | "link" | "embedded";
}
export interface Output {
  readonly content: Content[];
  readonly structured: unknown;
}

export function text(value: unknown): Content;
export function image(data: Uint8Array | ArrayBuffer, mimeType?: string): Content;
export function audio(data: Uint8Array | ArrayBuffer, mimeType?: string): Content;
export function link(link: { uri: string; name: string; description?: string; mimeType?: string }): Content;
/** Something that has a URI, with its contents: a string, or bytes. */
export function embedded(resource: { uri?: string; mimeType?: string; body: string | Uint8Array }): Content;
/** Several contents, and perhaps a value for programs. */
export function output(content: Content | string | (Content | string)[], structured?: unknown): Output;

export interface ToolOptions<Input extends AnySchema, Result extends AnySchema> {
  /** Letters, digits, `_` and `-`. */
  name: string;
  /** A name for people. */
  title?: string;
  /** What it does, and when to use it: the model reads this. */
  description: string;
  icon?: Icon | Icon[];
  /** What it takes: a JSON Schema of an object, or a schema of a library. Nothing, if left out. */
  input?: Input;
  /** What it returns. With a schema, the result goes to programs as a value, and to the model as JSON. */
  output?: Result;
  /** It changes nothing. */
  readOnly?: boolean;
  /** It may destroy something; `false` if it only ever adds. */
  destructive?: boolean;
  /** A second call with the same arguments changes nothing more. */
  idempotent?: boolean;
  /** It reaches beyond the host, the web for instance. */
  openWorld?: boolean;
  run(args: Checked<Input>): MaybePromise<AnySchema extends Result ? unknown : Unchecked<Result> | Output>;
}

type MaybePromise<T> = T | Promise<T>;

/** Makes a tool. It is offered from then on; what is returned is what was given. */
export function tool<
  const Input extends AnySchema = { type: "object"; properties: {} },
  const Result extends AnySchema = AnySchema,
>(options: ToolOptions<Input, Result>): ToolOptions<Input, Result>;

/** Lines for the call's log, by level; the model does not see them. `log("…")` is `log.info("…")`. */
export const log: {
  (...parts: unknown[]): void;
  debug(...parts: unknown[]): void;
  info(...parts: unknown[]): void;
  notice(...parts: unknown[]): void;
  warning(...parts: unknown[]): void;
  error(...parts: unknown[]): void;
};

/** Says how far the call is: `done` of `total`, in a unit of the tool's choosing. */
export function progress(done: number, total?: number, message?: string): void;
/** A value of the manifest's `[plugin.NAME.config]`. A string comes as it is, anything else as JSON. */
export function config(key: string): string | undefined;
/** A secret that the manifest grants under this name. Keep it out of results and logs. */
export function secret(name: string): string | undefined;
/**
 * Calls a tool that `permissions.tools` grants. Calls that are awaited together run together. The value is the structured
 * output, or else the text, or else the contents. Rejects with a `CallError`.
 */
export function callTool<Value = any>(name: string, args?: object): Promise<Value>;
/** Tells subscribers that a resource of this plugin is not what it was. */
export function resourceUpdated(uri: string): void;
/** Tells clients that this plugin lists other resources than it did. */
export function resourcesChanged(): void;

type Body = string | Uint8Array | Content | { body: string | Uint8Array; mimeType?: string; uri?: string };

export interface ResourceOptions<Uri extends string> {
  /** A URI, or a template: `{name}` is anything but a slash, `{+name}` anything. */
  uri: Uri;
  name?: string;
  title?: string;
  description?: string;
  mimeType?: string;
  /** In bytes. */
  size?: number;
  icon?: Icon | Icon[];
  read(variables: Variables<Uri>, uri: string): MaybePromise<Body | Body[]>;
  /** Something that changes when the resource does; without it the resource is read to see. */
  version?(variables: Variables<Uri>, uri: string): MaybePromise<string>;
}

type Variables<Uri extends string> = string extends Uri ? Record<string, string> : { [Name in Names<Uri>]: string };
type Names<Uri extends string> = Uri extends `${string}{${infer Name}}${infer Rest}`
  ? (Name extends `+${infer Plain}` ? Plain : Name) | Names<Rest>
  : never;

/** Something that can be read by its URI, or by all those of a template. */
export function resource<const Uri extends string>(options: ResourceOptions<Uri>): ResourceOptions<Uri>;

export interface ListedResource {
  uri: string;
  name?: string;
  title?: string;
  description?: string;
  mimeType?: string;
  size?: number;
  icon?: Icon | Icon[];
}

/** A function that lists resources beside those of `resource`: asked whenever a client lists them. Templates read them. */
export function listing(list: () => MaybePromise<ListedResource[]>): void;

/** One piece of a conversation. */
export interface Message {
  role: "user" | "assistant";
  content: string | Content;
}

export interface PromptOptions<
  Arguments extends Record<string, string | { title?: string; description?: string; required?: boolean }>,
> {
  name: string;
  title?: string;
  description?: string;
  /** By their names: a string is the description of one that must be given. */
  arguments?: Arguments;
  run(texts: {
    [Name in keyof Arguments]: Arguments[Name] extends { required: false } ? string | undefined : string;
  }): MaybePromise<string | Message | (string | Content | Message)[]>;
}

/** A conversation to begin with. Its arguments come as texts. */
export function prompt<
  const Arguments extends Record<string, string | { title?: string; description?: string; required?: boolean }> = {},
>(options: PromptOptions<Arguments>): PromptOptions<Arguments>;

/** Suggests values for an argument of a prompt, or a variable of a template. */
export function completes(
  of: string,
  argument: string,
  suggest: (typed: string, others: Record<string, string>) => MaybePromise<string[]>,
): void;
