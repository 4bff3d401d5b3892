"""The chart that README shows: horizontal bars as SVG, readable on light and dark pages."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH, LABELS, ROW, BAR, TOP, MARGIN = 760, 200, 34, 20, 64, 16

STYLE = """
  text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #57606a }
  .title { font-size: 15px; font-weight: 600; fill: #1f2328 }
  .ours text { font-weight: 600; fill: #1f2328 }
  rect { fill: #b6bec7 }
  .ours rect { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 }
    .title, .ours text { fill: #f0f6fc }
    rect { fill: #4b535d }
    .ours rect { fill: #4493f8 }
  }
"""


def bars(title: str, subtitle: str, figures: Mapping[str, float], *, highlighted: str) -> str:
    """Draw the figures, in microseconds, the smallest on top and one of them highlighted."""
    height = TOP + ROW * len(figures) + MARGIN
    scale = (WIDTH - LABELS - 100) / max(figures.values())
    ordered = sorted(figures.items(), key=lambda pair: pair[1])
    rows = "\n".join(
        row(TOP + ROW * index, name, value, value * scale, highlighted)
        for index, (name, value) in enumerate(ordered)
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"
  height="{height}" role="img" aria-label="{escape(title)}">
<style>{STYLE}</style>
<text class="title" x="{MARGIN}" y="26">{escape(title)}</text>
<text x="{MARGIN}" y="46">{escape(subtitle)}</text>
{rows}
</svg>
"""


def row(top: int, name: str, value: float, length: float, highlighted: str) -> str:
    """One bar, its label to the left and its figure to the right."""
    kind = "ours" if name == highlighted else "peer"
    baseline = top + ROW // 2 + 5
    end = LABELS + length
    return f"""\
<g class="{kind}">
<text x="{LABELS - 10}" y="{baseline}" text-anchor="end">{escape(name)}</text>
<rect x="{LABELS}" y="{top + (ROW - BAR) // 2}" width="{length:.1f}" height="{BAR}" rx="3"/>
<text x="{end + 8:.1f}" y="{baseline}">{value:,.0f} µs</text>
</g>"""
