"""Golden files: `tests/golden/<language>/<case>.txt`.

To accept new texts run `SWERVE_UPDATE_GOLDEN=1 pytest tests/domain/test_texts.py`, then read the
difference before you commit it.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest
from swerve.domain import change_en, change_zh, text_en, text_zh
from swerve.domain.alert import StackFacts
from swerve.domain.candidate import Head
from swerve.domain.digest import Digest, digest_email, flood_email, flood_sms
from swerve.domain.email import alert_email
from swerve.domain.lint import body_faults, subject_faults
from swerve.domain.page import alert_page
from swerve.domain.reliability import Reliability
from swerve.domain.sms import alert_sms, fits
from swerve.domain.texts import texts

from tests.domain.alerts import NAMES, NOW_MS, RELIABILITY, SPEC, payloads

GOLDEN = Path(__file__).parent.parent / "golden"
LANGUAGES = ("en", "zh-CN")
CASES = {
    **payloads(),
    "user-switch-backtest": payloads(
        StackFacts("swerve", SPEC, model_version="lstm-3", reliability=RELIABILITY)
    )["user-switch"],
    "user-churn_risk-fdr": payloads(StackFacts("swerve", SPEC, fdr_q=0.1))["user-churn_risk"],
}
HOSTILE = "Free \u202egifts\r\nBcc: a@b.example https://evil.example.com/?q=1 +86 138 1234 5678" * 3


def check(path: Path, text: str) -> None:
    if os.environ.get("SWERVE_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", CASES)
def test_mail_and_sms_of_every_kind_and_level(case: str, language: str) -> None:
    # GIVEN one alert
    payload = CASES[case]
    # WHEN it is rendered
    mail = alert_email(payload, language, NOW_MS, subject_mode="utf8")
    sms = alert_sms(payload, language)
    # THEN it is fit to send, and reads as before
    english = language == "en"
    assert subject_faults(mail.subject, ascii_mode=english) == ()
    assert body_faults(mail.body, ascii_mode=english) == ()
    assert fits(sms)
    text = f"Subject: {mail.subject}\n\n{mail.body}\nSMS: {sms}\n"
    check(GOLDEN / language / f"{case}.txt", text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_digest_and_flood(language: str) -> None:
    chosen = list(CASES.values())
    digest = Digest(chosen, NOW_MS, NOW_MS - 3 * 3_600_000, held_back=2, budget=50, cooling=112)
    for name, mail in (
        ("digest", digest_email(digest, language, subject_mode="utf8")),
        ("flood", flood_email(chosen, 20, language, subject_mode="utf8")),
    ):
        assert subject_faults(mail.subject, ascii_mode=language == "en") == ()
        assert body_faults(mail.body, ascii_mode=language == "en") == ()
        check(GOLDEN / language / f"{name}.txt", f"Subject: {mail.subject}\n\n{mail.body}")
    assert fits(flood_sms(1234, language))


def test_ascii_mode_shows_the_english_subject() -> None:
    mail = alert_email(CASES["user-switch"], "zh-CN", NOW_MS, subject_mode="ascii")
    assert mail.subject == "[HIGH] Interest shift: user u-7f3a91c2 Outdoor -> Baby"
    assert "兴趣" in mail.body


@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_names_are_defused(language: str) -> None:
    # GIVEN names with line breaks, direction marks, links, an address and a phone number
    names = dict.fromkeys(NAMES, HOSTILE)
    # WHEN
    for payload in payloads(names=names).values():
        mail = alert_email(payload, language, NOW_MS, subject_mode="utf8")
        sms = alert_sms(payload, language)
        # THEN
        assert subject_faults(mail.subject, ascii_mode=False) == ()
        assert body_faults(mail.body, ascii_mode=False) == ()
        assert fits(sms)
        own_link = payload["links"]["chart"]
        for text in (mail.subject, mail.body.replace(own_link, ""), sms.replace(own_link, "")):
            assert "evil.example" not in text
            assert "https:" not in text
            assert "\nBcc" not in text


def test_a_detector_that_looks_downward_says_below() -> None:
    # GIVEN
    calm = {"detector": "lstm_residual", "value": -3.1, "threshold": -8.2, "vote": False}
    loud = {**calm, "value": -9.4, "vote": True}
    # WHEN / THEN
    assert "-3.1, would alert below -8.2" in text_en.reason(calm)
    assert "-9.4, alerts below -8.2" in text_en.reason(loud)
    assert "-9.4，低于 -8.2 预警" in text_zh.reason(loud)


@pytest.mark.parametrize("language", LANGUAGES)
def test_units_are_said_wherever_a_share_is(language: str) -> None:
    # GIVEN
    payload = CASES["user-switch-backtest"]
    counted = "92 of 114" if language == "en" else "114件中92件"
    digest = digest_email(Digest([payload] * 4, NOW_MS), language).body
    # WHEN / THEN
    for text in (
        alert_email(payload, language, NOW_MS).body,
        alert_sms(payload, language),
        digest,
        alert_page(payload, language, NOW_MS),
        payload["change"]["summary"][language],
    ):
        assert counted in text.replace("\n        ", "").replace("\n", " ")


@pytest.mark.parametrize("language", LANGUAGES)
def test_units_go_from_an_sms_before_names_that_somebody_knows(language: str) -> None:
    # GIVEN names so long that not all has room
    long = "Garden furniture and everything else"
    payload = payloads(names={1: long, 2: f"{long} there is"})["user-switch"]
    # WHEN
    text = alert_sms(payload, language)
    # THEN
    assert fits(text)
    assert "114" not in text
    assert "81%" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_alert_stored_before_there_were_units_still_renders(language: str) -> None:
    # GIVEN
    payload = CASES["user-switch-before-units"]
    # WHEN
    mail = alert_email(payload, language, NOW_MS).body
    # THEN
    assert "81%" in mail
    assert "81%" in alert_sms(payload, language)
    assert "81%" in alert_page(payload, language, NOW_MS)
    assert "usual)" not in mail


def test_no_certainty_is_invented() -> None:
    # GIVEN a stack without a back-test, THEN no mail says how many alerts are right
    for payload in payloads().values():
        body = alert_email(payload, "en", NOW_MS).body
        assert "were right" not in body.replace("\n       ", " ")
        assert "sure)" not in alert_email(payload, "en", NOW_MS).subject
    # and with one, only where it can tell
    assert RELIABILITY.right(Head.INTEREST, 5e-5) == 0.97
    assert RELIABILITY.right(Head.INTEREST, 5e-4) == 0.8
    assert RELIABILITY.right(Head.INTEREST, 5e-3) is None
    assert RELIABILITY.right(Head.ENGAGEMENT, 5e-5) is None


def test_reliability_comes_from_the_manifest() -> None:
    stored = {"precision": {"interest": [[1e-3, 0.8], [1e-4, 0.97]]}, "changed_share": 0.3}
    manifest = {"metrics": {"reliability": {**stored, "day": "2026-11-20"}}}
    assert Reliability.of(manifest) == RELIABILITY
    assert Reliability.of({"metrics": {}}) is None


def test_both_languages_have_the_same_words() -> None:
    def public(module: object) -> dict[str, str]:
        return {
            name: str(inspect.signature(value))
            for name, value in inspect.getmembers(module, inspect.isfunction)
            if value.__module__ == module.__name__ and not name.startswith("_")
        }

    assert public(text_en) == public(text_zh)
    assert public(change_en) == public(change_zh)
    assert text_en.LABELS.keys() == text_zh.LABELS.keys()
    assert text_en.KINDS.keys() == text_zh.KINDS.keys()
    assert text_en.USE_CASES.keys() == text_zh.USE_CASES.keys()
    with pytest.raises(ValueError, match="zh-CN"):
        texts("fr")
