"""Simplified Chinese words of an alert; the same functions as `text_en`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swerve.domain.detectors import GROUP, compares_with_usual, words_of
from swerve.domain.figures import (
    fall,
    has_stopped,
    is_floor,
    is_group,
    is_launch,
    is_main,
    is_rarest,
    is_seasonal,
    is_silent,
    is_weekly,
    last_day_of_change,
    local,
    moved,
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
    from datetime import date

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
_NOUNS = {
    "user": "用户",
    "category": "品类",
    "product": "商品",
    "campaign": "活动",
    "platform": "全站",
}
_DAYS = "一二三四五六日"
_ZONES = {"Asia/Shanghai": "北京时间", "Asia/Hong_Kong": "香港时间", "Asia/Taipei": "台北时间"}


def day(value: date, *, weekday: bool = False, year: bool = False) -> str:
    """`11月16日`, `2026年11月16日（周一）`."""
    text = f"{value.month}月{value.day}日"
    return (
        (f"{value.year}年" if year else "")
        + text
        + (f"（周{_DAYS[value.weekday()]}）" if weekday else "")
    )


def kind_title(payload: Mapping[str, Any]) -> str:
    """Name of the change, as subjects begin."""
    kind, level = payload["kind"], payload["level"]
    if kind in _DIRECTION and level != "user" and not is_group(payload):
        return _MATTER[level] + _DIRECTION[kind]
    return KINDS[kind]


def headline(payload: Mapping[str, Any], *, short: bool = False) -> str:  # noqa: PLR0911 - a case a kind
    """Who and what in a few words, without severity and kind."""
    change, facts = payload["change"], payload["facts"]
    before, after = change["from"].get("name", ""), change["to"].get("name", "")
    who = _who_short(payload, short=short)
    match payload["kind"]:
        case "switch":
            return f"{who} {before or '其他'} → {after or '其他'}"
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


def subject(payload: Mapping[str, Any]) -> str:
    """Subject of the alert's own mail."""
    text = f"{kind_title(payload)}：{headline(payload)}"
    match payload["status"]:
        case "withdrawn":
            return f"[撤回] {text}"
        case "resolved":
            ended = "已回归或已流失" if is_silent(payload) else "恢复正常"
            return f"[结束] {ended}：{_who_short(payload)}（{kind_title(payload)}）"
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
    """The change in one sentence, and the numbers was -> is."""
    return [_sentence(payload), "".join(_numbers(payload))]


def who(payload: Mapping[str, Any]) -> list[str]:
    """The subject."""
    if payload["level"] == "user":
        return [f"用户 {_identifier(payload)}（匿名编号，请在贵司CRM中对应）"]
    if payload["level"] == "platform":
        return ["全站，含所有用户与品类。"]
    if is_group(payload):
        return [
            f"{_who_short(payload)}（逐个见预警表，状态为folded）；品类【{payload['subject']['name']}】。"
        ]
    name = payload["subject"]["name"]
    return [f"{_NOUNS[payload['level']]}【{name}】。不足20人的计数不予显示。"]


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
    noun, span = _NOUNS[payload["level"]], _span(payload)
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
            f"若{noun}并无变化，仅凭偶然出现如此异常，平均{over}{one_in(payload['p_value'])}{span}才有一次。"
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
    noun = "全站" if payload["level"] == "platform" else f"该{_NOUNS[payload['level']]}"
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


def _identifier(payload: Mapping[str, Any]) -> str:
    return str(payload["subject"]["label"]).removeprefix("user ")


def _who_short(payload: Mapping[str, Any], *, short: bool = False) -> str:
    if is_group(payload):
        return f"{payload['subject'].get('members', 0):,}名用户"
    if payload["level"] == "user":
        return _identifier(payload) if short else f"用户 {_identifier(payload)}"
    if payload["level"] == "platform":
        return "全站"
    name = payload["subject"]["name"]
    return name if short else f"{_NOUNS[payload['level']]} {name}"


def _inside(payload: Mapping[str, Any]) -> str:
    """Category of a folded group, whose headline begins with the number of users."""
    return f"在【{payload['subject']['name']}】的活跃度" if is_group(payload) else ""


def _span(payload: Mapping[str, Any]) -> str:
    return "天" if payload["stack"]["window_days"] == 1 else "周"


def _sentence(payload: Mapping[str, Any]) -> str:  # noqa: PLR0911 - a case a kind
    if is_group(payload):
        return _group_sentence(payload)
    if payload["head"] != "interest":
        return _activity_sentence(payload)
    change = payload["change"]
    before, after = change["from"].get("name"), change["to"].get("name")
    match payload["kind"]:
        case "switch" if before and after and is_main(payload):
            return f"主要兴趣由【{before}】转为【{after}】。"
        case "switch" if before and after:
            return f"部分兴趣由【{before}】转向【{after}】。"
        case "switch" if before:
            return f"兴趣已离开【{before}】。"
        case "switch":
            return f"部分兴趣转向了【{after}】。" if after else "兴趣发生变化。"
        case "new_interest" if is_launch(payload):
            return f"【{after}】为新上线。"
        case "new_interest":
            return f"首次出现对【{after}】的持续兴趣。" if after else "首次出现新的持续兴趣。"
        case "drift" if before and after:
            return f"兴趣正由【{before}】缓慢转向【{after}】。"
        case "drift":
            return "兴趣正在缓慢变化。"
        case _:
            return f"兴趣范围变{'宽' if change.get('delta_pct', 0) >= 0 else '窄'}。"


def _activity_sentence(payload: Mapping[str, Any]) -> str:
    facts, level = payload["facts"], payload["level"]
    if payload["kind"] == "surge":
        level_of = f"为平时的{times(facts['ratio'])}倍" if "ratio" in facts else "异常偏高"
    else:
        fell = fall(facts)
        level_of = f"下降{fell}%" if fell else "异常偏低"
        if fell == "100":
            level_of = "降为零"
    if level == "user":
        return f"总活跃度{level_of}。"
    if level == "platform":
        return f"全站活跃度{level_of}。"
    matter = "的响应" if level == "campaign" else "的需求"
    return f"{_NOUNS[level]}【{payload['subject']['name']}】{matter}{level_of}。"


def _group_sentence(payload: Mapping[str, Any]) -> str:
    change = payload["change"]
    before, after = change["from"].get("name"), change["to"].get("name")
    users = f"{payload['subject'].get('members', 0):,}名用户"
    span = f"在同一{_span(payload)}内"
    match payload["kind"]:
        case "switch":
            return f"{users}{span}主要兴趣由【{before}】转为【{after}】。"
        case "drift":
            return f"{users}的兴趣正由【{before}】缓慢转向【{after}】。"
        case "new_interest":
            return f"{users}{span}首次出现对【{after}】的持续兴趣。"
        case "surge":
            return f"{users}{span}活跃度激增，主要在【{after}】。"
        case _:
            return f"{users}{span}活跃度大幅下降，主要在【{before}】。"


def _numbers(payload: Mapping[str, Any]) -> list[str]:
    facts = payload["facts"]
    lines = []
    if "actions_now" in facts and "actions_before" in facts:
        pair = f"{number_of(facts['actions_before'])} → {number_of(facts['actions_now'])}"
        lines.append(f"每{'周' if is_weekly(payload) else '日'}行为数 {pair}。")
        if is_seasonal(facts) and payload["kind"] in {"surge", "drop"}:
            lines.append("变化幅度已剔除全店季节因素。")
    if "breadth_now" in facts and payload["kind"] == "breadth_change":
        before = number_of(facts.get("breadth_before", 0.0))
        lines.append(f"同等行为数所涉品类：{before} → {number_of(facts['breadth_now'])}个。")
    if is_launch(payload) and "users" in facts:
        lines.append(
            f"首{'日' if _span(payload) == '天' else '周'}已有{number_of(facts['users'])}名用户。"
        )
    if is_silent(payload):
        lines.append(f"截至期末已有{round(facts['idle_days'])}天无任何行为。")
    shares = moved(payload)
    if shares:
        since = day(parse_day(payload["window"]["change_label"]))
        span = f"最近{facts['now_days']:.0f}天" if "now_days" in facts else f"{since}以来"
        lines.append(
            f"{shares[0]['name']}占比 {_pair(shares[0])}（{span}，对比此前）"
            + ("；" if len(shares) > 1 else "。")
        )
        lines += [f"{share['name']}占比 {_pair(share)}。" for share in shares[1:]]
    return lines


def _pair(share: Mapping[str, Any]) -> str:
    return f"{percent(share['was'])} → {percent(share['share'])}"


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
