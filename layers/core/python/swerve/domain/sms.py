"""SMS texts that fit one part: 160 GSM-7 units or 70 UCS-2 units (SNS developer guide, SMS)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swerve.domain import change_en, change_zh, text_en, text_zh
from swerve.domain.figures import has_units, is_group, is_launch, percent
from swerve.domain.lint import shorten

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
    """Render one part: shorter names first, then without units, without the action, the link."""
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
    plain = {**payload, "change": _without_units(payload["change"])}
    no_action = {**plain, "actions": []}
    # Units are worth a shorter name, and no name that nobody would know.
    for shown, limits in (
        (payload, _NAME_LIMITS[:3]),
        (plain, _NAME_LIMITS),
        (no_action, _NAME_LIMITS),
    ):
        for limit in limits:
            text = _LINES[language](_with_short_names(shown, limit))
            yield f"{text} {link}".rstrip()
    yield _LINES[language](_with_short_names(plain, _NAME_LIMITS[-2]))
    yield _LINES[language](_with_short_names(no_action, _NAME_LIMITS[-1]))


def _without_units(change: Mapping[str, Any]) -> dict[str, Any]:
    sides = {
        side: {k: v for k, v in change[side].items() if k != "of_items"} for side in ("from", "to")
    }
    return {**change, **sides}


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


def _told_share(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The share that the text names with its numbers; empty where it names none."""
    if payload["kind"] not in {"switch", "new_interest", "drift"} or is_launch(payload):
        return {}
    sides = (payload["change"]["to"], payload["change"]["from"])
    return next((share for share in sides if "share" in share), {})


def _tells_units(payload: Mapping[str, Any], share: Mapping[str, Any]) -> bool:
    return has_units(share) and not is_group(payload)


def _english(payload: Mapping[str, Any]) -> str:
    share = _told_share(payload)
    severity = text_en.SEVERITY[payload["severity"]]
    text = f"{text_en.kind_title(payload)} {severity}: {text_en.headline(payload)}"
    text = text.replace(" -> ", ">")
    if share:
        counted = f"; {change_en.counted(share)}" if _tells_units(payload, share) else ""
        text += f" ({percent(share['share'])}, was {percent(share['was'])}{counted})"
    if payload["confidence_basis"] == "backtest":
        text += f", {percent(payload['confidence'])} sure"
    prefix = {"withdrawn": "WITHDRAWN. ", "updated": "Update. ", "resolved": "ENDED. "}
    text = prefix.get(payload["status"], "") + text + "."
    if payload["status"] in {"open", "updated"} and payload["actions"]:
        text += f" Act: {payload['actions'][0]['text'][text_en.LANGUAGE]}"
    return text


def _chinese(payload: Mapping[str, Any]) -> str:
    share = _told_share(payload)
    text = f"【{text_zh.kind_title(payload)}】{text_zh.headline(payload, short=True)}".replace(
        " → ", "→"
    )
    if share:
        text += f" {percent(share['was'])}→{percent(share['share'])}"
        text += f"（{change_zh.counted(share)}）" if _tells_units(payload, share) else ""
    if payload["confidence_basis"] == "backtest":
        text += f"，置信{percent(payload['confidence'])}"
    prefix = {"withdrawn": "撤回", "updated": "更新", "resolved": "结束"}
    text = prefix.get(payload["status"], "") + text
    if payload["status"] in {"open", "updated"} and payload["actions"]:
        text += f"，{payload['actions'][0]['text'][text_zh.LANGUAGE].removesuffix('。')}"
    return text


_LINES = {"en": _english, "zh-CN": _chinese}
