"""Simplified Chinese words of an alert; the same functions as `text_en`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swerve.domain import change_zh
from swerve.domain.change_zh import (
    NOUNS,
    counted,
    numbers,
    returned,
    sentence,
    span,
    who_short,
)
from swerve.domain.detectors import GROUP, compares_with_usual, words_of
from swerve.domain.figures import (
    fall,
    has_stopped,
    has_units,
    is_floor,
    is_group,
    is_launch,
    is_rarest,
    is_silent,
    last_day_of_change,
    local,
    moved,
    named,
    number,
    number_of,
    one_in,
    p_text,
    parse_day,
    percent,
    times,
    votes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

LANGUAGE = "zh-CN"
ASCII = False
INDENT = 8
LABELS = {
    "note": "注意",
    "what": "变化",
    "who": "对象",
    "when": "时间",
    "sure": "把握",
    "why": "依据",
    "do": "建议",
    "look": "图表",
    "help": "说明",
    "more": "另有{count}项，见下方页面",
    "quiet": "免打扰",
}
SEVERITY = {"critical": "紧急", "high": "高", "medium": "中", "low": "低"}
USE_CASES = {
    "recommendation": "推荐",
    "campaign": "营销",
    "churn_rescue": "挽回",
    "customer_service": "客服",
    "new_product": "新品",
    "supply_chain": "供应链",
    "operations": "运维",
}
KINDS = {
    "switch": "兴趣突变",
    "new_interest": "新兴趣",
    "drift": "兴趣渐变",
    "breadth_change": "兴趣广度变化",
    "surge": "活跃激增",
    "drop": "活跃下降",
    "churn_risk": "流失风险",
}
_MATTER = {"category": "需求", "product": "需求", "campaign": "响应", "platform": "活跃"}
_DIRECTION = {"surge": "激增", "drop": "下降"}
_HEADS = {"interest": "兴趣", "engagement": "活跃度", "surge": "活跃度"}
_ZONES = {"Asia/Shanghai": "北京时间", "Asia/Hong_Kong": "香港时间", "Asia/Taipei": "台北时间"}


day = change_zh.day  # one of `Texts`


def kind_title(payload: Mapping[str, Any]) -> str:
    """Name of the change, as subjects begin."""
    kind, level = payload["kind"], payload["level"]
    if kind in _DIRECTION and level != "user" and not is_group(payload):
        return _MATTER[level] + _DIRECTION[kind]
    return KINDS[kind]


def headline(payload: Mapping[str, Any], *, short: bool = False) -> str:  # noqa: PLR0911 - a case a kind
    """Who and what in a few words, without severity and kind."""
    facts = payload["facts"]
    before, after = named(payload)
    who = who_short(payload, short=short) + returned(payload)
    match payload["kind"]:
        case "switch" if before and after:
            return f"{who} {before} → {after}"
        case "switch":
            return f"{who} 转向{after}" if after else f"{who} 离开{before or '原有兴趣'}"
        case "new_interest" if is_launch(payload):
            return who
        case "new_interest":
            return f"{who}{'：' if is_group(payload) else ' '}{after}".rstrip("： ")
        case "drift":
            between = "" if is_group(payload) else " "
            return f"{who}{between}转向{after}" if after else who
        case "breadth_change" if "breadth_now" in facts and "breadth_before" in facts:
            return (
                f"{who} {number_of(facts['breadth_before'])} → "
                f"{number_of(facts['breadth_now'])}个品类"
            )
        case "surge":
            return f"{who}{_inside(payload)} {times(facts['ratio'])}倍" if "ratio" in facts else who
        case "churn_risk" if has_stopped(payload):
            return f"{who} 已{facts['idle_days']:.0f}天无活动"
        case "drop" | "churn_risk":
            fell = fall(facts)
            activity = "活跃度" if payload["kind"] == "churn_risk" else ""
            return f"{who}{_inside(payload)} {activity}-{fell}%" if fell else who
        case _:
            return who


def brief(payload: Mapping[str, Any]) -> str:
    """The first share in a few words; empty where there is none."""
    for share in moved(payload)[:1]:
        text = f"{share['name']} {percent(share['was'])} → {percent(share['share'])}"
        return f"{text}（{counted(share)}）" if has_units(share) else text
    return ""


def subject(payload: Mapping[str, Any]) -> str:
    """Subject of the alert's own mail."""
    text = f"{kind_title(payload)}：{headline(payload)}"
    match payload["status"]:
        case "withdrawn":
            return f"[撤回] {text}"
        case "resolved":
            ended = "已回归或已流失" if is_silent(payload) else "恢复正常"
            return f"[结束] {ended}：{who_short(payload)}（{kind_title(payload)}）"
        case "updated":
            text = f"更新：{text}"
    if payload.get("provisional"):
        text = f"提前预警：{text}"
    members = payload["subject"].get("members")
    if members and not is_group(payload):
        text += f"（{members:,}人）"
    if payload["confidence_basis"] == "backtest":
        text += f"（置信度 {percent(payload['confidence'])}）"
    return f"[{SEVERITY[payload['severity']]}] {text}"


_GONE = "该用户已经回归，或久未活动、不再属于新情况。"


def note(payload: Mapping[str, Any]) -> list[str]:
    """What is special about this message; mostly nothing."""
    match payload["status"]:
        case "withdrawn" if payload.get("provisional"):
            return ["撤回：本期数据已完整，该变化不再显著。请撤销因提前预警而采取的措施。"]
        case "withdrawn":
            return ["撤回：补齐迟到数据后，该变化不再显著。请撤销因此前消息而采取的措施。"]
        case "resolved":
            ended = day(last_day_of_change(payload), year=True)
            return [_GONE if is_silent(payload) else f"该变化已于{ended}前结束，或已成为常态。"]
        case "updated":
            return ["数据补齐后本预警有变化，请以本邮件为准。"]
    if payload.get("provisional"):
        return ["提前预警：本期尚未结束，期末将予以确认或撤回。"]
    return []


def what(payload: Mapping[str, Any]) -> list[str]:
    """The change in one sentence, and the numbers was -> is, a line each."""
    return [sentence(payload), *numbers(payload)]


def who(payload: Mapping[str, Any]) -> list[str]:
    """The subject."""
    if payload["level"] == "user":
        return [f"用户 {who_short(payload, short=True)}（匿名编号，请在贵司CRM中对应）"]
    if payload["level"] == "platform":
        return ["全站，含所有用户与品类。"]
    if is_group(payload):
        return [
            f"{who_short(payload)}（逐个见预警表，状态为folded）；品类【{payload['subject']['name']}】。"
        ]
    name = payload["subject"]["name"]
    return [f"{NOUNS[payload['level']]}【{name}】。不足20人的计数不予显示。"]


def when(payload: Mapping[str, Any], now_ms: int) -> list[str]:
    """When it changed, in which window it was seen, and when it was told."""
    window, stack = payload["window"], payload["stack"]
    changed = day(parse_day(window["change_label"]), weekday=True, year=True)
    last = day(parse_day(window["last_day"]), weekday=True)
    seen = f"见于截至{last}的一周" if stack["window_days"] > 1 else f"见于{last}"
    zone = stack["time_zone"]
    at_utc, at_home = local(now_ms, "UTC"), local(now_ms, zone)
    if zone == "UTC":
        told = f"{day(at_utc.date(), year=True)} {at_utc:%H:%M}（UTC）发出"
    else:
        name = _ZONES.get(zone, zone)
        told = (
            f"{day(at_home.date(), year=True)} {at_home:%H:%M}（{name}）发出（{at_utc:%H:%M} UTC）"
        )
    return [f"约{changed}开始；{seen}；{told}。"]


def sure(payload: Mapping[str, Any]) -> list[str]:
    """How far to trust it, and what that number means."""
    agree, asked = votes(payload)
    noun, window = NOUNS[payload["level"]], span(payload)
    stack = payload["stack"]
    budget = (
        f"本系统的预警中，误报预期不超过{percent(stack['fdr_q'])}。"
        if "fdr_q" in stack
        else f"误报预算：每1,000用户周{number_of(stack['budget_per_1000'])}次。"
    )
    if is_group(payload):
        return [f"其中每位用户都单独通过了检验。{budget}"]
    if payload["confidence_basis"] == "backtest":
        right, backtest = percent(payload["confidence"]), payload["backtest"]
        first = (
            f"{right}：以往同等得分的预警，每100条有{right.removesuffix('%')}条正确"
            f"（{day(parse_day(backtest['day']))}回测，其中{percent(backtest['changed_share'])}"
            "的用户确有变化）。"
        )
    else:
        over = "超过" if is_rarest(payload["p_value"]) else ""
        first = (
            f"若{noun}并无变化，仅凭偶然出现如此异常，平均{over}{one_in(payload['p_value'])}{window}才有一次。"
            f"{budget}"
        )
    return [first + (f"{asked}个检测方法（各看不同方面）中有{agree}个支持。" if asked > 1 else "")]


def detector(found: Mapping[str, Any]) -> str:
    """Return what a detector measures, in a reader's words."""
    return words_of(found["detector"], LANGUAGE).measures


def quiet(payload: Mapping[str, Any]) -> list[str]:
    """When this subject may be heard of again."""
    if payload["status"] in {"resolved", "withdrawn"}:
        return []
    until = day(parse_day(payload["stack"]["quiet_until"]), year=True)
    noun = "全站" if payload["level"] == "platform" else f"该{NOUNS[payload['level']]}"
    lines = [f"{until}前不再就{noun}的{_HEADS[payload['head']]}变化发送邮件。"]
    count = payload.get("suppressed", {}).get("count", 0)
    if count:
        lines.append(f"自上次邮件以来另有{count}条发现未单独发送。")
    return lines


def footer(payload: Mapping[str, Any]) -> str:
    """Identity of the alert."""
    return (
        f"预警编号 {payload['alert_id']} | 模型 {payload['model']['version']} | "
        f"{payload['stack']['name']}"
    )


def _inside(payload: Mapping[str, Any]) -> str:
    """Category of a folded group, whose headline begins with the number of users."""
    return f"在【{payload['subject']['name']}】的活跃度" if is_group(payload) else ""


def reason(found: Mapping[str, Any]) -> str:
    """One line of evidence."""
    if found["detector"] == GROUP:
        return f"{detector(found)}：{found['value']:,.0f}名（满20名即合并通知）"
    statistic = words_of(found["detector"], LANGUAGE).statistic
    parts = [statistic] if statistic else []
    if "p_value" in found:
        parts.append(p_text(found["p_value"]))
    bracket = f"（{'，'.join(parts)}）" if parts else ""
    against = "" if found["vote"] else "（不支持）"
    value, threshold = number(found["value"]), number(found["threshold"])
    line = "平时" if compares_with_usual(found["detector"]) else "预警线"
    limit = f"低于 {threshold} 预警" if is_floor(found) else f"{line} {threshold}"
    return f"{against}{detector(found)}：{value}，{limit}{bracket}"
