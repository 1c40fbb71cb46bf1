#!/usr/bin/env python3
"""What `toolhost serve` takes, over stdio and over HTTP, beside the floor and the targets.

    benches/mcp.py [options]

builds the release binary and drives it by mcp_bench.py, which see for what is measured and how.
The floor is mcp_floor.c: a server that answers by hardly looking at what it is asked. Its calls a
second are those that the client can make. Needs the
guests (`cargo xtask guests`), gcc, and a quiet machine. Exits with 1 if a target is missed.
"""
import argparse
import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

IN_FLIGHT = 64
SPINNING = 16
# Wassette's calls a second over stdio at 64 in flight, measured once on a two-core machine; --wassette measures it again.
WASSETTE = 3_771

MANIFEST = """\
[host]
max-concurrency = {in_flight}

[plugin.echo]
path = {echo}

[plugin.misbehave]
path = {misbehave}
"""


def guest(name):
    path = ROOT / "target/guests" / f"{name}.wasm"
    if not path.is_file():
        sys.exit(f"{path} is missing: cargo xtask guests")
    return json.dumps(str(path))


def free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def drive(arguments):
    """mcp_bench.py, whose connections over HTTP are counted from when they are asked for.

    It counts one once it is being made. By then a burst has asked for a thousand times too many,
    and there are no files left to open.
    """
    import mcp_bench

    class Http(mcp_bench.Http):
        asked = 0

        def pump(self):
            while self.queue and self.idle:
                self.idle.pop().exchange(*self.queue.pop(0))
            for _ in range(min(len(self.queue), self.limit - self.open_count) - self.asked):
                self.asked += 1
                asyncio.ensure_future(self.asked_for())

        async def asked_for(self):
            self.asked -= 1
            await self.connect()

    mcp_bench.Http = Http
    sys.argv = [mcp_bench.__file__, *arguments]
    mcp_bench.main()


def measure(folder, name, server, phases, *options):
    """All figures of a run, by phase."""
    figures = folder / f"{name}.json"
    command = [sys.executable, __file__, "--drive", "--name", name, "--json", str(figures), "--only", phases,
               "--log", str(folder / f"{name}.log"), *options, "--", *map(str, server)]
    if subprocess.run(command, stdout=sys.stderr).returncode:
        log = folder / f"{name}.log"
        said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        print(f"{name} did not end well:\n{said}", file=sys.stderr)
        return {}
    return json.loads(figures.read_text())


def toolhost(folder, binary, http, options):
    manifest, cache = folder / "toolhost.toml", folder / "code"
    server = [binary, "--manifest", manifest, "--code-cache", cache, "serve"]
    more = ["--reset", f"rm -rf {shlex.quote(str(cache))}"]
    name = "stdio"
    if http:
        address = f"127.0.0.1:{free_port()}"
        server += ["--http", address]
        more += ["--url", f"http://{address}/mcp"]
        name = "http"
    return measure(folder, name, server, "start,seq,flight,burst,hang,hog", *more,
                   "--hang-tool", "spin", "--hang-counts", str(SPINNING), "--hang-wait", "3",
                   "--hog-tool", "allocate", "--rss-limit-mib", "2000", *options)


def floor(folder, http, options):
    program = folder / "mcp_floor"
    subprocess.run(["gcc", "-O2", "-o", program, ROOT / "benches/mcp_floor.c"], check=True)
    if not http:
        return measure(folder, "floor", [program], "start,seq,flight,burst", *options)
    port = free_port()
    url = ["--url", f"http://127.0.0.1:{port}/mcp"]
    return measure(folder, "floor-http", [program, port], "start,seq,flight,burst", *url, *options)


# ------------------------------------------------------------------- table

def get(figures, phase, key):
    return figures.get(phase, {}).get(key)


def whole(figures, phase):
    """Whether a phase's calls were all answered, and well."""
    found = figures.get(phase, {})
    return found.get("errors") == 0 and "incomplete" not in found


def others(figures, phase, key):
    """How many calls were answered, and their median in ms."""
    found = re.match(r"(\d+) answered, p50 ([\d.]+) ms", get(figures, phase, key) or "")
    return (int(found[1]), float(found[2])) if found else (0, None)


class Row:
    """A figure: how it is taken from a run, and what it has to be."""

    def __init__(self, figure, take, target="", holds=None, show="{:,}"):
        self.figure, self.take, self.target, self.holds, self.show = figure, take, target, holds, show

    def cell(self, figures):
        value = self.take(figures) if figures else None
        if value is None:
            return "-"
        return value if isinstance(value, str) else self.show.format(value)

    def good(self, figures):
        """None where nothing is asked for."""
        if self.holds is None or figures is None:
            return None
        try:
            return self.holds(figures)
        except (AttributeError, TypeError):
            return False                                    # there is no figure


def rows(base, wassette):
    flight, burst, hang = f"flight {IN_FLIGHT}", "burst 10000", f"hang x{SPINNING}"
    p50 = get(base, "seq", "p50_us")
    rate = wassette or WASSETTE
    label = f"beside Wassette's {rate:,} " + ("measured" if wassette else "recorded")

    def beside(figures):
        rate_now = get(figures, flight, "calls_per_s")
        return rate_now and f"{rate_now:,} ({rate_now / rate:.1f}x)"

    def meanwhile(figures):
        count, ms = others(figures, hang, "others_meanwhile")
        return f"{count} of 20, p50 {ms} ms" if count else None

    def hogged(figures):
        found = figures.get("hog")
        return found and f"{found['peak_rss_mib']} MiB, {others(figures, 'hog', 'others_after')[0]} of 20 after"

    return [
        Row(f"calls a second, {IN_FLIGHT} in flight", beside, label,
            lambda f: whole(f, flight) and get(f, flight, "calls_per_s") > rate),
        Row("server CPU a call, µs", lambda f: get(f, flight, "server_cpu_us_per_call"), "≤ 50",
            lambda f: get(f, flight, "server_cpu_us_per_call") <= 50),
        Row("one after the other, p50, µs", lambda f: get(f, "seq", "p50_us"),
            "stdio ≤ floor + 100",
            lambda f: None if "url" in f else get(f, "seq", "p50_us") <= p50 + 100),
        Row("10,000 at once, s", lambda f: get(f, burst, "wall_s"), "< 1",
            lambda f: whole(f, burst) and get(f, burst, "wall_s") < 1),
        Row("10,000 at once, peak MiB", lambda f: get(f, burst, "peak_rss_mib"), "< 100",
            lambda f: get(f, burst, "peak_rss_mib") < 100),
        Row("warm start to first result, ms", lambda f: get(f, "warm", "first_call_ms"), "≤ 20",
            lambda f: get(f, "warm", "first_call_ms") <= 20),
        Row("cold start to first result, ms", lambda f: get(f, "cold", "first_call_ms")),
        Row("memory after first result, MiB", lambda f: get(f, "warm", "rss_mib")),
        Row("lists asked for until whole", lambda f: get(f, "warm", "list_retries") + 1 if "warm" in f else None,
            "1", lambda f: get(f, "warm", "list_retries") == 0 and get(f, "warm", "call_retries") == 0),
        Row(f"calls beside {SPINNING} that spin", meanwhile, "20 of 20",
            lambda f: not get(f, hang, "hang_replies") and others(f, hang, "others_meanwhile")[0] == 20),
        Row("cores busy once they are cancelled", lambda f: get(f, hang, "cpu_cores_after_cancel"), "≤ 0.1",
            lambda f: get(f, hang, "cpu_cores_after_cancel") <= 0.1),
        Row("a tool that allocates for ever", hogged, "an error, then 20 of 20",
            lambda f: get(f, "hog", "reply").startswith(("isError", "error"))
            and others(f, "hog", "others_after")[0] == 20),
        Row("exits at end of input (http: SIGTERM)",
            lambda f: {True: "yes", False: "no"}.get(get(f, hang, "exits_at_end_of_input")), "yes",
            lambda f: get(f, hang, "exits_at_end_of_input") is True),
    ]


def table(stdio, http, base, base_http, wassette):
    """The lines, and whether all targets are met."""
    lines, met = [("figure", "toolhost stdio", "toolhost http", "floor stdio", "floor http", "target", "ok")], True
    for row in rows(base, wassette):
        verdicts = {name: row.good(figures) for name, figures in (("stdio", stdio), ("http", http))}
        bad = [name for name, good in verdicts.items() if good is False]
        met = met and not bad
        ok = "no: " + ", ".join(bad) if bad else "yes" if True in verdicts.values() else ""
        lines.append((row.figure, row.cell(stdio), row.cell(http), row.cell(base), row.cell(base_http), row.target, ok))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = "\n".join(" | ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip(" |")
                     for line in lines)
    return text, met


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--binary", type=Path, help="this one, instead of building it")
    p.add_argument("--only", choices=["stdio", "http"], help="one transport")
    p.add_argument("--starts", type=int, default=11)
    p.add_argument("--quick", action="store_true", help="fewer calls, for a look")
    p.add_argument("--wassette", metavar="COMMAND",
                   help="measure this command line of an MCP server over stdio too, for the ratio")
    p.add_argument("--wassette-tool", default="echo", help="its tool, that takes {\"text\": …}")
    o = p.parse_args()

    binary = o.binary
    if binary is None:
        subprocess.run(["cargo", "build", "--release", "--bin", "toolhost"], cwd=ROOT, check=True)
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        binary = target / "release/toolhost"
    options = ["--flight", str(IN_FLIGHT), "--starts", str(3 if o.quick else o.starts)]
    if o.quick:
        options += ["--calls", "500", "--flight-calls", "5000"]
    with tempfile.TemporaryDirectory(prefix="toolhost-mcp-") as name:
        folder = Path(name)
        (folder / "toolhost.toml").write_text(MANIFEST.format(
            in_flight=IN_FLIGHT, echo=guest("echo"), misbehave=guest("misbehave")))
        base = floor(folder, False, options)
        base_http = floor(folder, True, options) if o.only != "stdio" else None
        stdio = toolhost(folder, binary.resolve(), False, options) if o.only != "http" else None
        http = toolhost(folder, binary.resolve(), True, options) if o.only != "stdio" else None
        if http is not None:
            http["url"] = True
        wassette = None
        if o.wassette:
            figures = measure(folder, "wassette", shlex.split(o.wassette), "flight",
                              "--tool", o.wassette_tool, *options)
            wassette = get(figures, f"flight {IN_FLIGHT}", "calls_per_s")
    text, met = table(stdio, http, base, base_http, wassette)
    print(text)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        drive(sys.argv[2:])
    else:
        # As an interrupt does: what was started ends, and its folder goes.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        main()
