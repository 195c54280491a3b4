"""Charts of an alert's page as inline SVG."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from swerve.domain.figures import percent, score_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Okabe and Ito, "Color universal design" (2008): the category gained first, then the one lost.
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#E69F00", "#56B4E9", "#CC79A7")
_OTHER = "#9aa3ad"
_SERIES = len(_COLOURS)
_SLIVER = 0.4  # where all named categories are less, the rest is left out

_WIDTH = 720
_LEFT, _RIGHT = 56, 8
_TOP = 30  # room for the date of the change, on a phone too


def share_chart(payload: Mapping[str, Any], label: str, other: str, since: str) -> str:
    """Stacked shares by window with the change marked; `other` names the rest."""
    history = payload.get("history", [])
    if not any(point["shares"] for point in history):
        return _before_and_now(payload, label)
    names = _series(payload, history)
    scale = _scale(names, history)
    height = 200
    paths: list[list[str]] = [[] for _ in range(len(names) + 1)]
    for x, width, point in _columns(history):
        if point["actions"] <= 0:
            continue
        shares = {share["name"]: share["share"] for share in point["shares"]}
        level = float(_TOP + height)
        known = [shares.get(name, 0.0) for name in names]
        rest = max(0.0, 1.0 - sum(known)) if scale == 1 else 0.0
        for path, share in zip(paths, [*known, rest], strict=True):
            tall = round(share / scale * height, 1)
            if tall > 0:
                level -= tall
                path.append(f"M{x} {level:.1f}h{width}v{tall}h-{width}z")
    colours = [*_COLOURS[: len(names)], _OTHER]
    bars = "".join(
        f'<path d="{"".join(path)}" fill="{colour}"/>'
        for path, colour in zip(paths, colours, strict=True)
        if path
    )
    grid = "".join(
        _line(_TOP + height * (1 - part), percent(part * scale)) for part in (0.0, 0.5, 1.0)
    )
    dates = _dates(history, _TOP + height)
    body = grid + bars + dates + _change_mark(payload, since, _TOP, height)
    shown = [*names, other] if scale == 1 else names
    return _svg(body, _TOP + height + 24, label) + _legend(shown, colours[: len(shown)])


def _scale(names: Sequence[str], history: Sequence[Mapping[str, Any]]) -> float:
    """Share at the top of the chart: less than all where the named ones would be slivers of it."""
    most = max(
        sum(share["share"] for share in point["shares"] if share["name"] in names)
        for point in history
    )
    return 1.0 if most > _SLIVER else max(0.1, math.ceil(most * 10) / 10)


def activity_chart(payload: Mapping[str, Any], label: str, since: str) -> str:
    """Actions by window; empty without history."""
    history = payload.get("history", [])
    most = max((point["actions"] for point in history), default=0.0)
    if most <= 0:
        return ""
    top, height = _TOP, 90
    path = "".join(
        f"M{x} {top + height}h{width}v-{point['actions'] / most * height:.1f}h-{width}z"
        for x, width, point in _columns(history)
    )
    grid = _line(top + height, "0") + _line(top, f"{most:,.0f}")
    bars = f'<path d="{path}" fill="{_COLOURS[1]}"/>'
    body = grid + bars + _dates(history, top + height) + _change_mark(payload, since, top, height)
    return _svg(body, top + height + 24, label)


def score_chart(payload: Mapping[str, Any], label: str) -> str:
    """Score of the head by window against the line that fires; empty without scores."""
    history = payload.get("history", [])
    scored = [
        (x + width / 2, point["score"]) for x, width, point in _columns(history) if "score" in point
    ]
    if len(scored) < 2:
        return ""
    limit = score_of(payload.get("p_limit", 1.0))
    most = max([limit, *(score for _, score in scored)]) * 1.1
    top, height = _TOP, 110

    def y(score: float) -> float:
        return float(top + height * (1 - score / most))

    points = " ".join(f"{x:.1f},{y(score):.1f}" for x, score in scored)
    last_x, last = scored[-1]
    body = (
        _line(top + height, "0")
        + f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(limit):.1f}" '
        f'y2="{y(limit):.1f}"/><text x="0" y="{y(limit) + 4:.1f}">{limit:.1f}</text>'
        + f'<polyline class="score" points="{points}"/>'
        + f'<circle class="dot" cx="{last_x:.1f}" cy="{y(last):.1f}" r="4"/>'
        + f'<text class="strong" x="{last_x - 8:.1f}" y="{y(last) + 4:.1f}" text-anchor="end">'
        f"{last:.1f}</text>" + _dates(history, top + height)
    )
    return _svg(body, top + height + 24, label)


def _series(payload: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names to draw: gained and lost first, then the largest, ties by name."""
    weight: dict[str, float] = {}
    for point in history:
        for share in point["shares"]:
            weight[share["name"]] = weight.get(share["name"], 0.0) + share["share"]
    change = payload["change"]
    first = [change[side]["name"] for side in ("to", "from") if "name" in change[side]]
    ranked = sorted(weight, key=lambda name: (-weight[name], name))
    return list(dict.fromkeys([*first, *ranked]))[:_SERIES]


def _before_and_now(payload: Mapping[str, Any], label: str) -> str:
    """Two bars a category, was and is, where no history was kept."""
    moved = [payload["change"][side] for side in ("to", "from")]
    moved = [share for share in moved if share.get("share") or share.get("was")]
    if not moved:
        return ""
    wide = _WIDTH - 230
    rows = []
    for place, (share, colour) in enumerate(zip(moved, _COLOURS, strict=False)):
        y = 10 + place * 56
        rows.append(f'<text class="strong" x="0" y="{y + 14}">{escape(share["name"])[:120]}</text>')
        for row, (part, opacity) in enumerate(((share["was"], 0.45), (share["share"], 1))):
            width = max(1, round(part * wide))
            rows.append(
                f'<rect x="180" y="{y + row * 20}" width="{width}" height="16" rx="2" '
                f'fill="{colour}" opacity="{opacity}"/>'
                f'<text x="{186 + width}" y="{y + row * 20 + 13}">{escape(percent(part))}</text>'
            )
    return _svg("".join(rows), 10 + 56 * len(moved), label)


def _columns(
    history: Sequence[Mapping[str, Any]],
) -> list[tuple[float, float, Mapping[str, Any]]]:
    """(x, width, point) of each window."""
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(history), 1)
    width = round(step * 0.82, 1)
    return [(round(_LEFT + step * place, 1), width, point) for place, point in enumerate(history)]


def _change_mark(payload: Mapping[str, Any], since: str, top: float, height: float) -> str:
    """Dashed line where the change began, with its date in the words of `since`."""
    changed = payload["window"]["change_label"]
    for x, width, point in _columns(payload["history"]):
        if point["window"] >= changed:
            at = x - width * 0.11
            anchor, gap = ("end", -5) if at > _WIDTH / 2 else ("start", 5)
            return (
                f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{top - 6}" '
                f'y2="{top + height}"/><text class="strong" x="{at + gap:.1f}" y="{top - 5}" '
                f'text-anchor="{anchor}">{since.format(day=changed)}</text>'
            )
    return ""


def _dates(history: Sequence[Mapping[str, Any]], y: float) -> str:
    columns = _columns(history)
    first, last = columns[0], columns[-1]
    return (
        f'<text x="{first[0]}" y="{y + 17}">{first[2]["window"]}</text>'
        f'<text x="{last[0] + last[1]:.1f}" y="{y + 17}" text-anchor="end">'
        f"{last[2]['window']}</text>"
    )


def _line(y: float, text: str) -> str:
    return (
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="0" y="{y + 4:.1f}">{text}</text>'
    )


def _legend(names: Sequence[str], colours: Sequence[str]) -> str:
    items = "".join(
        f'<li><i style="background:{colour}"></i>{escape(name)}</li>'
        for name, colour in zip(names, colours, strict=True)
    )
    return f'<ul class="legend">{items}</ul>'


def _svg(body: str, height: float, label: str) -> str:
    """`label` is escaped by the caller."""
    return f'<svg viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{label}">{body}</svg>'
