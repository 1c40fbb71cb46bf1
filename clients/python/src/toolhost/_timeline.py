"""The timeline of a run, as notebooks show it."""

from __future__ import annotations

import html
from typing import Sequence

from ._results import Result

_ROW = 22
_LABEL = 160
_WIDTH = 420


def draw(results: Sequence[Result]) -> str:
    """One bar for each call: waiting in grey, running in blue, a failed one in red."""
    end = max((it.usage.queue_ms + it.usage.run_ms for it in results), default=0.0) or 1.0
    scale = _WIDTH / end
    rows = []
    for row, it in enumerate(results):
        top = row * _ROW
        queue, run = it.usage.queue_ms * scale, max(it.usage.run_ms * scale, 1.0)
        said = html.escape(it.text[:200], quote=True)
        label = html.escape(it.name[:22])
        said_of = f"{it.usage.run_ms:.1f} ms" if it.error is None else it.error.code
        rows.append(
            f'<g><title>{said}</title><text x="0" y="{top + 15}">{label}</text>'
            f'<rect x="{_LABEL}" y="{top + 4}" width="{queue:.1f}" height="14" fill="#ccc"/>'
            f'<rect x="{_LABEL + queue:.1f}" y="{top + 4}" width="{run:.1f}" height="14" '
            f'fill="{"#4a7fb5" if it.error is None else "#c0504d"}"/>'
            f'<text x="{_LABEL + queue + run + 6:.1f}" y="{top + 15}" fill="#666">{said_of}</text></g>'
        )
    width, height = _LABEL + _WIDTH + 120, max(len(results), 1) * _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="12">{"".join(rows)}</svg>'
    )
