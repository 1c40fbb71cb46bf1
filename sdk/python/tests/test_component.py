"""The same plugins as components, called through the command. `TOOLHOST` names it; without it there is nothing to do."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any, Callable

import signatures
import test_package

from toolhost_plugin import build

TOOLHOST = os.environ.get("TOOLHOST")
HERE = Path(__file__).parent
LIMIT = 300
"""Seconds: a debug build of the host compiles a component in half a minute."""


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(404 if self.path == "/gone" else 200, f"GET {self.path} {self.headers.get('x-test')}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.answer(200, f"POST {self.path} {self.headers['content-type']} {body}")

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


class Client:
    """As much of an MCP client over stdio as these tests need."""

    def __init__(self, manifest: Path, answer: Callable[[str, Any], Any]) -> None:
        assert TOOLHOST
        command = [TOOLHOST, "--manifest", str(manifest), "serve"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=manifest.parent, text=True
        )
        self.timer = threading.Timer(LIMIT, self.process.kill)
        self.timer.start()
        self.answer = answer
        self.next = 0
        capabilities = {"elicitation": {}, "sampling": {}, "roots": {}}
        client = {"name": "test", "version": "1"}
        self.request(
            "initialize", {"protocolVersion": "2025-06-18", "capabilities": capabilities, "clientInfo": client}
        )
        self.send({"method": "notifications/initialized"})

    def send(self, message: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def request(self, method: str, params: Any = None) -> Any:
        self.next += 1
        self.send({"id": self.next, "method": method, "params": params or {}})
        assert self.process.stdout
        for line in self.process.stdout:
            message = json.loads(line)
            if "method" in message and "id" in message:
                self.send({"id": message["id"], "result": self.answer(message["method"], message["params"])})
            elif message.get("id") == self.next:
                if "error" in message:
                    raise AssertionError(message["error"])
                return message["result"]
        raise AssertionError("the server ended")

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()
        self.timer.cancel()


@unittest.skipUnless(TOOLHOST, "TOOLHOST does not name the command")
class Components(unittest.TestCase):
    folder: Path

    @classmethod
    def setUpClass(cls) -> None:
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = Path(temporary.name)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        cls.addClassCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.shutdown)
        cls.url = f"http://127.0.0.1:{server.server_port}"
        (cls.folder / "notes").mkdir()
        (cls.folder / "notes" / "a.txt").write_text("a note")
        for name, path in (
            ("signatures", HERE / "signatures.py"),
            ("everything", HERE / "everything.py"),
            ("hello", HERE.parent / "examples" / "hello"),
            *([("syntax312", HERE / "syntax312.py")] if sys.version_info >= (3, 12) else []),
        ):
            build.build(path, cls.folder / f"{name}.wasm", timeout=LIMIT)
        cls.manifest = cls.folder / "toolhost.toml"
        cls.manifest.write_text(
            f"""
            [host]
            max-compile = "{LIMIT}s"
            [plugin.hello]
            path = "hello.wasm"
            {"[plugin.syntax312]" if sys.version_info >= (3, 12) else ""}
            {'path = "syntax312.wasm"' if sys.version_info >= (3, 12) else ""}
            [plugin.signatures]
            path = "signatures.wasm"
            prefix = "s_"
            [plugin.everything]
            path = "everything.wasm"
            config = {{ key = "value" }}
            permissions.env = {{ GREETING = "hello" }}
            permissions.secrets = {{ key = {{ file = "secret" }} }}
            permissions.files = [{{ host = "notes", guest = "/notes" }}]
            permissions.http = ["{cls.url}"]
            permissions.tools = ["greet", "s_image"]
            """
        )
        (cls.folder / "secret").write_text("s3cret-value")

    def run_calls(self, calls: list[tuple[str, Any]]) -> list[Any]:
        assert TOOLHOST
        lines = "\n".join(
            json.dumps({"id": str(number), "name": name, "arguments": arguments})
            for number, (name, arguments) in enumerate(calls)
        )
        command = [TOOLHOST, "--manifest", str(self.manifest), "run", "--format", "json", "--full"]
        done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, text=True, cwd=self.folder, timeout=LIMIT)
        self.assertEqual(done.returncode, 0)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def call(self, name: str, **arguments: Any) -> Any:
        [result] = self.run_calls([(name, arguments)])
        return result

    def test_signatures_round_trip(self) -> None:
        results = self.run_calls([(f"s_{name}", {"value": value}) for name, value, _ in signatures.CASES])
        self.assertEqual(len(results), len(signatures.CASES))
        for (name, value, back), result in zip(signatures.CASES, results):
            with self.subTest(tool=name, value=value):
                self.assertNotIn("error", result)
                got = result.get("structured", result["content"])
                got = got["result"] if isinstance(got, dict) and set(got) == {"result"} else got
                self.assertEqual(got, back)
                self.assertIs(type(got), type(back))

    @unittest.skipIf(sys.version_info < (3, 12), "it is no syntax yet")
    def test_type_parameters(self) -> None:
        result = self.call("generics", **test_package.Generics.ARGUMENTS)
        self.assertEqual(result["structured"], {"result": [{"a": [1, None]}, [1, "b"], 2, False, 3]})

    def test_what_does_not_fit_is_refused(self) -> None:
        results = self.run_calls([(f"s_{name}", {"value": value}) for name, value in signatures.REFUSED])
        for (name, value), result in zip(signatures.REFUSED, results):
            with self.subTest(tool=name, value=value):
                # What can be meant in one way only is repaired by the host.
                if not result.get("repairs"):
                    self.assertEqual(result.get("error", {}).get("code"), "invalid-arguments", result)

    def test_errors_are_pythons_last_line(self) -> None:
        expected = {
            "error": ("failed", "no luck"),
            "arguments": ("invalid-arguments", "`how` is wrong"),
            "denied": ("denied", "a key"),
            "zero": (
                "failed",
                "ZeroDivisionError: integer division or modulo by zero|ZeroDivisionError: division by zero",
            ),
            "exit": ("failed", "SystemExit: 3"),
            "recursion": ("failed", "RecursionError: maximum recursion depth exceeded"),
            "group": ("failed", "KeyError: 'one'"),
            "memory": ("failed", "MemoryError|OverflowError"),
            "nan": ("failed", "is annotated `-> str`"),
        }
        results = self.run_calls([("fail", {"how": how}) for how in expected])
        for (how, (code, message)), result in zip(expected.items(), results):
            with self.subTest(how=how):
                self.assertEqual(result["error"]["code"], code, result)
                self.assertRegex(result["error"]["message"], message)
                if code == "failed" and how in ("zero", "group"):
                    [log] = [line["text"] for line in result["log"] if "Traceback" in line["text"]]
                    self.assertIn('File "everything.py"', log)
                    self.assertIn("1 // 0" if how == "zero" else 'raise KeyError("one")', log)

    def test_imports_in_functions_and_lone_surrogates(self) -> None:
        self.assertEqual(self.call("fail", how="later")["content"], "late")
        self.assertEqual(self.call("fail", how="surrogate")["content"], "a\ufffdb")

    def test_the_host_is_there(self) -> None:
        first, second = self.run_calls([("host", {"key": "key"})] * 2)
        got = first["structured"]
        self.assertEqual((got["config"], got["env"]), ("value", "hello"))
        self.assertEqual(got["secret"], "***")
        self.assertNotEqual(got["random"], second["structured"]["random"])
        self.assertEqual(
            {(line["source"], line["text"]) for line in first["log"]},
            {("stdout", "printed"), ("warning", "from logging"), ("notice", "noticed")},
        )
        self.assertEqual(self.call("read", path="/notes/a.txt")["content"], "a note")
        self.assertEqual(list(HERE.rglob("*.cpython-314.pyc")) if sys.version_info < (3, 14) else [], [])
        self.assertRegex(self.call("read", path="/etc/passwd")["error"]["message"], "FileNotFoundError")

    def test_calls_of_tools(self) -> None:
        got = self.call("together", names=["a", "b", " "], url=f"{self.url}/x")
        self.assertNotIn("error", got)
        self.assertEqual(
            got["structured"]["result"],
            ["GET /x None", "Hello, a!", "Hello, b!", "greet invalid-arguments: invalid arguments: `name` is empty", "slept"],
        )
        [denied] = self.run_calls([("calls", {"name": "s_text"})])
        self.assertEqual(denied["error"]["code"], "denied")
        self.assertIn("permissions.tools", denied["error"]["message"])
        # Who calls none does not ask for it.
        imports = {name: b"toolhost:calls" in (self.folder / f"{name}.wasm").read_bytes() for name in ("everything", "hello")}
        self.assertEqual(imports, {"everything": True, "hello": False})

    def test_requests(self) -> None:
        got = self.call("fetch", urls=[f"{self.url}/{number}" for number in range(3)])
        self.assertNotIn("error", got)
        self.assertEqual(got["structured"]["result"], [f"200 GET /{number} yes" for number in range(3)])
        got = self.call("fetch", urls=[f"{self.url}/p"], post="ä")
        self.assertEqual(got["structured"]["result"], ['200 POST /p?q=a+b application/json {"text": "\\u00e4"}'])
        self.assertRegex(
            self.call("fetch_one", url=f"{self.url}/gone")["error"]["message"], "/gone answered status 404: GET /gone"
        )
        self.assertEqual(self.call("fetch_one", url="http://127.0.0.1:1/")["error"]["code"], "denied")

    def test_questions_resources_and_prompts(self) -> None:
        def answer(method: str, params: Any) -> Any:
            if method == "sampling/createMessage":
                said = params["messages"][0]["content"]["text"]
                return {"role": "assistant", "content": {"type": "text", "text": f"re: {said}"}, "model": "m"}
            if "sure" in params["requestedSchema"]["properties"]:
                return {"action": "accept", "content": {"sure": True}}
            return {"action": "accept", "content": {"name": "Ada", "age": 36}}

        client = Client(self.manifest, answer)
        self.addCleanup(client.close)
        called = client.request("tools/call", {"name": "welcome", "arguments": {}})
        self.assertEqual(called["content"][0]["text"], "Ada, 36, good: re: A motto for Ada, please.")
        called = client.request("tools/call", {"name": "remembered", "arguments": {}})
        self.assertRegex(called["content"][0]["text"], r"^0\.\d+ True$")
        called = client.request("tools/call", {"name": "picture", "arguments": {}})
        self.assertEqual([part["type"] for part in called["content"]], ["text", "image", "resource_link"])

        listed = client.request("resources/list")["resources"]
        self.assertEqual({found["uri"] for found in listed}, {"note://welcome", "note://by-day/2026-02-28"})
        [read] = client.request("resources/read", {"uri": "note://by-day/2026-02-28"})["contents"]
        self.assertEqual((read["mimeType"], read["blob"][:8]), ("application/octet-stream", "T24gMjgu"))
        [found] = client.request("prompts/list")["prompts"]
        self.assertEqual(
            [(argument["name"], argument["required"]) for argument in found["arguments"]],
            [("code", True), ("language", False), ("lines", False)],
        )
        filled = client.request("prompts/get", {"name": "review", "arguments": {"code": "x", "lines": "3"}})
        self.assertEqual(filled["messages"][0]["content"]["text"], "Review 3 lines of Python.")
        of = {"type": "ref/prompt", "name": "review"}
        completed = client.request("completion/complete", {"ref": of, "argument": {"name": "language", "value": "p"}})
        self.assertEqual(completed["completion"]["values"], ["Python"])


@unittest.skipUnless(TOOLHOST, "TOOLHOST does not name the command")
class Builds(unittest.TestCase):
    def test_mistakes_are_said_where_they_are(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            app = Path(folder, "app.py")
            for source, message in (
                ("def f(:", r"app\.py\", line 1"),
                ("import nothing_like_it", "No module named 'nothing_like_it'"),
                ("from toolhost_plugin import tool\n@tool\ndef f(x: complex): ...", r"app\.py:2: `f`: argument `x`"),
                (
                    "from toolhost_plugin import secret\nKEY = secret('key')",
                    r"secret\('key'\): not available while the component is built",
                ),
                ("while True: pass", "timed out after 5 s"),
            ):
                app.write_text(source)
                with self.subTest(source=source), self.assertRaisesRegex(build.BuildError, message):
                    build.build(app, Path(folder, "app.wasm"), timeout=5)
            self.assertEqual(os.listdir(folder), ["app.py"])

    def test_the_command_says_what_is_wrong(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "toolhost_plugin.build", "/nowhere.py"], capture_output=True, text=True, timeout=60
        )
        self.assertEqual((done.returncode, done.stderr), (1, "error: there is no file /nowhere.py\n"))


if __name__ == "__main__":
    unittest.main()
