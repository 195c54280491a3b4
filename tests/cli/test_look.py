from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from swerve.close import Checkpoint
from swerve.deployed import check_deployed
from swerve.domain.behaviour import Behaviour
from swerve.domain.calibration import RunningCalibration
from swerve.domain.counts import count_window
from swerve.domain.event import Events
from swerve.domain.manifest import DedupRule, Erased, Manifest
from swerve.domain.merge import Renames
from swerve.domain.packing import UserTable, pack
from swerve.domain.population import Population
from swerve.domain.profile import ShardState
from swerve.domain.totals import totals_of
from swerve.domain.window import DAY_MS
from swerve.errors import SwerveError
from swerve.ports import AlertRow, PartialItem
from swerve.run import MODELS, PROGRESS, shard_key
from swerve.settings import Settings

from cli import look, look_user
from cli.look import Snapshot
from tests.fakes import World

SETTINGS = Settings(window="7d", shard_count=2)
SPEC = SETTINGS.windows
MONDAY = SPEC.parse("2026-11-16")
USER, OTHER = 0x1A2B3C4D5E6F7081, 0x1A2B3C4D00000000
SHOES = 77


@dataclass
class FakeStack:
    """What the views need of a stack."""

    world: World = field(default_factory=World)
    settings: Settings = SETTINGS

    outputs: dict[str, str] = field(default_factory=lambda: {"CloseWorkflowArn": "close"})
    failed: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)

    def client(self, _service: str) -> FakeStack:
        return self

    def list_executions(self, **asked: str) -> dict[str, list[dict[str, str]]]:
        found = self.failed if asked["statusFilter"] == "FAILED" else []
        return {"executions": [{"executionArn": name} for name in found]}

    def describe_execution(self, **_: str) -> dict[str, str]:
        return {"cause": '{"errorMessage": "no memory\\nleft"}'}


def events(user: int, keys: list[int]) -> Events:
    n = len(keys)
    return Events(
        user=np.full(n, user, np.uint64),
        key=np.array(keys, np.uint64),
        time_ms=SPEC.start_ms(MONDAY) + np.arange(n, dtype=np.int64),
        behaviour=np.full(n, Behaviour.PURCHASE, np.uint8),
        category=np.full(n, SHOES, np.uint64),
        item=np.zeros(n, np.uint64),
        campaign=np.zeros(n, np.uint64),
        value=np.ones(n, np.float32),
    )


def store(stack: FakeStack, batch_id: str, rows: Events, shard: int = 1) -> None:
    users = np.unique(rows.user)
    table = UserTable(users, np.zeros(users.size, np.uint32), np.zeros(users.size, np.uint64))
    for segment, data in enumerate(pack(rows, table)):
        item = PartialItem(shard, MONDAY, batch_id, segment, data, len(rows))
        stack.windows.put_partials([item], 1)
    manifest = Manifest(
        batch_id=batch_id,
        key=f"events/{batch_id}.csv",
        version="v1",
        source="shop",
        adapter="canonical",
        dedup=DedupRule.ID,
        key_id="k",
        rows=len(rows) + 1,
        packed=len(rows),
        duplicates=0,
        rejected={"no_user": 1},
        windows={MONDAY: len(rows)},
        shards=(shard,),
        segments=1,
        first_ms=int(rows.time_ms[0]),
        last_ms=int(rows.time_ms[-1]),
        watermark_ms=0,
        size_bytes=1000,
        uploaded_ms=0,
    )
    layout = check_deployed(stack.windows, stack.settings)
    stack.windows.put_manifest(manifest, 1, layout)
    stack.windows.raise_dirty([MONDAY])


def alert(subject: str, severity: str, kind: str = "switch", state: str = "sent") -> AlertRow:
    payload = {
        "window": {"label": "2026-11-16"},
        "subject": {"id": subject},
        "kind": kind,
        "p_value": 0.0001,
        "change": {"summary": {"en": f"{subject} changed"}},
    }
    sk = f"{subject}#{kind}"
    return AlertRow(MONDAY, sk, subject, state, "open", severity, json.dumps(payload), 0)


@pytest.fixture
def stack() -> FakeStack:
    made = FakeStack()
    store(made, "b1", events(USER, [1, 2, 3]))
    store(made, "b2", events(USER, [3, 4]))
    made.windows.put_names({SHOES: "shoes/running"})
    return made


def test_a_user_is_shown_by_window_and_no_event_twice(stack: FakeStack) -> None:
    said = "\n".join(look_user.user(stack, f"u-{USER:016x}"))
    assert "shard 1  4 events" in said
    assert "2026-11-16  4 purchase" in said
    assert "shoes/running 4" in said


def test_a_user_is_shown_as_the_detector_remembers_it(stack: FakeStack) -> None:
    # GIVEN the checkpoint that a close writes
    population, state = Population.empty(SPEC), ShardState.empty(SPEC)
    counts = count_window(events(USER, [1, 2, 3, 4]), SPEC, MONDAY)
    _, context, _ = population.advance(MONDAY, totals_of(counts, state.cohort)[0])
    kept = Checkpoint(state.advance(counts, context), Renames.none(), RunningCalibration.empty())
    stack.data.put(shard_key(SPEC, MONDAY, 1, 2), kept.to_bytes())
    stack.windows.put_state(PROGRESS, {"from": MONDAY, "through": MONDAY}, None)
    # WHEN
    said = "\n".join(look_user.user(stack, f"u-{USER:016x}"))
    # THEN
    assert "remembered after the window of 2026-11-16" in said
    assert "first seen    2026-11-16" in said
    assert "shoes/running              4 on 1 day in the last 8 weeks, 0.0 on 0.0 before" in said


def test_silent_windows_are_counted_and_named_categories_shown_by_window(stack: FakeStack) -> None:
    # GIVEN a user who comes again three weeks later, and an alert that names a category
    late = events(USER, [5])
    store(stack, "b3", replace(late, time_ms=late.time_ms + 21 * DAY_MS))
    row = alert(f"u-{USER:016x}", "high")
    told = json.loads(row.payload)
    told["change"]["to"] = {"category": "shoes/running"}
    stack.alerts.put(replace(row, payload=json.dumps(told)), None)
    # WHEN
    said = "\n".join(look_user.user(stack, f"u-{USER:016x}"))
    # THEN
    assert "2026-11-23  nothing for 2 windows" in said
    assert "shoes/running             4 0 0 1" in said


def test_a_user_with_an_alert_may_be_named_shortly(stack: FakeStack) -> None:
    stack.alerts.put(alert(f"u-{USER:016x}", "high"), None)
    assert next(look_user.user(stack, "u-1a2b3c4d")).startswith(f"u-{USER:016x}")


def test_a_short_name_of_two_users_is_refused(stack: FakeStack) -> None:
    stack.alerts.put(alert(f"u-{USER:016x}", "high"), None)
    stack.alerts.put(alert(f"u-{OTHER:016x}", "high"), None)
    with pytest.raises(SwerveError, match="not one user"):
        list(look_user.user(stack, "u-1a2b3c4d"))


def test_a_user_without_events_is_said_to_have_none(stack: FakeStack) -> None:
    with pytest.raises(SwerveError, match="no event"):
        list(look_user.user(stack, f"u-{OTHER:016x}"))


def test_a_shard_counts_users_and_events(stack: FakeStack) -> None:
    assert next(look.shard(stack, 1)) == "shard 1: 1 users, 5 events"
    with pytest.raises(SwerveError, match="shards 0 to 1"):
        list(look.shard(stack, 2))


def test_partials_without_a_manifest_do_not_exist(stack: FakeStack) -> None:
    # GIVEN
    rows = events(OTHER, [9])
    table = UserTable(rows.user, np.zeros(1, np.uint32), np.zeros(1, np.uint64))
    crashed = PartialItem(1, MONDAY, "b3", 0, pack(rows, table)[0], 1)
    # WHEN
    stack.windows.put_partials([crashed], 1)
    # THEN
    assert next(look.shard(stack, 1)) == "shard 1: 1 users, 5 events"


def test_any_day_names_its_window(stack: FakeStack) -> None:
    said = "\n".join(look.window(stack, "2026-11-18"))
    assert "window 2026-11-18: to be closed (changed 2 times, closed at 0)" in said
    assert "events/b1.csv" in said
    with pytest.raises(SwerveError, match="no event fell"):
        list(look.window(stack, "2020-01-01"))
    with pytest.raises(SwerveError, match="not a date"):
        list(look.window(stack, "yesterday"))


def test_a_closed_window_says_what_model_scores_it(stack: FakeStack) -> None:
    # GIVEN
    stack.windows.set_closed({MONDAY: 2})
    assert "  scored by none" in list(look.window(stack, "2026-11-18"))
    # WHEN
    stack.windows.put_state(MODELS, {"2026-11-09": "lstm-0123456789abcdef"}, None)
    # THEN
    assert "  scored by lstm-01234567" in list(look.window(stack, "2026-11-18"))


def test_an_open_window_says_what_it_waits_for(stack: FakeStack) -> None:
    # GIVEN data reaches the middle of the window, and a file came just now
    now_ms = int(time.time() * 1000)
    stack.windows.put_watermark("shop", SPEC.start_ms(MONDAY + 3), now_ms)
    # WHEN
    said = next(look.window(stack, "2026-11-18"))
    # THEN a day of lateness after its end
    waits = "open until data reaches 2026-11-24 00:00:00 UTC, or no file comes for 24 hours"
    assert waits in said


def test_a_batch_is_found_by_id_or_key(stack: FakeStack) -> None:
    by_id, by_key = list(look.batch(stack, "b1")), list(look.batch(stack, "events/b1.csv"))
    assert by_id == by_key
    assert "  rejected    1 no_user" in by_id
    assert not [line for line in by_id if "erased" in line]
    with pytest.raises(SwerveError, match="no batch"):
        list(look.batch(stack, "zz"))


def test_a_batch_says_what_was_erased_of_it(stack: FakeStack) -> None:
    # GIVEN
    batches = stack.world.windows.batches
    (events,) = batches["b1"].windows.values()
    batches["b1"] = batches["b1"].erase(MONDAY, Erased(2, 2))
    # WHEN
    said = list(look.batch(stack, "b1"))
    # THEN
    assert "  erased      2 packed events of customers who asked for it" in said
    assert f"  window      2026-11-16  {events - 2} events" in said


def test_alerts_are_sorted_by_gravity_and_filtered(stack: FakeStack) -> None:
    # GIVEN
    stack.alerts.put(alert("u-1", "low"), None)
    stack.alerts.put(alert("u-2", "critical", "drop"), None)
    stack.alerts.put(alert("u-3", "low", state="folded"), None)
    stack.alerts.put(replace(alert("u-4", "high"), status="withdrawn"), None)
    # WHEN
    everything = look.chosen_alerts(stack)
    # THEN
    assert [row.alert_id for row in everything] == ["u-2", "u-1"]
    assert [row.alert_id for row in look.chosen_alerts(stack, kind="drop")] == ["u-2"]
    assert [row.alert_id for row in look.chosen_alerts(stack, severity="low")] == ["u-1"]
    assert look.chosen_alerts(stack, window="2026-11-09") == []
    assert list(look.tally(everything))[-1] == "2 alerts"
    assert "u-2 changed" in list(look.alert_lines(everything))[1]


def test_a_snapshot_counts(stack: FakeStack) -> None:
    assert Snapshot.of(stack) == Snapshot(files=2, rows=7, closed=0, waiting=1, alerts=0)
    stack.windows.set_closed({MONDAY: 2})
    assert Snapshot.of(stack).closed == 1


def test_watching_once_says_each_alert_once(stack: FakeStack) -> None:
    stack.alerts.put(alert("u-1", "low"), None)
    said = list(look.follow(stack, every_s=0))
    assert said[0].startswith("2 files, 7 rows")
    assert sum("u-1 changed" in line for line in said) == 1


def test_watching_says_that_a_close_failed_and_why(stack: FakeStack) -> None:
    stack.failed = ["arn:aws:states:x:1:execution:close:2026-11-16-1"]
    said = list(look.follow(stack, every_s=0))
    assert said[-1] == "  close 2026-11-16-1 failed; another one tries: no memory left"
