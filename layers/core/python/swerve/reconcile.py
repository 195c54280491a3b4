"""What a close has to write into the alerts table, given what is there and may have been told.

A recomputed window selects the same alerts, or others: what was told and is no longer selected is
withdrawn, what changed for the reader is updated, the rest is left alone or corrected in silence.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swerve.domain.alert import Payload, StackFacts, build_payload, to_json
from swerve.domain.identity import iso
from swerve.domain.selection import Action
from swerve.ports import AlertRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from swerve.domain.selection import Decision

Key = tuple[int, str]

# In `AlertRow.told`: the present text is new to all channels, but an earlier one was told.
TOLD_EARLIER = "earlier"


@dataclass(frozen=True, slots=True)
class Change:
    """A row to put, and the revision that it must still have (None: it must be new)."""

    row: AlertRow
    expected_revision: int | None


def reconcile(
    rows: Iterable[AlertRow],
    decisions: Sequence[Decision],
    first_window: int,
    names: Mapping[int, str],
    facts: Callable[[int], StackFacts],
) -> list[Change]:
    """Compare the rows with the decisions of a close.

    Parameters
    ----------
    rows : iterable of AlertRow
        All rows of the windows of the range, and those of the alerts that were standing before.
    decisions : sequence of Decision
        Of all windows of the range, in order.
    first_window : int
        First window of the range; earlier rows can only end or come to life again.
    names
        As for `build_payload`.
    facts : callable
        What the alerts of a window say of the stack.

    Returns
    -------
    list of Change
        In order of (window, subject and kind); empty where nothing changes, so that it can be
        called again after a conflict.
    """
    known = {
        (row.window, row.subject_kind): row
        for row in rows
        if row.window >= first_window or row.status != "withdrawn"
    }
    wanted: dict[Key, Payload] = {}
    folded: set[Key] = set()
    for decision in decisions:
        key = (decision.window, decision.subject_kind)
        if decision.action in {Action.SELECTED, Action.FOLDED}:
            wanted[key] = build_payload(decision, names, facts(decision.window))
            if decision.action is Action.FOLDED:
                folded.add(key)
    for key, row in known.items():
        if row.window < first_window:
            wanted[key] = _opened(json.loads(row.payload))
            if row.state == "folded":
                folded.add(key)
    for decision in decisions:
        key = (decision.window, decision.subject_kind)
        if decision.action is Action.RESOLVED and key in wanted:
            wanted[key] |= _ending(decision, facts(decision.window))

    changes = []
    for key in sorted(known.keys() | wanted.keys()):
        if key not in known:
            changes.append(Change(_new_row(key, wanted[key], is_folded=key in folded), None))
        elif key not in wanted:
            changes += _withdraw(known[key])
        else:
            changes += _compare(known[key], wanted[key], is_folded=key in folded)
    return changes


def _ending(decision: Decision, facts: StackFacts) -> dict[str, Any]:
    window = decision.window if decision.resolved_window is None else decision.resolved_window
    return {
        "status": "resolved",
        "resolved_at": iso(facts.spec.end_ms(window)),
        "resolved_by": decision.into or "evidence",
    }


def _opened(payload: Payload) -> Payload:
    """Return a stored payload without its ending."""
    opened = {k: v for k, v in payload.items() if k not in {"resolved_at", "resolved_by"}}
    if opened["status"] == "resolved":
        opened["status"] = "open"
    return opened


def _new_row(key: Key, payload: Payload, *, is_folded: bool) -> AlertRow:
    return AlertRow(
        window=key[0],
        subject_kind=key[1],
        alert_id=payload["alert_id"],
        state="folded" if is_folded else "selected",
        status=payload["status"],
        severity=payload["severity"],
        payload=to_json(payload),
        revision=1,
    )


def _was_told(row: AlertRow) -> bool:
    # A row in `sending` counts as told: its message may already be out.
    return bool(row.told) or row.state in {"sending", "sent"}


def _withdraw(row: AlertRow) -> list[Change]:
    if row.status == "withdrawn":
        return []
    payload = json.loads(row.payload) | {"status": "withdrawn"}
    if _was_told(row):
        return [_put(row, payload, "selected", told=TOLD_EARLIER)]
    return [_put(row, payload, "folded", told="")]


def _compare(row: AlertRow, payload: Payload, *, is_folded: bool) -> list[Change]:
    told = _was_told(row)
    if payload["status"] == "resolved":
        # An alert that a newer one of the same subject replaces ends without a message.
        news = row.status != "resolved" and payload["resolved_by"] != "replaced"
    else:
        news = row.status in {"withdrawn", "resolved"} or (
            _for_reader(json.loads(row.payload)) != _for_reader(payload)
        )
        if told and (news or row.status == "updated"):
            payload |= {"status": "updated"}
    if not told:
        change = _put(row, payload, "folded" if is_folded else "selected", told="")
    elif news and not is_folded:
        change = _put(row, payload, "selected", told=TOLD_EARLIER)
    else:
        change = _put(row, payload, row.state, told=row.told)
    same = (change.row.state, change.row.payload) == (row.state, row.payload)
    return [] if same else [change]


def _put(row: AlertRow, payload: Payload, state: str, *, told: str) -> Change:
    changed = replace(
        row,
        state=state,
        status=payload["status"],
        severity=payload["severity"],
        payload=to_json(payload),
        revision=row.revision + 1,
        told=told,
    )
    return Change(changed, row.revision)


def _for_reader(payload: Payload) -> tuple[Any, ...]:
    """What a reader would want to hear again if it changed."""
    change = payload["change"]
    return (
        payload["severity"],
        change["from"].get("category"),
        change["to"].get("category"),
        payload["window"]["change_label"],
        payload.get("provisional", False),
    )
