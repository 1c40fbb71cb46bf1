// What a tool answers with, beside values: texts, images, sounds, links, and whole resources.

/** Several contents, and perhaps a value for programs. */
export class Output {
  constructor(content, structured) {
    this.content = content.map((part) => (typeof part === "string" ? text(part) : part));
    this.structured = structured;
  }
}

export class Content {
  constructor(kind, fields) {
    this.kind = kind;
    Object.assign(this, fields);
  }
}

export function output(content, structured) {
  return new Output([content].flat(), structured);
}

export function text(value) {
  return new Content("text", { text: String(value) });
}

export function image(data, mimeType = "image/png") {
  return new Content("image", { data: bytes(data), mimeType });
}

export function audio(data, mimeType = "audio/wav") {
  return new Content("audio", { data: bytes(data), mimeType });
}

export function link(fields) {
  return new Content("link", fields);
}

/** Something that has a URI, with its contents: a string, or bytes. */
export function embedded({ uri, mimeType, body }) {
  return new Content("embedded", { uri, mimeType, body: typeof body === "string" ? body : bytes(body) });
}

function bytes(data) {
  if (data instanceof Uint8Array) return data;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw new TypeError(`expected bytes (a Uint8Array), got ${typeof data}`);
}

/** Icons as options name them: a URI, an object, or several of these. */
export function icons(given) {
  if (given === undefined) return [];
  return [given].flat().map((icon) => (typeof icon === "string" ? { src: icon, sizes: [] } : { sizes: [], ...icon }));
}
