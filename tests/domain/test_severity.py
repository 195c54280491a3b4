from __future__ import annotations

import pytest
from swerve.domain.candidate import Candidate, Kind, Level
from swerve.domain.severity import Severity, severity_of

from tests.domain.candidates import candidate


@pytest.mark.parametrize(
    ("made", "severity"),
    [
        (candidate(p_value=9e-4, rising=0, falling=0), Severity.LOW),
        (candidate(p_value=9e-4), Severity.MEDIUM),
        (candidate(p_value=1e-4), Severity.HIGH),
        (candidate(p_value=1e-4, actions_now=12.0, actions_before=0.5), Severity.MEDIUM),
        (candidate(p_value=1e-4, actions_now=12.0, actions_before=15.0), Severity.HIGH),
        (
            candidate(kind=Kind.CHURN_RISK, p_value=1e-5, ratio=0.0, actions_before=20.0),
            Severity.CRITICAL,
        ),
        (
            candidate(kind=Kind.CHURN_RISK, p_value=9e-4, ratio=0.0, actions_before=20.0),
            Severity.HIGH,
        ),
        (
            candidate(kind=Kind.CHURN_RISK, p_value=9e-4, ratio=0.0, actions_before=3.0),
            Severity.MEDIUM,
        ),
        (candidate(kind=Kind.SURGE, p_value=1e-5, ratio=4.0), Severity.HIGH),
        (
            candidate("platform", Kind.DROP, level=Level.PLATFORM, p_value=1e-5, ratio=0.6),
            Severity.CRITICAL,
        ),
    ],
)
def test_severity(made: Candidate, severity: Severity) -> None:
    assert severity_of(made) is severity
