"""English words of an alert. ASCII only; names inside are cleaned before they get here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swerve.domain import change_en
from swerve.domain.change_en import counted, numbers, returned, sentence, span, who_short
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

LANGUAGE = "en"
ASCII = True
INDENT = 7
LABELS = {
    "note": "NOTE",
    "what": "WHAT",
    "who": "WHO",
    "when": "WHEN",
    "sure": "SURE",
    "why": "WHY",
    "do": "DO",
    "look": "LOOK",
    "help": "HELP",
    "more": "{count} more on the page below",
    "quiet": "QUIET",
}
SEVERITY = {"critical": "CRITICAL", "high": "HIGH", "medium": "MEDIUM", "low": "LOW"}
USE_CASES = {
    "recommendation": "Recommendation",
    "campaign": "Campaign",
    "churn_rescue": "Churn rescue",
    "customer_service": "Customer service",
    "new_product": "New product",
    "supply_chain": "Supply chain",
    "operations": "Operations",
}
KINDS = {
    "switch": "Interest shift",
    "new_interest": "New interest",
    "drift": "Gradual drift",
    "breadth_change": "Interest breadth",
    "surge": "Activity surge",
    "drop": "Activity drop",
    "churn_risk": "Churn risk",
}
# Above user level activity is demand, or this.
_MATTER = {"campaign": "Response", "platform": "Activity"}
_HEADS = {"interest": "interests", "engagement": "activity", "surge": "activity"}


day = change_en.day  # one of `Texts`


def kind_title(payload: Mapping[str, Any]) -> str:
    """Name of the change, as subjects begin."""
    kind, level = payload["kind"], payload["level"]
    if kind in {"surge", "drop"} and level != "user" and not is_group(payload):
        return f"{_MATTER.get(level, 'Demand')} {kind}"
    return KINDS[kind]


def headline(payload: Mapping[str, Any], *, short: bool = False) -> str:  # noqa: PLR0911 - a case a kind
    """Who and what in a few words, without severity and kind."""
    facts = payload["facts"]
    before, after = named(payload)
    who = who_short(payload, short=short) + returned(payload)
    match payload["kind"]:
        case "switch" if before and after:
            return f"{who} {before} -> {after}"
        case "switch":
            return f"{who} toward {after}" if after else f"{who} away from {before or 'the usual'}"
        case "new_interest" if is_launch(payload):
            return who
        case "new_interest":
            return f"{who}{' in' if is_group(payload) else ''} {after}".rstrip()
        case "drift":
            return f"{who} toward {after}" if after else who
        case "breadth_change" if "breadth_now" in facts and "breadth_before" in facts:
            return (
                f"{who} {number_of(facts['breadth_before'])} -> "
                f"{number_of(facts['breadth_now'])} categories"
            )
        case "surge":
            return f"{who}{_inside(payload)} x{times(facts['ratio'])}" if "ratio" in facts else who
        case "churn_risk" if has_stopped(payload):
            return f"{who} silent for {facts['idle_days']:.0f} days"
        case "drop" | "churn_risk":
            fell = fall(facts)
            activity = "activity " if payload["kind"] == "churn_risk" else ""
            return f"{who}{_inside(payload)} {activity}-{fell}%" if fell else who
        case _:
            return who


def brief(payload: Mapping[str, Any]) -> str:
    """The first share in a few words; empty where there is none."""
    for share in moved(payload)[:1]:
        text = f"{share['name']} {percent(share['was'])} -> {percent(share['share'])}"
        return f"{text} ({counted(share)})" if has_units(share) else text
    return ""


def subject(payload: Mapping[str, Any]) -> str:
    """Subject of the alert's own mail."""
    text = f"{kind_title(payload)}: {headline(payload)}"
    match payload["status"]:
        case "withdrawn":
            return f"[WITHDRAWN] {text}"
        case "resolved":
            ended = "Back, or gone for good" if is_silent(payload) else "Back to normal"
            return f"[ENDED] {ended}: {who_short(payload)} ({kind_title(payload).lower()})"
        case "updated":
            text = f"Update: {text}"
    if payload.get("provisional"):
        text = f"Early notice: {text}"
    if "members" in payload["subject"] and not is_group(payload):
        text += f" ({payload['subject']['members']:,} users)"
    if payload["confidence_basis"] == "backtest":
        text += f" ({percent(payload['confidence'])} sure)"
    return f"[{SEVERITY[payload['severity']]}] {text}"


_GONE = "The user is back, or has been away for so long that it is no news any more."


def note(payload: Mapping[str, Any]) -> list[str]:
    """What is special about this message; mostly nothing."""
    match payload["status"]:
        case "withdrawn" if payload.get("provisional"):
            return [
                "Withdrawn: now that the window is complete, the change no longer stands out. "
                "Please undo what was done because of the early notice."
            ]
        case "withdrawn":
            return [
                "Withdrawn: late data has arrived, and with it the change no longer stands out. "
                "Please undo what was done because of the earlier message."
            ]
        case "resolved":
            ended = day(last_day_of_change(payload), year=True)
            over = f"The change was over by {ended}, or is usual now: it no longer stands out."
            return [_GONE if is_silent(payload) else over]
        case "updated":
            return ["Late or complete data changed this alert; this replaces the earlier message."]
    if payload.get("provisional"):
        return ["Early notice: the window is still open. It is confirmed or withdrawn at its end."]
    return []


def what(payload: Mapping[str, Any]) -> list[str]:
    """The change in one sentence, and the numbers was -> is, a line each."""
    return [sentence(payload), *numbers(payload)]


def who(payload: Mapping[str, Any]) -> list[str]:
    """The subject."""
    label, level = payload["subject"]["label"], payload["level"]
    if level == "user":
        short = label.removeprefix("user ")
        return [f"User {short} (pseudonymous id; resolve it in your own CRM)"]
    if level == "platform":
        return ["The whole shop, all users and categories."]
    if is_group(payload):
        return [f"{who_short(payload)} (one by one in the alerts table, state folded); {label}."]
    return [f"{label[0].upper()}{label[1:]}. Counts below 20 users are hidden."]


def when(payload: Mapping[str, Any], now_ms: int) -> list[str]:
    """When it changed, in which window it was seen, and when it was told."""
    window, stack = payload["window"], payload["stack"]
    changed = day(parse_day(window["change_label"]), weekday=True, year=True)
    last = day(parse_day(window["last_day"]), weekday=True)
    seen = (
        f"seen in the {span(payload)} to {last}" if stack["window_days"] > 1 else f"seen on {last}"
    )
    zone = stack["time_zone"]
    at_utc, at_home = local(now_ms, "UTC"), local(now_ms, zone)
    told = f"told {day(at_utc.date(), weekday=True, year=True)} {at_utc:%H:%M} UTC"
    home = "" if zone == "UTC" else f" ({at_home:%H:%M} {zone})"
    return [f"Changed about {changed}; {seen}; {told}{home}."]


def sure(payload: Mapping[str, Any]) -> list[str]:
    """How far to trust it, and what that number means."""
    agree, asked = votes(payload)
    noun, window = _noun(payload), span(payload)
    stack = payload["stack"]
    budget = (
        f"Of this stack's alerts at most {percent(stack['fdr_q'])} should be false."
        if "fdr_q" in stack
        else f"Budget of false alarms: {number_of(stack['budget_per_1000'])} per 1,000 user-weeks."
    )
    if is_group(payload):
        return [f"Each of these users passed the test alone. {budget}"]
    if payload["confidence_basis"] == "backtest":
        right, backtest = percent(payload["confidence"]), payload["backtest"]
        first = (
            f"{right}: of past alerts scored like this one, {right.removesuffix('%')} in 100 were "
            f"right (back-test of {day(parse_day(backtest['day']))}, in which "
            f"{percent(backtest['changed_share'])} of users changed)."
        )
    else:
        fewer = "fewer than " if is_rarest(payload["p_value"]) else ""
        first = (
            f"By chance alone, an unchanged {noun} looks this unusual in {fewer}1 of "
            f"{one_in(payload['p_value'])} {window}s. {budget}"
        )
    agreed = f" {agree} of {asked} detectors agree; each looks at a different sign."
    return [first + (agreed if asked > 1 else "")]


def detector(found: Mapping[str, Any]) -> str:
    """Return what a detector measures, in a reader's words."""
    return words_of(found["detector"], LANGUAGE).measures


def quiet(payload: Mapping[str, Any]) -> list[str]:
    """When this subject may be heard of again."""
    if payload["status"] in {"resolved", "withdrawn"}:
        return []
    until = day(parse_day(payload["stack"]["quiet_until"]), year=True)
    lines = [
        f"No more mail about this {_noun(payload)}'s {_HEADS[payload['head']]} before {until}."
    ]
    count = payload.get("suppressed", {}).get("count", 0)
    if count:
        lines.append(f"{count} finding{'s' if count > 1 else ''} held back since the last mail.")
    return lines


def footer(payload: Mapping[str, Any]) -> str:
    """Identity of the alert."""
    return (
        f"Alert {payload['alert_id']} | model {payload['model']['version']} | "
        f"stack {payload['stack']['name']}"
    )


def _inside(payload: Mapping[str, Any]) -> str:
    """Category of a folded group, whose headline begins with the number of users."""
    return f" in {payload['subject']['name']}" if is_group(payload) else ""


def _noun(payload: Mapping[str, Any]) -> str:
    return "shop" if payload["level"] == "platform" else str(payload["level"])


def reason(found: Mapping[str, Any]) -> str:
    """One line of evidence."""
    if found["detector"] == GROUP:
        return f"{detector(found)}: {found['value']:,.0f} (from 20 on told as one)"
    statistic = words_of(found["detector"], LANGUAGE).statistic
    chance = f"{statistic}, {p_text(found['p_value'])}" if "p_value" in found else statistic
    bracket = f" ({chance.removeprefix(', ')})" if chance else ""
    said = f"; {found['note']}" if found["vote"] and found.get("note") else ""
    side = "below" if is_floor(found) else "from"
    line = f"alerts {side}" if found["vote"] else f"would alert {side}"
    if compares_with_usual(found["detector"]):
        line = "usually"
    measures = detector(found)
    if not found["vote"]:
        measures = f"Does not agree: {measures[0].lower()}{measures[1:]}"
    return (
        f"{measures}: {number(found['value'])}, {line} {number(found['threshold'])}{bracket}{said}"
    )
