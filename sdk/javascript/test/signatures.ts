// Tools with the signatures that people stumble over, each of which returns what it got; see test_signatures of the Python
// package. `cases` has JSON text for each, and what comes back; `refused` what does not fit.

import { toStandardJsonSchema } from "@valibot/to-json-schema";
import { type } from "arktype";
import { image, output, tool } from "toolhost-plugin";
import * as v from "valibot";
import { z } from "zod";

export const cases: [tool: string, value: string, back: string][] = [];
export const refused: [tool: string, value: string][] = [];

/** A tool that takes `value` of a schema and returns it; the callback has the value's type. */
function echo<Schema extends z.ZodType>(
  name: string,
  schema: Schema,
  run?: (value: z.output<Schema>) => z.input<Schema>,
): void {
  tool({
    name,
    description: `Returns a value (${name}).`,
    input: z.object({ value: schema }),
    output: schema,
    run: ({ value }: { value: z.output<Schema> }) => (run ? run(value) : value) as never,
  });
}

const same = (name: string, ...values: string[]) => values.forEach((value) => cases.push([name, value, value]));
const back = (name: string, value: string, result: string) => cases.push([name, value, result]);
const refuse = (name: string, ...values: string[]) => values.forEach((value) => refused.push([name, value]));

// 1: nested objects
const point = z.object({ x: z.number(), y: z.number().default(0) });
echo(
  "nested",
  z.object({
    lines: z.array(z.object({ start: point, end: point, label: z.string().nullable() })),
    tags: z.record(z.string(), z.array(point.nullable())),
  }),
  (value) => {
    const first: number | undefined = value.lines[0]?.start.y;
    void first;
    return value;
  },
);
same(
  "nested",
  '{"lines":[{"start":{"x":0.5,"y":1},"end":{"x":2,"y":0},"label":null}],"tags":{"a":[{"x":1,"y":0},null]}}',
);
back(
  "nested",
  '{"lines":[{"start":{"x":0.5},"end":{"x":2},"label":""}],"tags":{}}',
  '{"lines":[{"start":{"x":0.5,"y":0},"end":{"x":2,"y":0},"label":""}],"tags":{}}',
);
refuse("nested", '{"lines":[{"start":{"x":"a"},"end":{"x":1},"label":null}],"tags":{}}', "[]");

// 2: a choice that may be null, or left out
echo("optional_literal", z.enum(["fast", "safe"]).nullable());
same("optional_literal", '"safe"', "null");
refuse("optional_literal", '"slow"', "1");

// 3: 64-bit integers
echo("int64", z.int64(), (value) => {
  const exact: bigint = value;
  return exact;
});
same("int64", "0", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808");
refuse("int64", "1.5", '"x"');

// 4: unsigned
echo("uint64", z.uint64());
same("uint64", "18446744073709551615");
refuse("uint64", "-1");

// 5: a plain integer is a number, and never rounded
echo("integer", z.int());
same("integer", "9007199254740991", "-1");
refuse("integer", "9007199254740993", "1.5");

// 6: a recursive object
const node = z.object({
  name: z.string(),
  get children() {
    return z.array(node);
  },
});
echo("recursive", node);
same("recursive", '{"name":"a","children":[{"name":"b","children":[{"name":"c","children":[]}]}]}');
refuse("recursive", '{"name":"a","children":[{"name":1,"children":[]}]}', '{"name":"a"}');

// 7: a union with a tag
echo(
  "tagged",
  z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("cat"), lives: z.int() }),
    z.object({ kind: z.literal("dog"), good: z.boolean() }),
  ]),
);
same("tagged", '{"kind":"cat","lives":9}', '{"kind":"dog","good":true}');
refuse("tagged", '{"kind":"cow"}', '{"kind":"cat","good":true}');

// 8: a union without one
echo("untagged", z.array(z.union([z.strictObject({ name: z.string() }), z.strictObject({ number: z.number() })])));
same("untagged", '[{"name":"a"},{"number":2}]');
refuse("untagged", '[{"name":1}]', '[{"name":"a","number":2}]');

// 9
echo("optional_items", z.record(z.string(), z.array(z.int64().nullable())));
same("optional_items", '{"a":[1,null],"":[],"ключ":[1152921504606846977]}');
refuse("optional_items", '{"a":[1.5]}', '{"a":null}');

// 10: members that may be left out
echo(
  "partial",
  z.object({ title: z.string(), year: z.int().optional(), rating: z.number().min(0).max(10).optional() }),
);
same("partial", '{"title":"Alien"}', '{"title":"Alien","year":1979,"rating":8.5}');
refuse("partial", '{"year":1979}', '{"title":"Alien","rating":11}');

// 11: tuples
echo("tuple", z.tuple([z.enum(["red", "green"]), z.literal([1, 2]), z.boolean().nullable()]));
same("tuple", '["red",2,null]', '["green",1,false]');
refuse("tuple", '["red",3,null]', '["red",2]', '["blue",1,null]');

// 12: booleans are no integers
echo("bool_or_int", z.union([z.boolean(), z.int(), z.string()]));
same("bool_or_int", "true", "1", '"1"');
refuse("bool_or_int", "null", "[true]");

// 13: variadic
echo("variadic", z.tuple([z.string()], z.int()));
same("variadic", '["a"]', '["a",1,2]');
refuse("variadic", '["a","b"]', "[]");

// 14: dates as strings
echo("moments", z.tuple([z.iso.datetime({ offset: true }), z.iso.date(), z.iso.time(), z.iso.duration()]));
same("moments", '["2026-02-28T10:00:00.5Z","2026-02-28","10:30:00","PT1H30M"]');

// 15: dates as values
tool({
  name: "date",
  description: "A day later.",
  input: z.object({ value: z.iso.datetime().transform((text) => new Date(text)) }),
  run: ({ value }) => {
    const later: Date = new Date(value.getTime() + 86_400_000);
    return { later };
  },
});
back("date", '"2026-02-28T10:00:00Z"', '{"later":"2026-03-01T10:00:00.000Z"}');

// 16: identifiers as keys
echo("identifiers", z.record(z.uuid(), z.string()));
same("identifiers", '{"12345678-1234-4234-8234-567812345678":"/notes/a b.txt"}');
refuse("identifiers", '{"1234":"/"}');

// 17: any JSON
echo("json", z.json());
same("json", "null", '[1,"a",{"b":[null,1.5]}]', '""');

// 18: unknown
tool({
  name: "anything",
  description: "Whatever it is.",
  input: z.object({ value: z.unknown() }),
  run: ({ value }) => ({ got: value }),
});
back("anything", "9223372036854775807", '{"got":9223372036854775807}');
back("anything", "[1,{}]", '{"got":[1,{}]}');

// 19: bounds
echo("bounded", z.array(z.int().positive().multipleOf(5)).min(1).max(3));
same("bounded", "[5,10]");
refuse("bounded", "[]", "[0]", "[7]", "[5,5,5,5]");

// 20
echo(
  "pattern",
  z
    .string()
    .regex(/^[a-z]+$/)
    .describe("Lower case."),
);
same("pattern", '"abc"');
refuse("pattern", '"ABC"', '""');

// 21: mutual recursion
const expression = z.object({
  operator: z.enum(["+", "*"]),
  get operands() {
    return z.array(z.union([z.int(), expression]));
  },
});
echo("mutual", expression);
same("mutual", '{"operator":"+","operands":[1,{"operator":"*","operands":[2,3]}]}');
refuse("mutual", '{"operator":"-","operands":[]}', '{"operator":"+","operands":[{"operator":"+"}]}');

// 22: literals of several types
echo("literals", z.array(z.literal([1, true, "1", null])));
same("literals", '[1,true,"1",null]');
refuse("literals", "[2]", "[false]", '["true"]');

// 23: intersections
echo("intersection", z.intersection(z.object({ a: z.string() }), z.object({ b: z.int().optional() })));
same("intersection", '{"a":"x","b":1}', '{"a":"x"}');
refuse("intersection", '{"b":1}');

// 24: numbers that are exact doubles
echo("numbers", z.array(z.number()));
same("numbers", "[0.1,-1.5e-7,1e+21,1152921504606846976]");
refuse("numbers", '["1"]');

// 25: checks of the author's own
echo(
  "checked",
  z.object({ low: z.int(), high: z.int() }).refine(({ low, high }) => low <= high, "`low` is over `high`"),
);
same("checked", '{"low":1,"high":2}');
refuse("checked", '{"low":2,"high":1}');

// 26: text that JSON has to escape
echo("text", z.string());
same("text", '""', '"\\u0000\\u001f\\"\\\\"', '"日本語 🎈"', '"line\\nline"');

same("text", JSON.stringify("1234567890123456".repeat(20_000)));

// 27: JSON Schema with types made of it
tool({
  name: "json_schema",
  description: "A plain schema.",
  input: {
    type: "object",
    properties: {
      value: {
        type: "object",
        properties: {
          id: { type: "integer", format: "int64" },
          mode: { enum: ["fast", "safe", null] },
          pair: {
            type: "array",
            prefixItems: [{ type: "string" }, { type: ["integer", "null"] }],
            minItems: 2,
            items: false,
          },
          maps: {
            type: "object",
            additionalProperties: { anyOf: [{ type: "number" }, { type: "array", items: { type: "string" } }] },
          },
        },
        required: ["id", "mode"],
        additionalProperties: false,
      },
    },
    required: ["value"],
  },
  output: {
    type: "object",
    properties: { id: { type: "integer", format: "int64" }, mode: { enum: ["fast", "safe", null] } },
    required: ["id", "mode"],
  },
  async run({ value }) {
    const id: bigint = value.id;
    const mode: "fast" | "safe" | null = value.mode;
    const pair: [string, number | null] | undefined = value.pair;
    const maps: { [name: string]: number | string[] } | undefined = value.maps;
    return { id, mode, pair, maps };
  },
});
same(
  "json_schema",
  '{"id":9007199254740993,"mode":null,"pair":["a",null],"maps":{"a":1.5,"b":["c"]}}',
  '{"id":1,"mode":"fast"}',
);
refuse(
  "json_schema",
  '{"id":"x","mode":"fast"}',
  '{"id":1,"mode":"slow"}',
  '{"id":1,"mode":"fast","other":1}',
  '{"id":1.5,"mode":"fast"}',
);

// 28: a JSON Schema that refers to itself
tool({
  name: "json_tree",
  description: "A tree.",
  input: {
    type: "object",
    properties: { value: { $ref: "#/$defs/tree" } },
    required: ["value"],
    $defs: {
      tree: {
        type: "object",
        properties: { n: { type: "integer", format: "int64" }, left: { $ref: "#/$defs/tree" } },
        required: ["n"],
        additionalProperties: false,
      },
    },
  },
  run: ({ value }) => value,
});
same("json_tree", '{"n":1,"left":{"n":9007199254740993}}');
refuse("json_tree", '{"n":1,"left":{}}', '{"m":1}');

// 29: valibot
tool({
  name: "valibot",
  description: "A schema of valibot.",
  input: toStandardJsonSchema(
    v.object({
      value: v.object({ a: v.pipe(v.string(), v.minLength(1)), b: v.optional(v.nullable(v.picklist(["x", "y"]))) }),
    }),
  ),
  run: ({ value }) => {
    const b: "x" | "y" | null | undefined = value.b;
    return { ...value, ...(b === undefined ? {} : { b }) };
  },
});
same("valibot", '{"a":"x"}', '{"a":"x","b":null}', '{"a":"x","b":"y"}');
refuse("valibot", '{"a":""}', '{"a":"x","b":"z"}');

// 30: arktype
tool({
  name: "arktype",
  description: "A schema of arktype.",
  input: type({ value: { a: "string", "b?": "(number | string)[]" } }),
  run: ({ value }) => {
    const b: (number | string)[] | undefined = value.b;
    return { ...value, ...(b && { b }) };
  },
});
same("arktype", '{"a":"x"}', '{"a":"x","b":[1,"2"]}');
refuse("arktype", '{"a":1}', '{"a":"x","b":[true]}');

// 31: transformed, with what comes out in the type of what goes in
echo(
  "coerced",
  z.codec(z.string(), z.array(z.string()), {
    decode: (text) => text.split(","),
    encode: (parts) => parts.join(","),
  }) as never,
  ((parts: string[]) => parts.reverse().join(",")) as never,
);
back("coerced", '"a,b"', '["b","a"]');

// 32: promises in a tool without arguments
tool({
  name: "nothing",
  description: "Nothing.",
  input: z.object({ value: z.null().optional() }),
  run: async () => {},
});
back("nothing", "null", '"Done."');

// What is no text, for those who call it.
tool({
  name: "image",
  description: "A picture.",
  run: () => output(["A dot:", image(new Uint8Array([137, 80]))]),
});
