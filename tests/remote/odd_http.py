"""An MCP server over HTTP that is odd in one way. usage: odd_http.py MODE; it prints its port."""

import http.server
import json
import sys

mode = sys.argv[1]
session = 1
calls = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, status, body="", kind="application/json", **headers):
        body = body.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_with_trailers(self, body, headers, is_call):
        """In chunks, with an extension and trailers that would say something else if they were headers."""
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x;a=b\r\n%s\r\n0\r\n" % (len(body), body))
        if mode == "endless-trailers" and is_call:
            try:
                while True:
                    self.wfile.write(b"x-trailer: y\r\n" * 100)
            except OSError:
                return
        self.wfile.write(b"Content-Length: 1\r\nContent-Type: text/event-stream\r\n")
        self.wfile.write(b"Mcp-Session-Id: another\r\nLocation: http://evil.test/\r\n\r\n")

    def do_GET(self):
        self.send({"get-400": 400, "get-404": 404}.get(mode, 405), "no such thing", "text/plain")

    def do_DELETE(self):
        self.send(500)

    def do_POST(self):
        global session, calls
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "id" not in message:
            if mode == "null-for-notifications":
                return self.send(200, "null")
            if mode == "refuses-notifications":
                return self.send(400, "", None)
            if mode == "empty-for-notifications":
                return self.send(200, "", None)
            if mode == "error-for-notifications":
                return self.send(200, json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no"}}))
            if mode == "events-for-notifications":
                return self.send(200, ": nothing\n\n", "text/event-stream")
            return self.send(202)
        head, method, headers = {"jsonrpc": "2.0", "id": message["id"]}, message["method"], {}
        if method == "initialize":
            headers["Mcp_Session_Id"] = f"s{session}"
            result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "odd", "version": "0"}}
        elif mode == "forgets" and self.headers["Mcp-Session-Id"] != f"s{session}":
            error = {"code": -32000, "message": "Bad Request: No valid session ID provided"}
            return self.send(400, json.dumps({"jsonrpc": "2.0", "error": error, "id": None}))
        elif method == "tools/list":
            schema = {"type": "object", "properties": {}}
            result = {"tools": [{"name": "t", "inputSchema": schema}, {"name": "bad", "inputSchema": 5}]}
        elif mode == "error-status":
            error = {"code": -32603, "message": "out of paper"}
            return self.send(500, json.dumps({"jsonrpc": "2.0", "error": error, "id": "server-error"}))
        elif mode == "plain-status":
            return self.send(503, "<p>come back later</p>", "text/html")
        else:
            calls += 1
            session += mode == "forgets" and calls == 1
            result = {"content": [{"type": "text", "text": f"call {calls}"}]}
        answer = {**head, "result": result}
        log = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "along"}}
        if mode == "batch":
            return self.send(200, json.dumps([log, answer]), **headers)
        if mode == "event-batch":
            events = f"event: message\nid: 1\ndata: {json.dumps([log, answer])}\n\n"
            return self.send(200, events, "text/event-stream; charset=utf-8", **headers)
        if mode == "undeclared-events":
            return self.send(200, f"event: message\ndata: {json.dumps(answer)}\n\n", "text/plain", **headers)
        if mode == "string-ids":
            answer["id"] = str(answer["id"])
        if "trailers" in mode:
            return self.send_with_trailers(json.dumps(answer).encode(), headers, method == "tools/call")
        kind = {"text-type": "text/plain", "no-type": None}.get(mode, "application/json")
        self.send(200, json.dumps(answer), kind, **headers)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
