"""Anthropic's tool runner."""

import inspect
import json

import anthropic
import httpx2
from anthropic import beta_async_tool
from harness import TOOLS, Calls, main


def made(tool):
    if inspect.iscoroutinefunction(tool):
        return beta_async_tool(tool)

    async def called(i: int) -> str:
        return tool(i)

    called.__name__, called.__doc__ = tool.__name__, tool.__doc__
    return beta_async_tool(called)


async def run(calls: Calls, limit: float | None) -> list[tuple[str, str]]:
    answered: list[tuple[str, str]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        content = json.loads(request.content)["messages"][-1]["content"]
        if content == "hi":
            said = [{"type": "tool_use", "id": id, "name": name, "input": given} for id, name, given in calls]
        else:
            answered.extend((block["tool_use_id"], str(block["content"])) for block in content)
            said = [{"type": "text", "text": "done"}]
        reply = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": said}
        usage = {"input_tokens": 1, "output_tokens": 1}
        reason = "end_turn" if answered else "tool_use"
        return httpx2.Response(200, json={**reply, "stop_reason": reason, "stop_sequence": None, "usage": usage})

    client = anthropic.AsyncAnthropic(
        api_key="x", http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    )
    messages = [{"role": "user", "content": "hi"}]
    tools = [made(tool) for tool in TOOLS]
    async for _ in client.beta.messages.tool_runner(model="m", max_tokens=100, tools=tools, messages=messages):
        pass
    return answered


main(run)
