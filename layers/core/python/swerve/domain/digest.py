"""Mails that speak of many alerts: the digest, and the question that a flood of alerts raises."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swerve.domain.email import Email
from swerve.domain.figures import local, parse_day
from swerve.domain.layout import block, wrap
from swerve.domain.lint import EMAIL_COLUMNS, subject_line
from swerve.domain.texts import Texts, texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LINES_PER_SECTION = 10

_WORDS = {
    "en": {
        "subject": "[DIGEST] {what}, to {until} ({critical} critical, {high} high)",
        "alert": "{count:,} alert",
        "correction": "{count:,} correction",
        "plural": "s",
        "and": " and ",
        "opening": "{count:,} alerts since {since}; {calm:,} need no action today.",
        "opening_first": "{count:,} alerts up to {until}; {calm:,} need no action today.",
        "windows": "They concern {first} to {last}.",
        "act_now": "ACT NOW ({count:,})",
        "today": "TODAY ({count:,})",
        "information": "FOR INFORMATION ({count:,})",
        "corrected": "CORRECTED OR WITHDRAWN ({count:,})",
        "ended": "ALREADY OVER ({count:,})",
        "more": "{count:,} more; all are in the alerts table and on the events topic.",
        "group": "{title}{where}: {count:,}",
        "toward": ", {name}",
        "held": "Not mailed one by one, because of the daily budget ({budget:,}): {count:,}.",
        "quiet": "Held back, as you have heard of their subject lately: {count:,}.",
        "withdrawn": "withdrawn",
        "updated": "changed",
        "flood_subject": "[CHECK] {count:,} alerts in one window: data or model problem?",
        "flood": (
            "{count:,} alerts came out of the window from {window}; {limit:,} is the most this "
            "stack sends one by one. So many at once are more often a broken feed, a new source "
            "or a price error than changed shoppers."
        ),
        "flood_do": (
            "Look at the receipts of the last uploads and at the shop's own figures. The alerts "
            "are on the events topic and in the alerts table; no mail is sent for each of them."
        ),
        "kinds": "By kind",
        "colon": ": ",
    },
    "zh-CN": {
        "subject": "[汇总] {what}，截至{until}（紧急{critical} 高{high}）",
        "alert": "{count:,}条兴趣预警",
        "correction": "{count:,}条更正",
        "plural": "",
        "and": "、",
        "opening": "自{since}以来共{count:,}条预警，其中{calm:,}条今天无需处理。",
        "opening_first": "截至{until}共{count:,}条预警，其中{calm:,}条今天无需处理。",
        "windows": "涉及{first}至{last}。",
        "act_now": "立即处理（{count:,}）",
        "today": "今天处理（{count:,}）",
        "information": "供参考（{count:,}）",
        "corrected": "更正或撤回（{count:,}）",
        "ended": "已经结束（{count:,}）",
        "more": "另有{count:,}条，详见预警表与事件主题。",
        "group": "{title}{where}：{count:,}",
        "toward": "（{name}）",
        "held": "受每日邮件上限（{budget:,}封）所限未单独发送：{count:,}条。",
        "quiet": "近期已就同一对象通知过，故未再发送：{count:,}条。",
        "withdrawn": "撤回",
        "updated": "更新",
        "flood_subject": "[核查] 同一期出现{count:,}条预警：数据或模型有问题？",
        "flood": (
            "自{window}起的一期产生了{count:,}条预警，超过逐条发送上限{limit:,}条。"
            "如此集中通常是数据源故障、新接入来源或价格错误，而非用户真的变了。"
        ),
        "flood_do": "请检查最近上传的回执与商城数据。预警见事件主题与预警表，不再逐条发送邮件。",
        "kinds": "按类型",
        "colon": "：",
    },
}


@dataclass(frozen=True, slots=True)
class Digest:
    """What a digest is made of.

    Attributes
    ----------
    payloads : sequence
        Alerts since the digest before.
    since_ms : int or None
        Time of the digest before.
    held_back : int
        Critical alerts that the daily budget kept from having their own mail.
    cooling : int
        Findings held back by cool-downs.
    """

    payloads: Sequence[Mapping[str, Any]]
    now_ms: int
    since_ms: int | None = None
    held_back: int = 0
    budget: int = 0
    cooling: int = 0


def digest_email(digest: Digest, language: str, *, subject_mode: str = "ascii") -> Email:
    """Render a digest: what needs action first, the rest by kind and number."""
    words, said = texts(language), _WORDS[language]
    payloads = digest.payloads
    active = [p for p in payloads if p["status"] == "open"]
    corrected = [p for p in payloads if p["status"] in {"updated", "withdrawn"}]
    ended = [p for p in payloads if p["status"] == "resolved"]
    critical = [p for p in active if p["severity"] == "critical"]
    high = [p for p in active if p["severity"] == "high"]
    rest = [p for p in active if p["severity"] in {"medium", "low"}]

    lines = _opening(digest, language, calm=len(payloads) - len(critical) - len(high))
    for title, chosen in (("act_now", critical), ("today", high), ("corrected", corrected)):
        if chosen:
            lines += ["", said[title].format(count=len(chosen)), *_single(chosen, words, said)]
    for title, chosen in (("information", rest), ("ended", ended)):
        if chosen:
            lines += ["", said[title].format(count=len(chosen)), *_grouped(chosen, words, said)]
    closing = []
    if digest.held_back:
        closing.append(said["held"].format(budget=digest.budget, count=digest.held_back))
    if digest.cooling:
        closing.append(said["quiet"].format(count=digest.cooling))
    if closing:
        lines += ["", *(line for text in closing for line in wrap(text, EMAIL_COLUMNS))]
    lines += ["--", f"swerve | {payloads[0]['stack']['name']}"]
    shown = language if subject_mode == "utf8" else "en"
    subject = _WORDS[shown]["subject"].format(
        what=_counted(len(payloads) - len(corrected), len(corrected), shown),
        until=_moment(digest.now_ms, shown),
        critical=len(critical),
        high=len(high),
    )
    return Email(subject_line(subject), "\n".join(lines) + "\n")


def flood_email(
    payloads: Sequence[Mapping[str, Any]], limit: int, language: str, *, subject_mode: str = "ascii"
) -> Email:
    """Ask operations to look before anybody acts on so many alerts of one window."""
    words, said = texts(language), _WORDS[language]
    window = texts(language).day(parse_day(payloads[0]["window"]["label"]), year=True)
    count = len(payloads)
    lines = wrap(said["flood"].format(count=count, window=window, limit=limit), EMAIL_COLUMNS)
    lines += ["", *block(words.LABELS["do"], [said["flood_do"]], words.INDENT)]
    lines += ["", said["kinds"], *_grouped(payloads, words, said)]
    lines += ["--", f"swerve | {payloads[0]['stack']['name']}"]
    shown = language if subject_mode == "utf8" else "en"
    subject = _WORDS[shown]["flood_subject"].format(count=count)
    return Email(subject_line(subject), "\n".join(lines) + "\n")


def flood_sms(count: int, language: str) -> str:
    """Ask the same in one part."""
    return "Swerve: " + _WORDS[language]["flood_subject"].format(count=count)


def _opening(digest: Digest, language: str, calm: int) -> list[str]:
    words, said = texts(language), _WORDS[language]
    values = {"count": len(digest.payloads), "calm": calm}
    if digest.since_ms is None:
        text = said["opening_first"].format(until=_moment(digest.now_ms, language), **values)
    else:
        text = said["opening"].format(since=_moment(digest.since_ms, language), **values)
    first = min(p["window"]["label"] for p in digest.payloads)
    last = max(p["window"]["last_day"] for p in digest.payloads)
    text += (" " if words.ASCII else "") + said["windows"].format(
        first=words.day(parse_day(first), year=True), last=words.day(parse_day(last), year=True)
    )
    return wrap(text, EMAIL_COLUMNS)


def _counted(alerts: int, corrections: int, language: str) -> str:
    said = _WORDS[language]
    counts = (("alert", alerts), ("correction", corrections))
    return said["and"].join(
        said[name].format(count=count) + said["plural"] * (count != 1)
        for name, count in counts
        if count
    )


def _moment(time_ms: int, language: str) -> str:
    moment = local(time_ms, "UTC")
    return f"{texts(language).day(moment.date())} {moment:%H:%M} UTC"


def _single(
    payloads: Sequence[Mapping[str, Any]], words: Texts, said: Mapping[str, str]
) -> list[str]:
    """Three lines an alert: what, how much, and where to look."""
    ranked = sorted(payloads, key=lambda p: (p["p_value"], p["alert_id"]))
    lines = []
    for payload in ranked[:LINES_PER_SECTION]:
        tag = said.get(payload["status"], words.SEVERITY[payload["severity"]])
        text = f"{words.kind_title(payload)}{said['colon']}{words.headline(payload)}"
        lines += block(f"  {tag}", [text, *filter(None, [words.brief(payload)])], 13)
        lines.append(" " * 13 + payload["links"].get("chart", payload["links"]["page"]))
    if len(ranked) > LINES_PER_SECTION:
        lines.append("  " + said["more"].format(count=len(ranked) - LINES_PER_SECTION))
    return lines


def _grouped(
    payloads: Sequence[Mapping[str, Any]], words: Texts, said: Mapping[str, str]
) -> list[str]:
    """One line a kind and category, the most frequent first."""
    groups = Counter(
        (words.kind_title(p), p["change"]["to"].get("name") or p["subject"].get("name", ""))
        for p in payloads
    )
    ranked = sorted(groups.items(), key=lambda item: (-item[1], item[0]))
    lines = []
    for (title, name), count in ranked[:LINES_PER_SECTION]:
        where = said["toward"].format(name=name) if name else ""
        lines += block("  ", [said["group"].format(title=title, where=where, count=count)], 2)
    others = sum(count for _, count in ranked[LINES_PER_SECTION:])
    if others:
        lines.append("  " + said["more"].format(count=others))
    return lines
