"""What the states of infra/close.asl.json promise."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.contract.wiring import ROOT, packaged

STATES: dict[str, dict[str, Any]] = json.loads((ROOT / "infra/close.asl.json").read_text())[
    "States"
]
INLINE, MANY = ("Merge", "Score"), ("MergeMany", "ScoreMany")


def inner(name: str) -> dict[str, Any]:
    """The only state inside a Map."""
    (state,) = STATES[name]["ItemProcessor"]["States"].values()
    return dict(state)


def every_task() -> list[dict[str, Any]]:
    tasks = [state for state in STATES.values() if state["Type"] == "Task"]
    return tasks + [inner(name) for name in (*INLINE, *MANY)]


def test_every_task_is_tried_again_and_ends() -> None:
    for task in every_task():
        (retry,) = task["Retry"]
        assert (retry["ErrorEquals"], retry["MaxAttempts"]) == (["States.ALL"], 5)
        assert retry["JitterStrategy"] == "FULL"
        if task["Resource"].endswith("lambda:invoke"):
            assert task["TimeoutSeconds"] == 900  # the most that Lambda allows


def test_tasks_invoke_functions_and_ask_for_notices_and_nothing_else() -> None:
    assert {task["Resource"].rpartition(":::")[2] for task in every_task()} == {
        "lambda:invoke",
        "sqs:sendMessage",
    }


def test_states_pass_keys_never_data() -> None:
    said = {n: s["Output"] for n, s in STATES.items() if s["Type"] in {"Task", "Map"}}
    assert {name for name, output in said.items() if output} == {"Plan"}
    assert [inner(name)["Output"] for name in (*INLINE, *MANY)] == [{}] * 4


@pytest.mark.parametrize(("inline", "many"), [*zip(INLINE, MANY, strict=True)])
def test_many_shards_are_worked_on_as_few_are(inline: str, many: str) -> None:
    few, distributed = STATES[inline], STATES[many]
    assert inner(many) == inner(inline)
    assert distributed["Next"] == few["Next"]
    assert distributed["MaxConcurrency"] == few["MaxConcurrency"]
    assert distributed["ItemSelector"] | {"shard": ""} == few["ItemSelector"] | {"shard": ""}


@pytest.mark.parametrize("name", MANY)
def test_a_distributed_map_reads_the_run_and_tolerates_nothing(name: str) -> None:
    state = STATES[name]
    # An Express execution ends after five minutes.
    processor = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert state["ItemProcessor"]["ProcessorConfig"] == processor
    assert state["ToleratedFailurePercentage"] == 0
    assert "ResultWriter" not in state
    assert state["ItemReader"]["Arguments"] == {
        "Bucket": "${DataBucketName}",
        "Key": "{% 'runs/' & $run & '/shards.json' %}",
    }


def test_an_inline_map_takes_no_more_shards_than_its_history_holds() -> None:
    # GIVEN seven events of an item and attempt, and a dozen of everything else
    most_events, most_attempts, of_an_item = 25_000, 6, 7
    limits = re.findall(r"\$shards > (\d+)", json.dumps(STATES))
    # THEN a run of two maps fits, though every item be tried as often as it may
    assert limits == ["256", "256"]
    assert 2 * 256 * (of_an_item + 3 * (most_attempts - 1)) + 12 < most_events


def test_every_name_in_the_definition_is_substituted() -> None:
    wanted = set(re.findall(r"\$\{(\w+)\}", json.dumps(STATES)))
    given = packaged()["Resources"]["CloseWorkflow"]["Properties"]["DefinitionSubstitutions"]
    assert wanted == set(given)
