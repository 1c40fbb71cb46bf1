"""An MCP server over stdio whose tools have the schemas of a file. usage: dear_schemas.py TOOLS

A call answers `called`, and what it has of `answer` as structured output."""

import json
import sys

with open(sys.argv[1]) as file:
    TOOLS = json.load(file)


def answer(method, params):
    if method == "initialize":
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "dear", "version": "1"}}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        result = {"content": [{"type": "text", "text": "called"}]}
        arguments = params.get("arguments", {})
        if "answer" in arguments:
            result["structuredContent"] = arguments["answer"]
        return result
    return {}


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and "method" in message:
        result = answer(message["method"], message.get("params", {}))
        # As short as schemas are measured.
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}, separators=(",", ":")), flush=True)
