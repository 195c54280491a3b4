from __future__ import annotations

import csv
import gzip
import json

import pytest
from swerve.adapters.processes import workers
from swerve.backtest import backtest, first_partial
from swerve.domain.candidate import Head
from swerve.domain.window import DAY_MS, WindowSpec
from swerve.shard_walk import Shard

from tests.domain.shop import FIRST_DAY, WEEK_MS, shop

WEEKLY = WindowSpec(7, "UTC")


@pytest.fixture(scope="module")
def events():
    return shop(
        users=90,
        weeks=26,
        rate=25,
        change=lambda user, week, taste, others: (
            others[user + 30] if user < 9 and week > 15 else taste
        ),
        volume=lambda user, week: 0.0 if 9 <= user < 15 and week > 14 else 1.0,
    )


def without_network():
    return Shard(None)


def run(events, out, budget=5.0, jobs=1, spec=WEEKLY):
    with workers(without_network, jobs) as shards:
        told = backtest(events, spec, out, shards, {}, budget_per_1000=budget)
    alerts = [json.loads(line) for line in (out / "alerts.jsonl").read_text().splitlines()]
    with gzip.open(out / "scores.csv.gz", "rt") as stored:
        scores = list(csv.DictReader(stored))
    return told, alerts, scores


@pytest.fixture(scope="module")
def whole(events, tmp_path_factory):
    return run(events, tmp_path_factory.mktemp("whole"))


def test_what_is_written(whole):
    told, alerts, scores = whole
    assert told.windows == 26
    assert told.alerts == len(alerts) > 5
    assert len(scores) == len(Head) * told.user_windows
    assert {s["head"] for s in scores} == set(Head)
    assert min(s["window_start"] for s in scores) == WEEKLY.label(FIRST_DAY + 12 * 7)
    needed = {"subject", "level", "head", "kind", "window_start", "window_end", "p_value"}
    assert all(needed | {"severity", "evidence"} <= set(alert) for alert in alerts)


@pytest.mark.parametrize("weeks", [14, 19, 23])
def test_a_file_cut_at_any_week_says_the_same_up_to_that_week(events, whole, tmp_path, weeks):
    # GIVEN
    _, alerts, scores = whole
    end = FIRST_DAY + 7 * weeks
    # WHEN
    cut = events.take(events.time_ms < FIRST_DAY * DAY_MS + weeks * WEEK_MS)
    _, cut_alerts, cut_scores = run(cut, tmp_path)
    # THEN
    assert cut_alerts == [a for a in alerts if a["window_start"] < WEEKLY.label(end)]
    assert cut_scores == [s for s in scores if s["window_start"] < WEEKLY.label(end)]


@pytest.mark.parametrize(("jobs", "spec"), [(2, WEEKLY), (3, WEEKLY), (2, WindowSpec(1, "UTC"))])
def test_any_number_of_processes_writes_the_same_bytes(events, tmp_path, jobs, spec):
    # GIVEN: a third of the users, as a process must start for each job
    some = events.take(events.user % 3 == 0) if spec.days == 1 else events
    # WHEN
    run(some, tmp_path / "one", spec=spec)
    run(some, tmp_path / "more", jobs=jobs, spec=spec)
    # THEN
    for name in ("alerts.jsonl", "scores.csv.gz"):
        written = (tmp_path / "more" / name).read_bytes()
        assert written == (tmp_path / "one" / name).read_bytes()
        assert len(written) > 100


def test_a_fault_in_a_process_is_raised_here():
    with workers(without_network, 2) as shards:
        shards[0].ask("totals")
        with pytest.raises(AttributeError):
            shards[0].answer()


def test_no_second_alert_within_the_cool_down(whole):
    _, alerts, _ = whole
    last = {}
    for alert in alerts:
        key = alert["level"], alert["subject"], alert["head"]
        window = WEEKLY.parse(alert["window_start"])
        assert window - last.get(key, -999) >= 8 * 7
        last[key] = window


def test_a_first_week_that_starts_late_is_not_scored():
    events = shop(users=5, weeks=2)
    late = events.take(events.time_ms >= (FIRST_DAY + 2) * DAY_MS)
    assert not first_partial(events, WEEKLY)
    assert first_partial(late, WEEKLY)
    assert not first_partial(late, WindowSpec(1, "UTC"))
