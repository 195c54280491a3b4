"""Upload to mail through the real template: one stack, one story, told in order."""

from __future__ import annotations

import csv
import io
import json
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from swerve.adapters.eraser import AwsEraser
from swerve.domain.pseudonym import subject_of
from swerve.ledger import ledger
from typer.testing import CliRunner

from cli.keys import keyring
from cli.main import app
from cli.redrive import redrive_queue
from tests.flow.conftest import (
    alerts_told,
    await_until,
    close,
    is_quiet,
    log_lines,
    messages_in,
    objects,
    old_versions,
    put,
    receipts,
    table_contents,
)
from tests.streams import unpacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.stack import Stack

pytestmark = pytest.mark.flow

USERS, WEEKS, CHANGED = 40, 8, 4
FIRST_DAY = datetime(2026, 9, 7, tzinfo=UTC)
TASTES = ("shoes/running", "books/crime", "garden/tools", "toys/wooden", "audio/headphones")
NEW_TASTE = "baby/strollers"
USER_IDS = [f"customer-{number:04d}@shop.example" for number in range(USERS)]


def week_of_events(week: int) -> bytes:
    """A week of views as CSV; in the last week the first users look at something else."""
    dice = random.Random(week)  # noqa: S311 - a test's dice
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(
        ["user_id", "timestamp", "behavior", "item_id", "category_id", "value", "event_id"]
    )
    for number, user in enumerate(USER_IDS):
        changed = number < CHANGED and week == WEEKS - 1
        for day in range(7):
            for event in range(12 if changed else dice.randint(2, 4)):
                taste = (
                    NEW_TASTE if changed else TASTES[(number + dice.randint(0, 1)) % len(TASTES)]
                )
                when = FIRST_DAY + timedelta(weeks=week, days=day, hours=9, minutes=event)
                rows.writerow(
                    [
                        user,
                        when.isoformat(),
                        "view",
                        f"{taste}-{event}",
                        taste,
                        "",
                        f"{week}-{day}-{number}-{event}",
                    ]
                )
    return text.getvalue().encode()


@pytest.fixture(scope="module")
def told(stack: Stack) -> Stack:
    """The stack after all weeks were uploaded and closed."""
    keys = [put(stack, f"week-{week}.csv", week_of_events(week)) for week in range(WEEKS)]
    await_until(lambda: all(receipts(stack, key) for key in keys), "receipts")
    close(stack)
    return stack


def test_the_test_event_of_s3_is_acknowledged(told: Stack) -> None:
    assert messages_in(told, "IngestQueueUrl") == 0
    assert messages_in(told, "IngestDeadLettersUrl") == 0


def test_every_row_is_accounted_for(told: Stack) -> None:
    found = ledger(told.windows, told.data, told.settings.windows)
    assert found.balanced
    assert (
        found.rows == found.unique == sum(week_of_events(w).count(b"\n") - 1 for w in range(WEEKS))
    )
    assert found.waiting == 0


def test_a_changed_user_reaches_the_mail(told: Stack) -> None:
    mails = [
        body.decode()
        for key, body in objects(told, "DataBucketName").items()
        if key.startswith("outbox/email/")
    ]
    assert any("strollers" in mail for mail in mails)


def test_machines_get_the_payload_and_people_a_page(told: Stack) -> None:
    data = objects(told, "DataBucketName")
    payloads = [json.loads(body) for key, body in data.items() if key.startswith("outbox/events/")]
    assert payloads
    assert all(f"pages/{p['alert_id']}.html" in data for p in payloads if "alert_id" in p)


def test_a_poison_file_is_answered_and_stops_nothing(told: Stack) -> None:
    # WHEN
    key = put(told, "poison.csv", b"\x00\xff\x00 this is no table of events \x9d")
    await_until(lambda: bool(receipts(told, key)), "the receipt of the poison file")
    # THEN
    assert receipts(told, key)[0]["status"] == "refused"
    await_until(lambda: is_quiet(told), "quiet")
    assert messages_in(told, "IngestDeadLettersUrl") == 0


def test_uploading_again_changes_nothing_and_tells_nobody(told: Stack) -> None:
    # GIVEN
    before = table_contents(told, "WindowsTableName"), alerts_told(told)
    outbox = [key for key in objects(told, "DataBucketName") if key.startswith("outbox/")]
    # WHEN
    keys = [put(told, f"again-{week}.csv", week_of_events(week)) for week in range(WEEKS)]
    await_until(lambda: all(receipts(told, key) for key in keys), "receipts")
    close(told)
    # THEN
    assert {receipts(told, key)[0]["status"] for key in keys} == {"duplicate"}
    after = table_contents(told, "WindowsTableName"), alerts_told(told)
    assert unleased(after[0]) == unleased(before[0])
    assert after[1] == before[1]
    assert [k for k in objects(told, "DataBucketName") if k.startswith("outbox/")] == outbox


def unleased(table: dict[tuple[str, str], object]) -> dict[tuple[str, str], object]:
    """The table without what only says who works now: leases and the tokens of the topics."""
    passing = ("lease#", "state#publish#", "state#digest#", "state#budget#")
    return {key: item for key, item in table.items() if not key[1].startswith(passing)}


def test_dead_letters_can_be_sent_through_again(told: Stack) -> None:
    # GIVEN: a message that had failed five times
    sqs, key = told.client("sqs"), put(told, "late.csv", week_of_events(0)[:400])
    await_until(lambda: bool(receipts(told, key)), "a receipt")
    record = {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": {"name": told.outputs["UploadsBucketName"]},
            "object": {"key": key.replace("=", "%3D"), "size": 400},
        },
    }
    dead = told.outputs["IngestDeadLettersUrl"]
    sqs.send_message(QueueUrl=dead, MessageBody=json.dumps({"Records": [record]}))
    # WHEN
    said = redrive_queue(told, "ingest")
    # THEN
    assert said == "1 messages sent again"
    assert redrive_queue(told, "ingest") == "nothing to redrive"
    await_until(lambda: is_quiet(told), "quiet")
    assert messages_in(told, "IngestDeadLettersUrl") == 0


def test_no_user_id_is_anywhere_inside(told: Stack) -> None:
    # GIVEN: everything that Swerve wrote, unpacked
    written = [str(item) for item in table_contents(told, "WindowsTableName").values()]
    stored = [
        item.get("data", {}).get("B", b"")
        for item in table_contents(told, "WindowsTableName").values()
    ]
    written += [part.decode("latin-1") for data in stored for part in unpacked(bytes(data))]
    written += [str(item) for item in table_contents(told, "AlertsTableName").values()]
    written += [body.decode("latin-1") for body in objects(told, "DataBucketName").values()]
    written += log_lines(told)
    everything = "\n".join(written)
    # THEN
    assert len(everything) > 100_000
    assert not [user for user in USER_IDS if user in everything]


def traces_of(stack: Stack, user: int) -> list[str]:
    """Where anything of a user is left: by name, by key, or as far as erasing would find it."""
    subject, raw = subject_of(user), user.to_bytes(8, "little")
    stored: dict[object, bytes] = dict(objects(stack, "DataBucketName"))
    for table in ("WindowsTableName", "AlertsTableName"):
        for key, item in table_contents(stack, table).items():
            data = bytes(item.pop("data", {}).get("B", b""))
            stored[key] = b"\n".join([f"{key} {item}".encode(), data])
    found = [
        str(place)
        for place, body in stored.items()
        if any(raw in part or subject[:10].encode() in part for part in unpacked(body))
    ]
    found += [line for line in log_lines(stack) if subject[:10] in line]
    done = CliRunner().invoke(app, ["erase", subject, "--dry-run"])
    return found + ([done.output] if done.exit_code == 0 else [])


@pytest.fixture
def named(told: Stack, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pseudonyms of the customers; commands find the stack."""
    monkeypatch.setattr("cli.stack.open_stack", lambda _: told)
    return [int(user) for user in keyring(told).pseudonyms(USER_IDS).users]


def test_an_erased_customer_is_nowhere_and_all_rows_are_accounted_for(
    told: Stack, named: list[int]
) -> None:
    # GIVEN one who was told of
    who = named[0]
    assert [place for place in traces_of(told, who) if place.startswith("pages/")]
    before = ledger(told.windows, told.data, told.settings.windows)
    # WHEN
    done = CliRunner().invoke(app, ["erase", USER_IDS[0], "--yes"])
    # THEN
    assert done.exit_code == 0, done.output
    assert traces_of(told, who) == []
    folders = ("runs/", "selection/", "pages/", "quarantine/", "outbox/")
    assert not [k for k in old_versions(told, "DataBucketName") if k.startswith(folders)]
    after = ledger(told.windows, told.data, told.settings.windows)
    assert after.balanced
    assert (after.rows, after.packed) == (before.rows, before.packed)
    assert after.erased == before.packed - after.unique - after.duplicates_across > 0
    # and the files that still hold the raw rows are named, those uploaded again too
    for week in range(WEEKS):
        assert f"week-{week}.csv" in done.output
        assert f"again-{week}.csv" in done.output


def test_the_same_files_do_not_bring_an_erased_customer_back(told: Stack, named: list[int]) -> None:
    # WHEN the files come once more, and a new one of the others has every window closed again
    keys = [put(told, f"third-{week}.csv", week_of_events(week)) for week in range(WEEKS)]
    rows = week_of_events(0).splitlines(keepends=True)
    others = [row.replace(b",0-", b",late-") for row in rows if b"customer-0000" not in row]
    keys.append(put(told, "late-others.csv", b"".join(others)))
    await_until(lambda: all(receipts(told, key) for key in keys), "receipts")
    close(told)
    # THEN
    statuses = [receipts(told, key)[0]["status"] for key in keys]
    assert statuses == ["duplicate"] * WEEKS + ["accepted"]
    assert traces_of(told, named[0]) == []
    assert ledger(told.windows, told.data, told.settings.windows).balanced


@pytest.mark.parametrize(("number", "step"), [(1, 40), (2, 110)])
def test_erasing_that_died_half_way_is_finished_after_a_close(
    told: Stack, named: list[int], number: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN
    steps = iter(range(1, 1000))

    def dying(method: str) -> Callable[..., None]:
        whole = getattr(AwsEraser, method)

        def write(self: AwsEraser, *arguments: Any) -> None:
            if next(steps) == step:
                raise KeyboardInterrupt
            whole(self, *arguments)

        return write

    with monkeypatch.context() as patched:
        for method in ("replace_partial", "remove_alert", "put", "remove"):
            patched.setattr(AwsEraser, method, dying(method))
        done = CliRunner().invoke(app, ["erase", USER_IDS[number], "--yes"])
    assert "run the same command again" in done.stderr
    assert ledger(told.windows, told.data, told.settings.windows).balanced
    # WHEN every window is closed in between
    told.windows.raise_dirty([told.windows.control()[0].window])
    close(told)
    done = CliRunner().invoke(app, ["erase", USER_IDS[number], "--yes"])
    # THEN
    assert done.exit_code == 0, done.output
    assert traces_of(told, named[number]) == []
    assert ledger(told.windows, told.data, told.settings.windows).balanced


def test_roles_are_enforced(told: Stack) -> None:
    """The flow above ran with the template's roles: what they do not allow is refused."""
    errors = [line for line in log_lines(told) if "AccessDenied" in line]
    assert errors == []
