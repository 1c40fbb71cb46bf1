"""Anthropic's SDK: the host's tools for its tool runner, and a runner whose calls run side by side.

    async for message in tool_runner(client, host, model=model, max_tokens=1024, messages=messages): ...
"""

from __future__ import annotations

from typing import Any, AsyncIterator, cast

from anthropic import AsyncAnthropic
from anthropic.lib.tools import BetaAsyncBuiltinFunctionTool, ToolError
from anthropic.types.beta import BetaMessage

from .._host import Host


class HostTool(BetaAsyncBuiltinFunctionTool):
    """One tool of a host."""

    def __init__(self, host: Host, declared: dict[str, Any]) -> None:
        self._host = host
        self._declared = declared

    def to_dict(self) -> Any:
        return self._declared

    async def call(self, input: object) -> Any:
        result = await self._host.call(self._declared["name"], cast("dict[str, Any]", input))
        if result.error is not None:
            raise ToolError(result.text)
        return result.text


def tools(host: Host) -> list[HostTool]:
    """The host's tools, for `client.beta.messages.tool_runner`, which runs the calls of a message one by one."""
    return [HostTool(host, declared) for declared in host.tools("anthropic")]


async def tool_runner(
    client: AsyncAnthropic,
    host: Host,
    *,
    messages: list[Any],
    max_iterations: int | None = None,
    **request: Any,
) -> AsyncIterator[BetaMessage]:
    """Yields each message of the model until one has no calls. The calls of a message run side by side, and each has its
    result. `messages` stays as it is; `request` is what `client.beta.messages.create` takes."""
    history = list(messages)
    count = 0
    while max_iterations is None or count < max_iterations:
        count += 1
        declared = host.tools("anthropic")
        reply = await client.beta.messages.create(messages=history, tools=cast("Any", declared), **request)
        yield reply
        answers = await host.answers(reply, format="anthropic")
        if not answers:
            return
        history += [{"role": "assistant", "content": reply.content}, *answers]
