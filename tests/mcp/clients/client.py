"""Checks an MCP server by the official Python SDK (mcp), and prints a line of JSON for each check.

    client.py [--revision R] stdio COMMAND [ARG ...]
    client.py [--revision R] http URL [TOKEN]

R is 2025-11-25 (the default) or 2026-07-28. Run it by target/mcp/venv/bin/python, which
`cargo xtask mcp` makes. What the server should answer is in expected.json, or the file that
MCP_EXPECTED names.
"""
import base64
import json
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

import anyio
import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

PATIENCE_S = 20
# What 2026-07-28 takes away is deprecated, and checked all the same.
warnings.simplefilter("ignore")

EXPECTED = json.loads(
    Path(os.environ.get("MCP_EXPECTED", Path(__file__).with_name("expected.json"))).read_text())
ANSWERS = {"name": "Ada", "age": 36, "username": "ada", "email": "ada@example.com"}


class Peer:
    """What the server asks for, and what it is told."""

    def __init__(self):
        self.asked, self.logged, self.updated, self.accepts = [], [], [], True

    async def elicit(self, context, params):
        self.asked.append(params)
        if not self.accepts:
            return types.ElicitResult(action="decline")
        return types.ElicitResult(action="accept", content=fill(params.requested_schema))

    async def sample(self, context, params):
        self.asked.append(params)
        content = types.TextContent(type="text", text="forty-two")
        return types.CreateMessageResult(role="assistant", content=content, model="a-model", stop_reason="endTurn")

    async def log(self, params):
        self.logged.append(params)

    async def message(self, message):
        if isinstance(message, types.ResourceUpdatedNotification):
            self.updated.append(str(message.params.uri))


def fill(schema):
    content = {}
    for name, property in schema["properties"].items():
        kind = property.get("type")
        known = ANSWERS.get(name, "Ada" if kind == "string" else 36)
        content[name] = str(known) if kind == "string" else True if kind == "boolean" else known
    return content


def text(result):
    assert not result.is_error, result.content
    return "\n".join(getattr(item, "text", "") for item in result.content)


def same_bytes(encoded, known):
    data = base64.b64decode(encoded)
    assert data == base64.b64decode(known), f"other bytes: {encoded}"
    return len(data)


async def until(what, holds):
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, f"{what} within {PATIENCE_S} s"
        await anyio.sleep(0.005)


async def error_of(awaitable):
    try:
        await awaitable
    except MCPError as error:
        return error
    raise AssertionError("no error")


async def together(*functions):
    """Their results, in this order."""
    results = [None] * len(functions)

    async def keep(place, function):
        results[place] = await function()

    async with anyio.create_task_group() as group:
        for place, function in enumerate(functions):
            group.start_soon(keep, place, function)
    return results


async def whole(list_page, key):
    items, cursor = [], None
    while True:
        page = await list_page(cursor=cursor)
        items += getattr(page, key)
        cursor = page.next_cursor
        if cursor is None:
            return items


class Checks:
    """Each method is a check; what it returns is the detail."""

    def __init__(self, client, peer, modern):
        self.client, self.peer, self.modern = client, peer, modern
        self.listed = []

    async def call(self, name, arguments=None, **options):
        return await self.client.call_tool(name, arguments or {}, PATIENCE_S, **options)

    async def tools_list(self):
        # Nothing was called before: the list has to be whole at once.
        self.listed = [tool.name for tool in await whole(self.client.list_tools, "tools")]
        missing = [name for name in EXPECTED["tools"] if name not in self.listed]
        assert not missing, missing
        assert len(set(self.listed)) == len(self.listed), self.listed
        return len(self.listed)

    async def simple_call(self):
        answer = text(await self.call("test_simple_text"))
        assert answer == EXPECTED["text"], answer

    async def parallel(self):
        kinds = ["test_simple_text", "test_image_content", "test_audio_content", "test_error_handling"]
        results = await together(*(lambda n=n: self.call(kinds[n % 4]) for n in range(20)))
        shapes = ["error" if result.is_error else result.content[0].type for result in results]
        assert shapes == ["text", "image", "audio", "error"] * 5, shapes
        if "echo" not in self.listed:
            return "no echo"
        texts = [f"call {n}" for n in range(20)]
        echoes = await together(*(lambda t=t: self.call("echo", {"text": t}) for t in texts))
        assert [text(echo) for echo in echoes] == texts

    async def image(self):
        [image] = (await self.call("test_image_content")).content
        assert image.mime_type == "image/png", image.mime_type
        return same_bytes(image.data, EXPECTED["image"])

    async def audio(self):
        [audio] = (await self.call("test_audio_content")).content
        assert audio.mime_type == "audio/wav", audio.mime_type
        return same_bytes(audio.data, EXPECTED["audio"])

    async def embedded_resource(self):
        [item] = (await self.call("test_embedded_resource")).content
        resource = item.resource
        found = {"uri": str(resource.uri), "mimeType": resource.mime_type, "text": resource.text}
        assert found == EXPECTED["embedded"], found

    async def multiple_contents(self):
        content = (await self.call("test_multiple_content_types")).content
        assert [item.type for item in content] == ["text", "image", "resource"], content
        same_bytes(content[1].data, EXPECTED["image"])

    async def tool_error(self):
        result = await self.call("test_error_handling")
        assert result.is_error
        assert EXPECTED["error"] in result.content[0].text, result.content

    async def progress(self):
        seen, answered = [], False

        async def on_progress(progress, total, message):
            seen.append((progress, total, answered))

        await self.call("test_tool_with_progress", progress_callback=on_progress)
        answered = True
        await anyio.sleep(0.1)
        assert seen == [(0, 100, False), (50, 100, False), (100, 100, False)], seen

    async def logging(self):
        if not self.modern:
            await self.client.set_logging_level("info")
        self.peer.logged.clear()
        await self.call("test_tool_with_logging")
        await until("3 messages", lambda: len(self.peer.logged) >= 3)
        assert [one.level for one in self.peer.logged] == ["info"] * 3, self.peer.logged
        return [one.data for one in self.peer.logged]

    async def cancel(self):
        spin = EXPECTED["spin"]
        with anyio.move_on_after(0.2) as scope:
            await self.client.call_tool(spin["name"], spin["arguments"], 2 * PATIENCE_S)
        assert scope.cancelled_caught, "it ended"
        begin = time.monotonic()
        await together(self.simple_call, self.simple_call, self.simple_call)
        assert time.monotonic() - begin < PATIENCE_S / 2

    async def elicitation_accept(self):
        self.peer.asked.clear()
        answer = text(await self.call("test_elicitation", {"message": "Who is it?"}))
        assert [params.message for params in self.peer.asked] == ["Who is it?"], self.peer.asked
        assert "accept" in answer, answer
        return answer

    async def elicitation_decline(self):
        self.peer.accepts = False
        try:
            result = await self.call("test_elicitation", {"message": "Who is it?"})
        finally:
            self.peer.accepts = True
        assert "decline" in result.content[0].text, result.content
        return result.content[0].text

    async def elicitation_twice(self):
        self.peer.asked.clear()
        answer = text(await self.call("ask_twice"))
        forms = [list(params.requested_schema["properties"]) for params in self.peer.asked]
        assert forms == [["name"], ["age"]], forms
        assert "Ada" in answer and "36" in answer, answer
        return answer

    async def sampling(self):
        self.peer.asked.clear()
        answer = text(await self.call("test_sampling", {"prompt": "How much?"}))
        [params] = self.peer.asked
        assert "How much?" in params.model_dump_json(), params
        assert "forty-two" in answer, answer
        return answer

    async def unknown_tool(self):
        error = await error_of(self.call("no_such_tool"))
        assert error.error.code == -32602, error
        return str(error)

    async def bad_arguments(self):
        result = await self.call("test_elicitation", {"message": ["not text"]})
        assert result.is_error, result
        return result.content[0].text

    async def resources_list(self):
        resources = await whole(self.client.list_resources, "resources")
        uris = [str(resource.uri) for resource in resources]
        assert {"test://static-text", "test://static-binary"} <= set(uris), uris
        templates = await whole(self.client.list_resource_templates, "resource_templates")
        patterns = [template.uri_template for template in templates]
        assert "test://template/{id}/data" in patterns, patterns
        return uris

    async def resource_text(self):
        [one] = (await self.client.read_resource("test://static-text")).contents
        found = (str(one.uri), one.mime_type, one.text)
        assert found == ("test://static-text", "text/plain", EXPECTED["static_text"]), found

    async def resource_binary(self):
        [one] = (await self.client.read_resource("test://static-binary")).contents
        assert one.mime_type == "image/png", one.mime_type
        return same_bytes(one.blob, EXPECTED["image"])

    async def resource_template(self):
        ids = [f"id{n}x" for n in range(20)]
        read = [lambda i=i: self.client.read_resource(f"test://template/{i}/data") for i in ids]
        for result, i in zip(await together(*read), ids):
            [one] = result.contents
            assert str(one.uri) == f"test://template/{i}/data", one.uri
            assert i in one.text, one.text

    async def resource_missing(self):
        error = await error_of(self.client.read_resource("test://no-such-thing"))
        assert error.error.code == (-32602 if self.modern else -32002), error
        return str(error)

    async def resource_updated(self):
        # Its own: others of the same server touch theirs.
        uri, updated = f"test://template/{os.getpid()}/data", self.peer.updated
        updated.clear()

        async def touch():
            text(await self.call("touch_resource", {"uri": uri}))

        if self.modern:
            async with self.client.listen(resource_subscriptions=[uri]) as subscription:
                await touch()
                with anyio.fail_after(PATIENCE_S):
                    event = await anext(aiter(subscription))
                assert str(event.uri) == uri, event
            return
        await self.client.subscribe_resource(uri)
        await touch()
        await until("an update", lambda: updated)
        assert updated == [uri], updated
        await self.client.unsubscribe_resource(uri)
        await touch()
        await anyio.sleep(0.2)
        assert updated == [uri], "told after it had unsubscribed"

    async def prompts_list(self):
        names = [prompt.name for prompt in await whole(self.client.list_prompts, "prompts")]
        assert {"test_simple_prompt", "test_prompt_with_arguments"} <= set(names), names
        return names

    async def prompt(self):
        message = (await self.client.get_prompt("test_simple_prompt")).messages[0]
        assert message.role == "user", message
        return message.content.text

    async def prompt_with_arguments(self):
        arguments = {"arg1": "one", "arg2": "two"}
        message = (await self.client.get_prompt("test_prompt_with_arguments", arguments)).messages[0]
        assert "one" in message.content.text and "two" in message.content.text, message

    async def completion(self):
        prompt = types.PromptReference(type="ref/prompt", name="test_prompt_with_arguments")
        result = await self.client.complete(prompt, {"name": "arg1", "value": "te"})
        assert len(result.completion.values) <= 100
        return result.completion.values

    async def ping(self):
        # 2026-07-28 has no ping.
        await (self.client.session.discover() if self.modern else self.client.send_ping())


def say(check, ok, detail):
    print(json.dumps({"check": check.replace("_", "-"), "ok": ok, "detail": detail}), flush=True)


def connect(transport, target, rest, peer, modern):
    callbacks = {
        "sampling_callback": peer.sample, "elicitation_callback": peer.elicit,
        "logging_callback": peer.log, "message_handler": peer.message,
        # Each answer is to come from the server.
        "cache": None,
        "log_level": "info" if modern else None,
        # It asks the server for what it speaks, which a pinned revision does not.
        "mode": "auto" if modern else "legacy",
        "client_info": types.Implementation(name="toolhost-tests", version="1"),
    }
    if transport == "stdio":
        # The SDK keeps most of the environment from the server otherwise.
        server = StdioServerParameters(command=target, args=rest, env=dict(os.environ))
    else:
        headers = {"Authorization": f"Bearer {rest[0]}"} if rest else {}
        server = streamable_http_client(target, http_client=create_mcp_http_client(headers=headers))
    return Client(server, **callbacks)


async def run(words):
    modern = False
    if words[:1] == ["--revision"]:
        modern = words[1] == "2026-07-28"
        words = words[2:]
    if len(words) < 2 or words[0] not in ("stdio", "http"):
        sys.exit(__doc__)
    transport, target, *rest = words
    peer, failed = Peer(), 0
    try:
        async with connect(transport, target, rest, peer, modern) as client:
            assert (client.protocol_version == "2026-07-28") == modern, client.protocol_version
            info = client.server_info
            assert info and info.name and info.version, info
            say("initialize", True, {"name": info.name, "version": info.version})
            checks = Checks(client, peer, modern)
            for name, check in vars(Checks).items():
                if name.startswith("_") or name == "call":
                    continue
                try:
                    say(name, True, await check(checks))
                except Exception:
                    failed += 1
                    say(name, False, traceback.format_exc())
    except BaseException:
        failed += 1
        say("initialize", False, traceback.format_exc())
    else:
        say("close", True, None)
    return failed


sys.exit(1 if anyio.run(run, sys.argv[1:]) else 0)
