import type { Content, Message } from "./index.js";
import type { AnySchema, Checked } from "./schema.js";
import { ToolError } from "./index.js";

/** The user gave no answer. Catch it to go on without one. */
export class Refused extends ToolError {}
/** The user said no. */
export class Declined extends Refused {}
/** The user did not say. */
export class Dismissed extends Refused {}

/** What the client's model said. */
export class Completion {
  constructor(content: string | Content, model?: string, stopReason?: string, role?: "user" | "assistant");
  readonly content: string | Content;
  readonly model: string;
  readonly stopReason: string | undefined;
  readonly role: "user" | "assistant";
  /** What it said, if that is a text; else nothing. */
  readonly text: string;
}

/** A folder of the client's. */
export interface Root {
  uri: string;
  name?: string;
}

export interface SampleSettings {
  system?: string;
  /** 1000 if left out. */
  maxTokens?: number;
  temperature?: number;
  stopSequences?: string[];
}

declare const answer: unique symbol;
/** A question to ask for with `all`. */
export interface Question<Answer> {
  readonly key: string;
  readonly [answer]?: Answer;
}

export function Form<const Schema extends AnySchema>(
  key: string,
  message: string,
  schema: Schema,
): Question<Checked<Schema>>;
export function Page(key: string, message: string, url: string | URL, id?: string): Question<void>;
export function Sample(key: string, messages: string | Message[], settings?: SampleSettings): Question<Completion>;
export function Roots(key?: string): Question<Root[]>;

/** Has the user fill in a form: a flat JSON Schema, or a schema of a library. An answer that does not fit is asked for again. */
export function form<const Schema extends AnySchema>(
  key: string,
  message: string,
  schema: Schema,
): Promise<Checked<Schema>>;
/** Has the user visit a page. That they agreed does not mean that they are done there. */
export function page(key: string, message: string, url: string | URL): Promise<void>;
/** Has the client's model answer a text, or go on with messages. */
export function sample(key: string, messages: string | Message[], settings?: SampleSettings): Promise<Completion>;
/** The folders that the client works on; the question's key is `roots`. */
export function roots(): Promise<Root[]>;

/** Asks several questions in one round; the answers come in their order. What is answered already is not asked again. */
export function all<const Questions extends readonly Question<any>[]>(
  ...questions: Questions
): Promise<{ -readonly [Index in keyof Questions]: Questions[Index] extends Question<infer Answer> ? Answer : never }>;

/** Whether there is somebody who could answer. */
export function can(kind: "form" | "page" | "prompt" | "roots"): boolean;

/** Makes a value in the first round, and finds it again in later ones. It must be JSON, and who asked can read it. */
export function remember<T>(key: string, make: () => T | Promise<T>): Promise<T>;
