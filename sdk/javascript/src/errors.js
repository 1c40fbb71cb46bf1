// Errors of tools.

/** The tool could not do it. The model reads the message unchanged. */
export class ToolError extends Error {
  get name() {
    return "ToolError";
  }
  get kind() {
    return "failed";
  }
}

/** The arguments fit the schema and are wrong all the same: say which, and why. The model can correct them. */
export class InvalidArguments extends ToolError {
  get name() {
    return "InvalidArguments";
  }
  get kind() {
    return "invalid-arguments";
  }
}

/** The call needs something that the manifest does not grant: name it. */
export class Denied extends ToolError {
  get name() {
    return "Denied";
  }
  get kind() {
    return "denied";
  }
}

/** There is no resource of this URI. */
export class NotFound extends InvalidArguments {
  constructor(uri) {
    super(`there is no resource ${uri}`);
  }
}

/** A tool that was called has no output: `code` is a stable name of the reason. */
export class CallError extends ToolError {
  constructor(code, message, tool) {
    super(message);
    this.code = code;
    this.tool = tool;
  }
  get name() {
    return "CallError";
  }
}

/** What a console prints of something that was thrown, in a line. */
export function describe(thrown) {
  if (thrown instanceof ToolError) return thrown.message || thrown.name;
  if (!(thrown instanceof Error))
    return `Uncaught ${typeof thrown === "string" ? JSON.stringify(thrown) : safely(thrown)}`;
  let text = safely(thrown);
  if (thrown.errors instanceof Array) text += thrown.errors.map((error) => `\n- ${describe(error)}`).join("");
  if (thrown.cause instanceof Error) text += ` (cause: ${describe(thrown.cause)})`;
  return text;
}

function safely(value) {
  try {
    const text = String(value);
    return text === "[object Object]" ? JSON.stringify(value) : text;
  } catch {
    return "an object that cannot be shown";
  }
}
