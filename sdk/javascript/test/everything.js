// A plugin that uses all of the package, for the tests.

import { readFileSync } from "node:fs";
import { appendFile, mkdir, readFile, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import {
  CallError, Denied, InvalidArguments, ToolError, ask, callTool, completes, config, embedded, image, link, listing, log, output, progress, prompt, resource,
  secret, tool,
} from "toolhost-plugin"; // prettier-ignore

console.log("printed while it is built");

const one = (name, type = "string") => ({ type: "object", properties: { [name]: { type } }, required: [name] });

tool({
  name: "fail",
  title: "Fail",
  description: "Fails.",
  readOnly: true,
  input: one("how"),
  async run({ how }) {
    switch (how) {
      case "error":
        throw new ToolError("no luck");
      case "arguments":
        throw new InvalidArguments("`how` is wrong");
      case "denied":
        throw new Denied("a key");
      case "type":
        return null.length;
      case "text":
        throw "a text";
      case "recursion": {
        const again = () => again() + 1;
        return again();
      }
      case "rejected":
        await Promise.all([new Promise(() => {}), Promise.reject(new RangeError("one"))]);
        break;
      case "cause":
        throw new Error("outer", { cause: new TypeError("inner") });
      case "never":
        await new Promise(() => {});
        break;
      case "nan":
        return { deep: [1, NaN] };
      case "map":
        return { deep: new Map([[1, 2]]) };
      case "surrogate":
        return "a\ud800b";
      case "undefined":
        return undefined;
      case "swallowed":
        try {
          await ask.form("never", "Never?", one("x"));
        } catch {
          return "swallowed";
        }
    }
    throw new Error(how);
  },
});

tool({
  name: "host",
  description: "What the host grants.",
  input: one("key"),
  async run({ key }) {
    console.log("printed", { a: [1, new Map([["b", 2n]])] });
    console.warn("%s of %d", "one", 2);
    log.notice("noticed");
    progress(1, 2, "half");
    return {
      config: config(key),
      secret: secret(key),
      random: String(Math.random()),
      uuid: crypto.randomUUID(),
      year: new Date().getFullYear(),
    };
  },
});

tool({
  name: "fetch",
  description: "Fetches pages side by side.",
  input: {
    type: "object",
    properties: { urls: { type: "array", items: { type: "string" } }, post: { type: "string" } },
    required: ["urls"],
  },
  output: { type: "array", items: { type: "string" } },
  async run({ urls, post }) {
    return Promise.all(
      urls.map(async (url) => {
        const target = new URL(url);
        if (post !== undefined) target.searchParams.set("q", "a b");
        const response =
          post === undefined
            ? await fetch(target, { headers: { "x-test": "yes" }, signal: AbortSignal.timeout?.(5000) })
            : await fetch(target, {
                method: "POST",
                headers: { "content-type": "application/json" },
                body: JSON.stringify({ text: post }),
              });
        return `${response.status} ${await response.text()}`;
      }),
    );
  },
});

const names = { type: "array", items: { type: "string" } };

tool({
  name: "together",
  description: "Greets side by side, and waits for other things meanwhile.",
  input: { type: "object", properties: { names, url: { type: "string" } }, required: ["names"] },
  output: { type: "array", items: { type: "string" } },
  async run({ names, url }) {
    const greeted = names.map((name) =>
      callTool("greet", { name }).then(
        ({ text }) => text,
        (error) => {
          if (!(error instanceof CallError)) throw error;
          return `${error.tool} ${error.code}: ${error.message}`;
        },
      ),
    );
    const fetched = url === undefined ? [] : [fetch(url).then((response) => response.text())];
    const slept = new Promise((resolve) => setTimeout(() => resolve("slept"), 1));
    return (await Promise.all([...greeted, ...fetched, slept])).sort();
  },
});

tool({
  name: "calls",
  description: "Calls tools one after the other, and one of this name.",
  input: one("name"),
  async run({ name }) {
    const picture = await callTool("s_image");
    if (picture[0].text !== "A dot:" || picture[1].data[0] !== 137) throw new Error("it is no picture");
    const { text } = await Promise.race([callTool("greet", { name: "a" }), new Promise(() => {})]);
    return [text, await callTool(name)];
  },
});

tool({
  name: "slow",
  description: "Waits, in the order of the delays.",
  input: { type: "object", properties: {} },
  async run() {
    const order = [];
    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms)).then(() => order.push(ms));
    const interval = setInterval(() => order.push("tick"), 15);
    await Promise.all([wait(20), wait(1), wait(10)]);
    clearInterval(interval);
    for await (const part of (async function* () {
      yield "a";
      await wait(1);
      yield "b";
    })())
      order.push(part);
    queueMicrotask(() => order.push("microtask"));
    await undefined;
    return order.join(" ");
  },
});

const person = {
  type: "object",
  properties: {
    name: { type: "string", description: "As in your passport." },
    age: { type: "integer" },
    mood: { type: "string", enum: ["good", "bad"], default: "good" },
  },
  required: ["name"],
};

tool({
  name: "welcome",
  description: "Asks who is there.",
  async run() {
    const who = await ask.form("who", "Who are you?", person);
    let motto = "no motto";
    try {
      motto = (await ask.sample("motto", `A motto for ${who.name}, please.`, { maxTokens: 50 })).text;
    } catch (error) {
      if (!(error instanceof ask.Refused)) throw error;
    }
    return `${who.name}, ${who.age}: ${motto}`;
  },
});

tool({
  name: "remembered",
  description: "Makes a number once, and asks.",
  async run() {
    const made = await ask.remember("number", () => String(Math.random()));
    const { sure } = await ask.form("sure", `Is it ${made}?`, {
      type: "object",
      properties: { sure: { type: "boolean" } },
    });
    return `${made} ${sure}`;
  },
});

tool({
  name: "picture",
  description: "Several contents.",
  run: () =>
    output(["A dot:", image(new Uint8Array([137, 80, 78, 71])), link({ uri: "note://welcome", name: "welcome" })], {
      dots: 1,
    }),
});

resource({ uri: "note://welcome", name: "welcome", mimeType: "text/plain", size: 16, read: () => "Nice to see you." });

resource({
  uri: "note://by-day/{day}",
  name: "by-day",
  read: ({ day }, uri) =>
    embedded({ uri, body: new TextEncoder().encode(`On ${day}: nothing.`), mimeType: "application/octet-stream" }),
});

listing(() => [{ uri: "note://by-day/2026-02-28", name: "today" }]);

prompt({
  name: "review",
  title: "Code review",
  description: "Has code reviewed.",
  arguments: { code: "The code.", language: { description: "Which language.", required: false } },
  run: ({ code, language = "Python" }) => [
    `Review this ${language}.`,
    { role: "assistant", content: "Show me." },
    code,
  ],
});

completes("review", "language", () => ["Python", "Rust"]);

tool({
  name: "files",
  description: "Reads, writes and lists.",
  input: {
    type: "object",
    properties: { folder: { type: "string" }, outside: { type: "array" } },
    required: ["folder"],
  },
  async run({ folder, outside = [] }) {
    const got = [await readFile(`${folder}/a.txt`, "utf8")];
    await writeFile(`${folder}/b.txt`, "first ");
    await appendFile(`${folder}/b.txt`, "sëcond");
    got.push(readFileSync(`${folder}/b.txt`, "utf8"), (await stat(`${folder}/b.txt`)).size);
    await mkdir(`${folder}/c/d`, { recursive: true });
    await writeFile(`${folder}/c/d/e.bin`, new Uint8Array(200_000).fill(7));
    got.push((await readFile(`${folder}/c/d/e.bin`)).reduce((sum, byte) => sum + byte, 0));
    await rename(`${folder}/b.txt`, `${folder}/c/b.txt`);
    got.push(
      (await readdir(folder)).join(),
      (await readdir(`${folder}/c`, { withFileTypes: true })).map((entry) => entry.isDirectory()).join(),
    );
    await rm(`${folder}/c`, { recursive: true });
    for (const path of [`${folder}/c`, ...outside]) got.push(await readFile(path).catch((error) => error.message));
    return got;
  },
});
