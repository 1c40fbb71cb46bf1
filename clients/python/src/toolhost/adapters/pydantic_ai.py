"""PydanticAI: the host's tools as a toolset.

    agent = Agent(model, toolsets=[Toolset(host)])
"""

from __future__ import annotations

from typing import Any

from pydantic_ai import ModelRetry, RunContext
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from .._host import Host

# The host checks arguments by the tool's schema, after repairing them.
_ANYTHING = SchemaValidator(core_schema.any_schema())
_CORRECTABLE = ("invalid-arguments", "unknown-tool")


class Toolset(AbstractToolset[Any]):
    """The host's tools. A call that fails tells the model why, and costs none of its siblings their results; arguments
    that the model can correct count as retries."""

    def __init__(self, host: Host, *, max_retries: int = 1, id: str | None = "toolhost") -> None:
        self.host = host
        self.max_retries = max_retries
        self._id = id

    @property
    def id(self) -> str | None:
        return self._id

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        return {
            declared["name"]: ToolsetTool(
                toolset=self,
                tool_def=ToolDefinition(
                    name=declared["name"],
                    description=declared.get("description"),
                    parameters_json_schema=declared["input_schema"],
                ),
                max_retries=self.max_retries,
                args_validator=_ANYTHING,
            )
            for declared in self.host.tools("json")
        }

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        result = await self.host.call(name, tool_args, id=ctx.tool_call_id)
        error = result.error
        if error is not None and error.code in _CORRECTABLE and ctx.retry < tool.max_retries:
            raise ModelRetry(result.text)
        return result.text
