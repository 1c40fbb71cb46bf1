// Functions of the host. In a component they call the host; in Node a stub, which `testing` replaces.

const nobody = {
  log: (level, message) => globalThis.console?.error(`${level}: ${message}`),
  progress() {},
  canAsk: () => true,
  resourceUpdated() {},
  resourcesChanged() {},
  config: () => undefined,
  secret: () => undefined,
};

let current = nobody;

/** Makes this the host, and returns the one before. */
export function use(host) {
  const before = current;
  current = host ?? nobody;
  return before;
}

export const host = () => current;

const show = (parts) => parts.map((part) => (typeof part === "string" ? part : inspect(part))).join(" ");

/** Lines for the call's log, by level; the model does not see them. `log("…")` is `log.info("…")`. */
export const log = Object.assign((...parts) => log.info(...parts), {
  debug: (...parts) => current.log("debug", show(parts)),
  info: (...parts) => current.log("info", show(parts)),
  notice: (...parts) => current.log("notice", show(parts)),
  warning: (...parts) => current.log("warning", show(parts)),
  error: (...parts) => current.log("error", show(parts)),
});

/** Says how far the call is: `done` of `total`, in a unit of the tool's choosing. */
export function progress(done, total, message) {
  current.progress(Number(done), total == null ? undefined : Number(total), message);
}

/** A value of the manifest's `[plugin.NAME.config]`. A string comes as it is, anything else as JSON. */
export function config(key) {
  return current.config(key) ?? undefined;
}

/** A secret that the manifest grants under this name. Keep it out of results and logs. */
export function secret(name) {
  return current.secret(name) ?? undefined;
}

/** Tells subscribers that a resource of this plugin is not what it was. */
export function resourceUpdated(uri) {
  current.resourceUpdated(uri);
}

/** Tells clients that this plugin lists other resources than it did. */
export function resourcesChanged() {
  current.resourcesChanged();
}

/** A value as logs show it. */
export function inspect(value, depth = 0, parents = []) {
  if (typeof value === "string") return depth ? JSON.stringify(value) : value;
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return `[Function: ${value.name || "anonymous"}]`;
  if (typeof value !== "object" || value === null) return String(value);
  if (value instanceof Error)
    return value.stack?.includes(value.message) ? value.stack : `${value}\n${value.stack ?? ""}`.trimEnd();
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (parents.includes(value)) return "[Circular]";
  if (depth > 3) return Array.isArray(value) ? "[Array]" : "[Object]";
  const inner = (part) => inspect(part, depth + 1, [...parents, value]);
  if (value instanceof Map)
    return `Map(${value.size}) {${[...value].map(([key, part]) => `${inner(key)} => ${inner(part)}`).join(", ")}}`;
  if (value instanceof Set) return `Set(${value.size}) {${[...value].map(inner).join(", ")}}`;
  if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    const items = Array.from(value.length === undefined ? [] : value);
    const shown = items.slice(0, 100).map(inner);
    if (items.length > 100) shown.push(`… ${items.length - 100} more`);
    return `[${shown.join(", ")}]`;
  }
  const name = value.constructor?.name;
  const members = Object.keys(value).map((key) => `${key}: ${inner(value[key])}`);
  return `${name && name !== "Object" ? `${name} ` : ""}{${members.length ? ` ${members.join(", ")} ` : ""}}`;
}
