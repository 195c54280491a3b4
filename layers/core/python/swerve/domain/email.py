"""The plain-text e-mail of one alert: the same fields in the same order every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swerve.domain.layout import block, bullets
from swerve.domain.lint import ascii_only, display_width, subject_line
from swerve.domain.texts import actions, texts, why

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Email:
    """Subject and body as SNS takes them."""

    subject: str
    body: str


def alert_email(
    payload: Mapping[str, Any], language: str, now_ms: int, *, subject_mode: str = "ascii"
) -> Email:
    """Render the mail of one alert.

    Parameters
    ----------
    payload : mapping
        An `interest-alert/1.0`.
    language : {'en', 'zh-CN'}
    now_ms : int
        The time of telling.
    subject_mode : {'ascii', 'utf8'}
        `ascii` shows the English subject, as older mail systems behind SNS refuse others.
    """
    words = texts(language)
    indent = words.INDENT
    labels = words.LABELS
    ended = payload["status"] in {"resolved", "withdrawn"}
    lines: list[str] = []
    if words.note(payload):
        lines += block(labels["note"], words.note(payload), indent)
    lines += block(labels["what"], words.what(payload), indent)
    lines += block(labels["who"], words.who(payload), indent)
    lines += block(labels["when"], words.when(payload, now_ms), indent)
    if not ended:
        lines += block(labels["sure"], words.sure(payload), indent)
        lines += ["", labels["why"], *bullets(why(words, payload))]
        lines += ["", labels["do"], *_to_do(actions(words, payload))]
    link = payload["links"].get("chart", payload["links"]["page"])
    lines += ["", *_link(labels["look"], link, indent)]
    if not ended:
        lines += _link(labels["help"], f"{link}#help", indent)
    if words.quiet(payload):
        lines += ["", *block(labels["quiet"], words.quiet(payload), indent)]
    lines += ["--", words.footer(payload)]
    return Email(subject_in_mode(payload, language, subject_mode), "\n".join(lines) + "\n")


def subject_in_mode(payload: Mapping[str, Any], language: str, subject_mode: str) -> str:
    """Return the subject in the stack's language, or the English one in ASCII."""
    if subject_mode == "utf8":
        return subject_line(texts(language).subject(payload))
    return subject_line(ascii_only(texts("en").subject(payload)))


def _to_do(items: list[tuple[str, str]]) -> list[str]:
    widest = max((display_width(use_case) for use_case, _ in items), default=0)
    return [line for use_case, text in items for line in block(f"  {use_case}", [text], widest + 4)]


def _link(label: str, link: str, indent: int) -> list[str]:
    """A link is never wrapped: a broken one is of no use."""
    return [label + " " * (indent - display_width(label)) + link]
