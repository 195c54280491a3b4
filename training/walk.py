"""A shop's history window by window: what training, calibration and benchmarks go through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swerve.domain.counts import WindowCounts, count_window, split_windows
from swerve.domain.population import Context, Population
from swerve.domain.totals import Cohort, totals_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swerve.domain.event import Events
    from swerve.domain.window import WindowSpec


def in_context(events: Events, spec: WindowSpec) -> Iterator[tuple[WindowCounts, Context]]:
    """Each window's counts, and what the whole shop did, as a stack of one shard would see them."""
    population, cohort = Population.empty(spec), Cohort.empty(spec.days)
    for window, inside in split_windows(events, spec):
        counts = count_window(inside, spec, window)
        totals, cohort = totals_of(counts, cohort)
        population, context, _ = population.advance(window, totals)
        yield counts, context
