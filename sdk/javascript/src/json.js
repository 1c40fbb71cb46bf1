// Lossless JSON: integers beyond 2^53 are BigInts, and values that JSON cannot represent are errors.

const UNSAFE = /\d{16}/;
const TOKEN =
  /[ \t\n\r]*(?:([{}[\],:])|("(?:[^"\\]|\\.)*")|(-?\d+)((?:\.\d+)?(?:[eE][+-]?\d+)?)|(true|false|null))[ \t\n\r]*/y;

/** Reads JSON. An integer that a number cannot hold exactly becomes a BigInt. */
export function parse(text) {
  const plain = JSON.parse(text);
  // The text is valid from here on; nearly none has a number this long.
  return UNSAFE.test(text) ? exact(text) : plain;
}

function exact(text) {
  let at = 0;
  const next = () => {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text);
    at = TOKEN.lastIndex;
    return token;
  };
  const value = (token) => {
    if (token[2] !== undefined) return JSON.parse(token[2]);
    if (token[5] !== undefined) return JSON.parse(token[5]);
    if (token[3] !== undefined) {
      const number = Number(token[3] + token[4]);
      return token[4] === "" && !Number.isSafeInteger(number) ? BigInt(token[3]) : number;
    }
    if (token[1] === "[") {
      const items = [];
      let item = next();
      while (item[1] !== "]") {
        if (item[1] === ",") item = next();
        items.push(value(item));
        item = next();
      }
      return items;
    }
    const members = {};
    let key = next();
    while (key[1] !== "}") {
      if (key[1] === ",") key = next();
      next(); // The colon.
      // A key `__proto__` is a key like any other.
      Object.defineProperty(members, JSON.parse(key[2]), {
        value: value(next()),
        enumerable: true,
        configurable: true,
        writable: true,
      });
      key = next();
    }
    return members;
  };
  return value(next());
}

/** Writes JSON, with BigInts as integers. NaN, Infinity, Maps, Sets, bytes, and functions in lists throw a TypeError. */
export function stringify(value) {
  const text = write(value, "", new Set());
  if (text === undefined) throw new TypeError(`${kind(value)} cannot be represented in JSON`);
  return wellFormed(text);
}

function write(value, path, parents) {
  if (value !== null && typeof value === "object" && typeof value.toJSON === "function") value = value.toJSON();
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError(`${path || "the value"}: ${value} cannot be represented in JSON`);
    // Of a large integer `JSON.stringify` writes no more digits than tell it from its neighbours.
    const isLarge = Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21;
    return isLarge ? BigInt(value).toString() : JSON.stringify(value);
  }
  if (typeof value !== "object") return undefined;
  if (value instanceof Map || value instanceof Set || ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    const remedy =
      value instanceof Map ? "Object.fromEntries(map)" : value instanceof Set ? "[...set]" : "base64, or image(bytes)";
    throw new TypeError(
      `${path || "the value"}: a ${value.constructor.name} cannot be represented in JSON: use ${remedy}`,
    );
  }
  if (parents.has(value)) throw new TypeError(`${path || "the value"} contains itself`);
  parents.add(value);
  let text;
  if (Array.isArray(value)) {
    const items = value.map((item, index) => {
      const written = write(item, `${path}/${index}`, parents);
      if (written === undefined && item !== undefined)
        throw new TypeError(`${path}/${index}: ${kind(item)} cannot be represented in JSON`);
      return written ?? "null";
    });
    text = `[${items.join(",")}]`;
  } else {
    const members = [];
    for (const key of Object.keys(value)) {
      const written = write(value[key], `${path}/${key}`, parents);
      if (written !== undefined) members.push(`${JSON.stringify(key)}:${written}`);
    }
    text = `{${members.join(",")}}`;
  }
  parents.delete(value);
  return text;
}

function kind(value) {
  return value === undefined ? "undefined" : `a ${typeof value}`;
}

/** The text with U+FFFD for surrogates that have lost their other half, which UTF-8 cannot have. */
export function wellFormed(text) {
  return String(text).replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}
