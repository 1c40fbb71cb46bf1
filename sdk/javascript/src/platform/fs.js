// A subset of `node:fs` over `wasi:filesystem`, for the folders that the manifest grants. The build substitutes it for
// `node:fs`, and `fs-promises.js` for `node:fs/promises`.

import * as preopens from "wasi:filesystem/preopens@0.2.12";
import { u64 } from "../platform/engine.js";

const CHUNK = 65_536;
const FOLLOW = { symlinkFollow: true };

/** Error codes of WASI as Node has them. */
const CODES = {
  access: ["EACCES", "permission denied"],
  "no-entry": ["ENOENT", "no such file or directory"],
  exist: ["EEXIST", "file already exists"],
  "is-directory": ["EISDIR", "illegal operation on a directory"],
  "not-directory": ["ENOTDIR", "not a directory"],
  "not-empty": ["ENOTEMPTY", "directory not empty"],
  "not-permitted": ["EPERM", "operation not permitted"],
  "read-only": ["EROFS", "read-only file system"],
  quota: ["EDQUOT", "disk quota exceeded"],
  "insufficient-space": ["ENOSPC", "no space left on device"],
  "cross-device": ["EXDEV", "cross-device link not permitted"],
  loop: ["ELOOP", "too many symbolic links encountered"],
  "name-too-long": ["ENAMETOOLONG", "name too long"],
  invalid: ["EINVAL", "invalid argument"],
};

function failure(error, call, path) {
  const tag = String(error?.payload ?? error);
  const [code, words] = CODES[tag] ?? [`E${tag.toUpperCase().replaceAll("-", "")}`, tag.replaceAll("-", " ")];
  return Object.assign(new Error(`${code}: ${words}, ${call} '${path}'`), { code, syscall: call, path });
}

/** Runs an operation with the folder that the path is in, and the rest of the path. */
function at(path, call, operation) {
  const text = String(path instanceof URL ? decodeURIComponent(path.pathname) : path);
  const parts = [];
  for (const part of text.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  const whole = `/${parts.join("/")}`;
  const granted = preopens
    .getDirectories()
    .map(([descriptor, folder]) => [descriptor, folder.replace(/\/+$/, "")])
    .filter(([, folder]) => whole === folder || whole.startsWith(`${folder}/`))
    .sort(([, one], [, other]) => other.length - one.length);
  if (granted.length === 0) throw failure("no-entry", call, text);
  const [descriptor, folder] = granted[0];
  try {
    return operation(descriptor, whole.slice(folder.length + 1) || ".");
  } catch (error) {
    throw error.syscall ? error : failure(error, call, text);
  }
}

function open(path, openFlags, flags, use) {
  return at(path, "open", (folder, rest) => {
    const file = folder.openAt(FOLLOW, rest, openFlags, flags);
    try {
      return use(file);
    } finally {
      file[Symbol.dispose]?.();
    }
  });
}

const encodingOf = (options) => (typeof options === "string" ? options : options?.encoding);

function bytesOf(data, options) {
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (typeof data !== "string") throw new TypeError("the data is a string or bytes");
  checkEncoding(encodingOf(options));
  return new TextEncoder().encode(data);
}

function checkEncoding(encoding) {
  if (encoding && !/^utf-?8$/i.test(encoding))
    throw new TypeError(`the encoding ${encoding} is not there: only utf8 is`);
}

export function readFileSync(path, options) {
  const encoding = encodingOf(options);
  checkEncoding(encoding);
  const bytes = open(path, {}, { read: true }, (file) => {
    const chunks = [];
    let offset = 0;
    for (;;) {
      const [chunk, isEnd] = file.read(u64(CHUNK), u64(offset));
      chunks.push(Uint8Array.from(chunk));
      offset += chunk.length;
      if (isEnd || chunk.length === 0) break;
    }
    return join(chunks, offset);
  });
  return encoding ? new TextDecoder().decode(bytes) : bytes;
}

function join(chunks, length) {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

const WRITES = {
  w: { create: true, truncate: true },
  wx: { create: true, exclusive: true },
  a: { create: true },
  ax: { create: true, exclusive: true },
};

export function writeFileSync(path, data, options) {
  const flag = (typeof options === "object" && options?.flag) || "w";
  if (!(flag in WRITES)) throw new TypeError(`the flag ${flag} is not there: it is ${Object.keys(WRITES).join(", ")}`);
  const bytes = bytesOf(data, options);
  open(path, WRITES[flag], { write: true }, (file) => {
    let offset = flag.startsWith("a") ? Number(file.stat().size) : 0;
    for (let written = 0; written < bytes.length;) {
      const count = Number(file.write(bytes.subarray(written, written + CHUNK), u64(offset)));
      written += count;
      offset += count;
    }
  });
}

export function appendFileSync(path, data, options) {
  writeFileSync(path, data, { ...(typeof options === "object" ? options : { encoding: options }), flag: "a" });
}

class Dirent {
  #type;
  constructor(name, type, parentPath) {
    this.name = name;
    this.parentPath = parentPath;
    this.#type = type;
  }
  isFile() {
    return this.#type === "regular-file";
  }
  isDirectory() {
    return this.#type === "directory";
  }
  isSymbolicLink() {
    return this.#type === "symbolic-link";
  }
}

export function readdirSync(path, options) {
  const entries = open(path, { directory: true }, { read: true }, (folder) => {
    const stream = folder.readDirectory();
    const all = [];
    for (let entry = stream.readDirectoryEntry(); entry != null; entry = stream.readDirectoryEntry()) all.push(entry);
    stream[Symbol.dispose]?.();
    return all;
  });
  entries.sort((one, other) => (one.name < other.name ? -1 : 1));
  return options?.withFileTypes
    ? entries.map(({ name, type }) => new Dirent(name, type, String(path)))
    : entries.map(({ name }) => name);
}

class Stats extends Dirent {
  constructor({ type, size, dataModificationTimestamp: time, dataAccessTimestamp: access }) {
    super(undefined, type, undefined);
    delete this.name;
    delete this.parentPath;
    const milliseconds = (stamp) => (stamp == null ? 0 : Number(stamp.seconds) * 1000 + stamp.nanoseconds / 1e6);
    this.size = Number(size);
    this.mtimeMs = milliseconds(time);
    this.mtime = new Date(this.mtimeMs);
    this.atimeMs = milliseconds(access);
    this.atime = new Date(this.atimeMs);
  }
}

export function statSync(path, options) {
  try {
    return at(path, "stat", (folder, rest) => new Stats(folder.statAt(FOLLOW, rest)));
  } catch (error) {
    if (options?.throwIfNoEntry === false && error.code === "ENOENT") return undefined;
    throw error;
  }
}

export function lstatSync(path) {
  return at(path, "lstat", (folder, rest) => new Stats(folder.statAt({}, rest)));
}

export function existsSync(path) {
  try {
    statSync(path);
    return true;
  } catch {
    return false;
  }
}

export function accessSync(path) {
  at(path, "access", (folder, rest) => folder.statAt(FOLLOW, rest));
}

export function mkdirSync(path, options) {
  if (!options?.recursive) return at(path, "mkdir", (folder, rest) => folder.createDirectoryAt(rest));
  const parts = String(path).split("/").filter(Boolean);
  for (let count = 1; count <= parts.length; count += 1) {
    const part = `/${parts.slice(0, count).join("/")}`;
    try {
      mkdirSync(part);
    } catch (error) {
      // Folders above one that is granted are not to be seen.
      if (
        count === parts.length
          ? !(error.code === "EEXIST" && statSync(part).isDirectory())
          : !["EEXIST", "ENOENT", "EINVAL"].includes(error.code)
      )
        throw error;
    }
  }
}

export function unlinkSync(path) {
  at(path, "unlink", (folder, rest) => folder.unlinkFileAt(rest));
}

export function rmdirSync(path) {
  at(path, "rmdir", (folder, rest) => folder.removeDirectoryAt(rest));
}

export function rmSync(path, { recursive = false, force = false } = {}) {
  let found;
  try {
    found = lstatSync(path);
  } catch (error) {
    if (force && error.code === "ENOENT") return;
    throw error;
  }
  if (!found.isDirectory()) return unlinkSync(path);
  if (!recursive) throw failure("is-directory", "rm", path);
  for (const name of readdirSync(path)) rmSync(`${path}/${name}`, { recursive });
  rmdirSync(path);
}

export function renameSync(from, to) {
  at(from, "rename", (folder, rest) => at(to, "rename", (other, place) => folder.renameAt(rest, other, place)));
}

export function copyFileSync(from, to) {
  writeFileSync(to, readFileSync(from));
}
