// What a plugin offers beside tools: resources, prompts, and what their arguments could be.

import { Content, embedded, icons } from "./content.js";
import { InvalidArguments, NotFound } from "./errors.js";
import { add, completions, listings, prompts, resources } from "./registry.js";

const MOST = 100; // MCP's limit of suggestions.

/** Something that can be read by its URI, or by all those of a template: `{name}` is anything but a slash, `{+name}` anything. */
export function resource(options) {
  if (typeof options.read !== "function") throw new TypeError(`resource ${options.uri}: \`read\` is not a function`);
  add("resource", resources, options.uri, new Resource(options));
  return options;
}

class Resource {
  constructor(options) {
    this.options = options;
    this.isTemplate = options.uri.includes("{");
    this.listed = {
      uri: options.uri,
      name: options.name ?? options.uri,
      title: options.title,
      description: options.description,
      mimeType: options.mimeType,
      size: options.size,
      icons: icons(options.icon),
    };
    this.variables = [];
    const pattern = options.uri.split(/(\{\+?\w+\})/).map((part) => {
      if (!part.startsWith("{")) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      this.variables.push(part.replace(/[{+}]/g, ""));
      return part.startsWith("{+") ? "(.+)" : "([^/]+)";
    });
    this.pattern = new RegExp(`^${pattern.join("")}$`, "su");
  }

  match(uri) {
    const found = this.pattern.exec(uri);
    return (
      found && Object.fromEntries(this.variables.map((name, index) => [name, decodeURIComponent(found[index + 1])]))
    );
  }

  async read(uri, variables) {
    const result = await this.options.read(variables, uri);
    return [result].flat().map((part) => {
      if (typeof part === "string" || part instanceof Uint8Array) part = { body: part };
      if (part?.body === undefined)
        throw new TypeError(`${uri}: \`read\` returns a string, bytes, or \`embedded({…})\``);
      return embedded({ ...part, uri: part.uri || uri, mimeType: part.mimeType ?? this.options.mimeType });
    });
  }

  async version(uri, variables) {
    if (this.options.version) return String(await this.options.version(variables, uri));
    const parts = await this.read(uri, variables);
    return digest(parts.map((part) => `${part.uri} ${part.mimeType} ${part.body}`).join("\n"));
  }
}

/** A function that lists resources beside those of `resource`: asked whenever a client lists them. Templates read them. */
export function listing(list) {
  listings.push(list);
}

/** What reads this URI: resources go before templates. */
export function find(uri) {
  const all = [...resources.values()].sort((one, other) => one.isTemplate - other.isTemplate);
  for (const found of all) {
    const variables = found.match(uri);
    if (variables) return [found, variables];
  }
  throw new NotFound(uri);
}

export async function listed() {
  const fixed = [...resources.values()].filter((found) => !found.isTemplate).map((found) => found.listed);
  const found = await Promise.all(listings.map((list) => list()));
  return [...fixed, ...found.flat().map((one) => ({ ...one, name: one.name ?? one.uri, icons: icons(one.icon) }))];
}

/** A conversation to begin with. Its arguments come as texts. */
export function prompt(options) {
  if (typeof options.run !== "function") throw new TypeError(`prompt \`${options.name}\`: \`run\` is not a function`);
  add("prompt", prompts, options.name, options);
  return options;
}

/** The arguments of a prompt as they are listed: a string is a description of one that must be given. */
export function promptArguments(options) {
  return Object.entries(options.arguments ?? {}).map(([name, given]) => {
    const { title, description, required = true } = typeof given === "string" ? { description: given } : given;
    return { name, title, description, required };
  });
}

export async function fill(name, texts) {
  const options = prompts.get(name);
  if (!options) throw new InvalidArguments(`there is no prompt \`${name}\``);
  for (const argument of promptArguments(options)) {
    if (argument.required && texts[argument.name] === undefined)
      throw new InvalidArguments(`missing argument \`${argument.name}\``);
  }
  const result = await options.run(texts);
  return [result]
    .flat()
    .map((part) => (typeof part === "string" || part instanceof Content ? { role: "user", content: part } : part));
}

/** Suggests values for an argument of a prompt, or a variable of a template. Those that do not begin with what is typed are left out. */
export function completes(of, argument, suggest) {
  completions.set(`${of}\0${argument}`, suggest);
}

export async function complete(of, argument, typed, others) {
  const suggest = completions.get(`${of}\0${argument}`);
  if (!suggest) return { values: [], total: undefined };
  const values = (await suggest(typed, others))
    .map(String)
    .filter((value) => value.toLowerCase().startsWith(typed.toLowerCase()));
  return { values: values.slice(0, MOST), total: values.length };
}

function digest(text) {
  let hash = 0xcbf29ce484222325n;
  for (let at = 0; at < text.length; at += 1)
    hash = BigInt.asUintN(64, (hash ^ BigInt(text.charCodeAt(at))) * 0x100000001b3n);
  return `${text.length}-${hash.toString(16)}`;
}
