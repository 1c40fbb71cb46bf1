"""PydanticAI."""

from harness import TOOLS, Calls, main
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, RetryPromptPart, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel


async def run(calls: Calls, limit: float | None) -> list[tuple[str, str]]:
    answered: list[tuple[str, str]] = []

    async def model(messages, info):
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart(name, given, tool_call_id=id) for id, name, given in calls])
        parts = [part for message in messages for part in message.parts]
        answered.extend(
            (part.tool_call_id, str(part.content))
            for part in parts
            if isinstance(part, (ToolReturnPart, RetryPromptPart))
        )
        return ModelResponse(parts=[TextPart("done")])

    await Agent(FunctionModel(model), tools=TOOLS, **({"tool_timeout": limit} if limit else {})).run("hi")
    return answered


main(run)
