"""From closed windows to messages: each alert told once, and again only when it changed."""

from __future__ import annotations

import json
from collections import defaultdict
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from jsonschema import Draft202012Validator, FormatChecker
from swerve.notify import tell
from swerve.publishing import NotifyDeps

from tests.closing import SETTINGS, Closer, shop, upload

if TYPE_CHECKING:
    from swerve.domain.event import Events

WEEKS = 14
SCHEMA = json.loads((files("swerve") / "schema" / "interest-alert-1.0.json").read_text("utf-8"))


def tell_all(closer: Closer) -> None:
    """Two runs a day apart: one at once, one with the digest."""
    world = closer.world
    topics = {"email": world.email, "sms": world.sms, "events": world.events}
    ports = (closer.settings, world.windows, world.data, world.alerts, world.clock)
    for _ in range(2):
        stop_ms = world.clock.now_ms() + 10**9
        tell(NotifyDeps(*ports, topics, world.clock.advance, "run", stop_ms))
        world.clock.advance(86_400)


def weeks_of(events: Events) -> list[Events]:
    windows = SETTINGS.windows.window_of(events.time_ms)
    return [events.take(windows == window) for window in np.unique(windows)]


def statuses(closer: Closer) -> dict[str, list[str]]:
    told: dict[str, list[str]] = defaultdict(list)
    for sent in closer.world.events.published:
        event = json.loads(sent.message)
        told[event["alert_id"]].append(event["status"])
    return told


def test_every_alert_is_told_once_in_a_valid_message() -> None:
    # GIVEN a history closed at once
    closer = Closer()
    upload(closer.world, shop(WEEKS))
    closer.close()
    # WHEN
    tell_all(closer)
    # THEN
    rows = [row for row in closer.world.alerts.rows.values() if row.state != "folded"]
    assert rows
    assert {row.state for row in rows} == {"sent"}
    assert {key: len(said) for key, said in statuses(closer).items()} == {
        row.alert_id: 1 for row in rows
    }
    validator = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
    for sent in closer.world.events.published:
        assert [fault.message for fault in validator.iter_errors(json.loads(sent.message))] == []
    assert closer.world.email.published
    pages = [key for key in closer.world.data.files if key.startswith("pages/")]
    assert sorted(pages) == sorted(f"pages/{row.alert_id}.html" for row in rows)


def test_closing_again_says_nothing() -> None:
    closer = Closer()
    events = shop(WEEKS)
    upload(closer.world, events)
    closer.close()
    tell_all(closer)
    before = len(closer.world.events.published), len(closer.world.email.published)
    # WHEN the same file comes once more, and every window is closed again
    upload(closer.world, events)
    closer.world.windows.raise_dirty([int(SETTINGS.windows.window_of(events.time_ms).min())])
    closer.close()
    tell_all(closer)
    # THEN
    assert (len(closer.world.events.published), len(closer.world.email.published)) == before


def test_weeks_that_come_late_correct_what_was_told() -> None:
    # GIVEN a shop that sends its odd weeks first: many look like churn, and is told so
    closer = Closer()
    weeks = weeks_of(shop(WEEKS, users=24, changed=6))
    for week in weeks[:8] + weeks[8::2]:
        upload(closer.world, week)
        closer.close()
        tell_all(closer)
    # WHEN the missing weeks arrive
    for week in weeks[9::2]:
        upload(closer.world, week)
        closer.close()
        tell_all(closer)
    # THEN nothing is told as new twice, and the last word on each alert is what the table says
    told = statuses(closer)
    assert all(said.count("open") <= 1 for said in told.values())
    assert any("withdrawn" in said for said in told.values())
    assert any("updated" in said for said in told.values())
    for row in closer.world.alerts.rows.values():
        if row.state == "folded":
            assert row.alert_id not in told or row.status == "withdrawn"
        elif row.status == "withdrawn":
            assert told[row.alert_id][-1] == "withdrawn"
        else:
            assert row.state == "sent"
            assert told[row.alert_id]
    # and the alerts are those of the same history closed at once
    at_once = Closer()
    upload(at_once.world, shop(WEEKS, users=24, changed=6))
    at_once.close()
    alive = {r.alert_id for r in closer.world.alerts.rows.values() if r.status != "withdrawn"}
    assert alive == {row.alert_id for row in at_once.world.alerts.rows.values()}
