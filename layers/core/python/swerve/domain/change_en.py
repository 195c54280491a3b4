"""What changed, in English: one sentence, then the numbers behind it."""

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

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def day(value: date, *, weekday: bool = False, year: bool = False) -> str:
    """`16 Nov`, `Mon 16 Nov 2026`."""
    name = f"{_DAYS[value.weekday()]} " if weekday else ""
    return f"{name}{value.day} {_MONTHS[value.month - 1]}" + (f" {value.year}" if year else "")


def span(payload: Mapping[str, Any]) -> str:
    """Length of a window."""
    return "day" if payload["stack"]["window_days"] == 1 else "week"


def who_short(payload: Mapping[str, Any], *, short: bool = False) -> str:
    """The subject in two words."""
    if is_group(payload):
        return f"{payload['subject'].get('members', 0):,} users"
    label = str(payload["subject"]["label"])
    return label.removeprefix("user ") if short else label


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
            return f"Main interest moved from {before} to {after}."
        case "switch" if before and after:
            return f"Interest moved from {before} to {after}, among others."
        case "switch" if before:
            return f"Interest moved away from {before}."
        case "switch":
            return f"Interest moved to {after}, among others." if after else "Interests changed."
        case "new_interest" if is_launch(payload):
            return f"{after} is new."
        case "new_interest":
            return f"First lasting interest in {after}." if after else "A first lasting interest."
        case "drift" if before and after:
            return f"Interest moves slowly from {before} to {after}."
        case "drift":
            return "Interests move slowly."
        case _:
            wider = change.get("delta_pct", 0) >= 0
            return f"Interests became {'broader' if wider else 'narrower'}."


def _activity_sentence(payload: Mapping[str, Any]) -> str:
    facts, level = payload["facts"], payload["level"]
    if payload["kind"] == "surge":
        level_of = (
            f"is {times(facts['ratio'])}x normal" if "ratio" in facts else "is unusually high"
        )
    else:
        fell = fall(facts)
        level_of = f"fell by {fell}%" if fell else "is unusually low"
        if fell == "100":
            level_of = "stopped"
    if level == "user":
        return f"{'Activity' if payload['kind'] == 'surge' else 'All activity'} {level_of}."
    if level == "platform":
        return f"Activity in the whole shop {level_of}."
    matter = "Response to" if level == "campaign" else "Demand for"
    return f"{matter} {payload['subject']['label']} {level_of}."


def _group_sentence(payload: Mapping[str, Any]) -> str:
    change = payload["change"]
    before, after = change["from"].get("name"), change["to"].get("name")
    users = who_short(payload)
    when = f"in one {span(payload)}"
    match payload["kind"]:
        case "switch":
            return f"{users} moved their main interest from {before} to {after} {when}."
        case "drift":
            return f"{users} drift slowly from {before} to {after}."
        case "new_interest":
            return f"{users} took a first lasting interest in {after} {when}."
        case "surge":
            return f"{users} became far more active {when}, most of it in {after}."
        case _:
            return f"{users} became far less active {when}, most of it in {before}."


def numbers(payload: Mapping[str, Any]) -> list[str]:
    """The numbers was -> is, and what else explains them, a line each."""
    lines = [_activity(payload), _return(payload), _silence(payload), *_shares(payload)]
    return [line for line in lines if line]


def _activity(payload: Mapping[str, Any]) -> str:
    facts = payload["facts"]
    said = []
    if "actions_now" in facts and "actions_before" in facts:
        pair = f"{number_of(facts['actions_before'])} -> {number_of(facts['actions_now'])}"
        said.append(f"{pair} actions a {'week' if is_weekly(payload) else 'day'}.")
        if is_seasonal(facts) and payload["kind"] in {"surge", "drop"}:
            said.append("The shop's own season is divided out of the change.")
    if "breadth_now" in facts and payload["kind"] == "breadth_change":
        before = number_of(facts.get("breadth_before", 0.0))
        said.append(
            f"In as many actions: {before} -> {number_of(facts['breadth_now'])} categories."
        )
    if is_launch(payload) and "users" in facts:
        said.append(f"{number_of(facts['users'])} users in its first {span(payload)}.")
    return " ".join(said)


def _return(payload: Mapping[str, Any]) -> str:
    """An absence may be all there is to a new mix."""
    away = away_weeks(payload["facts"])
    if away is None:
        return ""
    why = ", which may be why the mix looks new" if payload["head"] == "interest" else ""
    return f"Returned about {day(first_day(payload, 'back_days'))} after {_weeks(*away)} away{why}."


def returned(payload: Mapping[str, Any]) -> str:
    """What a headline says of an absence, after the user."""
    away = away_weeks(payload["facts"])
    return "" if away is None else f" (back after {away[0]}{'+' * away[1]} weeks)"


def _weeks(weeks: int, at_least: bool) -> str:
    return f"{'at least ' if at_least else ''}{weeks} weeks"


def _silence(payload: Mapping[str, Any]) -> str:
    """How long, against the rhythm before, and whether it was announced."""
    if not is_silent(payload):
        return ""
    facts = payload["facts"]
    text = f"Not seen in the last {facts['idle_days']:.0f} days"
    if "days_before" in facts:
        text += f"; before, active {_rhythm(facts['days_before'])}"
    if "fading_days" in facts:
        text += f", but less since about {day(first_day(payload, 'fading_days'))}"
    return f"{text}."


def _rhythm(days_a_week: float) -> str:
    if days_a_week >= 1:
        days = number_of(days_a_week)
        return f"on {days} day{'s' if days != '1' else ''} a week"
    return f"about once in {usual(7 / max(days_a_week, 0.05))} days"


def _shares(payload: Mapping[str, Any]) -> list[str]:
    """Each share with the units behind it: 2% -> 9% may be 3 items against 11."""
    facts, lines = payload["facts"], []
    for place, share in enumerate(moved(payload)):
        text = f"{share['name']}: {percent(share['was'])} -> {percent(share['share'])}"
        if place == 0:
            since = day(parse_day(payload["window"]["change_label"]))
            when = f"last {facts['now_days']:.0f} days" if "now_days" in facts else f"since {since}"
            things = "items" if has_units(share) else "actions"
            text += f" of {_whose(payload)} {things} ({when})"
        lines.append(f"{text}{_units(payload, share)}.")
    return lines


def _units(payload: Mapping[str, Any], share: Mapping[str, Any]) -> str:
    if not has_units(share):
        return ""
    if is_group(payload):
        return f": {usual(share['items'])} in all ({_usual(share)})"
    text = f": {usual(share['items'])} of {usual(share['of_items'])} ({_usual(share)})"
    of_days = f"{usual(share['of_days'])} active day{'s' if share['of_days'] != 1 else ''}"
    if share["share"] < share["was"]:
        return text + _days_lost(share, of_days)
    if share["of_days"]:
        text += f", on {usual(share['days'])} of {of_days}"
    if share["of_weeks"] > 1:
        text += f", in {usual(share['weeks'])} of {usual(share['of_weeks'])} weeks"
    bulk = clump(share)
    return f"{text} ({bulk} of them in one week)" if bulk else text


def _days_lost(share: Mapping[str, Any], of_days: str) -> str:
    if was_rare(share):
        return ", though known from a day or two only"
    if not share["of_days"]:
        return ""
    return f", on {usual(share['days'])} of {of_days} ({usual(share['usual_days'])} usual)"


def _usual(share: Mapping[str, Any]) -> str:
    return f"{usual(share['usual_items'])} usual" if share["was"] else "none before"


def counted(share: Mapping[str, Any]) -> str:
    """Units in a few words."""
    return f"{usual(share['items'])} of {usual(share['of_items'])} items"


def _whose(payload: Mapping[str, Any]) -> str:
    if is_group(payload):
        return "their"
    return "this user's" if payload["level"] == "user" else "all"
