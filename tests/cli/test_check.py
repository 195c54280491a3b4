"""`swerve check FILE`: what would become of a file, said before it is uploaded."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.filewriting import WRITERS
from tests.ingesting import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

HEADER = "user_id,timestamp,behavior,item_id,category_id,value\n"
GOOD = "u1,2026-11-02T10:00:00Z,view,i1,Home,1.5\n"
LOOKUPS = {"completejourney": "products", "retailrocket": "item_properties"}
FILES = [p for p in sorted((FIXTURES / "sources").iterdir()) if "golden" not in p.name]

# A bad row for each reason that a file can show, and words of the fix that is suggested.
BAD_ROWS = {
    "bad_time": ("u1,soon,view,i,c,\n", "2026-11-24T10:00:00Z or as epoch"),
    "future": ("u1,2098-01-01T00:00:00Z,view,i,c,\n", "unit and the zone"),
    "no_user": (",2026-11-02T10:00:00Z,view,i,c,\n", "user id with every row"),
    "unknown_event": ("u1,2026-11-02T10:00:00Z,fly,i,c,\n", "[events] of an adapter"),
    "bad_number": ("u1,2026-11-02T10:00:00Z,view,i,c,7 EUR\n", "without a currency sign"),
    "too_long": (f"{'u' * 300},2026-11-02T10:00:00Z,view,i,c,\n", "256 characters of user id"),
    "ragged": ("u1,2026-11-02T10:00:00Z,view\n", "close every quote"),
    "bad_encoding": ("u\0,2026-11-02T10:00:00Z,view,i,c,\n", "UTF-8"),
    "over_rate_cap": ("u2,2026-11-02T10:00:00Z,view,i,c,\n" * 20_001, "a bot"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def checked(folder: Path, body: str | bytes, *options: str) -> Result:
    (folder / "export").write_bytes(body.encode() if isinstance(body, str) else body)
    return CliRunner().invoke(app, ["check", "export", *options])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_each_convention_is_good(path: Path, folder: Path) -> None:
    # GIVEN a convention's file, and its side file where it has one
    name = path.stem
    options = []
    if name in LOOKUPS:
        options = ["--lookup", str(FIXTURES / f"lookups/{LOOKUPS[name]}.csv")]
    # WHEN
    done = CliRunner().invoke(app, ["check", str(path), *options])
    # THEN
    assert done.exit_code == 0, done.output
    assert f"{path.name}: accepted" in done.output
    assert f"adapter   {name} (" in done.output


def test_without_its_side_file_a_good_file_is_told_to_lack_it(folder: Path) -> None:
    done = CliRunner().invoke(app, ["check", str(FIXTURES / "sources/retailrocket.csv")])
    assert done.exit_code == 0
    assert "lookup_missing" in done.output
    assert "--lookup" in done.output


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_is_read_without_a_suffix(name: str, folder: Path) -> None:
    record = ("u1", "2026-11-02T10:00:00Z", "view", "i1", "Home", "1.5")
    done = checked(folder, WRITERS[name]([record] * 3))
    assert done.exit_code == 0
    assert "rows      3 = 3 packed + 0 duplicates + 0 rejected" in done.output


@pytest.mark.parametrize("reason", BAD_ROWS)
def test_each_reason_is_shown_with_the_fix(reason: str, folder: Path) -> None:
    # GIVEN a good row and a bad one
    row, fix = BAD_ROWS[reason]
    # WHEN
    done = checked(folder, HEADER + GOOD + row)
    # THEN the file is taken, and the bad row is told
    assert done.exit_code == 0
    assert f" {reason}: " in done.output
    assert fix in done.output
    if reason != "over_rate_cap":
        assert f'{{"reason": "{reason}", "row": 2' in done.output


def test_a_bad_json_line_is_shown_with_the_fix(folder: Path) -> None:
    line = '{"user_id":"u","timestamp":"2026-11-02T10:00:00Z","behavior":"view"}\n'
    done = checked(folder, line + line[:-9] + "\n" + line)
    assert "1 not_a_record: write one JSON object" in done.output
    assert '{"reason": "not_a_record", "row": 2' in done.output


def test_no_more_than_a_few_bad_rows_are_shown(folder: Path) -> None:
    done = checked(folder, HEADER + GOOD + BAD_ROWS["bad_time"][0] * 50)
    assert "50 bad_time" in done.output
    assert done.output.count('"reason": "bad_time"') == 5


def test_raw_ids_are_not_shown(folder: Path) -> None:
    done = checked(folder, HEADER + "anna@shop.example,4711-0815,view,i,c,\n" + GOOD)
    assert "anna" not in done.output
    assert "4711" not in done.output


@pytest.mark.parametrize(
    ("body", "told", "fix"),
    [
        (b"colour,size\nred,4\n", "Fields found: colour, size", "adapters/<name>.toml"),
        (b"uid,item\n", "Nearest adapter: ", "Rename the fields"),
        (b"PK\x03\x04" + bytes(range(256)) * 9, "ZIP archive or an Excel workbook", "Export CSV"),
        (bytes(range(128, 256)) * 9 + b"\n", "not UTF-8", "Convert it"),
        (HEADER.encode("utf-16"), "UTF-16", "UTF-8"),
        (gzip.compress((HEADER + GOOD).encode())[:-9], "ends too early", "Upload the file again"),
        (b"PAR1" + b"x" * 100, "Parquet footer", "Upload the file again"),
        (b",".join([b"c"] * 5000) + b"\n", "5,000 columns", "only the columns"),
        (b"\0" * 1000, "binary", "Upload CSV"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_wrong_file_is_refused_with_the_fix(
    body: bytes, told: str, fix: str, folder: Path
) -> None:
    done = checked(folder, body)
    assert done.exit_code == 1
    assert "export: refused" in done.output
    assert told in done.output
    assert fix in done.output


def test_a_file_of_which_no_row_is_taken_is_wrong(folder: Path) -> None:
    done = checked(folder, HEADER + BAD_ROWS["bad_time"][0] * 3)
    assert done.exit_code == 1
    assert "No row would be taken" in done.output


@pytest.mark.parametrize("body", ["", HEADER])
def test_a_file_without_rows_is_no_fault(body: str, folder: Path) -> None:
    assert checked(folder, body).exit_code == 0


def test_an_adapter_of_ones_own_is_tried_before_it_is_uploaded(folder: Path) -> None:
    # GIVEN
    (folder / "mine.toml").write_text(
        'name = "mine"\nmatch = ["uid", "when", "what"]\n[fields]\nuser = "uid"\n'
        'time = "when"\nevent = "what"\n[events]\nseen = "view"\n'
    )
    # WHEN
    done = checked(
        folder,
        "uid,when,what\nA,2026-11-02 08:00:00,seen\n",
        *("--adapter", "mine.toml", "--time-zone", "Asia/Shanghai", "--json"),
    )
    # THEN
    told = json.loads(done.output)
    assert (done.exit_code, told["adapter"], told["packed"]) == (0, "mine", 1)
    assert told["first"] == "2026-11-02T00:00:00.000+00:00"


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("name = 5", "adapter mine.toml: name must be a text"),
        ('name = "x"\nmatch = ["a"]\n[fields]\nuser = "a"\n', "lacks time"),
    ],
)
def test_a_broken_adapter_is_told(toml: str, told: str, folder: Path) -> None:
    (folder / "mine.toml").write_text(toml)
    done = checked(folder, HEADER + GOOD, "--adapter", "mine.toml")
    assert done.exit_code == 1
    assert told in done.stderr


def test_a_zone_that_does_not_exist_is_told(folder: Path) -> None:
    done = checked(folder, HEADER + GOOD, "--time-zone", "Mars/Phobos")
    assert done.exit_code == 2
    assert "Mars/Phobos" in done.stderr
    assert "Asia/Shanghai" in done.stderr


def test_one_bad_file_of_several_fails_and_all_are_told(folder: Path) -> None:
    for name, body in {"a": HEADER + GOOD, "b": "x,y\n1,2\n", "c": HEADER + GOOD}.items():
        (folder / name).write_text(body)
    done = CliRunner().invoke(app, ["check", "a", "b", "c"])
    assert done.exit_code == 1
    for told in ("a: accepted", "b: refused", "c: accepted"):
        assert told in done.output


def test_a_file_that_is_not_there(folder: Path) -> None:
    done = CliRunner().invoke(app, ["check", "nothing.csv"])
    assert done.exit_code == 2
    assert "nothing.csv" in done.output
