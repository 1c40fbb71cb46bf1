// Schemas as authors give them: JSON Schema, or a schema of a library that speaks Standard Schema (zod, valibot, arktype).

/** A value that does not fit its schema. */
export class Mismatch extends Error {
  constructor(why, path = []) {
    const pointer = path.map((key) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
    super(pointer ? `${pointer}: ${why}` : why);
  }
}

/** One side of a tool: the JSON Schema, and how a value is checked. */
export class Schema {
  /**
   * @param given what the author gave
   * @param side "input" or "output"
   * @param where whose it is, for messages
   */
  constructor(given, side, where) {
    this.standard = typeof given === "object" || typeof given === "function" ? given?.["~standard"] : undefined;
    this.json = this.standard ? jsonSchemaOf(given, side, where) : given;
    if (typeof this.json !== "object" || this.json === null || Array.isArray(this.json)) {
      throw new TypeError(`${where}: \`${side}\` is neither a JSON Schema nor a schema of a library`);
    }
    // Where it is a reference, clients want to see that it is an object all the same.
    if (this.isObject && this.json.type === undefined) this.json = { type: "object", ...this.json };
    this.hasInt64 = JSON.stringify(this.json).includes('"int64"');
  }

  get isObject() {
    return resolve(this.json, this.json).type === "object";
  }

  /**
   * The value as `run` takes it. The host has checked it against the JSON Schema already: `isChecked`. What is left are
   * integers: those of the format `int64` are BigInts, and no other is rounded.
   */
  async check(value, isChecked) {
    if (!isChecked || this.hasInt64 || hasBigInt(value)) value = fit(value, this.json, this.json, []);
    if (!this.standard) return value;
    const result = await this.standard.validate(value);
    if (!result.issues) return result.value;
    const said = result.issues.map(
      (issue) =>
        new Mismatch(
          issue.message,
          (issue.path ?? []).map((part) => part?.key ?? part),
        ).message,
    );
    throw new Mismatch(said.join("; "));
  }
}

function jsonSchemaOf(given, side, where) {
  const { vendor, jsonSchema } = given["~standard"];
  if (!jsonSchema) {
    const remedy =
      vendor === "valibot"
        ? "wrap it in `toStandardJsonSchema` of @valibot/to-json-schema"
        : vendor === "zod"
          ? "zod has it from 4.2 on, and `zod/mini` has none"
          : "give a JSON Schema instead";
    throw new TypeError(`${where}: \`${side}\`: this schema of ${vendor} has no JSON Schema: ${remedy}`);
  }
  // What zod has no JSON Schema for by itself.
  const override = (context) => {
    if (context.zodSchema?._zod?.def?.type === "bigint")
      Object.assign(context.jsonSchema, { type: "integer", format: "int64" });
    if (context.zodSchema?._zod?.def?.type === "date")
      Object.assign(context.jsonSchema, { type: "string", format: "date-time" });
  };
  const libraryOptions = vendor === "zod" ? { unrepresentable: "any", override } : undefined;
  const { $schema, ...schema } = jsonSchema[side]({
    target: "draft-2020-12",
    ...(libraryOptions && { libraryOptions }),
  });
  return schema;
}

function resolve(schema, root) {
  const seen = new Set();
  while (typeof schema?.$ref === "string" && schema.$ref.startsWith("#") && !seen.has(schema)) {
    seen.add(schema);
    const { $ref, ...others } = schema;
    const target = $ref
      .slice(1)
      .split("/")
      .slice(1)
      .reduce((node, key) => node?.[decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~")], root);
    schema = target === undefined ? others : typeof target === "object" ? { ...target, ...others } : target;
  }
  return schema;
}

function hasBigInt(value) {
  if (typeof value === "bigint") return true;
  return typeof value === "object" && value !== null && Object.values(value).some(hasBigInt);
}

const TYPES = {
  null: (value) => value === null,
  boolean: (value) => typeof value === "boolean",
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number" || typeof value === "bigint",
  integer: (value) => typeof value === "bigint" || Number.isInteger(value),
  array: (value) => Array.isArray(value),
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

/** The value, if it fits the schema, with its integers as the schema says. Keywords that are not here are the host's to check. */
function fit(value, schema, root, path) {
  schema = resolve(schema, root);
  if (schema === false) throw new Mismatch("is not allowed", path);
  if (typeof schema !== "object" || schema === null) return value;
  const types = schema.type === undefined ? undefined : [schema.type].flat();
  if (types && !types.some((type) => TYPES[type]?.(value)))
    throw new Mismatch(`expected ${types.join(" or ")}, got ${shown(value)}`, path);
  value = number(value, schema, types, path);
  if (schema.const !== undefined && !same(value, schema.const))
    throw new Mismatch(`expected ${JSON.stringify(schema.const)}`, path);
  if (schema.enum && !schema.enum.some((choice) => same(value, choice))) {
    throw new Mismatch(
      `expected ${schema.enum.map((choice) => JSON.stringify(choice)).join(" or ")}, got ${shown(value)}`,
      path,
    );
  }
  bounds(value, schema, path);
  if (Array.isArray(value)) value = items(value, schema, root, path);
  else if (TYPES.object(value)) value = members(value, schema, root, path);
  for (const part of schema.allOf ?? []) value = fit(value, part, root, path);
  for (const keyword of ["anyOf", "oneOf"]) if (schema[keyword]) value = choice(value, schema[keyword], root, path);
  return value;
}

function number(value, schema, types, path) {
  if (typeof value !== "bigint" && typeof value !== "number") return value;
  if (schema.format === "int64" || schema.format === "uint64") return BigInt(value);
  if (typeof value === "bigint" && types) {
    if (!types.includes("integer")) return Number(value); // A number is a double, here as everywhere.
    throw new Mismatch(
      `${value} is too large for a number: add \`format: "int64"\` to the schema to get a bigint`,
      path,
    );
  }
  return value;
}

function choice(value, cases, root, path) {
  const errors = [];
  for (const part of cases) {
    try {
      return fit(value, part, root, path);
    } catch (error) {
      if (!(error instanceof Mismatch)) throw error;
      errors.push(error);
    }
  }
  throw errors.length === 1 ? errors[0] : new Mismatch([...new Set(errors.map((error) => error.message))].join("; "));
}

function items(value, schema, root, path) {
  const prefix = schema.prefixItems ?? [];
  return value.map((item, index) => {
    const part = index < prefix.length ? prefix[index] : schema.items;
    return part === undefined ? item : fit(item, part, root, [...path, index]);
  });
}

function members(value, schema, root, path) {
  for (const key of schema.required ?? [])
    if (!Object.hasOwn(value, key)) throw new Mismatch(`missing member \`${key}\``, path);
  const result = {};
  for (const key of Object.keys(value)) {
    const known = schema.properties && Object.hasOwn(schema.properties, key) ? schema.properties[key] : undefined;
    const byPattern = Object.entries(schema.patternProperties ?? {}).find(([pattern]) =>
      new RegExp(pattern, "u").test(key),
    )?.[1];
    const part = known ?? byPattern ?? schema.additionalProperties;
    if (part === false) throw new Mismatch(`unknown member \`${key}\``, path);
    const member = part === undefined || part === true ? value[key] : fit(value[key], part, root, [...path, key]);
    Object.defineProperty(result, key, { value: member, enumerable: true, configurable: true, writable: true });
  }
  return result;
}

function bounds(value, schema, path) {
  const check = (bound, holds, words) => {
    if (bound !== undefined && !holds) throw new Mismatch(`must ${words} ${bound}, got ${shown(value)}`, path);
  };
  if (typeof value === "number" || typeof value === "bigint") {
    check(schema.minimum, value >= schema.minimum, "be at least");
    check(schema.maximum, value <= schema.maximum, "be at most");
    check(schema.exclusiveMinimum, value > schema.exclusiveMinimum, "be over");
    check(schema.exclusiveMaximum, value < schema.exclusiveMaximum, "be under");
  } else if (typeof value === "string") {
    const length = [...value].length;
    check(schema.minLength, length >= schema.minLength, "have a length of at least");
    check(schema.maxLength, length <= schema.maxLength, "have a length of at most");
    check(schema.pattern, schema.pattern === undefined || new RegExp(schema.pattern, "u").test(value), "match");
  } else if (Array.isArray(value)) {
    check(schema.minItems, value.length >= schema.minItems, "have at least this many items:");
    check(schema.maxItems, value.length <= schema.maxItems, "have at most this many items:");
  }
}

function same(value, other) {
  if (typeof value === "bigint" || typeof other === "bigint") return value == other;
  return value === other || (typeof value === "object" && JSON.stringify(value) === JSON.stringify(other));
}

function shown(value) {
  const text = typeof value === "bigint" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}
