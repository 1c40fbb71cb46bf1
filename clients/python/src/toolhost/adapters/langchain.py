"""LangChain and LangGraph: the host's tools as LangChain tools, and a node in place of `ToolNode`.

    graph.add_node("tools", node(host))         # every call gets its message, whatever its siblings do
    model = model.bind_tools(tools(host))
"""

from __future__ import annotations

from typing import Any, Awaitable, Callable

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException

from .._host import Host
from .._results import Call, Result


def tools(host: Host) -> list[BaseTool]:
    """The host's tools, for `bind_tools` and prebuilt agents. A call that fails is a message with the status `error`."""
    return [_tool(host, declared) for declared in host.tools("json")]


def _tool(host: Host, declared: dict[str, Any]) -> BaseTool:
    name: str = declared["name"]

    async def call(**arguments: Any) -> tuple[str, Any]:
        result = await host.call(name, arguments)
        if result.error is not None:
            raise ToolException(result.text)
        return result.text, result.structured

    return StructuredTool(
        name=name,
        description=declared.get("description", ""),
        args_schema=declared["input_schema"],
        coroutine=call,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def node(host: Host, messages_key: str = "messages") -> Callable[[Any], Awaitable[dict[str, list[ToolMessage]]]]:
    """A node of LangGraph that answers the calls of the last message, invalid ones included."""

    async def run(state: Any) -> dict[str, list[ToolMessage]]:
        messages: list[AnyMessage] = state[messages_key] if isinstance(state, dict) else getattr(state, messages_key)
        last = messages[-1]
        if not isinstance(last, AIMessage):
            raise ValueError(f"the last message has no tool calls: it is a {type(last).__name__}")
        calls = [Call(call["name"], call["args"], call["id"]) for call in last.tool_calls]
        calls += [Call(call["name"] or "", call["args"] or "", call["id"]) for call in last.invalid_tool_calls]
        return {messages_key: [_message(result) for result in await host.run_all(calls)]}

    return run


def _message(result: Result) -> ToolMessage:
    return ToolMessage(
        content=result.text,
        tool_call_id=result.id or "",
        name=result.name,
        status="success" if result.error is None else "error",
        artifact=result.structured,
    )
