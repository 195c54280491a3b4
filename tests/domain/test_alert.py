from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from swerve.domain.alert import (
    StackFacts,
    build_payload,
    named_keys,
    to_json,
)
from swerve.domain.candidate import Kind, Share, Units
from swerve.domain.lint import display_name
from swerve.settings import Settings

from tests.domain.alerts import FACTS, NAMES, SPEC, candidates, decision, payloads

SCHEMA = json.loads((files("swerve") / "schema" / "interest-alert-1.0.json").read_text("utf-8"))


def faults(payload: object) -> list[str]:
    validator = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
    return [fault.message for fault in validator.iter_errors(payload)]


@pytest.mark.parametrize("case", payloads())
def test_payload_keeps_the_schema(case: str) -> None:
    payload = payloads()[case]
    assert faults(payload) == []
    assert faults(json.loads(to_json(payload)) | {"told_at": "2026-11-24T09:05:00Z"}) == []


def test_the_schema_refuses_what_it_does_not_know() -> None:
    payload = payloads()["user-switch"]
    assert faults(payload | {"colour": "red"})
    assert faults(payload | {"head": "other"})
    assert faults({name: value for name, value in payload.items() if name != "p_value"})


def test_the_model_does_not_change_the_id() -> None:
    made = decision(candidates()["user-switch"])
    newer = StackFacts("swerve", SPEC, model_version="lstm-9")
    one, other = build_payload(made, NAMES, FACTS), build_payload(made, NAMES, newer)
    assert one["alert_id"] == other["alert_id"]


def test_small_groups_are_not_counted_aloud() -> None:
    made = payloads()
    assert made["category-surge"]["subject"]["members"] == 1204
    assert "members" not in made["category-drop"]["subject"]
    assert "users" not in made["category-drop"]["facts"]


def test_named_keys_are_all_that_a_payload_needs() -> None:
    decisions = [decision(candidate) for candidate in candidates().values()]
    assert named_keys(decisions) == set(NAMES)
    nameless = build_payload(decisions[0], {}, FACTS)
    assert nameless["change"]["to"]["name"] == "#00000000"


def test_a_stock_up_is_not_what_an_alert_names_first() -> None:
    # GIVEN what rose most came in one week, what fell most was there on a day or two
    switch = candidates()["user-switch"]
    over = Share(3, 0.3, 0.0, Units(0, 90, 27, 0, 10, 1.2, 0, 6, 0, 0.9))
    stocked = Share(4, 0.0, 0.4, Units(9, 90, 0, 4, 10, 0, 2, 6, 7, 0))
    both = replace(
        switch, falling=(over, *switch.falling), rising=(stocked, *switch.rising), kind=Kind.SWITCH
    )
    # WHEN / THEN
    change = build_payload(decision(both), NAMES, FACTS)["change"]
    assert (change["from"]["name"], change["to"]["name"]) == ("Outdoor", "Baby")
    # AND a new interest is named even so
    change = build_payload(decision(replace(both, kind=Kind.NEW_INTEREST)), NAMES, FACTS)["change"]
    assert change["to"]["name"] == "Mango Water 500 ml"


def test_the_payload_says_what_stands_behind_a_share() -> None:
    to = payloads()["user-switch"]["change"]["to"]
    assert (to["items"], to["of_items"], to["usual_items"]) == (92, 114, 6.8)
    assert (to["days"], to["of_days"], to["weeks"], to["of_weeks"]) == (9, 11, 2, 2)
    assert "items" not in payloads()["user-switch-before-units"]["change"]["to"]


def test_infinite_evidence_stays_json() -> None:
    made = candidates()["user-switch"]
    endless = type(made.evidence[0])("bayes_factor_1w", float("inf"), 3.0, vote=True)
    changed = type(made)(
        **{n: getattr(made, n) for n in made.__dataclass_fields__ if n != "evidence"},
        evidence=(endless,),
    )
    assert json.loads(to_json(build_payload(decision(changed), NAMES, FACTS)))["evidence"]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("a/b/c", "a/b/c"),
        ("BAKED BREAD/BUNS/ROLLS", "Baked bread/buns/rolls"),
        ("Electronics/Audio/Headphones", "Headphones"),
        ("TV", "TV"),
        ("母婴", "母婴"),
        ("", ""),
    ],
)
def test_display_name(path: str, shown: str) -> None:
    assert display_name(path) == shown


def test_facts_of_the_stack() -> None:
    manifest = {"model": {"cell": "lstm", "sha256": "57b9baa5c013b6c3"}}
    facts = StackFacts.of(Settings(link_base="https://al.example.com/"), manifest)
    assert (facts.link_base, facts.model_version) == ("https://al.example.com", "lstm-57b9baa5")
    assert StackFacts.of(Settings()).model_version == "none"
