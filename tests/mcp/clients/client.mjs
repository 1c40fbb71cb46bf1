// Checks an MCP server by the official TypeScript SDK, and prints a line of JSON for each check.
//
//     node client.mjs [--revision R] stdio COMMAND [ARG…]
//     node client.mjs [--revision R] http URL [TOKEN]
//
// R is 2025-11-25 (the default, by @modelcontextprotocol/sdk) or 2026-07-28 (by
// @modelcontextprotocol/client). Both come from target/mcp, where `cargo xtask mcp` puts them.
// What the server should answer is in expected.json, or the file that MCP_EXPECTED names.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const PATIENCE_MS = 20_000;

const usage = () => {
  console.error('usage: client.mjs [--revision 2025-11-25|2026-07-28] stdio COMMAND [ARG…] | http URL [TOKEN]');
  process.exit(2);
};

let words = process.argv.slice(2);
let revision = '2025-11-25';
if (words[0] === '--revision') {
  revision = words[1];
  words = words.slice(2);
}
const [transport, target, ...rest] = words;
if (!target || !['stdio', 'http'].includes(transport)) usage();
const modern = revision === '2026-07-28';
if (!modern && revision !== '2025-11-25') usage();

const expected = JSON.parse(
  readFileSync(process.env.MCP_EXPECTED ?? new URL('expected.json', import.meta.url)));
const tools = fileURLToPath(new URL('../../../target/mcp/', import.meta.url));
const sdk = (modern ? v2 : v1)(createRequire(process.env.MCP_TOOLS ?? tools));

// Where the two packages differ.
function v1(require) {
  const { Client } = require('@modelcontextprotocol/sdk/client/index.js');
  const { StdioClientTransport } = require('@modelcontextprotocol/sdk/client/stdio.js');
  const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js');
  const types = require('@modelcontextprotocol/sdk/types.js');
  const schemas = {
    'elicitation/create': types.ElicitRequestSchema,
    'sampling/createMessage': types.CreateMessageRequestSchema,
    'notifications/message': types.LoggingMessageNotificationSchema,
    'notifications/resources/updated': types.ResourceUpdatedNotificationSchema,
  };
  return {
    StdioClientTransport,
    StreamableHTTPClientTransport,
    client: (info, options) => new Client(info, options),
    onRequest: (client, method, handler) => client.setRequestHandler(schemas[method], handler),
    onNotification: (client, method, handler) => client.setNotificationHandler(schemas[method], handler),
    call: (client, params, options) => client.callTool(params, undefined, options),
  };
}

function v2(require) {
  const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');
  const { StdioClientTransport } = require('@modelcontextprotocol/client/stdio');
  return {
    StdioClientTransport,
    StreamableHTTPClientTransport,
    client: (info, options) =>
      new Client(info, { ...options, versionNegotiation: { mode: { pin: revision } } }),
    onRequest: (client, method, handler) => client.setRequestHandler(method, handler),
    onNotification: (client, method, handler) => client.setNotificationHandler(method, handler),
    call: (client, params, options) => client.callTool(params, options),
  };
}

// What the server asks for, and what it is told.
const asked = [];
let accepts = true;
const answers = { name: 'Ada', age: 36, username: 'ada', email: 'ada@example.com' };

function fill(schema) {
  return Object.fromEntries(Object.entries(schema.properties).map(([name, { type }]) => {
    const known = answers[name] ?? (type === 'string' ? 'Ada' : 36);
    return [name, type === 'string' ? String(known) : type === 'boolean' ? true : known];
  }));
}

const logged = [];
const updated = [];

// What passes on the wire once it is connected.
const sent = [];
const answered = [];
const received = [];

function watch(wire) {
  const send = wire.send.bind(wire);
  const receive = wire.onmessage;
  wire.send = (message, options) => {
    // A stream of changes is closed, not answered.
    const open = message.method === 'subscriptions/listen';
    if (message.method && message.id !== undefined && !open) sent.push(message.id);
    return send(message, options);
  };
  wire.onmessage = (message, extra) => {
    received.push(message);
    if (!message.method && !String(message.id).startsWith('listen')) answered.push(message.id);
    receive(message, extra);
  };
}

const client = sdk.client(
  { name: 'toolhost-tests', version: '1' },
  { capabilities: { elicitation: { form: {} }, sampling: {} } });
sdk.onRequest(client, 'elicitation/create', ({ params }) => {
  asked.push(params);
  return accepts
    ? { action: 'accept', content: fill(params.requestedSchema) }
    : { action: 'decline' };
});
sdk.onRequest(client, 'sampling/createMessage', ({ params }) => {
  asked.push(params);
  const content = { type: 'text', text: 'forty-two' };
  return { role: 'assistant', content, model: 'a-model', stopReason: 'endTurn' };
});
sdk.onNotification(client, 'notifications/message', ({ params }) => { logged.push(params); });
sdk.onNotification(client, 'notifications/resources/updated', ({ params }) => { updated.push(params.uri); });

const call = (name, args = {}, options = {}) => {
  const meta = options.meta ? { _meta: options.meta } : {};
  return sdk.call(client, { name, arguments: args, ...meta }, { timeout: PATIENCE_MS, ...options });
};
const simple = async () => {
  const result = await call('test_simple_text');
  assert.deepEqual(result.content, [{ type: 'text', text: expected.text }]);
};
const text = ({ content, isError }) => {
  assert.ok(!isError, JSON.stringify(content));
  return content.map(item => item.text ?? '').join('\n');
};
const sameBytes = (base64, known) => {
  const bytes = Buffer.from(base64, 'base64');
  assert.ok(bytes.equals(Buffer.from(known, 'base64')), `other bytes: ${base64}`);
  return bytes.length;
};
const until = async (what, holds) => {
  const end = Date.now() + PATIENCE_MS;
  while (!holds()) {
    assert.ok(Date.now() < end, `${what} within ${PATIENCE_MS} ms`);
    await sleep(5);
  }
};
const all = async (list, key) => {
  const items = [];
  let cursor;
  do {
    const page = await list(cursor ? { cursor } : undefined);
    items.push(...page[key]);
    cursor = page.nextCursor;
  } while (cursor);
  return items;
};
const errorOf = async promise => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail('no error');
};

let listed = [];
const checks = {
  async 'tools-list'() {
    // Nothing was called before: the list has to be whole at once.
    listed = (await all(params => client.listTools(params), 'tools')).map(tool => tool.name);
    const missing = expected.tools.filter(name => !listed.includes(name));
    assert.deepEqual(missing, []);
    assert.equal(new Set(listed).size, listed.length);
    return listed.length;
  },
  'simple-call': simple,
  async parallel() {
    const kinds = ['test_simple_text', 'test_image_content', 'test_audio_content', 'test_error_handling'];
    const calls = Array.from({ length: 20 }, (_, n) => call(kinds[n % 4]));
    const shapes = (await Promise.all(calls)).map(({ content, isError }) => isError ? 'error' : content[0].type);
    assert.deepEqual(shapes, Array(5).fill(['text', 'image', 'audio', 'error']).flat());
    if (!listed.includes('echo')) return 'no echo';
    const texts = Array.from({ length: 20 }, (_, n) => `call ${n}`);
    const echoes = await Promise.all(texts.map(text => call('echo', { text })));
    assert.deepEqual(echoes.map(text), texts);
  },
  async image() {
    const [image] = (await call('test_image_content')).content;
    assert.equal(image.mimeType, 'image/png');
    return sameBytes(image.data, expected.image);
  },
  async audio() {
    const [audio] = (await call('test_audio_content')).content;
    assert.equal(audio.mimeType, 'audio/wav');
    return sameBytes(audio.data, expected.audio);
  },
  async 'embedded-resource'() {
    const [item] = (await call('test_embedded_resource')).content;
    assert.equal(item.type, 'resource');
    const { uri, mimeType, text } = item.resource;
    assert.deepEqual({ uri, mimeType, text }, expected.embedded);
  },
  async 'multiple-contents'() {
    const { content } = await call('test_multiple_content_types');
    assert.deepEqual(content.map(item => item.type), ['text', 'image', 'resource']);
    sameBytes(content[1].data, expected.image);
  },
  async 'tool-error'() {
    const result = await call('test_error_handling');
    assert.equal(result.isError, true);
    assert.ok(result.content[0].text.includes(expected.error), result.content[0].text);
  },
  async progress() {
    // On the wire: the SDK forgets its listener with the answer, and what it then has yet to tell.
    received.length = 0;
    await call('test_tool_with_progress', {}, { onprogress() {} });
    await sleep(100);
    const seen = received.map(({ method, params }) => method === 'notifications/progress'
      ? [params.progress, params.total] : method ?? 'answer');
    assert.deepEqual(seen, [[0, 100], [50, 100], [100, 100], 'answer']);
    const tokens = received.slice(0, 3).map(({ params }) => params.progressToken);
    assert.deepEqual(tokens, Array(3).fill(received[3].id));
  },
  async logging() {
    if (!modern) await client.setLoggingLevel('info');
    logged.length = 0;
    await call('test_tool_with_logging', {}, modern
      ? { meta: { 'io.modelcontextprotocol/logLevel': 'info' } } : {});
    await until('3 messages', () => logged.length >= 3);
    assert.deepEqual(logged.map(({ level }) => level), ['info', 'info', 'info']);
    return logged.map(({ data }) => data);
  },
  async cancel() {
    const stop = new AbortController();
    const { name, arguments: args } = expected.spin;
    const spinning = call(name, args, { signal: stop.signal, timeout: 2 * PATIENCE_MS });
    // It may fail before anybody waits for it.
    spinning.catch(() => {});
    await sleep(200);
    const begin = Date.now();
    stop.abort('by the test');
    const error = await errorOf(spinning);
    await Promise.all([simple(), simple(), simple()]);
    assert.ok(Date.now() - begin < PATIENCE_MS / 2);
    return String(error);
  },
  async 'elicitation-accept'() {
    asked.length = 0;
    const answer = text(await call('test_elicitation', { message: 'Who is it?' }));
    assert.deepEqual(asked.map(({ message }) => message), ['Who is it?']);
    assert.ok(answer.includes('accept'), answer);
    return answer;
  },
  async 'elicitation-decline'() {
    accepts = false;
    try {
      const { content: [answer] } = await call('test_elicitation', { message: 'Who is it?' });
      assert.ok(answer.text.includes('decline'), answer.text);
      return answer.text;
    } finally {
      accepts = true;
    }
  },
  async 'elicitation-twice'() {
    asked.length = 0;
    const answer = text(await call('ask_twice'));
    const forms = asked.map(({ requestedSchema }) => Object.keys(requestedSchema.properties));
    assert.deepEqual(forms, [['name'], ['age']]);
    assert.ok(answer.includes('Ada') && answer.includes('36'), answer);
    return answer;
  },
  async sampling() {
    asked.length = 0;
    const answer = text(await call('test_sampling', { prompt: 'How much?' }));
    assert.equal(asked.length, 1);
    assert.ok(JSON.stringify(asked[0].messages).includes('How much?'));
    assert.ok(answer.includes('forty-two'), answer);
    return answer;
  },
  async 'unknown-tool'() {
    const error = await errorOf(call('no_such_tool'));
    assert.equal(error.code, -32602, String(error));
    return error.message;
  },
  async 'bad-arguments'() {
    const result = await call('test_elicitation', { message: ['not text'] });
    assert.equal(result.isError, true);
    return result.content[0].text;
  },
  async 'resources-list'() {
    const resources = await all(params => client.listResources(params), 'resources');
    const uris = resources.map(({ uri }) => uri);
    assert.ok(uris.includes('test://static-text') && uris.includes('test://static-binary'), uris.join(' '));
    const templates = await all(params => client.listResourceTemplates(params), 'resourceTemplates');
    const patterns = templates.map(({ uriTemplate }) => uriTemplate);
    assert.ok(patterns.includes('test://template/{id}/data'), patterns.join(' '));
    return uris;
  },
  async 'resource-text'() {
    const { contents: [one] } = await client.readResource({ uri: 'test://static-text' });
    assert.deepEqual([one.uri, one.mimeType, one.text], ['test://static-text', 'text/plain', expected.static_text]);
  },
  async 'resource-binary'() {
    const { contents: [one] } = await client.readResource({ uri: 'test://static-binary' });
    assert.equal(one.mimeType, 'image/png');
    return sameBytes(one.blob, expected.image);
  },
  async 'resource-template'() {
    const ids = Array.from({ length: 20 }, (_, n) => `id${n}x`);
    const read = ids.map(id => client.readResource({ uri: `test://template/${id}/data` }));
    (await Promise.all(read)).forEach(({ contents: [one] }, n) => {
      assert.equal(one.uri, `test://template/${ids[n]}/data`);
      assert.ok(one.text.includes(ids[n]), one.text);
    });
  },
  async 'resource-missing'() {
    const error = await errorOf(client.readResource({ uri: 'test://no-such-thing' }));
    assert.equal(error.code, modern ? -32602 : -32002, String(error));
    return error.message;
  },
  async 'resource-updated'() {
    // Its own: others of the same server touch theirs.
    const uri = `test://template/${process.pid}/data`;
    updated.length = 0;
    const listening = modern ? await client.listen({ resourceSubscriptions: [uri] }) : undefined;
    if (!modern) await client.subscribeResource({ uri });
    text(await call('touch_resource', { uri }));
    await until('an update', () => updated.length > 0);
    assert.deepEqual(updated, [uri]);
    if (modern) await listening.close();
    else await client.unsubscribeResource({ uri });
    text(await call('touch_resource', { uri }));
    await sleep(200);
    assert.equal(updated.length, 1, 'told after it had unsubscribed');
  },
  async 'prompts-list'() {
    const prompts = (await all(params => client.listPrompts(params), 'prompts')).map(({ name }) => name);
    for (const name of ['test_simple_prompt', 'test_prompt_with_arguments']) assert.ok(prompts.includes(name), name);
    return prompts;
  },
  async prompt() {
    const { messages } = await client.getPrompt({ name: 'test_simple_prompt' });
    assert.equal(messages[0].role, 'user');
    return messages[0].content.text;
  },
  async 'prompt-with-arguments'() {
    const { messages } = await client.getPrompt({
      name: 'test_prompt_with_arguments', arguments: { arg1: 'one', arg2: 'two' } });
    const { text } = messages[0].content;
    assert.ok(text.includes('one') && text.includes('two'), text);
  },
  async completion() {
    const { completion } = await client.complete({
      ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' },
      argument: { name: 'arg1', value: 'te' } });
    assert.ok(Array.isArray(completion.values) && completion.values.length <= 100);
    return completion.values;
  },
  // 2026-07-28 has no ping.
  async ping() {
    await (modern ? client.discover() : client.ping());
  },
};

// Each request was answered once, but the one that was cancelled perhaps never.
function answeredOnce() {
  const twice = answered.filter((id, n) => answered.indexOf(id) !== n);
  const foreign = answered.filter(id => !sent.includes(id));
  assert.deepEqual({ twice, foreign }, { twice: [], foreign: [] });
  const open = sent.filter(id => !answered.includes(id));
  assert.ok(open.length <= 1, `not answered: ${open}`);
  return sent.length;
}

let failed = 0;
async function run(check, body) {
  try {
    const detail = await body();
    console.log(JSON.stringify({ check, ok: true, detail: detail ?? null }));
  } catch (error) {
    failed += 1;
    console.log(JSON.stringify({ check, ok: false, detail: String(error?.stack ?? error) }));
  }
}

await run('initialize', async () => {
  const headers = rest[0] ? { Authorization: `Bearer ${rest[0]}` } : {};
  // The SDK keeps most of the environment from the server otherwise.
  const env = Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== undefined));
  const wire = transport === 'stdio'
    ? new sdk.StdioClientTransport({ command: target, args: rest, env })
    : new sdk.StreamableHTTPClientTransport(new URL(target), { requestInit: { headers } });
  await client.connect(wire);
  watch(wire);
  const server = client.getServerVersion();
  assert.ok(server?.name && server.version, JSON.stringify(server));
  return server;
});
if (failed === 0) {
  for (const [check, body] of Object.entries(checks)) await run(check, body);
  await run('answered-once', answeredOnce);
  await run('close', () => client.close());
}
process.exit(failed === 0 ? 0 : 1);
