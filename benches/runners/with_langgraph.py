"""LangGraph's ToolNode."""

import inspect

from harness import TOOLS, Calls, main
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode


def made(tool):
    kind = "coroutine" if inspect.iscoroutinefunction(tool) else "func"
    return StructuredTool.from_function(**{kind: tool}, name=tool.__name__, description="a tool")


async def run(calls: Calls, limit: float | None) -> list[tuple[str, str]]:
    message = AIMessage("", tool_calls=[{"id": id, "name": name, "args": given} for id, name, given in calls])
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([made(tool) for tool in TOOLS]), **({"timeout": limit} if limit else {}))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    state = await graph.compile().ainvoke({"messages": [HumanMessage("hi"), message]})
    return [(it.tool_call_id, it.content) for it in state["messages"] if isinstance(it, ToolMessage)]


main(run)
