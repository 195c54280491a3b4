from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from swerve.domain.candidate import Kind, Level
from swerve.domain.identity import alert_id, dedup_key, page_key

from tests.domain.alerts import payloads


def test_id_is_the_ulid_of_the_reference() -> None:
    made = alert_id("user:u-7f3a91c2:switch:baby:2026-W47", 1_795_478_400_000)
    assert made == "01M85DMB00Q5G8FER6Z52YJR64"


@given(st.text(max_size=40), st.text(max_size=40), st.integers(0, 2**47))
def test_ids_sort_by_time_and_tell_subjects_apart(one: str, other: str, end_ms: int) -> None:
    assert (alert_id(one, end_ms) == alert_id(other, end_ms)) == (one == other)
    assert alert_id(one, end_ms) < alert_id(other, end_ms + 1)


def test_a_payload_is_known_by_its_subject_kind_and_window() -> None:
    for told in payloads().values():
        key = dedup_key(
            Level(told["level"]), told["subject"]["id"], Kind(told["kind"]), told["window"]["label"]
        )
        assert key == told["dedup_key"]
        assert page_key(told["alert_id"]) == told["links"]["page"]
