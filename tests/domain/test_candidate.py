from __future__ import annotations

import json

from swerve.domain.candidate import (
    Candidate,
    Evidence,
    Head,
    HistoryPoint,
    Kind,
    Level,
    Share,
    Units,
)

from tests.domain.candidates import candidate


def test_a_candidate_comes_back_from_json() -> None:
    # GIVEN every field in use
    made = Candidate(
        Level.USER,
        "u-00000000000000ff",
        Head.INTEREST,
        Kind.SWITCH,
        20304,
        20297,
        3,
        1e-5,
        (Evidence("bayes_factor_4w", 6.8, 3.0, vote=True, p_value=1e-4, note="n"),),
        (Share(2**64 - 1, 0.8, 0.1, Units(3.0, 33.0, 26.4, 2.0, 9.0, 7.5, 1.0, 2.0, 3.0, 40.1)),),
        (Share(7, 0.0, 0.9),),
        {"ratio": 1.5},
        (HistoryPoint(20297, 12.5, ((7, 0.5),), 1.25), HistoryPoint(20304, 0.0)),
    )
    # WHEN
    again = Candidate.from_dict(json.loads(json.dumps(made.to_dict())))
    # THEN
    assert again == made


def test_a_candidate_stored_before_there_were_units_comes_back() -> None:
    # GIVEN
    stored = candidate().to_dict()
    for share in stored["falling"] + stored["rising"]:
        del share["units"]
    # WHEN / THEN
    assert Candidate.from_dict(stored) == candidate()
