// Blob, File and FormData.

import { TextDecoder, TextEncoder } from "./text.js";

export class Blob {
  #bytes;

  constructor(parts = [], { type = "" } = {}) {
    const all = parts.map((part) => {
      if (part instanceof Blob) return part.#bytes;
      if (part instanceof ArrayBuffer) return new Uint8Array(part);
      if (ArrayBuffer.isView(part)) return new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
      return new TextEncoder().encode(String(part));
    });
    this.#bytes = join(all);
    this.type = String(type).toLowerCase();
  }
  get size() {
    return this.#bytes.length;
  }
  slice(start, end, type) {
    return new Blob([this.#bytes.slice(start, end)], { type });
  }
  async bytes() {
    return this.#bytes.slice();
  }
  async arrayBuffer() {
    return this.#bytes.slice().buffer;
  }
  async text() {
    return new TextDecoder().decode(this.#bytes);
  }
  /** For FormData alone: bytes that nobody changes. */
  static bytesOf(blob) {
    return blob.#bytes;
  }
}

export class File extends Blob {
  constructor(parts, name, options = {}) {
    super(parts, options);
    this.name = String(name);
    this.lastModified = options.lastModified ?? Date.now();
  }
}

let forms = 0;

export class FormData {
  #entries = [];

  #value(value, filename) {
    if (!(value instanceof Blob)) return String(value);
    return value instanceof File && filename === undefined
      ? value
      : new File([value], filename ?? "blob", { type: value.type });
  }
  append(name, value, filename) {
    this.#entries.push([String(name), this.#value(value, filename)]);
  }
  set(name, value, filename) {
    this.delete(name);
    this.append(name, value, filename);
  }
  delete(name) {
    this.#entries = this.#entries.filter(([key]) => key !== String(name));
  }
  get(name) {
    return this.#entries.find(([key]) => key === String(name))?.[1] ?? null;
  }
  getAll(name) {
    return this.#entries.filter(([key]) => key === String(name)).map(([, value]) => value);
  }
  has(name) {
    return this.#entries.some(([key]) => key === String(name));
  }
  forEach(callback, self) {
    for (const [name, value] of this.#entries) callback.call(self, value, name, this);
  }
  entries() {
    return this.#entries.map((entry) => [...entry]).values();
  }
  [Symbol.iterator]() {
    return this.entries();
  }
  /** As a body, and its type. */
  encode() {
    forms += 1;
    const boundary = `----toolhost-${Date.now().toString(36)}-${forms}-7MA4YWxkTrZu0gW`;
    const quote = (text) => text.replace(/\r?\n|\r/g, "%0D%0A").replace(/"/g, "%22");
    const text = (part) => new TextEncoder().encode(part);
    const parts = this.#entries.flatMap(([name, value]) => {
      const head = `--${boundary}\r\ncontent-disposition: form-data; name="${quote(name)}"`;
      if (typeof value === "string") return [text(`${head}\r\n\r\n${value.replace(/\r?\n|\r/g, "\r\n")}\r\n`)];
      const type = value.type || "application/octet-stream";
      return [
        text(`${head}; filename="${quote(value.name)}"\r\ncontent-type: ${type}\r\n\r\n`),
        Blob.bytesOf(value),
        text("\r\n"),
      ];
    });
    return [join([...parts, text(`--${boundary}--\r\n`)]), `multipart/form-data; boundary=${boundary}`];
  }
}

export function join(parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
