from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from swerve.domain.candidate import Candidate
from swerve.domain.selection import Action, Decision
from swerve.domain.severity import Severity
from swerve.reconcile import TOLD_EARLIER, reconcile

from tests.domain.alerts import FACTS, NAMES, WINDOW, candidates, decision

if TYPE_CHECKING:
    from swerve.ports import AlertRow

SWITCH = candidates()["user-switch"]
KEY = (WINDOW, "u-7f3a91c2d4e5f607#switch")
ALL_TOLD = "email sms events"


class Table:
    """The alerts table, as far as a close sees it."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, str], AlertRow] = {}

    def close(self, *decisions: Decision, first: int = WINDOW) -> int:
        changes = reconcile(self.rows.values(), decisions, first, NAMES, lambda _: FACTS)
        for change in changes:
            key = (change.row.window, change.row.subject_kind)
            known = self.rows.get(key)
            assert (known.revision if known else None) == change.expected_revision
            self.rows[key] = change.row
        assert reconcile(self.rows.values(), decisions, first, NAMES, lambda _: FACTS) == []
        return len(changes)

    def tell(self) -> None:
        self.rows = {
            key: replace(row, state="sent", told=ALL_TOLD, revision=row.revision + 1)
            if row.state == "selected"
            else row
            for key, row in self.rows.items()
        }

    @property
    def row(self) -> AlertRow:
        return self.rows[KEY]

    @property
    def payload(self) -> dict[str, Any]:
        return json.loads(self.row.payload)


def resolved(window: int = WINDOW + 21, into: str = "") -> Decision:
    made = decision(SWITCH)
    return replace(made, action=Action.RESOLVED, candidate=None, into=into, resolved_window=window)


def changed(**fields: Any) -> Candidate:
    return Candidate(
        **{name: fields.get(name, getattr(SWITCH, name)) for name in Candidate.__dataclass_fields__}
    )


def test_a_selected_candidate_waits_to_be_told() -> None:
    table = Table()
    assert table.close(decision(SWITCH)) == 1
    assert (table.row.state, table.row.status, table.row.told) == ("selected", "open", "")


def test_the_same_close_again_changes_nothing() -> None:
    table = Table()
    table.close(decision(SWITCH))
    table.tell()
    assert table.close(decision(SWITCH)) == 0
    assert table.row.state == "sent"


def test_what_was_told_and_is_not_selected_any_more_is_withdrawn_once() -> None:
    table = Table()
    table.close(decision(SWITCH))
    table.tell()
    table.close()
    assert (table.row.state, table.row.status) == ("selected", "withdrawn")
    table.tell()
    assert table.close() == 0


def test_what_nobody_was_told_is_withdrawn_in_silence() -> None:
    table = Table()
    table.close(decision(SWITCH))
    table.close()
    assert (table.row.state, table.row.status) == ("folded", "withdrawn")
    # and comes back as new
    table.close(decision(SWITCH))
    assert (table.row.state, table.row.status) == ("selected", "open")


@pytest.mark.parametrize("state", ["sending", "sent"])
def test_a_change_that_matters_is_told_as_an_update(state: str) -> None:
    table = Table()
    table.close(decision(SWITCH))
    table.rows[KEY] = replace(table.row, state=state, revision=9)
    table.close(decision(SWITCH, severity=Severity.CRITICAL))
    assert (table.row.state, table.row.status) == ("selected", "updated")
    assert (table.row.told, table.row.severity) == (TOLD_EARLIER, "critical")


def test_a_change_that_does_not_matter_is_written_in_silence() -> None:
    table = Table()
    table.close(decision(SWITCH))
    table.tell()
    table.close(decision(changed(p_value=8.2e-5)))
    assert (table.row.state, table.row.status, table.row.told) == ("sent", "open", ALL_TOLD)
    assert table.payload["p_value"] == 8.2e-5


def test_an_update_before_it_was_told_is_simply_new() -> None:
    table = Table()
    table.close(decision(SWITCH))
    table.close(decision(SWITCH, severity=Severity.CRITICAL))
    assert (table.row.state, table.row.status) == ("selected", "open")


def test_an_end_is_told_and_can_be_taken_back() -> None:
    table = Table()
    table.close(decision(SWITCH))
    table.tell()
    later = WINDOW + 14
    table.close(resolved(), first=later)
    assert (table.row.state, table.row.status) == ("selected", "resolved")
    assert table.payload["resolved_at"] == "2026-12-13T16:00:00Z"
    table.tell()
    table.close(first=later)
    assert (table.row.state, table.row.status) == ("selected", "updated")
    assert "resolved_at" not in table.payload


def test_a_replaced_alert_ends_in_silence() -> None:
    table = Table()
    table.close(decision(SWITCH))
    table.tell()
    table.close(resolved(into="replaced"), first=WINDOW + 14)
    assert (table.row.state, table.row.status) == ("sent", "resolved")


def test_history_loaded_at_once_is_told_as_over() -> None:
    table = Table()
    table.close(decision(SWITCH), resolved())
    assert (table.row.state, table.row.status, table.row.told) == ("selected", "resolved", "")


def test_a_folded_user_has_a_row_but_no_message() -> None:
    table = Table()
    folded = decision(SWITCH, action=Action.FOLDED, into="c-0000000000000002#switch")
    table.close(folded)
    assert table.row.state == "folded"
    assert table.payload["folded_into"] == "c-0000000000000002#switch"
    # it stays so when a later range reads it again
    assert table.close(first=WINDOW + 7) == 0
    # and is told when the group falls apart
    table.close(decision(SWITCH))
    assert table.row.state == "selected"


def test_an_early_notice_is_confirmed_or_withdrawn() -> None:
    from swerve.domain.alert import build_payload, to_json

    for at_close, status in (((decision(SWITCH),), "updated"), ((), "withdrawn")):
        table = Table()
        table.close(decision(SWITCH))
        early = build_payload(decision(SWITCH), NAMES, FACTS, provisional=True)
        table.rows[KEY] = replace(table.row, payload=to_json(early))
        table.tell()
        table.close(*at_close)
        assert (table.row.state, table.row.status) == ("selected", status)


def test_a_withdrawal_not_yet_told_and_taken_back_is_an_update() -> None:
    table = Table()
    table.close(decision(SWITCH))
    table.tell()
    table.close()
    table.close(decision(SWITCH))
    assert (table.row.state, table.row.status) == ("selected", "updated")
