"""SMS texts that fit one part: 160 GSM-7 units or 70 UCS-2 units (SNS developer guide, SMS)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swerve.domain.lint import shorten
from swerve.domain.texts import texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GSM7_UNITS, UCS2_UNITS = 160, 70
# 3GPP TS 23.038: the basic alphabet, and the characters that take an escape and so two units.
_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_ESCAPED = frozenset("^{}\\[]~|€")
_NAME_LIMITS = (40, 24, 16, 10, 6)


def units(text: str) -> tuple[int, int]:
    """(units used, units of one part).

    Examples
    --------
    >>> units("Price [1]"), units("母婴 81%")
    ((11, 160), (6, 70))
    """
    if all(c in _GSM7 or c in _GSM7_ESCAPED for c in text):
        return len(text) + sum(c in _GSM7_ESCAPED for c in text), GSM7_UNITS
    return len(text.encode("utf-16-be")) // 2, UCS2_UNITS


def fits(text: str) -> bool:
    """Whether it goes out as one part."""
    used, limit = units(text)
    return used <= limit


def alert_sms(payload: Mapping[str, Any], language: str) -> str:
    """Render one part: shorter names first, then without the action, the link goes last."""
    *_, last = variants = list(_variants(payload, language))
    for text in variants:
        if fits(text):
            return text
    while not fits(last):
        last = last[:-1]
    return last.rstrip()


def _variants(payload: Mapping[str, Any], language: str) -> Iterator[str]:
    link = payload["links"].get("chart", "")
    if language != "en":
        link = link.removeprefix("https://")
    no_action = {**payload, "actions": []}
    for shown in (payload, no_action):
        for limit in _NAME_LIMITS:
            text = texts(language).sms(_with_short_names(shown, limit))
            yield f"{text} {link}".rstrip()
    yield texts(language).sms(_with_short_names(payload, _NAME_LIMITS[-2]))
    yield texts(language).sms(_with_short_names(no_action, _NAME_LIMITS[-1]))


def _with_short_names(payload: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """Return the payload with every category, product and campaign name cut to `limit`."""
    change, subject = payload["change"], dict(payload["subject"])
    names = {change[side]["name"] for side in ("from", "to") if "name" in change[side]}
    if "name" in subject:
        names.add(subject["name"])
        short = shorten(subject["name"], limit)
        subject["label"] = subject["label"].replace(subject["name"], short)
        subject["name"] = short
    sides = {
        side: {**change[side], "name": shorten(change[side]["name"], limit)}
        for side in ("from", "to")
        if "name" in change[side]
    }
    return {
        **payload,
        "subject": subject,
        "change": {**change, **sides},
        "actions": [
            {**action, "text": {k: _shorten_in(v, names, limit) for k, v in action["text"].items()}}
            for action in payload["actions"]
        ],
    }


def _shorten_in(text: str, names: set[str], limit: int) -> str:
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, shorten(name, limit))
    return text
