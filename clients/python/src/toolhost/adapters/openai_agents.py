"""The OpenAI Agents SDK: the host's tools as function tools.

    agent = Agent(name="assistant", tools=[*tools(host)])
"""

from __future__ import annotations

from typing import Any

from agents import FunctionTool, Tool
from agents.tool_context import ToolContext

from .._host import Host


def tools(host: Host) -> list[Tool]:
    """The host's tools. A call that fails tells the model why; the run goes on."""
    return [_tool(host, declared) for declared in host.tools("openai-responses")]


def _tool(host: Host, declared: dict[str, Any]) -> FunctionTool:
    name: str = declared["name"]

    async def invoke(context: ToolContext[Any], arguments: str) -> str:
        # As the model wrote them: the host repairs and checks them.
        return (await host.call(name, arguments, id=context.tool_call_id)).text

    return FunctionTool(
        name=name,
        description=declared.get("description", ""),
        params_json_schema=declared["parameters"],
        on_invoke_tool=invoke,
        strict_json_schema=bool(declared.get("strict")),
    )
