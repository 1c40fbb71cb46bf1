"""The OpenAI Agents SDK."""

import inspect
import json

from agents import Agent, Model, ModelResponse, Runner, Usage, function_tool, set_tracing_disabled
from harness import TOOLS, Calls, main
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

set_tracing_disabled(True)


class Recorded(Model):
    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.answered: list[tuple[str, str]] = []

    async def get_response(self, system_instructions, input, *_, **__):
        items = input if isinstance(input, list) else []
        if any(item.get("type") == "function_call" for item in items):
            outputs = [item for item in items if item.get("type") == "function_call_output"]
            self.answered = [(item["call_id"], item["output"]) for item in outputs]
            text = ResponseOutputText(type="output_text", text="done", annotations=[])
            said = [
                ResponseOutputMessage(id="m", type="message", role="assistant", status="completed", content=[text])
            ]
        else:
            said = [
                ResponseFunctionToolCall(type="function_call", call_id=id, name=name, arguments=json.dumps(given))
                for id, name, given in self.calls
            ]
        return ModelResponse(output=said, usage=Usage(), response_id=None)

    def stream_response(self, *_, **__):
        raise NotImplementedError


async def run(calls: Calls, limit: float | None) -> list[tuple[str, str]]:
    def made(tool):
        # Only asynchronous functions take a timeout.
        options = {"timeout": limit} if limit and inspect.iscoroutinefunction(tool) else {}
        return function_tool(tool, **options)

    model = Recorded(calls)
    await Runner.run(Agent(name="agent", model=model, tools=[made(tool) for tool in TOOLS]), "hi")
    return model.answered


main(run)
