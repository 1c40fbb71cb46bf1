"""The response objects of the model SDKs, whole and as events."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from typing import Any, AsyncIterator

import pytest
from conftest import chat, manifest, needs

from toolhost import Host

CALCULATE = {"expression": "6*7"}


def openai_chat() -> Any:
    needs("openai.types.chat")
    openai = importlib.import_module("openai.types.chat")
    return openai.ChatCompletion.model_validate(chat(("c1", "calculate", CALCULATE)))


def openai_responses() -> Any:
    needs("openai.types.responses")
    openai = importlib.import_module("openai.types.responses")
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "calculate", "arguments": json.dumps(CALCULATE)}
    return openai.Response.model_validate(
        {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": "m",
            "output": [{**call, "status": "completed"}],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "status": "completed",
        }
    )


def anthropic_message() -> Any:
    needs("anthropic.types")
    anthropic = importlib.import_module("anthropic.types")
    return anthropic.Message.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "tool_use", "id": "c1", "name": "calculate", "input": CALCULATE}],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    )


def gemini() -> Any:
    needs("google.genai.types")
    genai = importlib.import_module("google.genai.types")
    call = {"functionCall": {"name": "calculate", "args": CALCULATE}, "thoughtSignature": "c2lnbmVk"}
    return genai.GenerateContentResponse.model_validate(
        {"candidates": [{"content": {"role": "model", "parts": [call]}, "finishReason": "STOP"}]}
    )


def ollama() -> Any:
    needs("ollama")
    ollama = importlib.import_module("ollama")
    call = {"function": {"name": "calculate", "arguments": CALCULATE}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    return ollama.ChatResponse.model_validate({"model": "m", "done": True, "done_reason": "stop", "message": message})


def litellm(**options: Any) -> Any:
    needs("litellm")
    # Prices of models are not fetched.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    made = [{"id": "c1", "type": "function", "function": {"name": "calculate", "arguments": json.dumps(CALCULATE)}}]
    return importlib.import_module("litellm").completion(
        model="gpt-4o",
        messages=[{"role": "user", "content": "hi"}],
        mock_response="",
        mock_tool_calls=made,
        **options,
    )


WHOLE = [
    (openai_chat, "openai-chat"),
    (openai_responses, "openai-responses"),
    (anthropic_message, "anthropic"),
    (gemini, "gemini"),
    (ollama, "ollama"),
    (litellm, "openai-chat"),
]


@pytest.mark.parametrize(("make", "format"), WHOLE, ids=[make.__name__ for make, _ in WHOLE])
def test_a_response_object(make: Any, format: Any) -> None:
    response = make()

    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            assert [result.text for result in await host.run_all(response)] == ["42"]
            detected = await host.answers(response)
            assert detected and detected == await host.answers(response, format=format)
            assert "42" in json.dumps(detected)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_the_parts_of_a_response_object() -> None:
    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            assert (await host.run_all(openai_responses().output))[0].text == "42"
            assert (await host.run_all(anthropic_message().content))[0].text == "42"
            assert (await host.run_all(openai_chat().choices[0].message))[0].text == "42"
            assert (await host.run_all(litellm().choices[0].message))[0].text == "42"

    asyncio.run(asyncio.wait_for(main(), 60))


def chat_chunks() -> list[Any]:
    needs("openai.types.chat")
    openai = importlib.import_module("openai.types.chat")
    function = {"name": "calculate", "arguments": json.dumps(CALCULATE)}
    deltas = [
        ({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}, None),
        ({}, "tool_calls"),
    ]
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return [
        openai.ChatCompletionChunk.model_validate(
            {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        )
        for delta, finish in deltas
    ]


def anthropic_events() -> list[Any]:
    needs("anthropic.types")
    types = importlib.import_module("anthropic.types")
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    block = {"type": "tool_use", "id": "c1", "name": "calculate", "input": {}}
    partial = {"type": "input_json_delta", "partial_json": json.dumps(CALCULATE)}
    helper = type("InputJsonEvent", (), {"type": "input_json", "partial_json": "{", "snapshot": {}})()
    return [
        types.RawMessageStartEvent.model_validate({"type": "message_start", "message": message}),
        types.RawContentBlockStartEvent.model_validate(
            {"type": "content_block_start", "index": 0, "content_block": block}
        ),
        types.RawContentBlockDeltaEvent.model_validate({"type": "content_block_delta", "index": 0, "delta": partial}),
        # What the SDK's helper adds.
        helper,
        types.RawContentBlockStopEvent.model_validate({"type": "content_block_stop", "index": 0}),
        types.RawMessageDeltaEvent.model_validate(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "tool_use", "stop_sequence": None},
                "usage": {"output_tokens": 1},
            }
        ),
        types.RawMessageStopEvent.model_validate({"type": "message_stop"}),
    ]


def litellm_chunks() -> list[Any]:
    # Its mock of a stream has no calls.
    litellm()
    chunk = importlib.import_module("litellm.types.utils").ModelResponseStream
    return [chunk.model_validate(event.model_dump()) for event in chat_chunks()]


def test_a_stream_of_litellm_without_calls() -> None:
    stream = litellm(stream=True)

    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            assert await host.answers(stream) == []

    asyncio.run(asyncio.wait_for(main(), 60))


STREAMS = [
    (chat_chunks, "openai-chat"),
    (anthropic_events, "anthropic"),
    (lambda: [gemini()], "gemini"),
    (lambda: [ollama()], "ollama"),
    (litellm_chunks, "openai-chat"),
]


@pytest.mark.parametrize(("make", "format"), STREAMS, ids=["chat", "anthropic", "gemini", "ollama", "litellm"])
def test_a_stream_of_event_objects(make: Any, format: Any) -> None:
    made = make()

    async def stream() -> AsyncIterator[Any]:
        for event in made:
            yield event

    async def main() -> None:
        async with Host(manifest("calculator")) as host:
            for given in (None, format):
                assert "42" in json.dumps(await host.answers(stream(), format=given))
            # A synchronous stream as well.
            assert "42" in json.dumps(await host.answers(iter(made)))

    asyncio.run(asyncio.wait_for(main(), 60))
