from __future__ import annotations

import pytest
from swerve.domain.actions import actions_of
from swerve.domain.candidate import Kind, Level

from tests.domain.alerts import payloads

REGULAR = {"idle_days": 21.0, "actions_before": 6.0, "days_before": 2.0}


def codes(**facts: float) -> list[str]:
    payload = payloads()["user-churn_risk"] | {"facts": REGULAR | facts}
    return [action["code"] for action in actions_of(Level.USER, Kind.CHURN_RISK, payload)]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        # Something may have gone wrong: ask before an offer is made.
        ({}, ["look_for_trouble", "send_winback"]),
        ({"actions_before": 30.0}, ["call_within_48h", "send_winback"]),
        # Gone for long: an offer first, a call only to whom it is worth it.
        ({"idle_days": 49.0}, ["send_winback", "send_less"]),
        ({"idle_days": 49.0, "actions_before": 30.0}, ["send_winback", "call_within_48h"]),
        # Never a regular: three weeks are no event.
        ({"days_before": 0.4}, ["send_winback", "send_less"]),
        # Left slowly: nothing failed on a certain day.
        ({"fading_days": 56.0}, ["send_winback", "send_less"]),
        ({"fading_days": 56.0, "actions_before": 30.0}, ["send_winback", "review_segment"]),
    ],
)
def test_what_to_do_of_a_silence_follows_the_shopper(
    facts: dict[str, float], expected: list[str]
) -> None:
    assert codes(**facts) == expected


def test_a_silence_of_which_little_is_known_is_answered() -> None:
    # GIVEN facts as older candidates have them
    payload = payloads()["user-churn_risk"] | {"facts": {"idle_days": 21.0}}
    # WHEN / THEN
    assert actions_of(Level.USER, Kind.CHURN_RISK, payload)[0]["code"] == "send_winback"


def test_nothing_is_paused_where_nothing_was_lost() -> None:
    # GIVEN an alert whose from is a stock-up that is over, and one of a habit lost
    bulk, lost = (
        [action["code"] for action in payloads()[case]["actions"]]
        for case in ("user-switch-bulk", "user-switch")
    )
    # THEN
    assert bulk == ["refresh_profile", "feature_category"]
    assert lost == ["refresh_profile", "pause_category"]
