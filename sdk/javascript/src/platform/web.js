// Headers, Request, Response and AbortController for `fetch.js`.

import { parse } from "../json.js";
import { Blob, FormData } from "./blob.js";
import { TextDecoder, TextEncoder } from "./text.js";
import { URL, URLSearchParams } from "./url.js";

const FORM = "application/x-www-form-urlencoded;charset=UTF-8";

export class Headers {
  #entries = [];

  constructor(init = []) {
    const entries = typeof init[Symbol.iterator] === "function" ? [...init] : Object.entries(init ?? {});
    for (const [name, value] of entries) this.append(name, value);
  }
  append(name, value) {
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name))
      throw new TypeError(`${JSON.stringify(name)} cannot be the name of a header`);
    const text = String(value).trim();
    if (/[\0\r\n]/.test(text)) throw new TypeError(`the header ${name} cannot have line ends`);
    this.#entries.push([String(name).toLowerCase(), text]);
  }
  delete(name) {
    this.#entries = this.#entries.filter(([key]) => key !== String(name).toLowerCase());
  }
  get(name) {
    const values = this.#entries.filter(([key]) => key === String(name).toLowerCase()).map(([, value]) => value);
    return values.length ? values.join(", ") : null;
  }
  getSetCookie() {
    return this.#entries.filter(([key]) => key === "set-cookie").map(([, value]) => value);
  }
  has(name) {
    return this.get(name) !== null;
  }
  set(name, value) {
    this.delete(name);
    this.append(name, value);
  }
  forEach(callback, self) {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }
  *entries() {
    const names = [...new Set(this.#entries.map(([name]) => name))].sort();
    for (const name of names) {
      if (name === "set-cookie") for (const cookie of this.getSetCookie()) yield [name, cookie];
      else yield [name, this.get(name)];
    }
  }
  *keys() {
    for (const [name] of this) yield name;
  }
  *values() {
    for (const [, value] of this) yield value;
  }
  [Symbol.iterator]() {
    return this.entries();
  }
}

/** The bytes of a body, and the type that they have if nobody says. */
function bytesOf(body) {
  if (body === undefined || body === null) return [undefined, undefined];
  if (body instanceof URLSearchParams) return [new TextEncoder().encode(body.toString()), FORM];
  if (body instanceof FormData) return body.encode();
  if (body instanceof Blob) return [Blob.bytesOf(body), body.type || undefined];
  if (body instanceof ArrayBuffer) return [new Uint8Array(body), undefined];
  if (ArrayBuffer.isView(body)) return [new Uint8Array(body.buffer, body.byteOffset, body.byteLength), undefined];
  if (typeof body === "object")
    throw new TypeError("a body is a string, bytes, FormData or URLSearchParams: write an object with JSON.stringify");
  return [new TextEncoder().encode(String(body)), "text/plain;charset=UTF-8"];
}

class Body {
  #read;
  #isUsed = false;

  constructor(read) {
    this.#read = read;
  }
  get bodyUsed() {
    return this.#isUsed;
  }
  async bytes() {
    if (this.#isUsed) throw new TypeError("the body has been read already");
    this.#isUsed = true;
    return this.#read();
  }
  async arrayBuffer() {
    const bytes = await this.bytes();
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  }
  async blob() {
    return new Blob([await this.bytes()], { type: this.headers.get("content-type") ?? "" });
  }
  async text() {
    return new TextDecoder().decode(await this.bytes());
  }
  async json() {
    return JSON.parse(await this.text());
  }
  /** JSON with its integers exact: those beyond 2^53 are bigints. */
  async exactJson() {
    return parse(await this.text());
  }
}

export class Request extends Body {
  #bytes;

  constructor(input, init = {}) {
    const from = input instanceof Request ? input : undefined;
    const [bytes, type] = init.body == null && from ? [from.#bytes, undefined] : bytesOf(init.body);
    super(async () => bytes ?? new Uint8Array());
    this.#bytes = bytes;
    this.url = from ? from.url : new URL(input).href.replace(/#.*$/s, "");
    this.method = String(init.method ?? from?.method ?? "GET").toUpperCase();
    if (bytes && (this.method === "GET" || this.method === "HEAD"))
      throw new TypeError(`a request of ${this.method} has no body`);
    this.headers = new Headers(init.headers ?? from?.headers);
    this.signal = init.signal ?? from?.signal;
    if (type && !this.headers.has("content-type")) this.headers.set("content-type", type);
  }
  clone() {
    return new Request(this);
  }
  bytesToSend() {
    return this.#bytes;
  }
}

export class Response extends Body {
  constructor(body, { status = 200, statusText = "", headers } = {}) {
    const isIncoming = typeof body === "function";
    const [bytes, type] = isIncoming ? [] : bytesOf(body);
    super(isIncoming ? body : async () => bytes ?? new Uint8Array());
    this.status = status;
    this.statusText = statusText;
    this.headers = new Headers(headers);
    this.url = "";
    // Where one leads may not be granted.
    this.redirected = false;
    this.type = "default";
    if (type && !this.headers.has("content-type")) this.headers.set("content-type", type);
  }
  get ok() {
    return this.status >= 200 && this.status < 300;
  }
  static incoming(status, headers, url, read) {
    return Object.assign(new Response(read, { status, headers }), { url, type: "basic" });
  }
  static json(value, init) {
    const response = new Response(JSON.stringify(value), init);
    response.headers.set("content-type", "application/json");
    return response;
  }
}

export class AbortSignal {
  aborted = false;
  reason = undefined;
  onabort = null;
  #listeners = [];

  addEventListener(type, listener) {
    if (type === "abort") this.#listeners.push(listener);
  }
  removeEventListener(type, listener) {
    this.#listeners = this.#listeners.filter((other) => other !== listener);
  }
  throwIfAborted() {
    if (this.aborted) throw this.reason;
  }
  static abort(reason) {
    const controller = new AbortController();
    controller.abort(reason);
    return controller.signal;
  }
  static any(signals) {
    const controller = new AbortController();
    for (const signal of signals) {
      if (signal.aborted) controller.abort(signal.reason);
      signal.addEventListener("abort", () => controller.abort(signal.reason));
    }
    return controller.signal;
  }
  /** For AbortController alone. */
  set(reason) {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason ?? error("This operation was aborted", "AbortError");
    const event = { type: "abort", target: this };
    this.onabort?.(event);
    for (const listener of this.#listeners) (listener.handleEvent ?? listener).call(this, event);
  }
}

export class AbortController {
  signal = new AbortSignal();
  abort(reason) {
    this.signal.set(reason);
  }
}

export const error = (message, name) =>
  globalThis.DOMException ? new DOMException(message, name) : Object.assign(new Error(message), { name });
