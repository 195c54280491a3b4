"""Notify: tell what was selected, each alert once on each channel, within budgets.

Critical alerts go out at once, the rest as digests; machines get every alert on the events topic.
The alerts table is the outbox: whatever waits there is told by this run or the next.
"""

from __future__ import annotations

import json
from collections import Counter
from math import ceil
from typing import TYPE_CHECKING, Any

from swerve.domain.alert import Payload, to_json
from swerve.domain.digest import Digest, digest_email, flood_email, flood_sms
from swerve.domain.email import Email, alert_email
from swerve.domain.figures import local
from swerve.domain.identity import iso
from swerve.domain.selection import Selection
from swerve.domain.sms import alert_sms
from swerve.publishing import (
    EMAIL,
    EVENTS,
    PENDING,
    SMS,
    Channel,
    Message,
    NotifyDeps,
    is_leased,
    open_channel,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swerve.ports import AlertRow

HOUR_MS = 3_600_000
DIGEST_MINIMUM = 4  # fewer alerts are worth a mail each
DIGEST_ROWS = 500
_DIGEST_SLACK_MS = 60_000  # the timer may come a little early


def asks_to_tell(body: str) -> bool:
    """Whether a message of the notify queue is one that we know: another must stay recoverable."""
    try:
        return json.loads(body).get("task") in {"tell", "early"}
    except (ValueError, AttributeError):
        return False


def tell(deps: NotifyDeps) -> Counter[str]:
    """Tell all that waits and may be told now; return the number of messages by channel.

    A row that cannot go now (quiet hours, digest not due, budget used up, another function is
    sending) stays in the table for the next run.
    """
    sent: Counter[str] = Counter()
    for name, send in ((SMS, _send_sms), (EMAIL, _send_email), (EVENTS, _send_events)):
        with open_channel(deps, name) as channel:
            if channel is None:
                continue
            waiting = _waiting(deps, name)
            if name != EVENTS:
                waiting = _stop_flood(channel, waiting)
            send(channel, waiting)
            sent[name] += channel.sent
    return sent


def _waiting(deps: NotifyDeps, channel: str) -> list[AlertRow]:
    """Rows that the channel still has to tell, the most urgent first."""
    now_ms = deps.clock.now_ms()
    rows = [
        row
        for row in deps.alerts.in_state(PENDING)
        if channel not in row.told.split() and not is_leased(row, now_ms)
    ]
    return sorted(rows, key=_urgency)


def _urgency(row: AlertRow) -> tuple[int, float, int, str]:
    order = ("critical", "high", "medium", "low")
    p_value = float(json.loads(row.payload)["p_value"])
    return order.index(row.severity), p_value, row.window, row.subject_kind


def _is_urgent(row: AlertRow) -> bool:
    return row.severity == "critical" and row.status != "resolved"


def _send_events(channel: Channel, rows: Sequence[AlertRow]) -> None:
    """Every alert, as JSON for machines."""
    for row in rows:
        if not channel.open:
            return
        channel.send([row], lambda claimed: _event(channel.deps, claimed[0]))


def _send_sms(channel: Channel, rows: Sequence[AlertRow]) -> None:
    """Critical alerts outside quiet hours; what the budget holds back is in the mails anyway."""
    deps, settings = channel.deps, channel.deps.settings
    if _is_quiet(settings.quiet_hours, local(deps.clock.now_ms(), settings.time_zone).hour):
        return
    for row in rows:
        if not _is_urgent(row):
            continue
        if not channel.open:
            return
        if channel.spend(settings.daily_sms_budget):
            channel.send(
                [row],
                lambda claimed: _with_attributes(
                    deps, claimed[0], alert_sms(_payload(claimed[0]), settings.language), None
                ),
            )
        else:
            channel.skip(row)


def _send_email(channel: Channel, rows: Sequence[AlertRow]) -> None:
    """Urgent alerts by themselves, as far as the budget goes; the rest when a digest is due."""
    deps, settings = channel.deps, channel.deps.settings
    for_singles = max(settings.daily_email_budget - _digests_a_day(settings.digest_hours), 0)
    # Rows that a function died with were in one message: in one they go again.
    broken_off = [row for row in rows if row.state == "sending"]
    together = broken_off if len(broken_off) > 1 else []
    apart = [row for row in rows if row not in together]
    later = _send_singles(channel, [row for row in apart if _is_urgent(row)], for_singles)
    later += [row for row in apart if not _is_urgent(row)] + together
    if not later or not _digest_is_due(deps):
        return
    since_ms = _last_digest_ms(deps)
    if len(later) < DIGEST_MINIMUM and not together:
        later = _send_singles(channel, later, for_singles)
    for start in range(0, len(later), DIGEST_ROWS):
        if not channel.open or not channel.spend(settings.daily_email_budget):
            break
        channel.send(
            later[start : start + DIGEST_ROWS], lambda claimed: _digest(deps, claimed, since_ms)
        )
    if channel.sent:
        _note_digest(deps)


def _send_singles(channel: Channel, rows: list[AlertRow], budget: int) -> list[AlertRow]:
    """Send a mail each while time and budget last; return the rows that are left."""
    for place, row in enumerate(rows):
        if not channel.open or not channel.spend(budget):
            return rows[place:]
        channel.send([row], lambda claimed: _single(channel.deps, claimed[0]))
    return []


def _digests_a_day(digest_hours: int) -> int:
    return ceil(24 / max(digest_hours, 1))


def _stop_flood(channel: Channel, rows: list[AlertRow]) -> list[AlertRow]:
    """Ask one question about a window with too many alerts; return the rows of the others.

    So many at once are more probably a data or model problem than changed shoppers.
    """
    deps, settings = channel.deps, channel.deps.settings
    name = f"flood#{channel.name}"
    asked = deps.windows.state(name)
    flooded: dict[str, str | int] = dict(asked or {})
    active = Counter(settings.windows.label(r.window) for r in rows if r.status != "resolved")
    for label in sorted(active.keys() - flooded.keys()):
        if active[label] <= settings.flood_limit:
            continue
        budget = settings.daily_email_budget if channel.name == EMAIL else settings.daily_sms_budget
        if channel.open and channel.spend(budget):
            channel.publish(_flood(deps, channel.name, _of_window(deps, rows, label)))
            flooded[label] = active[label]
    if flooded != (asked or {}):
        deps.windows.put_state(name, flooded, asked)
    over = {label for label, count in active.items() if count > settings.flood_limit}
    calm = []
    for row in rows:
        label = settings.windows.label(row.window)
        if label in flooded and channel.open:
            channel.skip(row)
        elif label not in flooded and label not in over:
            calm.append(row)
    return calm


def _of_window(deps: NotifyDeps, rows: Sequence[AlertRow], label: str) -> list[AlertRow]:
    return [row for row in rows if deps.settings.windows.label(row.window) == label]


def _is_quiet(hours: str, hour: int) -> bool:
    """Whether `hour` lies in hours like `21-08`, the last one excluded; `` is never quiet."""
    if not hours:
        return False
    first, last = (int(part) for part in hours.split("-"))
    return first <= hour < last if first <= last else hour >= first or hour < last


def _last_digest_ms(deps: NotifyDeps) -> int | None:
    known = deps.windows.state("digest#email")
    return None if known is None else int(known["last_ms"])


def _digest_is_due(deps: NotifyDeps) -> bool:
    last_ms = _last_digest_ms(deps)
    period_ms = deps.settings.digest_hours * HOUR_MS - _DIGEST_SLACK_MS
    return last_ms is None or deps.clock.now_ms() - last_ms >= period_ms


def _note_digest(deps: NotifyDeps) -> None:
    known = deps.windows.state("digest#email")
    deps.windows.put_state("digest#email", {"last_ms": deps.clock.now_ms()}, known)


def _payload(row: AlertRow) -> Payload:
    payload: Payload = json.loads(row.payload)
    return payload


def _attributes(payload: Payload, language: str) -> dict[str, Any]:
    """For filter policies; at most ten, or raw delivery to SQS discards the message."""
    return {
        "severity": payload["severity"],
        "kind": payload["kind"],
        "head": payload["head"],
        "level": payload["level"],
        "status": payload["status"],
        "use_case": sorted({action["use_case"] for action in payload["actions"]}),
        "lang": language,
    }


def _with_attributes(deps: NotifyDeps, row: AlertRow, text: str, subject: str | None) -> Message:
    return Message(text, subject, _attributes(_payload(row), deps.settings.language))


def _event(deps: NotifyDeps, row: AlertRow) -> Message:
    told = _payload(row) | {"told_at": iso(deps.clock.now_ms())}
    return _with_attributes(deps, row, to_json(told), None)


def _single(deps: NotifyDeps, row: AlertRow) -> Message:
    settings = deps.settings
    mail = alert_email(
        _payload(row), settings.language, deps.clock.now_ms(), subject_mode=settings.subject_mode
    )
    return _with_attributes(deps, row, mail.body, mail.subject)


def _digest(deps: NotifyDeps, rows: Sequence[AlertRow], since_ms: int | None) -> Message:
    settings = deps.settings
    newest = settings.windows.label(max(row.window for row in rows))
    remembered = deps.data.get(f"selection/window={newest}.json")
    memory = Selection() if remembered is None else Selection.from_json(remembered)
    digest = Digest(
        [_payload(row) for row in rows],
        deps.clock.now_ms(),
        since_ms,
        sum(_is_urgent(row) for row in rows),
        settings.daily_email_budget,
        sum(standing.held for standing in memory.standings),
    )
    return _summary(
        digest_email(digest, settings.language, subject_mode=settings.subject_mode), "digest", deps
    )


def _flood(deps: NotifyDeps, channel: str, rows: Sequence[AlertRow]) -> Message:
    settings = deps.settings
    if channel == SMS:
        return _summary(Email("", flood_sms(len(rows), settings.language)), "flood", deps)
    mail = flood_email(
        [_payload(row) for row in rows],
        settings.flood_limit,
        settings.language,
        subject_mode=settings.subject_mode,
    )
    return _summary(mail, "flood", deps)


def _summary(mail: Email, kind: str, deps: NotifyDeps) -> Message:
    return Message(mail.body, mail.subject or None, {"kind": kind, "lang": deps.settings.language})
