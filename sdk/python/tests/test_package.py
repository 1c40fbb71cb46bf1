"""The package as an author uses it, without a host."""

import functools
import subprocess
import sys
import tempfile
import textwrap
import unittest
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Optional

import everything

from toolhost_plugin import (
    Contents,
    Denied,
    Field,
    InvalidArguments,
    Message,
    ToolError,
    _docstrings,
    ask,
    http,
    testing,
    tool,
)


class Errors(unittest.TestCase):
    def test_a_tool_stays_a_function(self) -> None:
        self.assertEqual(everything.number(1.5), 1.5)

    def test_an_exception_of_the_tools_own_is_what_the_test_gets(self) -> None:
        with testing.Host() as host, self.assertRaises(ZeroDivisionError):
            host.call("fail", how="zero")

    def test_what_has_no_form_in_json_is_refused(self) -> None:
        with testing.Host() as host, self.assertRaisesRegex(ToolError, "inf cannot be represented in JSON"):
            host.call("number", value=0)

    def test_a_result_is_what_its_hint_promises(self) -> None:
        @tool
        def broken() -> list[int]:
            return [1, "2"]  # type: ignore[list-item]

        with (
            testing.Host() as host,
            self.assertRaisesRegex(ToolError, r"`broken` returned .* /1: expected an int, got a string"),
        ):
            host.call(broken)


class Hosts(unittest.TestCase):
    def test_nothing_is_granted_that_is_not_said(self) -> None:
        with testing.Host(config={"a": {"b": 1}}, secrets={"a": "s"}) as host:
            got = host.call("host", key="a").structured
            self.assertEqual((got["config"], got["secret"]), ('{"b":1}', "s"))
            self.assertIsNone(host.call("host", key="b").structured["secret"])
            self.assertEqual(host.logs[0], ("notice", "noticed"))
            self.assertEqual(host.progressed[0], (1.0, 2.0, "half"))

    def test_requests_are_answered_by_a_function(self) -> None:
        def answer(request: http.Request) -> http.Response:
            return http.Response(200, f"{request.method} {request.url} {request.content!r}".encode())

        with testing.Host(http=answer) as host:
            got = host.call("fetch", urls=["https://a.example/ä b?x=1"], post="hi")
            self.assertEqual(
                got.structured, {"result": ['200 POST https://a.example/%C3%A4%20b?x=1&q=a+b b\'{"text": "hi"}\'']}
            )
        with testing.Host() as host, self.assertRaises(Denied):
            host.call("fetch_one", url="https://a.example")

    def test_tools_are_those_that_the_test_grants(self) -> None:
        async def greet(name: str) -> dict[str, str]:
            if name == "nobody":
                raise InvalidArguments("there is nobody")
            return {"text": f"hi {name}"}

        with testing.Host(tools={"greet": greet}) as host:
            got = host.call("together", names=["a", "nobody"]).structured["result"]
            self.assertEqual(got, ["greet invalid-arguments: there is nobody", "hi a", "slept"])
            self.assertEqual(host.called, [("greet", {"name": "a"}), ("greet", {"name": "nobody"})])
        with testing.Host(tools={"greet": lambda name: object()}) as host, self.assertRaises(ValueError):
            host.call("together", names=["a"])
        with testing.Host() as host:
            got = host.call("together", names=["a"]).structured["result"]
            self.assertEqual(got, ["greet denied: tool greet is not granted: pass `tools=` to `testing.Host`", "slept"])
        with (
            testing.Host(http=lambda _: http.Response(404, b"gone")) as host,
            self.assertRaisesRegex(ToolError, "404: gone"),
        ):
            host.call("fetch_one", url="https://a.example")


class Questions(unittest.TestCase):
    def test_each_question_ends_a_round(self) -> None:
        with testing.Host(answers={"who": {"name": "Ada", "age": 36}, "motto": "Onward!"}) as host:
            self.assertEqual(host.call("welcome").text, "Ada, 36, good: Onward!")
            self.assertEqual(list(host.asked), ["who", "motto"])
            self.assertEqual(
                host.asked["who"].details["schema"],
                {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "description": "As in your passport."},
                        "age": {"type": "integer"},
                        "mood": {"type": "string", "enum": ["good", "bad"], "default": "good"},
                    },
                    "required": ["name"],
                },
            )

    def test_a_no_can_be_caught(self) -> None:
        with testing.Host(answers={"who": {"name": "Ada"}, "motto": testing.declined}) as host:
            self.assertEqual(host.call("welcome").text, "Ada, None, good: no motto")
        with testing.Host(answers={"who": testing.dismissed}) as host, self.assertRaises(ask.Dismissed):
            host.call("welcome")

    def test_what_is_remembered_is_made_once(self) -> None:
        with testing.Host(answers={"sure": {"sure": True}}) as host:
            made = host.call("remembered").text.split()[0]
            self.assertIn(made, host.asked["sure"].details["message"])

    def test_a_question_without_an_answer_fails_the_test(self) -> None:
        with testing.Host() as host, self.assertRaisesRegex(LookupError, "no answer to the question `who`"):
            host.call("welcome")

    def test_a_form_is_flat(self) -> None:
        @dataclass
        class Nested:
            who: everything.Person

        with self.assertRaisesRegex(TypeError, "`Nested` cannot be a form: `who`"):
            ask.Form("x", "x", Nested)


class Offers(unittest.TestCase):
    def test_resources_are_found_by_their_uri(self) -> None:
        with testing.Host() as host:
            self.assertEqual(
                host.read("note://welcome"), [Contents("Nice to see you.", "text/plain", "note://welcome")]
            )
            self.assertEqual(host.read("note://by-day/2026-02-28")[0].body, b"On 28.02.2026: nothing.")
            for uri in ("note://by-day/soon", "note://by-day/a/b", "note://nothing"):
                with self.assertRaisesRegex(InvalidArguments, "there is no resource"):
                    host.read(uri)

    def test_arguments_of_prompts_are_texts(self) -> None:
        with testing.Host() as host:
            messages = host.prompt("review", code="x = 1", lines="3")
            self.assertEqual(messages[0], Message("user", "Review 3 lines of Python."))
            self.assertEqual(host.complete("review", "language", "r"), ["Rust"])
            with self.assertRaisesRegex(InvalidArguments, '/language: expected "Python" or "Rust"'):
                host.prompt("review", code="", language="C")


class Generics(unittest.TestCase):
    ARGUMENTS: ClassVar[dict[str, Any]] = {
        "json": {"a": [1, None]},
        "pair": [1, "b"],
        "box": {"item": 1, "more": [{"item": 2, "more": []}]},
        "linked": {"value": True, "next": {"value": False}},
        "bound": 3,
    }

    @unittest.skipIf(sys.version_info < (3, 12), "it is no syntax yet")
    def test_type_parameters(self) -> None:
        import syntax312

        with testing.Host() as host:
            result = host.call(syntax312.generics, self.ARGUMENTS)
            self.assertEqual(result.structured, {"result": [{"a": [1, None]}, [1, "b"], 2, False, 3]})
            wrong = {**self.ARGUMENTS, "box": {"item": 1, "more": [{"item": "z", "more": []}]}}
            with self.assertRaisesRegex(InvalidArguments, "/box/more/0/item: expected an integer"):
                host.call(syntax312.generics, wrong)


class Registration(unittest.TestCase):
    """What cannot be a tool says so when its module is imported or built, and where."""

    def refused(self, source: str, message: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "app.py")
            path.write_text(
                "from __future__ import annotations\nfrom toolhost_plugin import *\n" + textwrap.dedent(source)
            )
            done = subprocess.run(
                [sys.executable, "-m", "toolhost_plugin._inspect", "app"],
                cwd=folder,
                stdout=subprocess.PIPE,
                text=True,
                timeout=60,
            )
            self.assertRegex(done.stdout.replace("\\n", "\n"), message)

    def test_hints_without_a_form_in_json(self) -> None:
        self.refused(
            "@tool\ndef f(x: complex): ...",
            r"app\.py:\d+: `f`: argument `x`: `builtins.complex` cannot be represented in JSON",
        )
        self.refused("@tool\ndef f(x: Nothing): ...", r"app\.py:\d+: `f`: .*'Nothing' is not defined")
        with_variable = "from dataclasses import *\n@dataclass\nclass C:\n  x: InitVar[int]\n@tool\ndef f(c: C): ..."
        self.refused(with_variable, "`f`: argument `c`: .*InitVar")
        self.refused("@tool\ndef f() -> object(): ...", "cannot be represented in JSON|cannot be read")

    def test_signatures_without_a_schema(self) -> None:
        self.refused("@tool\ndef f(*args): ...", r"`\*args` has no schema")
        self.refused("@tool\ndef f(x, /): ...", "`x` is positional only")
        self.refused("class C:\n  @tool\n  def f(self): ...", "a method cannot be a tool")
        self.refused("@tool\ndef f():\n  yield 1", "`f` yields")

    def test_names(self) -> None:
        self.refused(
            "@tool\ndef f(): ...\n@tool(name='f')\ndef g(): ...", r"two tools are called `f`: .*app.py:3 and .*app.py:5"
        )
        self.refused("@tool(name='a b')\ndef f(): ...", "'a b' cannot be the name of a tool")
        self.refused("x = 1", "defines no tools")

    def test_syntax_errors_have_their_place(self) -> None:
        self.refused("def f(:", r'app\.py\\?", line 3')


class Schemas(unittest.TestCase):
    def schema(self, name: str) -> Any:
        [found] = [tool for tool in testing.tools() if tool.name == name]
        return found.input_schema()

    def test_defaults_and_descriptions(self) -> None:
        @tool
        def described(a: int, b: "Field | str" = "x", *, c: list[str] = []) -> None:  # type: ignore[valid-type]
            """Says it.

            More of it.

            Args:
                a (int): First.
                    And more of it.
                b: Second, e.g. "x: y".

            Returns:
                Nothing.
            """

        schema = self.schema("described")
        self.assertEqual(schema["properties"]["a"], {"type": "integer", "description": "First. And more of it."})
        self.assertEqual(schema["properties"]["b"]["description"], 'Second, e.g. "x: y".')
        self.assertEqual(schema["properties"]["c"], {"type": "array", "items": {"type": "string"}, "default": []})
        self.assertEqual(schema["required"], ["a"])
        self.assertIs(schema["additionalProperties"], False)

    def test_types_within_functions(self) -> None:
        @dataclass
        class Local:
            value: int = 0
            next: Optional["Local"] = None

        @tool
        def of_local(local: Local, nothing: int = None) -> list[Local]:  # type: ignore[assignment]
            assert nothing is None
            return [local]

        @tool
        def of_one(local: Local) -> Local:
            return local

        with testing.Host() as host:
            [listed] = [found for found in testing.tools() if found.name == "of_one"]
            self.assertEqual((listed.output_schema() or {})["type"], "object")
            result = host.call(of_local, {"local": {"next": {"value": 2}}, "nothing": None})
            self.assertEqual(result.structured, {"result": [{"value": 0, "next": {"value": 2, "next": None}}]})

    def test_decorated_functions(self) -> None:
        def decorator(function: Any) -> Any:
            @functools.wraps(function)
            def inner(*args: Any, **named: Any) -> Any:
                return function(*args, **named)

            return inner

        @tool
        @decorator
        async def decorated(number: int) -> int:
            """Says it."""
            return number + 1

        with testing.Host() as host:
            self.assertEqual(host.call(decorated, number=1).structured, {"result": 2})
        with self.assertRaisesRegex(TypeError, "is not a function"):
            tool(functools.partial(decorated, 1))

    def test_docstrings_of_three_styles(self) -> None:
        google = _docstrings.parse(
            "Does it.\n\nArgs:\n    a: One.\n    *rest: Others.\n\nRaises:\n    ValueError: Never.\n\nNote:\n    Kept."
        )
        self.assertEqual(google.arguments, {"a": "One.", "rest": "Others."})
        self.assertEqual(google.description, "Does it.\n\nNote:\n    Kept.")
        numpy = _docstrings.parse(
            "Does it.\n\nParameters\n----------\na, b : int\n    Both.\n\n    More.\nc\n    Third.\n\nReturns\n-------\nint\n    x"
        )
        self.assertEqual(numpy.arguments, {"a": "Both.\n\nMore.", "b": "Both.\n\nMore.", "c": "Third."})
        self.assertEqual(numpy.description, "Does it.")
        sphinx = _docstrings.parse(
            "Does it.\n\n:param a: One\n    and more.\n:param int b: Two.\n:type a: str\n:returns: x\n:rtype: int"
        )
        self.assertEqual(sphinx.arguments, {"a": "One and more.", "b": "Two."})
        self.assertEqual(sphinx.description, "Does it.")


if __name__ == "__main__":
    unittest.main()
