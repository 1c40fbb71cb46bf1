// The types of values, from their schemas.

/** A JSON Schema, as far as types are made of it. */
export type JsonSchema = {
  readonly type?: JsonType | readonly JsonType[];
  readonly properties?: { readonly [name: string]: JsonSchema | boolean };
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema | boolean;
  readonly prefixItems?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly format?: string;
  readonly [keyword: string]: unknown;
};

type JsonType = "string" | "number" | "integer" | "boolean" | "null" | "array" | "object";

/** A schema of a library: zod, arktype, or valibot's in `toStandardJsonSchema`. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown, ...rest: any[]) => unknown;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
    readonly jsonSchema?: unknown;
  };
}

export type AnySchema = JsonSchema | StandardSchema;

/** What `run` takes. */
export type Checked<S> = S extends { readonly "~standard": { readonly types?: infer T } }
  ? NonNullable<T> extends { readonly output: infer Output }
    ? Output
    : unknown
  : FromSchema<S>;

/** What `run` returns. */
export type Unchecked<S> = S extends { readonly "~standard": { readonly types?: infer T } }
  ? NonNullable<T> extends { readonly input: infer Input }
    ? Input
    : unknown
  : FromSchema<S>;

/** The type of what a JSON Schema describes. */
export type FromSchema<S> = S extends { readonly const: infer Value }
  ? Value
  : S extends { readonly enum: readonly (infer Value)[] }
    ? Value
    : S extends { readonly anyOf: readonly (infer Case)[] } | { readonly oneOf: readonly (infer Case)[] }
      ? FromSchema<Case>
      : S extends { readonly type: infer Type }
        ? Type extends readonly (infer One)[]
          ? One extends string
            ? OfType<One, S>
            : unknown
          : OfType<Type, S>
        : unknown;

type OfType<Type, S> = Type extends "string"
  ? string
  : Type extends "number"
    ? number
    : Type extends "integer"
      ? S extends { readonly format: "int64" | "uint64" }
        ? bigint
        : number
      : Type extends "boolean"
        ? boolean
        : Type extends "null"
          ? null
          : Type extends "array"
            ? OfArray<S>
            : Type extends "object"
              ? OfObject<S>
              : unknown;

type OfArray<S> = S extends { readonly prefixItems: infer Items extends readonly unknown[] }
  ? { -readonly [Index in keyof Items]: FromSchema<Items[Index]> }
  : S extends { readonly items: infer Item }
    ? FromSchema<Item>[]
    : unknown[];

type OfObject<S> = S extends { readonly properties: infer Properties }
  ? Flat<
      {
        -readonly [Name in keyof Properties as Name extends Required_<S> ? Name : never]: FromSchema<Properties[Name]>;
      } & {
        -readonly [Name in keyof Properties as Name extends Required_<S> ? never : Name]?: FromSchema<Properties[Name]>;
      }
    >
  : S extends { readonly additionalProperties: infer Value }
    ? Value extends boolean
      ? { [name: string]: unknown }
      : { [name: string]: FromSchema<Value> }
    : { [name: string]: unknown };

type Required_<S> = S extends { readonly required: readonly (infer Name)[] } ? Name : never;

type Flat<T> = { [Name in keyof T]: T[Name] };
