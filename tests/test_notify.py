from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from swerve.domain.alert import build_payload, to_json
from swerve.domain.candidate import Candidate
from swerve.domain.identity import page_key
from swerve.domain.selection import Selection, Standing
from swerve.domain.severity import Severity
from swerve.errors import TransientFault
from swerve.notify import asks_to_tell, tell
from swerve.ports import AlertRow
from swerve.publishing import LEASE_MS, NotifyDeps
from swerve.settings import Settings

from tests.domain.alerts import FACTS, NAMES, WINDOW, candidates, decision
from tests.fakes import FakeTopic, World
from tests.faults import Crash

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUR_S = 3600
NOON_MS = 1_795_521_600_000  # 2026-11-24 12:00 UTC: not a quiet hour
CHANNELS = ("email", "sms", "events")


@dataclass
class TimedTopic(FakeTopic):
    """Remembers when each message was published."""

    clock: Any = None
    times: list[int] = field(default_factory=list)

    def publish(self, message: str, subject: str | None, attributes: Mapping[str, object]) -> str:
        answer = super().publish(message, subject, attributes)
        self.times.append(self.clock.now_ms())
        return answer


class Shop:
    """A world with alerts to tell."""

    def __init__(self, **settings: Any) -> None:
        self.world = World()
        self.world.clock.ms = NOON_MS
        self.settings = replace(
            Settings(window="7d", time_zone="UTC", link_base="https://al.example.com"), **settings
        )
        self.topics = {
            name: TimedTopic(self.world.faults, clock=self.world.clock) for name in CHANNELS
        }
        self.runs = 0

    def put(
        self, severity: str = "high", user: int = 0, window: int = WINDOW, **changed: Any
    ) -> AlertRow:
        candidate = candidates()["user-switch"]
        fields = {name: getattr(candidate, name) for name in Candidate.__dataclass_fields__}
        mine = Candidate(**{**fields, "subject": f"u-{user:016x}", "window": window})
        payload = build_payload(decision(mine, severity=Severity(severity)), NAMES, FACTS)
        payload |= {k: v for k, v in changed.items() if k in {"status", "resolved_at"}}
        row = AlertRow(
            window,
            f"{mine.subject}#switch",
            payload["alert_id"],
            "selected",
            payload["status"],
            severity,
            to_json(payload),
            revision=1,
        )
        row = replace(row, **{k: v for k, v in changed.items() if k in {"told", "state"}})
        self.world.alerts.rows[row.window, row.subject_kind] = row
        return row

    def tell(self, seconds: float = 240) -> Counter[str]:
        self.runs += 1
        clock = self.world.clock
        return tell(
            NotifyDeps(
                self.settings,
                self.world.windows,
                self.world.data,
                self.world.alerts,
                clock,
                self.topics,
                clock.advance,
                f"run-{self.runs}",
                clock.now_ms() + round(seconds * 1000),
            )
        )

    def after(self, seconds: float) -> Shop:
        self.world.clock.advance(seconds)
        return self

    def mails(self) -> list[str]:
        return [str(sent.subject) for sent in self.topics["email"].published]

    def states(self) -> Counter[str]:
        return Counter(row.state for row in self.world.alerts.rows.values())

    def told_events(self) -> Counter[str]:
        return Counter(
            json.loads(sent.message)["alert_id"] for sent in self.topics["events"].published
        )


def test_a_critical_alert_goes_out_at_once_on_every_channel() -> None:
    shop = Shop()
    row = shop.put("critical")
    assert shop.tell() == {"email": 1, "sms": 1, "events": 1}
    assert shop.states() == {"sent": 1}
    assert shop.mails() == ["[CRITICAL] Interest shift: user u-00000000 Outdoor -> Baby"]
    (event,) = shop.topics["events"].published
    assert json.loads(event.message)["told_at"] == "2026-11-24T12:00:00Z"
    assert event.attributes["use_case"] == ["campaign", "recommendation"]
    assert len(event.attributes) <= 10
    page = shop.world.data.files[page_key(row.alert_id)].decode()
    assert "Interest shift" in page
    # and never again
    assert shop.after(HOUR_S).tell() == {"email": 0, "sms": 0, "events": 0}


def test_the_rest_waits_for_a_digest() -> None:
    shop = Shop(digest_hours=3)
    shop.put("high", 1)
    shop.tell()  # few alerts go by themselves, and the digest's time begins
    for user in range(10, 16):
        shop.put("medium", user)
    assert shop.after(HOUR_S).tell()["email"] == 0
    assert shop.states() == {"sent": 1, "selected": 6}
    assert shop.after(2 * HOUR_S).tell()["email"] == 1
    assert shop.states() == {"sent": 7}
    assert shop.mails()[-1] == "[DIGEST] 6 alerts, to 24 Nov 15:00 UTC (0 critical, 0 high)"
    assert shop.topics["sms"].published == []


def test_the_digest_counts_what_cool_downs_hold_back() -> None:
    shop = Shop()
    for user in range(5):
        shop.put("low", user)
    made = candidates()["user-switch"]
    standing = Standing(
        made.level, made.subject, made.head, made.kind, WINDOW, 1e-3, open=True, held=7
    )
    memory = Selection(WINDOW, (standing,)).to_json()
    shop.world.data.files["selection/window=2026-11-16.json"] = memory.encode()
    shop.tell()
    assert "heard of their subject lately: 7" in shop.topics["email"].published[0].message


def test_the_day_has_a_budget_and_says_what_it_held_back() -> None:
    # GIVEN room for 2 mails beside the 8 digests of a day
    shop = Shop(daily_email_budget=10, daily_sms_budget=3)
    for user in range(9):
        shop.put("critical", user)
    # WHEN
    sent = shop.tell()
    # THEN two go by themselves, the rest as a digest that counts them
    assert sent == {"email": 3, "sms": 3, "events": 9}
    assert "daily budget (10): 7" in shop.topics["email"].published[-1].message
    assert shop.states() == {"sent": 9}


@pytest.mark.parametrize("budget", [1, 3, 12])
def test_budgets_hold_over_many_windows(budget: int) -> None:
    shop = Shop(daily_email_budget=budget, daily_sms_budget=budget, quiet_hours="")
    for step in range(4 * 24):
        for user in range(3):
            shop.put("critical" if user else "medium", user, WINDOW + 7 * step)
        shop.after(HOUR_S).tell()
    for channel in ("email", "sms"):
        days = Counter(ms // 86_400_000 for ms in shop.topics[channel].times)
        assert max(days.values()) == budget
    assert set(shop.told_events().values()) == {1}


def test_never_more_than_one_message_a_second() -> None:
    shop = Shop(daily_email_budget=1000, daily_sms_budget=1000)
    for user in range(40):
        shop.put("critical", user)
    shop.tell()
    shop.put("critical", 99)
    shop.tell()
    for topic in shop.topics.values():
        assert len(topic.times) == 41
        gaps = [later - one for one, later in zip(topic.times, topic.times[1:], strict=False)]
        assert min(gaps) >= 1000


def test_a_topic_has_one_publisher() -> None:
    # GIVEN another function that holds the token of one topic
    shop = Shop()
    shop.put("critical")
    shop.world.windows.states["publish#email"] = {
        "owner": "other",
        "until_ms": NOON_MS + LEASE_MS,
        "last_ms": 0,
    }
    # WHEN / THEN
    assert shop.tell() == {"sms": 1, "events": 1}
    assert shop.states() == {"selected": 1}
    assert shop.after(LEASE_MS / 1000 + 1).tell()["email"] == 1
    assert shop.states() == {"sent": 1}


def test_text_messages_sleep_at_night() -> None:
    shop = Shop(quiet_hours="21-08")
    shop.after(10 * HOUR_S).put("critical")  # 22:00
    assert shop.tell() == {"email": 1, "sms": 0, "events": 1}
    assert shop.after(9 * HOUR_S).tell()["sms"] == 0  # 07:00
    assert shop.after(HOUR_S).tell()["sms"] == 1  # 08:00
    assert shop.states() == {"sent": 1}


def test_a_withdrawal_is_told_like_the_alert() -> None:
    shop = Shop()
    shop.put("critical", status="withdrawn", told="earlier")
    shop.tell()
    assert shop.mails() == ["[WITHDRAWN] Interest shift: user u-00000000 Outdoor -> Baby"]


def test_what_ended_before_it_was_told_rings_no_bell() -> None:
    shop = Shop()
    for user in range(5):
        shop.put("critical", user, status="resolved", resolved_at="2026-11-24T00:00:00Z")
    assert shop.tell() == {"email": 1, "sms": 0, "events": 5}
    assert shop.mails() == ["[DIGEST] 5 alerts, to 24 Nov 12:00 UTC (0 critical, 0 high)"]


def test_a_flood_is_asked_about_once() -> None:
    # GIVEN more alerts of one window than the limit, and another window below it
    shop = Shop(flood_limit=20)
    for user in range(30):
        shop.put("critical" if user < 5 else "high", user)
    shop.put("critical", 50, WINDOW - 7)
    # WHEN
    assert shop.tell() == {"email": 2, "sms": 2, "events": 31}
    # THEN there is one question and the other window's alert; later rows of the flood are silent
    assert shop.mails()[0] == "[CHECK] 30 alerts in one window: data or model problem?"
    shop.put("critical", 77)
    assert shop.after(4 * HOUR_S).tell() == {"email": 0, "sms": 0, "events": 1}
    assert shop.states() == {"sent": 32}


def test_what_there_is_no_time_for_stays() -> None:
    shop = Shop()
    for user in range(30):
        shop.put("high", user)
    shop.tell(seconds=10)
    assert 5 < len(shop.topics["events"].published) < 15
    shop.tell()
    assert shop.states() == {"sent": 30}
    assert set(shop.told_events().values()) == {1}


def test_a_row_that_a_close_changes_meanwhile_is_told_anew() -> None:
    # GIVEN a close that updates the row while its message is on the way
    shop = Shop()
    row = shop.put("critical")

    class Racing(TimedTopic):
        def publish(self, *message: Any) -> str:
            now = shop.world.alerts.rows[row.window, row.subject_kind]
            update = replace(
                now, state="selected", status="updated", told="earlier", revision=now.revision + 1
            )
            shop.world.alerts.rows[row.window, row.subject_kind] = update
            shop.topics["sms"] = TimedTopic(shop.world.faults, clock=shop.world.clock)
            return super().publish(*message)

    shop.topics["sms"] = Racing(shop.world.faults, clock=shop.world.clock)
    # WHEN
    shop.tell()
    # THEN the update is not lost
    assert shop.world.alerts.rows[row.window, row.subject_kind].told == "earlier email events"
    shop.tell()
    assert len(shop.topics["sms"].published) == 1
    assert shop.states() == {"sent": 1}


def _mixed_shop() -> Shop:
    shop = Shop(daily_email_budget=1000, daily_sms_budget=1000)
    for user in range(2):
        shop.put("critical", user)
    for user in range(10, 15):
        shop.put("medium", user)
    return shop


def _mentions(shop: Shop, channel: str) -> Counter[str]:
    """How often each alert was told on a channel; a digest tells of all that it links to."""
    told: Counter[str] = Counter()
    for sent in shop.topics[channel].published:
        told.update(set(re.findall(r"01[0-9A-HJKMNP-TV-Z]{24}", sent.message)))
    return told


def test_a_crash_at_any_call_repeats_at_most_one_message_and_loses_none() -> None:
    calm = _mixed_shop()
    calm.tell()
    calls = calm.world.faults.calls
    messages = {name: len(topic.published) for name, topic in calm.topics.items()}
    assert messages == {"email": 3, "sms": 2, "events": 7}
    for k in range(1, calls + 1):
        # GIVEN a function that dies just before its k-th call
        shop = _mixed_shop()
        shop.world.break_with(crash_at=k)
        with pytest.raises(Crash):
            shop.tell()
        shop.world.faults.heal()
        # WHEN the next ones run, after the leases
        for _ in range(2):
            shop.after(4 * HOUR_S).tell()
        # THEN
        assert shop.states() == {"sent": 7}
        repeated = 0
        for channel, expected in messages.items():
            published = len(shop.topics[channel].published)
            assert published >= expected
            repeated += published - expected
        assert repeated <= 1, k
        assert set(shop.told_events()) == set(calm.told_events())
        assert _mentions(shop, "sms").keys() == _mentions(calm, "sms").keys()


@pytest.mark.parametrize("seed", range(25))
def test_throttling_loses_nothing(seed: int) -> None:
    shop = _mixed_shop()
    shop.world.break_with(throttle=0.08, seed=seed)
    for _ in range(60):
        try:
            shop.after(4 * HOUR_S).tell()
        except TransientFault:
            continue
    shop.world.faults.heal()
    shop.after(4 * HOUR_S).tell()
    assert shop.states() == {"sent": 7}
    assert len(shop.told_events()) == 7


def test_only_known_messages_are_taken() -> None:
    assert asks_to_tell('{"task": "tell"}')
    assert asks_to_tell('{"task": "early", "shard": 3}')
    for unknown in ('{"task": "select"}', "[]", "not json", "{}"):
        assert not asks_to_tell(unknown)


def test_the_token_outlives_the_function() -> None:
    from pathlib import Path

    template = (Path(__file__).parents[1] / "infra/template.yaml").read_text(encoding="utf-8")
    function = template.split("\n  Notify:\n")[1].split("\n  #")[0]
    timeout_s = int(re.findall(r"Timeout: (\d+)", function)[0])
    assert timeout_s * 1000 < LEASE_MS


def test_notify_starts_without_numpy() -> None:
    import subprocess
    import sys

    modules = "swerve.notify, swerve.select, swerve.reconcile, swerve.adapters.aws"
    forbid = "import sys; sys.modules['numpy'] = None; "
    made = subprocess.run(
        [sys.executable, "-c", f"{forbid}import {modules}"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
