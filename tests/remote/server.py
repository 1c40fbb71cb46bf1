"""An MCP server for tests, of Python's standard library only: well behaved and otherwise.

usage: server.py [--http] [--modern] [--state FILE] [MODE]

It writes what happens to FILE, a line each: `start PID`, `call NAME`, `cancelled ID`, `end`.
"""

import argparse
import base64
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("--http", action="store_true")
parser.add_argument("--modern", action="store_true")
parser.add_argument("--state")
parser.add_argument("mode", nargs="?", default="normal")
options = parser.parse_args()
mode = options.mode


def note(line):
    try:
        with open(options.state or os.devnull, "a") as state:
            state.write(line + "\n")
    except FileNotFoundError:
        pass  # The test has what it wanted.


grown = threading.Event()
meeting, met = threading.Condition(), []


def tool(name, properties=None, **more):
    schema = {"type": "object", "properties": properties or {}, "required": list(properties or {})}
    return {"name": name, "description": f"Does {name}.", "inputSchema": schema, **more}


def tools():
    listed = [
        tool("echo", {"text": {"type": "string"}}, title="Echo",
             annotations={"readOnlyHint": True},
             icons=[{"src": "https://example.com/i.png", "mimeType": "image/png", "sizes": ["48x48"]}]),
        tool("sleep", {"seconds": {"type": "number"}}),
        tool("meet", {"calls": {"type": "integer"}}),
        tool("fail", {"message": {"type": "string"}}),
        tool("rpc_error"),
        tool("contents"),
        tool("strange"),
        tool("structured", {"value": {}}, outputSchema={
            "type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]}),
        tool("big", {"bytes": {"type": "integer"}}),
        tool("die"),
        tool("log", {"lines": {"type": "integer"}}),
        tool("progress"),
        tool("env"),
        tool("ask"),
        tool("nonsense"),
    ]
    if mode == "refused-tools":
        listed += [
            tool("a.name"),
            {"name": "remote_ref", "inputSchema": {"type": "object", "$ref": "https://example.com/s"}},
            {"name": "huge", "inputSchema": {"type": "object", "title": "x" * 300_000}},
            tool("echo"),
        ]
    if mode == "takes-a-name" and grown.is_set():
        listed += [tool("read_result"), tool("grown")]
    if mode == "many-tools":
        listed = [tool(f"tool_{n}") for n in range(3000)]
    if mode == "no-tools":
        listed = []
    return listed


def text(value):
    return {"content": [{"type": "text", "text": value}]}


class Peer:
    """One client: how to write to it, and what it was asked."""

    def __init__(self, write):
        self.write = write
        self.replies = {}
        self.replied = threading.Condition()

    def notify(self, method, params):
        self.write({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, id, method, params):
        self.write({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        with self.replied:
            self.replied.wait_for(lambda: id in self.replies, 5)
            return self.replies.get(id)

    def reply(self, message):
        with self.replied:
            self.replies[message["id"]] = message
            self.replied.notify_all()


def call(peer, params):
    name, arguments = params["name"], params.get("arguments", {})
    note(f"call {name}")
    if name == "echo":
        if mode == "takes-a-name":
            grown.set()
            peer.notify("notifications/tools/list_changed", {})
        return text(arguments["text"])
    if name == "sleep":
        time.sleep(arguments["seconds"])
        return text("awake")
    if name == "meet":
        # All of them at once, or none ever.
        with meeting:
            met.append(name)
            meeting.notify_all()
            meeting.wait_for(lambda: len(met) >= arguments["calls"])
        return text("met")
    if name == "fail":
        return {**text(arguments["message"]), "isError": True}
    if name == "rpc_error":
        raise ValueError("no such luck")
    if name == "contents":
        data = base64.b64encode(b"\x89PNG").decode()
        return {"content": [
            {"type": "text", "text": "one"},
            {"type": "image", "data": data, "mimeType": "image/png"},
            {"type": "audio", "data": data, "mimeType": "audio/wav"},
            {"type": "resource_link", "uri": "file:///a", "name": "a", "description": "It."},
            {"type": "resource", "resource": {"uri": "file:///b", "text": "b", "mimeType": "text/plain"}},
            {"type": "resource", "resource": {"uri": "file:///c", "blob": data}},
        ]}
    if name == "strange":
        return {"content": [{"type": "text", "text": "one"}, {"type": "hologram", "depth": 3}]}
    if name == "structured":
        return {"content": [], "structuredContent": {"value": arguments["value"]}}
    if name == "big":
        return text("x" * arguments["bytes"])
    if name == "die":
        print("I die now", file=sys.stderr, flush=True)
        os._exit(3)
    if name == "log":
        for n in range(arguments["lines"]):
            peer.notify("notifications/message", {"level": "warning", "data": f"line {n}"})
        return text("logged")
    if name == "progress":
        token = params["_meta"]["progressToken"]
        for n in range(5):
            peer.notify("notifications/progress",
                        {"progressToken": token, "progress": n, "total": 5, "message": f"step {n}"})
        return text("done")
    if name == "env":
        return text(json.dumps(dict(os.environ)))
    if name == "ask":
        sampling = {"messages": [], "maxTokens": 1}
        form = {"message": "?", "requestedSchema": {"type": "object", "properties": {}}}
        asked = {
            "ping": peer.ask("p", "ping", {}),
            "roots": peer.ask("r", "roots/list", {}),
            "sampling": peer.ask("s", "sampling/createMessage", sampling),
            "elicitation": peer.ask("e", "elicitation/create", form),
        }
        peer.notify("notifications/tools/list_changed", {})
        return text(json.dumps(asked))
    if name == "nonsense":
        return {"weather": "fine"}
    raise ValueError(f"no tool {name}")


def answer(peer, message):
    """The result of a request; an exception is a JSON-RPC error."""
    method, params = message["method"], message.get("params", {})
    capabilities = {"tools": {"listChanged": True}, "logging": {}}
    if method == "server/discover" and options.modern:
        return {"resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0,
                "cacheScope": "private", "capabilities": capabilities,
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "test", "version": "1"}}}
    if method == "initialize" and not options.modern:
        if mode == "crash-at-start":
            print(f"cannot find the key {os.environ.get('KEY')}", file=sys.stderr)
            print("giving up", file=sys.stderr, flush=True)
            os._exit(1)
        if "hang-at-start" in mode:
            time.sleep(600)
        note("protocol " + params["protocolVersion"])
        note("capabilities " + json.dumps(params["capabilities"]))
        return {"protocolVersion": params["protocolVersion"], "capabilities": capabilities,
                "serverInfo": {"name": "test", "version": "1"}}
    if method == "tools/list":
        if mode == "endless-pages":
            return complete({"tools": [], "nextCursor": "again"})
        listed = tools()
        start = int(params.get("cursor") or 0)
        page = {"tools": listed[start:start + 5 if mode == "pages" else None]}
        if mode == "pages" and start + 5 < len(listed):
            page["nextCursor"] = str(start + 5)
        return complete(page)
    if method == "tools/call":
        if options.modern:
            note("version " + params["_meta"]["io.modelcontextprotocol/protocolVersion"])
        return complete(call(peer, params))
    if method == "ping":
        return {}
    error = NotImplementedError(f"no method {method}")
    raise error


def complete(result):
    if options.modern:
        result = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **result}
    return result


def response(peer, message):
    head = {"jsonrpc": "2.0", "id": message["id"]}
    try:
        return {"result": answer(peer, message), **head}
    except NotImplementedError as error:
        return {**head, "error": {"code": -32601, "message": str(error)}}
    except Exception as error:
        return {**head, "error": {"code": -32000, "message": str(error)}}


def stdio():
    lock = threading.Lock()

    def write(message):
        with lock:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    peer = Peer(write)
    if mode == "garbage":
        print("Welcome to the server!\n{\"not\": \"a message\"}\n\x00\xff", flush=True)
    if mode == "only-garbage":
        while True:
            print("garbage " * 100, flush=True)
            time.sleep(0.001)
    if "with-child" in mode:
        # It outlives its parent unless somebody sees to it.
        child = subprocess.Popen(["sleep", "300"])
        note(f"child {child.pid}")
    if "stubborn" in mode:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "floods-stderr":
        def flood():
            while True:
                print("x" * 100_000, file=sys.stderr, flush=True)
        threading.Thread(target=flood, daemon=True).start()
    def flood():
        while True:
            write({"jsonrpc": "2.0", "method": "notifications/message",
                   "params": {"level": "info", "data": "x" * 1000}})
            write({"jsonrpc": "2.0", "id": 10_000, "result": {"content": []}})

    for line in sys.stdin:
        message = json.loads(line)
        if "method" not in message:
            peer.reply(message)
        elif "id" in message:
            if mode == "floods" and message["method"] == "tools/list":
                threading.Thread(target=flood, daemon=True).start()
            if mode == "deaf" and message["method"] == "tools/call":
                # Reads nothing more.
                while True:
                    write({"jsonrpc": "2.0", "id": f"p{time.time()}", "method": "ping"})
            run = lambda message=message: write(response(peer, message))
            threading.Thread(target=run, daemon=True).start()
        elif message["method"] == "notifications/cancelled":
            note(f"cancelled {message['params']['requestId']}")
    note("end")
    if "stubborn" in mode:
        time.sleep(300)
    os._exit(0)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, status, body=b"", kind="application/json", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send(405)

    def do_DELETE(self):
        note("delete session")
        self.send(200)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/moved":
            return self.send(307, Location="/mcp")
        if self.path == "/away":
            return self.send(307, Location="http://localhost:1/mcp")
        token = os.environ.get("EXPECT_TOKEN")
        if token and self.headers.get("Authorization") != f"Bearer {token}":
            return self.send(401)
        message = json.loads(body)
        note(f"header {self.headers.get('X-Key')}")
        if "id" not in message or "method" not in message:
            if message.get("method") == "notifications/cancelled":
                note(f"cancelled {message['params']['requestId']}")
            return self.send(202)
        if message["method"] != "tools/call":
            session = {"Mcp_Session_Id": "s1"} if message["method"] == "initialize" else {}
            answered = json.dumps(response(None, message)).encode()
            return self.send(200, answered, **session)
        # An event stream, so that there can be progress.
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()

        def write(message):
            self.wfile.write(f"event: message\ndata: {json.dumps(message)}\n\n".encode())
            self.wfile.flush()

        try:
            write(response(Peer(write), message))
        except OSError:
            note("hung up")
        self.close_connection = True


note(f"start {os.getpid()}")
if options.http:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
else:
    stdio()
