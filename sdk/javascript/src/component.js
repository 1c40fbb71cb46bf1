// The exports of the component, and the host behind `host.js`. Imported only in components.

import * as wit from "toolhost:plugin/host@0.1.0";
import { Content } from "./content.js";
import { ToolError, describe } from "./errors.js";
import { inspect, use } from "./host.js";
import { parse, stringify, wellFormed } from "./json.js";
import * as offers from "./offers.js";
import { serve, size } from "./platform/engine.js";
import { tools as offered, prompts as offeredPrompts, resources as offeredResources } from "./registry.js";
import { Completion, InputRequired, begin, finish } from "./session.js";

const optional = (text) => (text === undefined || text === null ? undefined : wellFormed(text));

const host = {
  log: (level, message) => wit.log(level, wellFormed(message)),
  progress: (done, total, message) => wit.progress(done, total, optional(message)),
  canAsk: (kind) => wit.canAsk(kind),
  resourceUpdated: (uri) => wit.resourceUpdated(wellFormed(uri)),
  resourcesChanged: () => wit.resourcesChanged(),
  config: (key) => wit.config(wellFormed(key)) ?? undefined,
  secret: (name) => wit.secret(wellFormed(name)) ?? undefined,
};

/** Answers the host: what the plugin throws becomes an error of the interface. */
function served(run, resumed) {
  return serve(async () => {
    use(host);
    begin(
      resumed ? new TextDecoder().decode(resumed.state) : "",
      new Map((resumed?.replies ?? []).map(([key, reply]) => [key, heard(reply)])),
    );
    return finish(run);
  }, error);
}

/** Answers the host where no error is foreseen, and nothing is granted. */
const listed = (list) => serve(async () => list(), undefined);

function error(thrown) {
  if (thrown instanceof InputRequired) {
    const questions = [...thrown.questions].map(([key, question]) => [wellFormed(key), asked(question)]);
    return { tag: "input-required", val: { questions, state: new TextEncoder().encode(thrown.state) } };
  }
  if (!(thrown instanceof ToolError)) host.log("error", inspect(thrown));
  return { tag: thrown instanceof ToolError ? thrown.kind : "failed", val: wellFormed(describe(thrown)) };
}

function content(part) {
  if (typeof part === "string") return { tag: "text", val: wellFormed(part) };
  if (!(part instanceof Content))
    throw new TypeError(`${inspect(part)} is not content: use a string, text, image, audio, link or embedded`);
  switch (part.kind) {
    case "text":
      return { tag: "text", val: wellFormed(part.text) };
    case "link":
      return {
        tag: "link",
        val: {
          uri: wellFormed(part.uri),
          name: wellFormed(part.name),
          description: optional(part.description),
          mimeType: optional(part.mimeType),
        },
      };
    case "embedded":
      return { tag: "embedded", val: embedded(part) };
    default:
      return { tag: part.kind, val: { data: part.data, mimeType: wellFormed(part.mimeType) } };
  }
}

function embedded(part) {
  const body =
    typeof part.body === "string" ? { tag: "text", val: wellFormed(part.body) } : { tag: "blob", val: part.body };
  return { uri: wellFormed(part.uri), mimeType: optional(part.mimeType), body };
}

const message = ({ role, content: said }) => ({ role, content: content(said) });

function asked(question) {
  switch (question.kind) {
    case "form":
      return { tag: "form", val: { message: wellFormed(question.message), schema: stringify(question.schema) } };
    case "page":
      return {
        tag: "page",
        val: { message: wellFormed(question.message), url: wellFormed(question.url), id: wellFormed(question.id) },
      };
    case "prompt":
      return {
        tag: "prompt",
        val: {
          messages: question.messages.map(message),
          systemPrompt: optional(question.system),
          maxTokens: question.maxTokens,
          temperature: question.temperature,
          stopSequences: question.stopSequences.map(wellFormed),
        },
      };
    default:
      return { tag: "roots" };
  }
}

function heard(reply) {
  switch (reply.tag) {
    case "accepted":
      return { kind: "accepted", value: reply.val == null ? undefined : parse(reply.val) };
    case "completion": {
      const { content: said, model, stopReason, role } = reply.val;
      const value = said.tag === "text" ? said.val : new Content(said.tag, said.val);
      return { kind: "completion", value: new Completion(value, model, stopReason ?? undefined, role) };
    }
    case "roots":
      return { kind: "roots", value: reply.val.map(({ uri, name }) => ({ uri, name: name ?? undefined })) };
    default:
      return { kind: reply.tag };
  }
}

const icon = ({ src, mimeType, sizes }) => ({ src: wellFormed(src), mimeType: optional(mimeType), sizes });

export const tools = {
  listTools: () =>
    listed(() =>
      [...offered.values()].map((tool) => ({
        name: tool.name,
        title: optional(tool.title),
        description: wellFormed(tool.description),
        icons: tool.icons.map(icon),
        inputSchema: stringify(tool.inputSchema),
        outputSchema: tool.outputSchema && stringify(tool.outputSchema),
        annotations: {
          readOnly: tool.options.readOnly,
          destructive: tool.options.destructive,
          idempotent: tool.options.idempotent,
          openWorld: tool.options.openWorld,
        },
      })),
    ),

  callTool: (call) =>
    served(async () => {
      const tool = offered.get(call.name);
      if (!tool) throw new ToolError(`there is no tool \`${call.name}\``);
      const { content: parts, structured } = await tool.call(call.arguments, true);
      return { content: parts.map(content), structured: structured === undefined ? undefined : stringify(structured) };
    }, call.resumed),
};

const listedResource = (found) => ({
  name: wellFormed(found.name),
  title: optional(found.title),
  description: optional(found.description),
  mimeType: optional(found.mimeType),
  icons: found.icons.map(icon),
});

export const resources = {
  listResources: () =>
    served(async () => {
      const all = await offers.listed();
      return all.map((found) => ({ uri: wellFormed(found.uri), ...listedResource(found), size: size(found.size) }));
    }),

  listTemplates: () =>
    listed(() => {
      const templates = [...offeredResources.values()].filter((found) => found.isTemplate);
      return templates.map(({ listed: found }) => ({ uriTemplate: found.uri, ...listedResource(found) }));
    }),

  readResource: ({ uri, resumed }) =>
    served(async () => {
      const [found, variables] = offers.find(uri);
      return (await found.read(uri, variables)).map(embedded);
    }, resumed),

  resourceVersion: (uri) =>
    served(async () => {
      const [found, variables] = offers.find(uri);
      return wellFormed(await found.version(uri, variables));
    }),
};

export const prompts = {
  listPrompts: () =>
    listed(() =>
      [...offeredPrompts.values()].map((prompt) => ({
        name: prompt.name,
        title: optional(prompt.title),
        description: optional(prompt.description),
        icons: [],
        arguments: offers.promptArguments(prompt).map((argument) => ({
          ...argument,
          title: optional(argument.title),
          description: optional(argument.description),
        })),
      })),
    ),

  getPrompt: (get) =>
    served(async () => {
      const messages = await offers.fill(get.name, Object.fromEntries(get.arguments));
      return { description: optional(offeredPrompts.get(get.name).description), messages: messages.map(message) };
    }, get.resumed),
};

export const completion = {
  complete: (request) =>
    served(async () => {
      const { values, total } = await offers.complete(
        request.of.val,
        request.argument,
        request.value,
        Object.fromEntries(request.others),
      );
      return { values: values.map(wellFormed), total };
    }),
};
