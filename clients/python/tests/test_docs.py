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
