// `npx toolhost-plugin build`: a component of a module, by esbuild and componentize-qjs (or componentize-js).
//
// The tools are installed into a folder of their own. The module is bundled with its dependencies; the component imports only
// the interfaces of the host that the bundle uses.

import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const HERE = dirname(fileURLToPath(import.meta.url));
const run = promisify(execFile);

/** What builds for an engine, and in which versions. */
export const TOOLS = {
  quickjs: { esbuild: "0.28.2", "componentize-qjs": "0.4.5" },
  starlingmonkey: { esbuild: "0.28.2", "@bytecodealliance/componentize-js": "0.23.0" },
};

const WORLDS = { "calls/": "toolhost:calls/caller@0.1.0", "http/": "http-client", "clocks/": "timers", "random/": "random-bytes", "filesystem/": "files" };

/**
 * A placeholder for the `wasi` namespace while componentize-qjs runs the module. At that time it links its own `wasi:io`, and
 * cannot link other interfaces that share its resources (`wasi:http`, `wasi:filesystem`). So scripts import these under
 * another name, which is renamed in the finished component. The version is an earlier one than the engine's own imports have,
 * because a component must not import the same name twice.
 */
const LATE = "late";
const VERSIONS = [/@0\.2\.12$/, "@0.2.11"];

/** The component cannot be built: the message says why, and what to do. */
export class BuildError extends Error {}

/**
 * Builds a component of a module, given by its file or its folder, and returns where it is.
 * @param {string} app
 * @param {{ output?: string, engine?: "quickjs" | "starlingmonkey", timeout?: number, log?: (line: string) => void }} [options]
 */
export async function build(app, { output, engine = "quickjs", timeout = 300, log = () => {} } = {}) {
  if (!(engine in TOOLS)) throw new BuildError(`there is no engine ${engine}: it is quickjs or starlingmonkey`);
  const entry = await locate(app);
  const target = resolve(output ?? `${basename(entry).replace(/\.[^.]*$/, "")}.wasm`);
  const tools = await install(engine, log);
  const folder = await mkdtemp(join(tmpdir(), "toolhost-plugin-"));
  try {
    const { esbuild } = await load(tools, "esbuild");
    const offered = await offers(esbuild, entry, folder, timeout);
    const { source, imports } = await bundle(esbuild, entry, offered, engine, folder);
    const wit = await world(folder, offered, imports, engine);
    await writeFile(join(folder, "plugin.js"), source);
    const made = join(folder, "component.wasm");
    await componentize(tools, engine, { wit, source: join(folder, "plugin.js"), made, http: offered.fetch }, timeout);
    await mkdir(dirname(target), { recursive: true });
    if (engine === "quickjs") await writeFile(made, renameImports(await readFile(made)));
    const staging = join(dirname(target), `.${basename(target)}.${process.pid}`);
    await cp(made, staging);
    await rename(staging, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return target;
}

async function locate(app) {
  const path = resolve(app);
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new BuildError(`there is no file ${path}`);
  if (!found.isDirectory()) return path;
  const manifest = JSON.parse(await readFile(join(path, "package.json"), "utf8").catch(() => "{}"));
  const candidates = [manifest.main, "index.ts", "index.js", "src/index.ts", "src/index.js"].filter(Boolean);
  const entry = candidates.map((name) => join(path, name)).find(existsSync);
  if (!entry)
    throw new BuildError(
      `${path} has neither a \`main\` in its package.json nor an index.ts or index.js: name the plugin's module`,
    );
  return entry;
}

/** The folder that the tools are installed in. */
async function install(engine, log) {
  const cache =
    process.platform === "win32"
      ? process.env.LOCALAPPDATA
      : process.platform === "darwin"
        ? join(homedir(), "Library/Caches")
        : undefined;
  const root =
    process.env.TOOLHOST_TOOLS ??
    join(process.env.XDG_CACHE_HOME ?? cache ?? join(homedir(), ".cache"), "toolhost/tools");
  const wanted = Object.entries(TOOLS[engine]).map(([name, version]) => `${name}@${version}`);
  const folder = join(root, `javascript-${engine}-${wanted.map((tool) => tool.split("@").pop()).join("-")}`);
  if (existsSync(join(folder, "done"))) return folder;
  log(`installing ${wanted.join(" and ")} into ${folder}`);
  await mkdir(root, { recursive: true });
  const staging = await mkdtemp(join(root, ".javascript-"));
  try {
    await writeFile(join(staging, "package.json"), '{ "private": true }\n');
    const npm = process.platform === "win32" ? "npm.cmd" : "npm";
    await run(
      npm,
      ["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--loglevel=error", ...wanted],
      {
        cwd: staging,
        shell: process.platform === "win32",
      },
    ).catch((error) => {
      throw new BuildError(`${wanted.join(" and ")} cannot be installed:\n${error.stderr?.trim() || error.message}`);
    });
    await writeFile(join(staging, "done"), "");
    // Another build may have been faster.
    await rename(staging, folder).catch((error) => {
      if (!existsSync(join(folder, "done"))) throw error;
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return folder;
}

async function load(tools, name) {
  const require = createRequire(join(tools, "package.json"));
  const module = await import(require.resolve(name));
  return name === "esbuild" ? { esbuild: module.default ?? module } : module;
}

const EXTERNAL = ["toolhost:*", "wasi:*", `${LATE}:*`];

async function esbuildOrFail(esbuild, options) {
  try {
    return await esbuild.build({
      bundle: true,
      format: "esm",
      write: false,
      logLevel: "silent",
      external: EXTERNAL,
      metafile: true,
      ...options,
    });
  } catch (error) {
    if (!error.errors) throw error;
    const shown = await esbuild.formatMessages(error.errors, { kind: "error", color: false });
    throw new BuildError(`the module cannot be bundled:\n${shown.join("").trim()}`);
  }
}

/** Runs the module in Node, which finds mistakes, and says what it offers. */
async function offers(esbuild, entry, folder, timeout) {
  const contents = `
    import { use } from ${JSON.stringify(join(HERE, "host.js"))};
    import * as registry from ${JSON.stringify(join(HERE, "registry.js"))};
    globalThis.__toolhostRegistry = registry;
    use(registry.building());
  `;
  const finish = `
    const { tools, prompts, resources, listings, completions } = globalThis.__toolhostRegistry;
    process.stdout.write("\\n\\0" + JSON.stringify({
      tools: [...tools.keys()], prompts: prompts.size > 0, resources: resources.size + listings.length > 0, completion: completions.size > 0,
    }));
  `;
  await writeFile(join(folder, "before.js"), contents);
  await writeFile(join(folder, "after.js"), finish);
  const inspected = join(folder, "inspect.mjs");
  const result = await esbuildOrFail(esbuild, {
    stdin: {
      contents: [
        `import ${JSON.stringify(join(folder, "before.js"))};`,
        importEntry(entry),
        `import ${JSON.stringify(join(folder, "after.js"))};`,
      ].join("\n"),
      resolveDir: dirname(entry),
      sourcefile: "plugin-inspect.js",
    },
    platform: "neutral",
    // Node has them, where it only looks.
    external: ["node:fs", "node:fs/promises", "fs", "fs/promises"],
    mainFields: ["module", "main"],
    conditions: ["import", "module", "default"],
    alias: { "toolhost-plugin": join(HERE, "index.js") },
    sourcemap: "inline",
    outfile: inspected,
  });
  await writeFile(inspected, result.outputFiles.find((file) => file.path.endsWith(".mjs")).contents);
  const done = await run(process.execPath, ["--enable-source-maps", "--no-warnings", inspected], {
    timeout: timeout * 1000,
    maxBuffer: 1 << 26,
  }).catch((error) => {
    if (error.killed) throw new BuildError(`importing the module timed out after ${timeout} s`);
    throw new BuildError(`the module cannot be imported:\n${readable(error.stderr || error.message)}`);
  });
  const offered = JSON.parse(done.stdout.slice(done.stdout.lastIndexOf("\n\0") + 2));
  if (!offered.tools.length && !offered.prompts && !offered.resources)
    throw new BuildError(`${entry} defines no tools, prompts or resources: call \`tool({…})\` in it`);
  const text = result.outputFiles.map((file) => file.text).join("");
  return { ...offered, fetch: /\bfetch\b/.test(text.replace(/\/\/# sourceMappingURL.*$/s, "")) };
}

/** Uses the module, so that a `sideEffects: false` of its package does not remove it. */
const importEntry = (entry) =>
  `import * as plugin from ${JSON.stringify(entry)}; globalThis.__toolhostPlugin = plugin;`;

/** What Node prints of an uncaught error, without what is Node's and this package's own. */
function readable(stderr) {
  const lines = stderr
    .split("\n")
    .filter((line) => !/^Node\.js v|^\s+at .*(node:internal|file:.*toolhost-plugin-[^/]*\/(before|after))/.test(line));
  return lines.join("\n").trim();
}

async function bundle(esbuild, entry, offered, engine, folder) {
  const isQuickjs = engine === "quickjs";
  const exported = ["tools", ...["resources", "prompts", "completion"].filter((name) => offered[name])];
  const result = await esbuildOrFail(esbuild, {
    stdin: {
      contents: [
        `import ${JSON.stringify(join(HERE, "platform/globals.js"))};`,
        importEntry(entry),
        `export { ${exported.join(", ")} } from ${JSON.stringify(join(HERE, "component.js"))};`,
      ].join("\n"),
      resolveDir: dirname(entry),
      sourcefile: "plugin.js",
    },
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["import", "module", "default"],
    alias: { "toolhost-plugin": join(HERE, "index.js") },
    plugins: [engineModule(engine)],
    // Async functions become generators over the promises of this package: see platform/quickjs.js.
    target: isQuickjs ? "es2016" : "es2022",
    supported: isQuickjs ? LIKE_QUICKJS : {},
    inject: isQuickjs
      ? ["timers.js", "fetch.js", "crypto.js", "random.js"].map((name) => join(HERE, "platform", name))
      : [],
    define: {
      __ENGINE__: JSON.stringify(engine),
      ...(isQuickjs && { "Math.random": "mathRandom" }),
      ...(isQuickjs &&
        Object.fromEntries(
          ["fetch", "setTimeout", "clearTimeout", "setInterval", "clearInterval", "crypto"].map((name) => [
            `globalThis.${name}`,
            name,
          ]),
        )),
    },
    outfile: join(folder, "bundle.js"),
    charset: "utf8",
    keepNames: true,
    legalComments: "none",
  });
  const [made] = Object.values(result.metafile.outputs);
  const imports = new Set(
    made.imports.filter((one) => one.external).map((one) => one.path.replace(/^\w+:(\w+\/).*$/, "$1")),
  );
  return { source: result.outputFiles[0].text, imports };
}

/** QuickJS has all of ES2023: nothing but what is asynchronous is rewritten. */
const LIKE_QUICKJS = Object.fromEntries(
  [
    "arbitrary-module-namespace-names", "array-spread", "arrow", "bigint", "class", "class-field", "class-private-accessor",
    "class-private-brand-check", "class-private-field", "class-private-method", "class-private-static-accessor",
    "class-private-static-field", "class-private-static-method", "class-static-blocks", "class-static-field", "const-and-let",
    "default-argument", "destructuring", "exponent-operator", "export-star-as", "for-of", "generator", "hashbang",
    "logical-assignment", "nested-rest-binding", "new-target", "node-colon-prefix-import", "nullish-coalescing", "object-accessors",
    "object-extensions", "object-rest-spread", "optional-catch-binding", "optional-chain", "regexp-dot-all-flag",
    "regexp-lookbehind-assertions", "regexp-match-indices", "regexp-named-capture-groups", "regexp-sticky-and-unicode-flags",
    "regexp-unicode-property-escapes", "rest-argument", "template-literal", "typeof-exotic-object-is-object", "unicode-escapes",
  ].map((name) => [name, true]),
); // prettier-ignore

const engineModule = (engine) => ({
  name: "engine",
  setup(build) {
    if (engine === "quickjs")
      build.onResolve({ filter: /^wasi:/ }, ({ path }) => ({ path: path.replace(/^wasi/, LATE), external: true }));
    const files = { fs: "fs-all.js", "fs/promises": "fs-promises.js" };
    build.onResolve({ filter: /^(node:)?fs(\/promises)?$/ }, ({ path }) => ({
      path: join(HERE, "platform", files[path.replace("node:", "")]),
      sideEffects: false,
    }));
    build.onResolve({ filter: /platform\/calls\.js$/ }, () => ({
      path: join(HERE, "platform/calls-component.js"),
      sideEffects: false,
    }));
    build.onResolve({ filter: /platform\/engine\.js$/ }, () => ({ path: join(HERE, "platform", `${engine}.js`) }));
  },
});

/** A folder with the world of this component. */
async function world(folder, offered, imports, engine) {
  const wit = join(folder, "wit");
  for (const [file, name] of [
    ["plugin", "plugin"],
    ["wasi", "plugin"],
    ["calls", "calls"],
  ])
    await cp(join(HERE, `../wit/${file}.wit`), join(wit, `deps/${name}/${file}.wit`));
  const worlds = ["plugin"];
  for (const [key, name] of [
    ["resources", "resource-provider"],
    ["prompts", "prompt-provider"],
    ["completion", "completion-provider"],
  ]) {
    if (offered[key]) worlds.push(name);
  }
  for (const [prefix, name] of Object.entries(WORLDS)) if (imports.has(prefix)) worlds.push(name);
  if (engine === "quickjs") {
    const wasi = join(wit, "deps/plugin/wasi.wit");
    await writeFile(wasi, (await readFile(wasi, "utf8")).replaceAll("wasi:", `${LATE}:`));
  }
  const includes = worlds.map((name) => `include ${name.includes(":") ? name : `toolhost:plugin/${name}@0.1.0`};`);
  await writeFile(join(wit, "component.wit"), `package toolhost:component;\n\nworld component { ${includes.join(" ")} }\n`);
  return wit;
}

/** In a process of its own: what goes wrong there ends it. */
async function componentize(tools, engine, { wit, source, made, http }, timeout) {
  const script = {
    quickjs: `
      import { componentize } from "componentize-qjs";
      import { readFileSync, writeFileSync } from "node:fs";
      const [wit, source, made] = process.argv.slice(2);
      const jsSource = readFileSync(source, "utf8");
      writeFileSync(made, (await componentize({ witPath: wit, world: "component", jsSource, sync: true })).component);`,
    starlingmonkey: `
      import { componentize } from "@bytecodealliance/componentize-js";
      import { writeFileSync } from "node:fs";
      const [wit, source, made, http] = process.argv.slice(2);
      const disableFeatures = http === "true" ? ["fetch-event"] : ["http", "fetch-event"];
      writeFileSync(made, (await componentize({ sourcePath: source, witPath: wit, worldName: "component", disableFeatures })).component);`,
  }[engine];
  // Beside the packages that it imports.
  const file = join(tools, `componentize-${process.pid}-${Date.now()}.mjs`);
  await writeFile(file, script);
  try {
    await run(process.execPath, ["--no-warnings", file, wit, source, made, String(http)], {
      timeout: timeout * 1000,
      maxBuffer: 1 << 26,
    });
  } catch (error) {
    if (error.killed) throw new BuildError(`building the component timed out after ${timeout} s: raise \`--timeout\``);
    throw new BuildError(
      `the component cannot be made:\n${readable(`${error.stdout ?? ""}${error.stderr ?? ""}` || error.message)}`,
    );
  } finally {
    await rm(file, { force: true });
  }
}

/** Gives the imports of a component the names that the host knows. They have the same length, so nothing else changes. */
function renameImports(component) {
  const IMPORTS = 10;
  let at = 8;
  while (at < component.length) {
    const id = component[at];
    let [size, start] = [0, at + 1];
    for (let shift = 0; ; shift += 7, start += 1) {
      size += (component[start] & 0x7f) * 2 ** shift;
      if (component[start] < 0x80) break;
    }
    start += 1;
    if (id === IMPORTS) {
      const section = component.subarray(start, start + size);
      const names = section
        .toString("latin1")
        .replace(new RegExp(`${LATE}:[a-z-]+/[a-z-]+@0\\.2\\.12`, "g"), (name) =>
          `wasi${name.slice(LATE.length)}`.replace(...VERSIONS),
        );
      section.write(names, "latin1");
    }
    at = start + size;
  }
  return component;
}
