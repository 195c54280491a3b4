from __future__ import annotations

from html.parser import HTMLParser

import pytest
from swerve.domain.page import alert_page

from tests.domain.alerts import NAMES, NOW_MS, payloads

LANGUAGES = ("en", "zh-CN")
MAX_BYTES = 30_000
HOSTILE = {
    key: f"\"><script>alert({key})</script><img src=x onerror='x()'> </svg>{{}}" for key in NAMES
}
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Facts(HTMLParser):
    """What stands in a page: tags, attributes, text; and whether it is well formed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.unclosed: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", payloads())
def test_every_page_is_small_whole_and_asks_for_nothing(case: str, language: str) -> None:
    # GIVEN / WHEN
    page = alert_page(payloads()[case], language, NOW_MS)
    facts = Facts(page)
    # THEN
    assert len(page.encode()) < MAX_BYTES
    assert facts.unclosed == []
    assert "script" not in facts.tags
    assert not {"img", "link", "iframe", "object", "embed", "form", "base"} & set(facts.tags)
    assert not [a for a in facts.attributes if a[1] in {"src", "href"} or a[1].startswith("on")]
    assert "url(" not in page
    assert "@import" not in page
    policies = [v for t, n, v in facts.attributes if t == "meta" and v.startswith("default-src")]
    assert policies == [
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    ]
    charts = [name for tag, name, value in facts.attributes if tag == "svg" and value]
    assert charts.count("role") == charts.count("aria-label") == facts.tags.count("svg")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_says_what_the_mail_says(language: str) -> None:
    text = " ".join(Facts(alert_page(payloads()["user-switch"], language, NOW_MS)).text)
    for said in ("u-7f3a91c2", "Outdoor", "Baby", "81%", "2026-11-09", "lstm-3"):
        assert said in text


def test_a_page_without_history_still_shows_was_and_is() -> None:
    payload = {k: v for k, v in payloads()["user-switch"].items() if k != "history"}
    facts = Facts(alert_page(payload, "en", NOW_MS))
    assert facts.tags.count("svg") == 1
    assert facts.tags.count("rect") == 4
    nothing = {k: v for k, v in payloads()["product-surge"].items() if k != "history"}
    assert "svg" not in Facts(alert_page(nothing, "en", NOW_MS)).tags


def test_the_largest_history_fits() -> None:
    payload = payloads(names=dict.fromkeys(NAMES, "母" * 60))["user-switch"]
    shares = [{"name": f"{'母' * 36}{n}", "share": 0.15} for n in range(6)]
    payload["history"] = [
        {
            "window": f"2026-{1 + n // 4:02d}-{1 + n % 4 * 7:02d}",
            "actions": 1e5 / 3,
            "shares": shares,
            "score": 1.234,
        }
        for n in range(26)
    ]
    assert len(alert_page(payload, "zh-CN", NOW_MS).encode()) < MAX_BYTES


@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_names_stay_text(language: str) -> None:
    for payload in payloads(names=HOSTILE).values():
        facts = Facts(alert_page(payload, language, NOW_MS))
        assert facts.unclosed == []
        assert not {"script", "img"} & set(facts.tags)
        assert not [a for a in facts.attributes if a[1].startswith("on")]


def test_an_ended_alert_asks_for_nothing_to_be_done() -> None:
    page = alert_page(payloads()["user-switch-withdrawn"], "en", NOW_MS)
    assert "What to do" not in page
    assert 'class="note"' in page


def test_slivers_of_a_wide_mix_are_drawn_large() -> None:
    # GIVEN a shopper of a hundred categories, of which the named ones are a few percent
    payload = payloads()["user-switch"]
    for point in payload["history"]:
        point["shares"] = [{**share, "share": share["share"] / 10} for share in point["shares"]]
    # WHEN
    text = Facts(alert_page(payload, "en", NOW_MS)).text
    # THEN
    assert "10%" in text
    assert "100%" not in text
    assert "other" not in text
