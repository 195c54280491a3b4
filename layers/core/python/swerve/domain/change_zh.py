"""What changed, in Simplified Chinese; the same functions as `change_en`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swerve.domain.figures import (
    away_weeks,
    clump,
    fall,
    first_day,
    has_units,
    is_group,
    is_launch,
    is_main,
    is_seasonal,
    is_silent,
    is_weekly,
    moved,
    named,
    number_of,
    parse_day,
    percent,
    times,
    usual,
    was_rare,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

NOUNS = {
    "user": "用户",
    "category": "品类",
    "product": "商品",
    "campaign": "活动",
    "platform": "全站",
}
_DAYS = "一二三四五六日"


def day(value: date, *, weekday: bool = False, year: bool = False) -> str:
    """`11月16日`, `2026年11月16日（周一）`."""
    text = f"{value.month}月{value.day}日"
    return (
        (f"{value.year}年" if year else "")
        + text
        + (f"（周{_DAYS[value.weekday()]}）" if weekday else "")
    )


def _identifier(payload: Mapping[str, Any]) -> str:
    return str(payload["subject"]["label"]).removeprefix("user ")


def who_short(payload: Mapping[str, Any], *, short: bool = False) -> str:
    """The subject in two words."""
    if is_group(payload):
        return f"{payload['subject'].get('members', 0):,}名用户"
    if payload["level"] == "user":
        return _identifier(payload) if short else f"用户 {_identifier(payload)}"
    if payload["level"] == "platform":
        return "全站"
    name = payload["subject"]["name"]
    return name if short else f"{NOUNS[payload['level']]} {name}"


def span(payload: Mapping[str, Any]) -> str:
    """Length of a window."""
    return "天" if payload["stack"]["window_days"] == 1 else "周"


def sentence(payload: Mapping[str, Any]) -> str:  # noqa: PLR0911 - a case a kind
    """The change in one sentence."""
    if is_group(payload):
        return _group_sentence(payload)
    if payload["head"] != "interest":
        return _activity_sentence(payload)
    change = payload["change"]
    before, after = named(payload)
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
    return f"{NOUNS[level]}【{payload['subject']['name']}】{matter}{level_of}。"


def _group_sentence(payload: Mapping[str, Any]) -> str:
    change = payload["change"]
    before, after = change["from"].get("name"), change["to"].get("name")
    users = who_short(payload)
    when = f"在同一{span(payload)}内"
    match payload["kind"]:
        case "switch":
            return f"{users}{when}主要兴趣由【{before}】转为【{after}】。"
        case "drift":
            return f"{users}的兴趣正由【{before}】缓慢转向【{after}】。"
        case "new_interest":
            return f"{users}{when}首次出现对【{after}】的持续兴趣。"
        case "surge":
            return f"{users}{when}活跃度激增，主要在【{after}】。"
        case _:
            return f"{users}{when}活跃度大幅下降，主要在【{before}】。"


def numbers(payload: Mapping[str, Any]) -> list[str]:
    """The numbers was -> is, and what else explains them, a line each."""
    lines = [_activity(payload), _return(payload), _silence(payload), *_shares(payload)]
    return [line for line in lines if line]


def _activity(payload: Mapping[str, Any]) -> str:
    facts = payload["facts"]
    said = []
    if "actions_now" in facts and "actions_before" in facts:
        pair = f"{number_of(facts['actions_before'])} → {number_of(facts['actions_now'])}"
        said.append(f"每{'周' if is_weekly(payload) else '日'}行为数 {pair}。")
        if is_seasonal(facts) and payload["kind"] in {"surge", "drop"}:
            said.append("变化幅度已剔除全店季节因素。")
    if "breadth_now" in facts and payload["kind"] == "breadth_change":
        before = number_of(facts.get("breadth_before", 0.0))
        said.append(f"同等行为数所涉品类：{before} → {number_of(facts['breadth_now'])}个。")
    if is_launch(payload) and "users" in facts:
        first = "日" if span(payload) == "天" else "周"
        said.append(f"首{first}已有{number_of(facts['users'])}名用户。")
    return "".join(said)


def _return(payload: Mapping[str, Any]) -> str:
    """An absence may be all there is to a new mix."""
    away = away_weeks(payload["facts"])
    if away is None:
        return ""
    why = "，品类构成看似变新可能只是因此" if payload["head"] == "interest" else ""
    return f"离开{_weeks(*away)}后，约{day(first_day(payload, 'back_days'))}起回归{why}。"


def returned(payload: Mapping[str, Any]) -> str:
    """What a headline says of an absence, after the user."""
    away = away_weeks(payload["facts"])
    return "" if away is None else f"（离开{_weeks(*away)}后回归）"


def _weeks(weeks: int, at_least: bool) -> str:
    return f"{'至少' if at_least else ''}{weeks}周"


def _silence(payload: Mapping[str, Any]) -> str:
    """How long, against the rhythm before, and whether it was announced."""
    if not is_silent(payload):
        return ""
    facts = payload["facts"]
    text = f"截至期末已有{round(facts['idle_days'])}天无任何行为"
    if "days_before" in facts:
        text += f"；此前{_rhythm(facts['days_before'])}"
    if "fading_days" in facts:
        text += f"，约{day(first_day(payload, 'fading_days'))}起已减少"
    return f"{text}。"


def _rhythm(days_a_week: float) -> str:
    if days_a_week >= 1:
        return f"每周活跃{number_of(days_a_week)}天"
    return f"约{usual(7 / max(days_a_week, 0.05))}天活跃一次"


def _shares(payload: Mapping[str, Any]) -> list[str]:
    """Each share with the units behind it: 2% -> 9% may be 3 items against 11."""
    facts, lines = payload["facts"], []
    for place, share in enumerate(moved(payload)):
        text = f"{share['name']}占比 {percent(share['was'])} → {percent(share['share'])}"
        if place == 0:
            since = day(parse_day(payload["window"]["change_label"]))
            when = f"最近{facts['now_days']:.0f}天" if "now_days" in facts else f"{since}以来"
            text += f"（{when}）"
        lines.append(f"{text}{_units(payload, share)}。")
    return lines


def _units(payload: Mapping[str, Any], share: Mapping[str, Any]) -> str:
    if not has_units(share):
        return ""
    if is_group(payload):
        return f"：共{usual(share['items'])}件（{_usual(share)}）"
    text = f"：{counted(share)}（{_usual(share)}）"
    if share["share"] < share["was"]:
        return text + _days_lost(share)
    if share["of_days"]:
        text += f"，{usual(share['of_days'])}个活跃日中有{usual(share['days'])}天"
    if share["of_weeks"] > 1:
        text += f"，{usual(share['of_weeks'])}周中有{usual(share['weeks'])}周"
    bulk = clump(share)
    return f"{text}（其中{bulk}件集中在一周）" if bulk else text


def _days_lost(share: Mapping[str, Any]) -> str:
    if was_rare(share):
        return "，但此前只出现过一两天"
    if not share["of_days"]:
        return ""
    days = f"{usual(share['of_days'])}个活跃日中有{usual(share['days'])}天"
    return f"，{days}（平时{usual(share['usual_days'])}天）"


def _usual(share: Mapping[str, Any]) -> str:
    return f"平时{usual(share['usual_items'])}件" if share["was"] else "此前没有"


def counted(share: Mapping[str, Any]) -> str:
    """Units in a few words."""
    return f"{usual(share['of_items'])}件中{usual(share['items'])}件"
