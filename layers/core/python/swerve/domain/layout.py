"""Plain-text layout by display width: wrapping English and Chinese, hanging indents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swerve.domain.lint import EMAIL_COLUMNS, display_width

if TYPE_CHECKING:
    from collections.abc import Iterable

# No Chinese line starts with a closing mark or ends with an opening one.
_CLOSING = "，。；：、！？）】》％%)]"
_OPENING = "（【《(["
_TOKEN = re.compile(
    rf"\s+|[{re.escape(_OPENING)}]*(?:[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]|[^\s\u2e80-\u9fff"
    rf"\uf900-\ufaff\uff00-\uffef]+)[{re.escape(_CLOSING)}]*|."
)


def wrap(text: str, columns: int) -> list[str]:
    """Break into lines of at most `columns`; a longer word (a link) gets a line of its own."""
    lines, line = [], ""
    for token in _TOKEN.findall(text):
        if display_width(line) + display_width(token.rstrip()) <= columns:
            line += token
            continue
        if line.strip():
            lines.append(line.rstrip())
        line = token.lstrip()
    if line.strip():
        lines.append(line.rstrip())
    return lines


def block(label: str, texts: Iterable[str], indent: int) -> list[str]:
    """Label in the left margin, then each text wrapped and hung at `indent` columns.

    Examples
    --------
    >>> block("WHO", ["User u-7f3a91c2"], 7)
    ['WHO    User u-7f3a91c2']
    """
    body = [line for text in texts for line in wrap(text, EMAIL_COLUMNS - indent)]
    margin = label + " " * (indent - display_width(label))
    return [(margin if row == 0 else " " * indent) + line for row, line in enumerate(body)]


def bullets(texts: Iterable[str]) -> list[str]:
    """`  - ` before each text, its further lines hung below."""
    rows = []
    for text in texts:
        lines = wrap(text, EMAIL_COLUMNS - 4)
        rows += [("  - " if row == 0 else "    ") + line for row, line in enumerate(lines)]
    return rows
