"""What a team can do about an alert: by level and kind, in both languages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from swerve.domain.candidate import Kind, Level
from swerve.domain.figures import is_worth_naming, named
from swerve.domain.severity import MUCH_TO_LOSE

if TYPE_CHECKING:
    from collections.abc import Mapping

_Action: TypeAlias = tuple[str, str, str]  # use case, code, due

_USER_ACTIONS: dict[Kind, tuple[_Action, ...]] = {
    Kind.SWITCH: (
        ("recommendation", "refresh_profile", "P1D"),
        ("campaign", "pause_category", "P1D"),
    ),
    Kind.NEW_INTEREST: (
        ("recommendation", "refresh_profile", "P1D"),
        ("new_product", "invite_to_launch", "P7D"),
    ),
    Kind.DRIFT: (
        ("recommendation", "blend_profile", "P7D"),
        ("campaign", "feature_category", "P7D"),
    ),
    Kind.BREADTH_CHANGE: (
        ("recommendation", "set_breadth", "P7D"),
        ("campaign", "review_segment", "P7D"),
    ),
    Kind.SURGE: (
        ("campaign", "feature_category", "P2D"),
        ("recommendation", "refresh_profile", "P1D"),
    ),
    Kind.DROP: (("customer_service", "look_for_trouble", "P2D"), ("campaign", "send_less", "P7D")),
}
_FEATURE = ("campaign", "feature_category", "P2D")
_WIN_BACK = ("churn_rescue", "send_winback", "P1D")
_CALL = ("customer_service", "call_within_48h", "P2D")
_LOOK = ("customer_service", "look_for_trouble", "P2D")
_SEGMENT = ("campaign", "review_segment", "P7D")
_SEND_LESS = ("campaign", "send_less", "P7D")
# A regular comes on so many days a week; for so many days a silence may have one cause to be found.
_REGULAR_DAYS, _SUDDEN_DAYS = 1.0, 35.0
_UPWARD = (
    ("supply_chain", "check_stock", "P1D"),
    ("campaign", "feature_category", "P2D"),
    ("new_product", "look_for_gap", "P7D"),
)
_DOWNWARD = (
    ("supply_chain", "slow_reorders", "P2D"),
    ("campaign", "check_offer", "P2D"),
)
_CAMPAIGN_UPWARD = (("supply_chain", "check_stock", "P1D"), ("campaign", "extend_campaign", "P2D"))
_CAMPAIGN_DOWNWARD = (("campaign", "check_campaign", "P1D"),)
_PLATFORM = (
    ("operations", "check_platform", "PT4H"),
    ("customer_service", "prepare_service", "P1D"),
)
_DOWN_KINDS = frozenset({Kind.DROP, Kind.CHURN_RISK})


def actions_of(level: Level, kind: Kind, payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Actions of the payload; their texts name what `payload` changed from and to."""
    return [
        {
            "use_case": use_case,
            "code": code,
            "text": {"en": _english(code, payload), "zh-CN": _chinese(code, payload)},
            "due": due,
        }
        for use_case, code, due in _chosen(level, kind, payload)
    ]


def _chosen(level: Level, kind: Kind, payload: Mapping[str, Any]) -> tuple[_Action, ...]:
    upward = kind not in _DOWN_KINDS
    match level:
        case Level.USER if kind is Kind.CHURN_RISK:
            return _against_churn(payload["facts"])
        case Level.USER if kind is Kind.SWITCH and not named(payload)[0]:
            return (_USER_ACTIONS[kind][0], _FEATURE)  # nothing that could be paused
        case Level.USER:
            return _USER_ACTIONS[kind]
        case Level.PLATFORM:
            return _PLATFORM
        case Level.CAMPAIGN:
            return _CAMPAIGN_UPWARD if upward else _CAMPAIGN_DOWNWARD
        case _:
            return _UPWARD if upward else _DOWNWARD


def _against_churn(facts: Mapping[str, float]) -> tuple[_Action, ...]:
    """By how long the user has been silent, how regular and how valuable the user was.

    A regular who stopped lately is worth a question before an offer; who left slowly needs another
    reason to come, and who did little and is long gone no more mail.
    """
    valuable = facts.get("actions_before", 0.0) >= MUCH_TO_LOSE
    regular = facts.get("days_before", 0.0) >= _REGULAR_DAYS
    if "fading_days" in facts:
        return (_WIN_BACK, _SEGMENT if valuable else _SEND_LESS)
    if regular and facts.get("idle_days", 0.0) <= _SUDDEN_DAYS:
        return (_CALL if valuable else _LOOK, _WIN_BACK)
    return (_WIN_BACK, _CALL if valuable else _SEND_LESS)


def _named(payload: Mapping[str, Any], side: str) -> str:
    return str(payload["change"][side]["name"]) if is_worth_naming(payload, side) else ""


def _english(code: str, payload: Mapping[str, Any]) -> str:
    """Return what to do, for an action code."""
    subject_name = payload["subject"].get("name", "")
    before = _named(payload, "from") or "the old interest"
    after = _named(payload, "to") or subject_name or "what is active now"
    many = payload["level"] != "user"
    texts = {
        "refresh_profile": f"Refresh the profile today; lead with {after}.",
        "blend_profile": f"Blend {after} into the recommendations step by step.",
        "set_breadth": (
            "Show a wider mix of categories."
            if payload["change"].get("delta_pct", 0) >= 0
            else "Show fewer categories; lead with the ones that stayed."
        ),
        "review_segment": "Check whether this user's segment still fits.",
        "pause_category": f"Pause {before} sends to this user for 7 days.",
        "feature_category": (
            f"Feature {after} while interest is high."
            if many
            else f"Offer {after} while interest is high."
        ),
        "invite_to_launch": f"Invite this user to the next launch in {after}.",
        "send_less": "Send less until activity returns.",
        "look_for_trouble": "Look for a failed order, a complaint or a late delivery.",
        "send_winback": "Send the win-back offer today.",
        "call_within_48h": "Call within 48 hours, if the user has agreed to calls.",
        "check_stock": f"Check stock and replenishment of {after}.",
        "look_for_gap": f"See what users of {after} look for and do not find.",
        "slow_reorders": f"Check stock-outs of {subject_name or before}; slow re-orders.",
        "check_offer": f"Check price and placement of {subject_name or before}.",
        "extend_campaign": "Extend the campaign while it answers; check its budget.",
        "check_campaign": "Check links, audience and delivery of the campaign.",
        "check_platform": "Check site, app, payment and tracking before acting on single alerts.",
        "prepare_service": "Tell the service desk what to expect.",
    }
    return texts[code]


def _chinese(code: str, payload: Mapping[str, Any]) -> str:
    """Return what to do, for an action code."""
    subject_name = payload["subject"].get("name", "")
    before = _named(payload, "from") or "原有兴趣"
    after = _named(payload, "to") or subject_name or "当前活跃品类"
    texts = {
        "refresh_profile": f"今天刷新用户画像，优先展示{after}。",
        "blend_profile": f"逐步在推荐中加入{after}。",
        "set_breadth": (
            "展示更丰富的品类。"
            if payload["change"].get("delta_pct", 0) >= 0
            else "精简展示品类，优先展示用户仍在购买的品类。"
        ),
        "review_segment": "核对该用户的人群标签是否仍然合适。",
        "pause_category": f"7天内暂停向该用户推送{before}活动。",
        "feature_category": f"趁热主推{after}。",
        "invite_to_launch": f"邀请该用户参与{after}新品首发。",
        "send_less": "活跃恢复前减少推送。",
        "look_for_trouble": "排查失败订单、投诉或配送延误。",
        "send_winback": "今天发放挽回优惠。",
        "call_within_48h": "48小时内电话回访（仅限已同意电话联系的用户）。",
        "check_stock": f"核查{after}的库存与补货。",
        "look_for_gap": f"了解{after}用户想找而没找到的商品。",
        "slow_reorders": f"检查{subject_name or before}的缺货与配送，放缓补货。",
        "check_offer": f"检查{subject_name or before}的价格与展位。",
        "extend_campaign": "响应期内延长活动，并核对预算。",
        "check_campaign": "检查活动的链接、人群与投放。",
        "check_platform": "先检查网站、应用、支付与埋点，再处理单条预警。",
        "prepare_service": "通知客服做好准备。",
    }
    return texts[code]
