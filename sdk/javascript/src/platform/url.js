// URL and URLSearchParams for engines without them. Hosts must be ASCII; only `pathname`, `search` and `hash` have setters.

const PORTS = { "http:": "80", "https:": "443", "ftp:": "21", "ws:": "80", "wss:": "443" };
const PARTS = /^([a-zA-Z][a-zA-Z0-9+.-]*:)?(\/\/[^/?#\\]*)?([^?#]*)(\?[^#]*)?(#.*)?$/s;

const encodeWith = (allowed) => (text) =>
  text.replace(allowed, (part) => encodeURIComponent(part).replace(/'/g, "%27"));
const encodePath = encodeWith(/[^!$%&'()*+,\-./0-9:;=@A-Z[\\\]_a-z|~^]+/g);
const encodeQuery = encodeWith(/[^!$%&()*+,\-./0-9:;=?@A-Z[\\\]^_`a-z{|}~]+/g);
const encodeHash = encodeWith(/[^!#$%&'()*+,\-./0-9:;=?@A-Z[\\\]^_a-z{|}~]+/g);

export class URL {
  #parts;
  #params;

  constructor(input, base) {
    this.#parts = parse(
      String(input)
        .trim()
        .replace(/[\t\n\r]/g, ""),
      base === undefined ? undefined : new URL(base),
    );
  }

  static canParse(input, base) {
    return URL.parse(input, base) !== null;
  }

  static parse(input, base) {
    try {
      return new URL(input, base);
    } catch {
      return null;
    }
  }

  get protocol() {
    return this.#parts.protocol;
  }
  get username() {
    return this.#parts.username;
  }
  get password() {
    return this.#parts.password;
  }
  get hostname() {
    return this.#parts.hostname ?? "";
  }
  get port() {
    return this.#parts.port;
  }
  get host() {
    return this.hostname + (this.port && `:${this.port}`);
  }
  get origin() {
    return this.protocol in PORTS ? `${this.protocol}//${this.host}` : "null";
  }
  get pathname() {
    return this.#parts.pathname;
  }
  set pathname(value) {
    this.#parts.pathname = normal(encodePath(`/${value}`.replace(/^\/\//, "/").replace(/[?#]/g, encodeURIComponent)));
  }
  get search() {
    return this.#parts.search;
  }
  set search(value) {
    const text = String(value).replace(/^\?/, "");
    this.#parts.search = text && `?${encodeQuery(text.replace(/#/g, "%23"))}`;
    this.#params = undefined;
  }
  get hash() {
    return this.#parts.hash;
  }
  set hash(value) {
    const text = String(value).replace(/^#/, "");
    this.#parts.hash = text && `#${encodeHash(text)}`;
  }
  get searchParams() {
    this.#params ??= new URLSearchParams(this.search, (text) => (this.#parts.search = text && `?${text}`));
    return this.#params;
  }
  get href() {
    const { protocol, username, password, hostname, pathname, search, hash } = this.#parts;
    const user = username || password ? `${username}${password && `:${password}`}@` : "";
    return `${protocol}${hostname === undefined ? "" : `//${user}${this.host}`}${pathname}${search}${hash}`;
  }
  toString() {
    return this.href;
  }
  toJSON() {
    return this.href;
  }
}

function parse(input, base) {
  const found = PARTS.exec(input);
  const invalid = () => new TypeError(`Invalid URL: ${input}`);
  if (!found) throw invalid();
  let [, scheme, authority, path, query = "", hash = ""] = found;
  const protocol = (scheme ?? base?.protocol)?.toLowerCase();
  if (!protocol) throw invalid();
  const isSpecial = protocol in PORTS;
  if (isSpecial) path = path.replaceAll("\\", "/");
  if (isSpecial && scheme && authority === undefined && (!base || base.protocol !== protocol)) {
    // `https:example.com` has a host all the same.
    [, authority, path] = /^\/*([^/]*)(.*)$/s.exec(path);
    authority = `//${authority}`;
  }
  const parts = { protocol, username: "", password: "", hostname: undefined, port: "" };
  if (authority !== undefined) {
    Object.assign(parts, parseAuthority(authority.slice(2), isSpecial, invalid));
  } else if (base && !(scheme && base.protocol !== protocol)) {
    Object.assign(parts, {
      username: base.username,
      password: base.password,
      hostname: base.hostname || undefined,
      port: base.port,
    });
    if (path === "") {
      path = base.pathname;
      if (!query) query = base.search;
    } else if (!path.startsWith("/")) {
      path = base.pathname.replace(/[^/]*$/, "") + path;
    }
  }
  if (isSpecial && !parts.hostname) throw invalid();
  if (parts.port === PORTS[protocol]) parts.port = "";
  const encoded = encodePath(path);
  parts.pathname = parts.hostname === undefined ? encoded : normal(encoded || (isSpecial ? "/" : ""));
  parts.search = query === "?" ? "" : encodeQuery(query);
  parts.hash = hash === "#" ? "" : encodeHash(hash);
  return parts;
}

function parseAuthority(authority, isSpecial, invalid) {
  const at = authority.lastIndexOf("@");
  const [username, ...rest] = at < 0 ? [""] : authority.slice(0, at).split(":");
  const found = /^(\[[0-9a-fA-F:.]+\]|[^:\[\]\s<>^|%]*)(?::([0-9]*))?$/.exec(authority.slice(at + 1));
  if (!found || (isSpecial && !found[1])) throw invalid();
  const hostname = isSpecial ? found[1].toLowerCase() : found[1];
  if (!/^[\x21-\x7e]*$/.test(hostname))
    throw new TypeError(`Invalid URL: the host ${hostname} is not ASCII: write it in Punycode`);
  if (found[2] && Number(found[2]) > 65_535) throw invalid();
  const port = found[2] ? String(Number(found[2])) : "";
  const encode = (text) => encodePath(text).replace(/[:/;=@[\]^|]/g, encodeURIComponent);
  return { username: encode(username), password: encode(rest.join(":")), hostname, port };
}

function normal(path) {
  const parts = [];
  const all = path.split("/").slice(1);
  all.forEach((part, index) => {
    const plain = part.replace(/%2e/gi, ".");
    const isLast = index === all.length - 1;
    if (plain === "..") parts.pop();
    else if (plain !== ".") parts.push(part);
    if (isLast && (plain === "." || plain === "..")) parts.push("");
  });
  return `/${parts.join("/")}`;
}

const encodeForm = (text) =>
  encodeURIComponent(String(text).toWellFormed?.() ?? text)
    .replace(/%20/g, "+")
    .replace(/[!'()~]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);

function decodeForm(text) {
  const spaced = text.replace(/\+/g, " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    // What is no percent-encoding stays as it is.
    return spaced.replace(/(%[0-9a-fA-F]{2})+/g, (part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return "\ufffd";
      }
    });
  }
}

export class URLSearchParams {
  #entries = [];
  #changed;

  constructor(init = "", changed) {
    this.#changed = changed;
    if (typeof init === "object" && init !== null) {
      const entries = typeof init[Symbol.iterator] === "function" ? [...init] : Object.entries(init);
      this.#entries = entries.map(([name, value]) => [String(name), String(value)]);
    } else {
      const parts = String(init).replace(/^\?/, "").split("&").filter(Boolean);
      this.#entries = parts.map((part) => {
        const at = part.indexOf("=");
        return at < 0 ? [decodeForm(part), ""] : [decodeForm(part.slice(0, at)), decodeForm(part.slice(at + 1))];
      });
    }
  }

  #update(entries) {
    this.#entries = entries;
    this.#changed?.(this.toString());
  }
  append(name, value) {
    this.#update([...this.#entries, [String(name), String(value)]]);
  }
  delete(name, value) {
    this.#update(
      this.#entries.filter(([key, held]) => key !== String(name) || (value !== undefined && held !== String(value))),
    );
  }
  get(name) {
    return this.#entries.find(([key]) => key === String(name))?.[1] ?? null;
  }
  getAll(name) {
    return this.#entries.filter(([key]) => key === String(name)).map(([, value]) => value);
  }
  has(name, value) {
    return this.#entries.some(([key, held]) => key === String(name) && (value === undefined || held === String(value)));
  }
  set(name, value) {
    const at = this.#entries.findIndex(([key]) => key === String(name));
    if (at < 0) return this.append(name, value);
    this.#update(
      this.#entries.flatMap((entry, index) =>
        entry[0] !== String(name) ? [entry] : index === at ? [[String(name), String(value)]] : [],
      ),
    );
  }
  sort() {
    this.#update([...this.#entries].sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0)));
  }
  forEach(callback, self) {
    for (const [name, value] of this.#entries) callback.call(self, value, name, this);
  }
  get size() {
    return this.#entries.length;
  }
  keys() {
    return this.#entries.map(([name]) => name).values();
  }
  values() {
    return this.#entries.map(([, value]) => value).values();
  }
  entries() {
    return this.#entries.map((entry) => [...entry]).values();
  }
  [Symbol.iterator]() {
    return this.entries();
  }
  toString() {
    return this.#entries.map((entry) => entry.map(encodeForm).join("=")).join("&");
  }
}
