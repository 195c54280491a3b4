"""Which model scores which window: what a window was first closed with stays its own.

A generation is named by cell and hash (`lstm-ca9b1ebd...`); no name, no network. `Starts` says
which one starts at which window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    Starts = Mapping[int, str]


def generation_at(starts: Starts, window: int) -> str:
    """Return the generation of a window; before all starts that of the first.

    Examples
    --------
    >>> starts = {100: "lstm-a", 130: "lstm-b"}
    >>> [generation_at(starts, window) for window in (99, 129, 130)]
    ['lstm-a', 'lstm-a', 'lstm-b']
    """
    begun = [start for start in starts if start <= window]
    return starts[max(begun, default=min(starts))]


def started(starts: Starts, generation: str, upcoming: int) -> dict[int, str]:
    """Have a generation score from the window that was never closed yet.

    Examples
    --------
    >>> started({100: "lstm-a", 130: "lstm-b"}, "lstm-c", 130)  # b never scored
    {100: 'lstm-a', 130: 'lstm-c'}
    """
    used = {start: name for start, name in starts.items() if start < upcoming}
    if used and generation_at(used, upcoming) == generation:
        return used
    return used | {upcoming: generation}
