"""One channel's way out: its token, its day's budget, and rows claimed while they are sent.

Nothing is lost and at most one message is repeated by a crash: a row goes selected -> sending (with
a lease) -> sent by compare-and-set, and the message is published in between.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from swerve.domain.figures import local
from swerve.domain.identity import page_key
from swerve.domain.page import alert_page
from swerve.reconcile import TOLD_EARLIER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from swerve.ports import AlertRow, Alerts, Clock, Data, Topic, Windows
    from swerve.settings import Settings

State: TypeAlias = "Mapping[str, str | int]"

EMAIL, SMS, EVENTS = "email", "sms", "events"

# Longer than the notify function may run (300 s): who holds the token of a topic is its only
# publisher until it gives the token back or is surely dead.
LEASE_MS = 360_000
# SNS suspends an e-mail endpoint at 10 messages a second; we keep to one, counted from the answer.
SPACING_MS = 1_100
PENDING = ("selected", "held", "sending")
_ATTEMPTS = 10
_NOBODY = ""


@dataclass(frozen=True, slots=True)
class NotifyDeps:
    """What telling needs of the outside.

    Attributes
    ----------
    topics : mapping
        Channel to topic; a channel without one is silent.
    sleep : callable
        Wait so many seconds.
    owner : str
        Name of this invocation, unlike any other.
    stop_ms : int
        Start no message after this time.
    """

    settings: Settings
    windows: Windows
    data: Data
    alerts: Alerts
    clock: Clock
    topics: Mapping[str, Topic]
    sleep: Callable[[float], None]
    owner: str
    stop_ms: int


@dataclass(frozen=True, slots=True)
class Message:
    """What one publish says."""

    text: str
    subject: str | None
    attributes: Mapping[str, object]


@dataclass(slots=True)
class Channel:
    """The right to publish on one topic, held while `open_channel` lasts."""

    deps: NotifyDeps
    name: str
    last_ms: int
    sent: int = 0

    @property
    def open(self) -> bool:
        """Whether there is time for one more message."""
        return self.deps.clock.now_ms() < self.deps.stop_ms

    def send(
        self, rows: Sequence[AlertRow], render: Callable[[Sequence[AlertRow]], Message]
    ) -> bool:
        """Claim the rows, publish what `render` makes of them, and note that they were told.

        Returns False where nothing was left to claim.
        """
        claimed = [row for row in map(self._claim, rows) if row is not None]
        if not claimed:
            return False
        for row in claimed:
            if row.told in {"", TOLD_EARLIER}:
                self._write_page(row)
        self.publish(render(claimed))
        for row in claimed:
            self.note(row)
        return True

    def publish(self, message: Message) -> None:
        """Publish, not sooner than a second after the message before."""
        wait_ms = self.last_ms + SPACING_MS - self.deps.clock.now_ms()
        if wait_ms > 0:
            self.deps.sleep(wait_ms / 1000)
        self.deps.topics[self.name].publish(message.text, message.subject, message.attributes)
        self.last_ms = self.deps.clock.now_ms()
        self.sent += 1

    def note(self, row: AlertRow) -> None:
        """Write that this channel has the row's text; a row changed meanwhile is left alone."""
        told = " ".join([*row.told.split(), self.name])
        done = wanted(row, self.deps) <= set(told.split())
        after = replace(
            row,
            told=told,
            state="sent" if done else "selected",
            lease_ms=0,
            revision=row.revision + 1,
        )
        self.deps.alerts.put(after, row.revision)

    def skip(self, row: AlertRow) -> None:
        """Count the row as told without a message."""
        fresh = self.deps.alerts.get(row.window, row.subject_kind)
        if fresh is not None and self._claimable(fresh):
            self.note(fresh)

    def spend(self, budget: int) -> bool:
        """Take one message of the day's budget; False when it is used up.

        The count is raised before the message: a crash may waste one, never exceed the budget.
        """
        name = f"budget#{self.name}"
        for _ in range(_ATTEMPTS):
            day = local(self.deps.clock.now_ms(), self.deps.settings.time_zone).date().isoformat()
            known = self.deps.windows.state(name)
            used = int(known["used"]) if known and known["day"] == day else 0
            if used >= budget:
                return False
            if self.deps.windows.put_state(name, {"day": day, "used": used + 1}, known):
                return True
        return False

    def _claimable(self, row: AlertRow) -> bool:
        return (
            self.name not in row.told.split()
            and row.state in PENDING
            and not is_leased(row, self.deps.clock.now_ms())
        )

    def _claim(self, row: AlertRow) -> AlertRow | None:
        """Take a row for sending; read again, as what lists the rows may lag behind."""
        fresh = self.deps.alerts.get(row.window, row.subject_kind)
        if fresh is None or not self._claimable(fresh):
            return None
        claimed = replace(
            fresh,
            state="sending",
            lease_ms=self.deps.clock.now_ms() + LEASE_MS,
            revision=fresh.revision + 1,
        )
        return claimed if self.deps.alerts.put(claimed, fresh.revision) else None

    def _write_page(self, row: AlertRow) -> None:
        deps = self.deps
        page = alert_page(json.loads(row.payload), deps.settings.language, deps.clock.now_ms())
        deps.data.put(page_key(row.alert_id), page.encode(), "text/html; charset=utf-8")


def is_leased(row: AlertRow, now_ms: int) -> bool:
    """Whether another function is sending the row, or died not long ago while it did."""
    return row.state == "sending" and row.lease_ms > now_ms


def wanted(row: AlertRow, deps: NotifyDeps) -> set[str]:
    """Channels that a row has to reach before it is done."""
    channels = set(deps.topics)
    texted = row.severity == "critical" and row.status != "resolved"
    return channels if texted else channels - {SMS}


@contextmanager
def open_channel(deps: NotifyDeps, name: str) -> Iterator[Channel | None]:
    """Hold the token of a topic; None where there is no topic or another function holds it."""
    state_name = f"publish#{name}"
    known = deps.windows.state(state_name)
    now_ms = deps.clock.now_ms()
    if name not in deps.topics or (
        known is not None and known["owner"] != _NOBODY and int(known["until_ms"]) > now_ms
    ):
        yield None
        return
    last_ms = int(known["last_ms"]) if known is not None else 0
    held: State = {"owner": deps.owner, "until_ms": now_ms + LEASE_MS, "last_ms": last_ms}
    if not deps.windows.put_state(state_name, held, known):
        yield None
        return
    channel = Channel(deps, name, last_ms)
    try:
        yield channel
    except Exception:
        _free(channel, held)
        raise
    # After a crash nobody gets here, and the token comes free when its lease ends.
    _free(channel, held)


def _free(channel: Channel, held: State) -> None:
    free: State = {"owner": _NOBODY, "until_ms": 0, "last_ms": channel.last_ms}
    channel.deps.windows.put_state(f"publish#{channel.name}", free, held)
