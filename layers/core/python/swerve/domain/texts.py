"""The languages that Swerve speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from swerve.domain import text_en, text_zh
from swerve.domain.figures import REASONS, heard

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date


class Texts(Protocol):
    """What `text_en` and `text_zh` both have; every function takes a payload."""

    LANGUAGE: str
    ASCII: bool
    INDENT: int
    LABELS: dict[str, str]
    SEVERITY: dict[str, str]
    KINDS: dict[str, str]
    USE_CASES: dict[str, str]

    def day(self, value: date, *, weekday: bool = False, year: bool = False) -> str:
        """A date."""
        ...

    def kind_title(self, payload: Mapping[str, Any]) -> str:
        """Name of the change."""
        ...

    def headline(self, payload: Mapping[str, Any], *, short: bool = False) -> str:
        """Who and what in a few words."""
        ...

    def brief(self, payload: Mapping[str, Any]) -> str:
        """The first share with its units; empty where there is none."""
        ...

    def subject(self, payload: Mapping[str, Any]) -> str:
        """Subject of the alert's own mail."""
        ...

    def note(self, payload: Mapping[str, Any]) -> list[str]:
        """What is special about this message."""
        ...

    def what(self, payload: Mapping[str, Any]) -> list[str]:
        """The change."""
        ...

    def who(self, payload: Mapping[str, Any]) -> list[str]:
        """The subject."""
        ...

    def when(self, payload: Mapping[str, Any], now_ms: int) -> list[str]:
        """The times."""
        ...

    def sure(self, payload: Mapping[str, Any]) -> list[str]:
        """How far to trust it."""
        ...

    def reason(self, found: Mapping[str, Any]) -> str:
        """One line of evidence."""
        ...

    def detector(self, found: Mapping[str, Any]) -> str:
        """What a detector measures."""
        ...

    def quiet(self, payload: Mapping[str, Any]) -> list[str]:
        """When this subject may be heard of again."""
        ...

    def footer(self, payload: Mapping[str, Any]) -> str:
        """Identity of the alert."""
        ...


_LANGUAGES: dict[str, Texts] = {"en": text_en, "zh-CN": text_zh}


def texts(language: str) -> Texts:
    """Return the words of a language; raise ValueError that names those there are."""
    if language not in _LANGUAGES:
        raise ValueError(f"no texts in {language!r}; there are {', '.join(_LANGUAGES)}")
    return _LANGUAGES[language]


def actions(words: Texts, payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(use case, what to do) of each action."""
    return [
        (words.USE_CASES[action["use_case"]], action["text"][words.LANGUAGE])
        for action in payload["actions"]
    ]


def why(words: Texts, payload: Mapping[str, Any]) -> list[str]:
    """Evidence, one line a detector, the votes for the alert first."""
    ranked = heard(payload)
    lines = [words.reason(found) for found in ranked[:REASONS]]
    more = len(ranked) - REASONS
    return [*lines, words.LABELS["more"].format(count=more)] if more > 0 else lines
