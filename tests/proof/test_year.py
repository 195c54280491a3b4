"""The bars of the whole: 1,469,307 purchases of 2,469 households in 53 files."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from swerve.domain.packing import events_in

from tests.flow.test_flow import unleased
from tests.proof.conftest import NAMED
from tests.streams import unpacked

if TYPE_CHECKING:
    from tests.proof.conftest import Left, Year

pytestmark = pytest.mark.proof

ROWS = 1_469_307


def test_the_ledger_balances(year: Year) -> None:
    found = year.once.ledger
    assert found.balanced
    assert (found.rows, found.unique, found.waiting) == (ROWS, ROWS, 0)


def test_every_accepted_row_is_in_a_partial(year: Year) -> None:
    assert sum(events_in(data) for data in year.once.partials().values()) == ROWS


def test_it_fits_a_small_computer(year: Year, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nuploaded and closed in {year.took_s:.0f} s, {year.most_mb:.0f} MB at most")  # noqa: T201
    assert year.most_mb < 2000


def test_another_order_gives_the_same_windows_and_alerts(year: Year, shuffled: Left) -> None:
    assert len(year.once.alerts) > 300
    assert shuffled.partials() == year.once.partials()
    assert shuffled.under("checkpoints/") == year.once.under("checkpoints/")
    assert shuffled.under("selection/") == year.once.under("selection/")
    assert shuffled.alert_rows() == year.once.alert_rows()


def test_late_files_give_the_same_alerts(year: Year, halves: Left) -> None:
    """What was told of half of the data is updated or withdrawn: the rest is byte for byte."""
    kept = {key: row for key, row in halves.alert_rows().items() if row["status"] != "withdrawn"}
    assert halves.under("checkpoints/window", "selection/") == year.once.under(
        "checkpoints/window", "selection/"
    )
    assert {key: unstated(row) for key, row in kept.items()} == {
        key: unstated(row) for key, row in year.once.alert_rows().items()
    }


def unstated(row: dict[str, str]) -> dict[str, str]:
    """An alert without its status: one that was told earlier is `updated` instead of `open`."""
    return {**row, "status": "", "payload": json.loads(row["payload"]) | {"status": ""}}


def test_the_same_files_again_change_nothing(year: Year) -> None:
    assert unleased(year.again.windows) == unleased(year.once.windows)
    assert year.again.alert_rows() == year.once.alert_rows()
    assert year.again.under("checkpoints/", "selection/") == year.once.under(
        "checkpoints/", "selection/"
    )


def test_the_same_files_again_send_no_mail(year: Year) -> None:
    told = ("outbox/email/", "outbox/sms/")
    assert year.once.under("outbox/email/")
    assert year.again.under(*told).keys() == year.once.under(*told).keys()
    machines = [json.loads(body) for body in year.again.under("outbox/events/").values()]
    ids = [payload["alert_id"] for payload in machines]
    assert len(ids) == len(set(ids))


def test_no_household_is_named_anywhere(year: Year) -> None:
    # GIVEN: the search finds what is there
    found = {key for key, body in year.uploads.items() if named(body)}
    texts = {key for key in year.uploads if not key.endswith("parquet")}
    assert texts <= found
    # THEN
    assert sum(map(len, year.again.written)) > 50_000_000
    assert [body[:200] for body in year.again.written if named(body)] == []
    assert not re.search(NAMED, year.log.encode())


def named(body: bytes) -> bool:
    return any(re.search(NAMED, part) for part in unpacked(body))
