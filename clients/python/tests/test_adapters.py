"""The adapters, with the real packages and recorded models."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from typing import Any, Coroutine

from conftest import manifest, needs

from toolhost import Host


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 60))


def with_functions(host: Host) -> None:
    @host.tool
    async def nap(n: int) -> str:
        """Naps for 200 ms."""
        await asyncio.sleep(0.2)
        return f"nap {n}"

    @host.tool
    def boom(n: int) -> str:
        """Fails."""
        raise RuntimeError("the kettle is cold")


CALLS: list[tuple[str, str, Any]] = [
    ("c0", "calculate", {"expression": "6*7"}),
    ("c1", "nap", {"n": 1}),
    ("c2", "boom", {"n": 2}),
    ("c3", "nap", {"n": "3"}),
    ("c4", "nap", {"n": 4}),
]
TEXTS = ["42", "nap 1", "Error: boom failed - RuntimeError: the kettle is cold", "nap 3", "nap 4"]


def test_langgraph_a_node_in_place_of_tool_node() -> None:
    needs("langgraph")
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.prebuilt import tools_condition

    from toolhost.adapters.langchain import node

    async def model(state: MessagesState) -> dict[str, Any]:
        if len(state["messages"]) > 1:
            return {"messages": [AIMessage("done")]}
        bad = {"id": "c5", "name": "nap", "args": '{"n": x}', "error": "no JSON", "type": "invalid_tool_call"}
        made = [{"id": id, "name": name, "args": given} for id, name, given in CALLS]
        return {"messages": [AIMessage(content="", tool_calls=made, invalid_tool_calls=[bad])]}

    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            with_functions(host)
            graph = StateGraph(MessagesState)
            graph.add_node("model", model)
            graph.add_node("tools", node(host))
            graph.add_edge(START, "model")
            graph.add_conditional_edges("model", tools_condition)
            graph.add_edge("tools", "model")
            begun = time.monotonic()
            state = await graph.compile().ainvoke({"messages": [HumanMessage("hi")]})
            took = time.monotonic() - begun
            answers = [message for message in state["messages"] if isinstance(message, ToolMessage)]
            assert [message.tool_call_id for message in answers] == ["c0", "c1", "c2", "c3", "c4", "c5"]
            assert [message.content for message in answers][:5] == TEXTS
            assert [message.status for message in answers] == ["success", "success", "error", "success", "success", "error"]
            # Three naps of 200 ms, side by side.
            assert took < 0.6, took

    run(main())


def test_langchain_tools() -> None:
    needs("langchain_core")
    from toolhost.adapters.langchain import tools

    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            with_functions(host)
            made = {tool.name: tool for tool in tools(host)}
            assert made["calculate"].args["expression"]["type"] == "string"
            messages = [
                await made[name].ainvoke({"id": id, "name": name, "args": given, "type": "tool_call"})
                for id, name, given in CALLS
            ]
            assert [message.content for message in messages] == TEXTS
            assert messages[2].status == "error"

    run(main())


def test_openai_agents() -> None:
    needs("agents")
    from agents import Agent, Model, ModelResponse, Runner, Usage, set_tracing_disabled
    from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

    from toolhost.adapters.openai_agents import tools

    set_tracing_disabled(True)
    outputs: list[tuple[str, str]] = []

    class Recorded(Model):
        async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> ModelResponse:
            items: list[Any]
            if isinstance(input, list) and any(item.get("type") == "function_call" for item in input):
                found = [item for item in input if item.get("type") == "function_call_output"]
                outputs.extend((item["call_id"], item["output"]) for item in found)
                text = ResponseOutputText(type="output_text", text="done", annotations=[])
                items = [
                    ResponseOutputMessage(
                        id="m", type="message", role="assistant", status="completed", content=[text]
                    )
                ]
            else:
                items = [
                    ResponseFunctionToolCall(
                        type="function_call", call_id=id, name=name, arguments=json.dumps(given)
                    )
                    for id, name, given in CALLS
                ]
            return ModelResponse(output=items, usage=Usage(), response_id=None)

        def stream_response(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            with_functions(host)
            agent = Agent(name="assistant", model=Recorded(), tools=tools(host))
            result = await Runner.run(agent, "hi")
            assert result.final_output == "done"
            assert outputs == [(id, text) for (id, _, _), text in zip(CALLS, TEXTS)]

    run(main())


def test_pydantic_ai() -> None:
    needs("pydantic_ai")
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    from toolhost.adapters.pydantic_ai import Toolset

    returned: dict[str, Any] = {}

    async def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        assert "calculate" in {tool.name for tool in info.function_tools}
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart(name, given, tool_call_id=id) for id, name, given in CALLS])
        parts = [part for message in messages for part in message.parts]
        returned.update({part.tool_call_id: part.content for part in parts if isinstance(part, ToolReturnPart)})
        return ModelResponse(parts=[TextPart("done")])

    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            with_functions(host)
            agent = Agent(FunctionModel(model), toolsets=[Toolset(host)])
            assert (await agent.run("hi")).output == "done"
            assert returned == {id: text for (id, _, _), text in zip(CALLS, TEXTS)}

    run(main())


def anthropic_client(requests: list[Any]) -> Any:
    import anthropic

    # Which of the two the SDK takes depends on its version.
    httpx = importlib.import_module("httpx2" if anthropic.__version__ >= "2.15" else "httpx")

    def answer(request: Any) -> Any:
        body = json.loads(request.content)
        requests.append(body)
        content: list[Any]
        # The tool runner continues a thread of the API: then there are only the results.
        if body["messages"][-1]["content"] != "hi":
            content = [{"type": "text", "text": "done"}]
        else:
            content = [{"type": "tool_use", "id": id, "name": name, "input": given} for id, name, given in CALLS]
        reply = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": content,
            "stop_reason": "end_turn" if len(content) == 1 else "tool_use",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        return httpx.Response(200, json=reply)

    transport = httpx.MockTransport(answer)
    return anthropic.AsyncAnthropic(api_key="x", http_client=httpx.AsyncClient(transport=transport))


def test_anthropics_runner_and_one_whose_calls_run_side_by_side() -> None:
    needs("anthropic")
    from toolhost.adapters.anthropic import tool_runner, tools

    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            with_functions(host)
            times = []
            for ours in (False, True):
                requests: list[Any] = []
                client = anthropic_client(requests)
                asked: dict[str, Any] = {
                    "model": "m",
                    "max_tokens": 100,
                    "messages": [{"role": "user", "content": "hi"}],
                }
                begun = time.monotonic()
                if ours:
                    seen = [message async for message in tool_runner(client, host, **asked)]
                else:
                    seen = [message async for message in client.beta.messages.tool_runner(tools=tools(host), **asked)]
                times.append(time.monotonic() - begun)
                assert [message.stop_reason for message in seen] == ["tool_use", "end_turn"]
                blocks = requests[1]["messages"][-1]["content"]
                assert [block["tool_use_id"] for block in blocks] == [id for id, _, _ in CALLS]
                assert [block["content"] for block in blocks] == TEXTS
                assert [block.get("is_error", False) for block in blocks] == [False, False, True, False, False]
            # Three naps of 200 ms: one after the other, and side by side.
            assert times[0] > 0.6 > times[1], times

    run(main())
