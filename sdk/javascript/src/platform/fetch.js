// fetch over `wasi:http`, for engines without it. The build injects it where it is used.

import * as handler from "wasi:http/outgoing-handler@0.2.12";
import * as wasi from "wasi:http/types@0.2.12";
import { Denied, ToolError } from "../errors.js";
import { wellFormed } from "../json.js";
import { join } from "./blob.js";
import { whenReady } from "./wait.js";
import { Request, Response } from "./web.js";

const WRITE_CHUNK = 4096; // The host takes no more at once, in bytes.
const READ_CHUNK = 65_536;
const METHODS = ["get", "head", "post", "put", "delete", "connect", "options", "trace", "patch"];

export async function fetch(input, init) {
  const request = new Request(input, init);
  const { signal } = request;
  signal?.throwIfAborted();
  const body = await request.bytesToSend();
  const outgoing = outgoingRequest(request, body);
  const sink = body && outgoing.body();
  let future;
  // The host may only accept the body while sending it, so the request goes first.
  try {
    future = handler.handle(outgoing, undefined);
  } catch (error) {
    throw failure(request, payload(error));
  }
  if (sink) write(sink, body);
  const aborted = new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  return Promise.race([respond(request, future, signal), aborted]);
}

function outgoingRequest(request, body) {
  const fields = new wasi.Fields();
  const headers = [...request.headers];
  if (body) headers.push(["content-length", String(body.length)]);
  for (const [name, value] of headers) {
    try {
      fields.append(name, new TextEncoder().encode(value));
    } catch (error) {
      throw new TypeError(
        `the header ${name} cannot be set: ${String(payload(error)?.tag ?? error).replaceAll("-", " ")}`,
      );
    }
  }
  const { protocol, host, pathname, search } = new URL(request.url);
  const outgoing = new wasi.OutgoingRequest(fields);
  const method = request.method.toLowerCase();
  outgoing.setMethod(METHODS.includes(method) ? { tag: method } : { tag: "other", val: request.method });
  outgoing.setScheme({ tag: protocol === "https:" ? "HTTPS" : "HTTP" });
  outgoing.setAuthority(host);
  outgoing.setPathWithQuery(pathname + search);
  return outgoing;
}

function write(sink, body) {
  const stream = sink.write();
  try {
    for (let at = 0; at < body.length; at += WRITE_CHUNK)
      stream.blockingWriteAndFlush(body.subarray(at, at + WRITE_CHUNK));
  } catch {
    return; // A server may answer before it has read all: its response says more than this failure.
  } finally {
    stream[Symbol.dispose]();
  }
  wasi.OutgoingBody.finish(sink, undefined);
}

/** The resources of responses that have not been read to the end. */
const alive = new Set();

/** The error value of an import that failed. */
const payload = (error) => error?.payload ?? error;

const ready = (pollable) => new Promise((resolve) => whenReady(pollable, resolve));

async function respond(request, future, signal) {
  let result = future.get();
  while (result == null) {
    await ready(future.subscribe());
    result = future.get();
  }
  const inner = result.tag === "ok" ? result.val : result;
  if (inner.tag !== "ok") throw failure(request, inner.val);
  const incoming = inner.val;
  const headers = incoming
    .headers()
    .entries()
    .map(([name, value]) => [name, new TextDecoder().decode(new Uint8Array(value))]);
  const body = incoming.consume();
  const stream = body.stream();
  // WASI resources must be dropped before their parents. The garbage collector does not know that, so keep them alive.
  const open = [stream, body, incoming];
  alive.add(open);
  const close = () => {
    alive.delete(open);
    for (const resource of open) resource[Symbol.dispose]();
  };
  const read = async () => {
    const chunks = [];
    for (;;) {
      signal?.throwIfAborted();
      let chunk;
      try {
        chunk = stream.read(READ_CHUNK);
      } catch (error) {
        const why = payload(error);
        if (why?.tag === "closed") {
          close();
          break;
        }
        throw new ToolError(`${request.url}: the response broke off: ${why?.val?.toDebugString?.() ?? error}`);
      }
      if (chunk.length === 0) await ready(stream.subscribe());
      else chunks.push(Uint8Array.from(chunk));
    }
    return join(chunks);
  };
  return Response.incoming(incoming.status(), headers, request.url, read);
}

function failure(request, code) {
  const tag = code?.tag ?? String(code);
  if (tag === "HTTP-request-denied" || tag === "destination-IP-prohibited") {
    return new Denied(`${request.method} ${request.url}: not granted by the manifest`);
  }
  const detail = typeof code?.val === "string" && code.val ? `: ${code.val}` : "";
  return code instanceof Error
    ? code
    : new ToolError(wellFormed(`${request.url}: ${tag.replaceAll("-", " ")}${detail}`));
}
