// Models' responses: SDKs' objects, JSON, and streams of events or of bytes, as the host reads them.

/** What the SDK's helper adds to Anthropic's own events. */
const HELPER_EVENTS = new Set(["text", "thinking", "citation", "signature", "compaction", "input_json"]);

/** Whether it is a response that arrives piece by piece. */
export function isStream(response: any): boolean {
  if (typeof response !== "object" || response === null || Array.isArray(response) || ArrayBuffer.isView(response)) {
    return false;
  }
  return bodyOf(response) !== undefined || Symbol.asyncIterator in response || Symbol.iterator in response;
}

/** The body of fetch's `Response`. */
function bodyOf(response: any): AsyncIterable<Uint8Array> | undefined {
  return typeof Response !== "undefined" && response instanceof Response
    ? ((response.body as unknown as AsyncIterable<Uint8Array> | null) ?? undefined)
    : undefined;
}

/** A whole response as JSON text. */
export function toJson(response: unknown): string {
  if (ArrayBuffer.isView(response)) {
    return JSON.stringify(new TextDecoder().decode(response));
  }
  const text = JSON.stringify(response);
  if (text === undefined) {
    throw new TypeError(`cannot read a response that is a ${typeof response}: pass the SDK's response, or JSON`);
  }
  return text;
}

/** The pieces of a stream as they are sent; the first one decides whether they are events or text. */
export async function* piecesOf(
  response: any,
  onEvent: ((event: any) => void) | undefined,
): AsyncGenerator<{ kind: "events" | "text"; data: string }> {
  const decoder = new TextDecoder();
  for await (const event of bodyOf(response) ?? response) {
    onEvent?.(event);
    if (typeof event === "string") {
      yield { kind: "text", data: event };
    } else if (ArrayBuffer.isView(event)) {
      // A character may be cut in two.
      yield { kind: "text", data: decoder.decode(event, { stream: true }) };
    } else if (!HELPER_EVENTS.has(event?.type)) {
      yield { kind: "events", data: JSON.stringify(event) };
    }
  }
}
