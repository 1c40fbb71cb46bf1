// Lossless JSON: integers beyond 2^53 are BigInts, and values that JSON cannot represent are errors.

const UNSAFE = /\d{16}/;

/** Reads JSON. An integer that a number cannot hold exactly becomes a BigInt. */
export function parse(text) {
  const plain = JSON.parse(text);
  // The text is valid from here on; nearly none has a number this long.
  return UNSAFE.test(text) ? exact(text) : plain;
}

/** As `JSON.parse` of text that is known to be valid. */
function exact(text) {
  let at = 0;
  /** The next character that is no space. */
  const peek = () => {
    while (" \t\n\r".includes(text[at])) at += 1;
    return text[at];
  };
  const string = () => {
    const start = at;
    do {
      at = text.indexOf('"', at + 1);
      // An even number of backslashes before the quote are escapes of each other.
      let before = at;
      while (text[before - 1] === "\\") before -= 1;
      if ((at - before) % 2 === 0) break;
    } while (at > 0);
    at += 1;
    return JSON.parse(text.slice(start, at));
  };
  const scalar = () => {
    const start = at;
    while (at < text.length && !",]} \t\n\r".includes(text[at])) at += 1;
    const written = text.slice(start, at);
    const isInteger = /^-?\d{16,}$/.test(written);
    return isInteger && !Number.isSafeInteger(Number(written)) ? BigInt(written) : JSON.parse(written);
  };
  /** Past the bracket, or the comma between two items: whether another one comes. */
  const hasNext = (end) => {
    at += 1;
    if (peek() !== end) return true;
    at += 1;
    return false;
  };
  const value = () => {
    const first = peek();
    if (first === '"') return string();
    if (first !== "[" && first !== "{") return scalar();
    const isArray = first === "[";
    const end = isArray ? "]" : "}";
    const items = [];
    const members = {};
    let more = hasNext(end);
    while (more) {
      if (isArray) items.push(value());
      else {
        peek();
        const key = string();
        peek();
        at += 1; // The colon.
        // A key `__proto__` is a key like any other.
        Object.defineProperty(members, key, { value: value(), enumerable: true, configurable: true, writable: true });
      }
      more = peek() === ",";
      at += 1;
    }
    return isArray ? items : members;
  };
  return value();
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
  return String(text).toWellFormed();
}
