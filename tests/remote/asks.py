"""An MCP server that asks in the middle of its calls. usage: asks.py STATE [--http | --modern | --tasks]

It writes what it hears of interest to STATE, a line each. Over HTTP it prints its port first."""

import http.server
import itertools
import json
import os
import queue
import sys
import threading

state, modes = sys.argv[1], sys.argv[2:]
modern, over_http, tasks = "--modern" in modes, "--http" in modes, "--tasks" in modes
ids = itertools.count(1)
waiting = {}
gate = threading.Event()
answered_late = threading.Event()
lock = threading.Lock()
NAME = {"type": "object", "properties": {"name": {"type": "string", "x-unknown": 1}}, "required": ["name"]}


def note(text):
    with lock, open(state, "a") as file:
        file.write(text + "\n")


def text(value, **more):
    return {"content": [{"type": "text", "text": value}], **more}


class Peer:
    """Whom the answer of a request goes to, and what is said because of it."""

    def __init__(self, write):
        self.write = write

    def begin(self, method, params):
        id = f"q{next(ids)}"
        waiting[id] = queue.Queue()
        self.write({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        return id

    def ask(self, method, params):
        return waiting[self.begin(method, params)].get()


def form(message="Who are you?"):
    return {"mode": "form", "message": message, "requestedSchema": NAME}


PAGE = {"mode": "url", "message": "Sign in.", "url": "https://example.com/in", "elicitationId": "e1"}
SAMPLE = {"messages": [{"role": "user", "content": {"type": "text", "text": "Say hello."}}], "maxTokens": 50}


def shown(answer):
    return json.dumps(answer.get("result", answer.get("error")), sort_keys=True)


def call(peer, params, raw):
    name, arguments = params["name"], params.get("arguments") or {}
    if name == "form":
        return text(shown(peer.ask("elicitation/create", form(arguments.get("message", "Who are you?")))))
    if name == "page":
        return text(shown(peer.ask("elicitation/create", PAGE)))
    if name == "file_page":
        return text(shown(peer.ask("elicitation/create", PAGE | {"url": "file:///etc/passwd"})))
    if name == "sample":
        return text(shown(peer.ask("sampling/createMessage", SAMPLE)))
    if name == "roots":
        return text(shown(peer.ask("roots/list", {})))
    if name == "twice":
        first = peer.ask("elicitation/create", form("first"))["result"]["content"]["name"]
        peer.write({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": f"heard {first}"}})
        second = peer.ask("elicitation/create", form("second"))["result"]["content"]["name"]
        return text(f"{first} and {second}")
    if name == "endless":
        while True:
            peer.ask("elicitation/create", form())
    if name == "many":
        asked = [peer.begin("elicitation/create", form(f"number {n}")) for n in range(arguments["count"])]
        actions = [waiting[id].get() for id in asked]
        return text(json.dumps([it.get("result", {}).get("action", "error") for it in actions]))
    if name == "later":
        # Outside of any call.
        threading.Thread(target=lambda: (gate.wait(), note("later " + shown(peer.ask("elicitation/create", form()))))).start()
        return text("asked for later")
    if name == "open":
        gate.set()
        return text("opened")
    if name == "wait":
        note("waits")
        gate.wait()
        return text("waited")
    if name == "late":
        note("waits")
        gate.wait()
        note("late " + shown(peer.ask("elicitation/create", form())))
        return text("late")
    if name == "hold":
        gate.set()
        answered_late.wait()
        return text("held")
    if name == "visit_first":
        if "visited" not in seen:
            seen.add("visited")
            data = {"elicitations": [PAGE]}
            return {"error": {"code": -32042, "message": "sign in first", "data": data}}
        return text("in")
    if name == "raw":
        return text(raw, structuredContent={"n": RAW})
    raise ValueError(name)


seen = set()
RAW = "RAW"
NUMBERS = "[12345678901234567890123,0.10000000000000000000000001,1e400]"
TOOLS = ["form", "page", "file_page", "sample", "roots", "twice", "endless", "many", "later", "open", "wait", "late", "hold",
         "visit_first", "raw"]


def call_modern(params, raw):
    """As of 2026-07-28: what asks ends, and is called again."""
    name, responses = params["name"], params.get("inputResponses")
    note("capabilities " + json.dumps(params["_meta"]["io.modelcontextprotocol/clientCapabilities"], sort_keys=True))
    if name == "raw":
        return text(raw, structuredContent={"n": RAW}, resultType="complete")
    if name == "busy" and "requestState" not in params:
        return {"resultType": "input_required", "requestState": "come again"}
    if name in ("form", "sample", "roots") and responses is None:
        method, asked = {"form": ("elicitation/create", form()), "sample": ("sampling/createMessage", SAMPLE),
                         "roots": ("roots/list", {})}[name]
        requests = {"who": {"method": method, "params": asked}}
        return {"resultType": "input_required", "inputRequests": requests, "requestState": "s1"}
    return text(json.dumps([responses, params.get("requestState")], sort_keys=True), resultType="complete")


def answer(peer, message, raw):
    method, params = message["method"], message.get("params") or {}
    if method == "server/discover" and modern:
        return {"resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "private",
                "capabilities": {"tools": {}}}
    if method == "initialize" and not modern:
        note("capabilities " + json.dumps(params["capabilities"], sort_keys=True))
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "asks", "version": "0"}}
    if method == "tools/list":
        listed = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS + ["busy"] * modern]
        return {"tools": listed, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    if method == "tools/call" and tasks:
        return {"resultType": "task", "taskId": "k1", "status": "working", "pollIntervalMs": 50}
    if method == "tasks/get":
        task = {"taskId": "k1", "status": "input_required", "pollIntervalMs": 50,
                "inputRequests": {"who": {"method": "elicitation/create", "params": form()}}}
        if "updated" in seen:
            task = {"taskId": "k1", "status": "completed", "result": text("done", structuredContent={"n": RAW})}
        return task
    if method == "tasks/update":
        note("update " + json.dumps(params["inputResponses"], sort_keys=True))
        seen.add("updated")
        return {}
    if method == "tools/call":
        return call_modern(params, raw) if modern else call(peer, params, raw)
    return {"error": {"code": -32601, "message": "Method not found"}}


def respond(peer, message, raw):
    answered = answer(peer, message, raw)
    if "error" not in answered:
        answered = {"result": answered}
    peer.write({"jsonrpc": "2.0", "id": message["id"], **answered})
    if (message.get("params") or {}).get("name") == "late":
        answered_late.set()


def written(message):
    return json.dumps(message).replace(f'"{RAW}"', NUMBERS)


def heard(message):
    """Whether it is an answer or a notification."""
    if "method" not in message:
        waiting[message["id"]].put(message)
    elif message["method"] == "notifications/cancelled":
        note("cancelled")
    return "method" not in message or "id" not in message


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send(405)

    def do_DELETE(self):
        self.send(200)

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
        message = json.loads(raw)
        if heard(message):
            return self.send(202)
        if message["method"] != "tools/call":
            answered = {"jsonrpc": "2.0", "id": message["id"], "result": answer(None, message, raw)}
            return self.send(200, json.dumps(answered).encode(), Mcp_Session_Id="s1")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()

        def write(message):
            self.wfile.write(f"event: message\ndata: {written(message)}\n\n".encode())
            self.wfile.flush()

        respond(Peer(write), message, raw)
        self.close_connection = True


note(f"start {os.getpid()}")
if over_http:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def write(message):
    with lock:
        sys.stdout.write(written(message) + "\n")
        sys.stdout.flush()


for line in sys.stdin:
    message = json.loads(line)
    if not heard(message):
        threading.Thread(target=respond, args=(Peer(write), message, line.strip()), daemon=True).start()
os._exit(0)
