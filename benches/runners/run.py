"""Runs the calls of one recorded answer through several frameworks and through toolhost, and writes what it found to
docs/runners.md and docs/runners.svg.

    python3 benches/runners/run.py

`cargo xtask clients` installs the frameworks and builds the clients. TOOLHOST_BINARY names another binary than
target/release/toolhost. Each scenario of each runner is a process of its own.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
from html import escape
from pathlib import Path
from typing import Any

from harness import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / "target/clients/python/bin/python"
PACKAGES = {
    "with_langgraph.py": ["langgraph"],
    "with_openai_agents.py": ["openai-agents"],
    "with_pydantic_ai.py": ["pydantic-ai-slim"],
    "with_anthropic.py": ["anthropic"],
}
RUNNERS = {
    "with_gather.py": "`asyncio.gather`, own `try` and `wait_for`",
    "with_langgraph.py": "LangGraph `ToolNode`",
    "with_openai_agents.py": "OpenAI Agents SDK",
    "with_pydantic_ai.py": "PydanticAI",
    "with_anthropic.py": "Anthropic's tool runner",
    "with_toolhost.py": "toolhost, Python",
    "with_ai_sdk.mjs": "Vercel AI SDK",
    "with_toolhost.mjs": "toolhost, Node",
}
ABOUT = """# Runners of tool calls

One recorded answer of a model, whose calls several frameworks run, and toolhost with the same functions: written by
`python3 benches/runners/run.py`,
{machine}. Each cell is a process of its own.

- A call is **lost** if the model never sees a message for it: its API refuses the next request, or the whole turn has
  failed.
- **Run on** are naps that end after their turn has.
- **Ticks** are those of a timer of 5 ms beside the turn: with few of them, the event loop was blocked, and with it all
  else that the program does.
- Answers of `fast` and `nap` that are **not theirs** have another text than the function returned: more, or an error
  because a function that computes has blocked the loop beyond the limit, as it does in JavaScript. Where none is named,
  the model reads exactly what the functions return, and the tokens are the same.

![The turn of ten calls](runners.svg)

"""


def measured(runner: str, scenario: str) -> dict[str, Any]:
    script = Path(__file__).with_name(runner)
    given = SCENARIOS[scenario]
    command = [PYTHON, script, scenario]
    if script.suffix == ".mjs":
        command = ["node", script, json.dumps(dataclasses.asdict(given))]
    env = {
        "TOOLHOST_BINARY": str(ROOT / "target/release/toolhost"),
        **os.environ,
        "PYTHONPATH": str(ROOT / "clients/python/src"),
    }
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)
    except subprocess.TimeoutExpired:
        return {"outcome": "no end within 60 s"}
    lines = ran.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else {"outcome": f"failed: {ran.stderr.strip().splitlines()[-1:]}"}


def cell(scenario: str, found: dict[str, Any]) -> str:
    said = []
    if "outcome" in found:
        said.append(f"**{found['outcome']}**")
    if scenario == "many" and "outcome" not in found:
        said.append(f"{1000 / found['seconds']:,.0f} calls/s")
    elif "seconds" in found:
        said.append(f"{found['seconds']:.2f} s")
    if found.get("lost"):
        said.append(f"**{found['lost']} lost**")
    if found.get("changed"):
        said.append(f"{found['changed']} not theirs")
    if scenario in ("spins", "ten"):
        said.append(f"{found.get('ticks', 0)} ticks")
    if found.get("run on"):
        said.append(f"**{found['run on']} run on**")
    return ", ".join(said) or "all stop"


def version(runner: str) -> str:
    for package in PACKAGES.get(runner, []):
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        return " " + subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    if runner == "with_ai_sdk.mjs":
        manifest = ROOT / "clients/typescript/node_modules/ai/package.json"
        return " " + str(json.loads(manifest.read_text())["version"])
    return ""


def svg(found: dict[str, dict[str, Any]]) -> str:
    """Bars: how long the turn of ten calls takes, and how many of them are lost."""
    width, left, row = 760, 250, 34
    most = max(it.get("seconds", 8.0) for it in found.values())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{row * len(found) + 46}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="22" font-weight="bold">{escape(SCENARIOS["ten"].title)}</text>',
    ]
    for number, (runner, it) in enumerate(found.items()):
        y, lost = 38 + row * number, it.get("lost", 10)
        length = max(2, round((width - left - 200) * it.get("seconds", 8.0) / most))
        colour = "#2a7d4f" if lost == 0 else "#c0392b"
        said = f"{it.get('seconds', 8.0):.2f} s, " + ("none lost" if lost == 0 else f"{lost} of 10 lost")
        name = escape(RUNNERS[runner].replace("`", ""))
        lines.append(f'<text x="10" y="{y + 17}">{name}</text>')
        lines.append(f'<rect x="{left}" y="{y}" width="{length}" height="24" fill="{colour}"/>')
        lines.append(f'<text x="{left + length + 8}" y="{y + 17}">{said}</text>')
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    ask = "import platform; print(platform.python_version())"
    python = subprocess.run([PYTHON, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    machine = f"on {platform.system()} with {os.cpu_count()} cores, Python {python}, Node {node[1:]}"
    if "debug" in os.environ.get("TOOLHOST_BINARY", ""):
        machine += ", with an unoptimized build of toolhost"
    lines = ["| runner | " + " | ".join(it.title for it in SCENARIOS.values()) + " |"]
    lines.append("| --- |" + " --- |" * len(SCENARIOS))
    ten = {}
    for runner, title in RUNNERS.items():
        found = {name: measured(runner, name) for name in SCENARIOS}
        ten[runner] = found["ten"]
        lines.append(f"| {title}{version(runner)} | " + " | ".join(cell(*it) for it in found.items()) + " |")
        print(lines[-1], flush=True)
    text = ABOUT.format(machine=machine) + "\n".join(lines) + "\n"
    (ROOT / "docs/runners.md").write_text(text)
    (ROOT / "docs/runners.svg").write_text(svg(ten))


if __name__ == "__main__":
    main()
