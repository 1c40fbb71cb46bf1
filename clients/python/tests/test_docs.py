"""The blocks of docs/python.md run, and print what their comments say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, manifest

import toolhost

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
README = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_prints_what_it_says(block: str) -> None:
    expected = "".join(f"{said}\n" for said in re.findall(r"print\(.*\)  # (.*)", block))
    assert expected
    path = manifest("calculator")["plugin"]["calculator"]["path"]
    env = {**os.environ, "PYTHONPATH": str(Path(toolhost.__file__).parents[1])}
    code = block.replace('"calculator.wasm"', repr(path))
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == expected, ran.stderr


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 4


def test_the_five_lines_of_the_readme() -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(toolhost.__file__).parents[1])}
    ran = subprocess.run(
        [sys.executable, "-c", README[0]], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout == "42\nunknown-tool\n", ran.stderr


def test_the_agent_of_the_readme(tmp_path: Path) -> None:
    """With what it leaves to the reader, and a model's answer in place of a model."""
    (tmp_path / "toolhost.toml").write_text("[plugin.calculator]\npath = 'builtin:calculator'\n")
    block = "".join(f"    {line}\n" for line in README[1].splitlines())
    program = (
        "import asyncio, json, types, toolhost\n"
        "def search(query: str) -> str:\n    return f'found {query}'\n"
        "async def create(model, input, tools):\n"
        "    assert [tool['name'] for tool in tools] == ['calculate', 'search'], tools\n"
        "    call = lambda id, name, given: types.SimpleNamespace(to_dict=lambda: {'type': 'function_call', 'call_id': id,\n"
        "        'name': name, 'arguments': json.dumps(given)})\n"
        "    return Reply([call('c1', 'calculate', {'expression': '6*7'}), call('c2', 'search', {'query': 'x'})])\n"
        "class Reply:\n"
        "    def __init__(self, output): self.output = output\n"
        "    def to_dict(self): return {'object': 'response', 'output': self.output}\n"
        "client = types.SimpleNamespace(responses=types.SimpleNamespace(create=create))\n"
        "async def main():\n    model, history = 'm', []\n" + block + "    print([item['output'] for item in history[2:]])\n"
        "asyncio.run(main())\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(toolhost.__file__).parents[1])}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout == "['42', 'found x']\n", ran.stderr
