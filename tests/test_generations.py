"""Models come and go: each window keeps the one that it was first closed with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from swerve import close, plan
from swerve.run import MODELS, PROGRESS, CloseDeps, Run

from tests.closing import (
    MONDAY,
    SETTINGS,
    WEEKS,
    Closer,
    alerts_of,
    history,
    state_of,
    upload,
    weeks_of,
)

if TYPE_CHECKING:
    from swerve.domain.network import Network

OLD, NEW, NONE = "lstm-0a", "gru-1b", ""
CHANGE = MONDAY + 7 * (WEEKS - 2)  # first window of the new one
LATE = WEEKS - 6  # place of the window that a late file belongs to


@dataclass
class Level:
    """Forecasts the same of everybody, and counts in its state how often it was asked."""

    says: float
    hidden: int

    def step(self, inputs, state):
        return np.full((len(inputs), 5), self.says, np.float32), state + 1


@dataclass
class Kept:
    networks: dict[str, Network]
    asked: list[str] = field(default_factory=list)
    lost: bool = False

    def keep(self) -> None:
        self.asked.append("keep")

    def network(self, generation: str) -> Network | None:
        self.asked.append(generation)
        return self.networks.get(generation)


@dataclass
class Shop(Closer):
    """A shop whose deployed model can be exchanged."""

    deployed: str = OLD
    models: Kept = field(default_factory=lambda: Kept({OLD: Level(0.0, 4), NEW: Level(0.5, 6)}))

    @property
    def deps(self) -> CloseDeps:
        network = self.models.networks.get(self.deployed)
        made = super().deps
        detector = replace(made.detector, network=network, generation=self.deployed)
        return replace(made, detector=detector, models=self.models)

    def load(self, *places: int) -> None:
        """Upload the windows at these places, and close what is complete."""
        for place in places:
            upload(self.world, weeks_of(history())[place])
        self.close()

    @property
    def starts(self) -> dict[str, str]:
        return dict(self.world.windows.states[MODELS])


BEFORE = [place for place in range(WEEKS - 2) if place != LATE]
AFTER = range(WEEKS - 2, WEEKS)


def label(window: int) -> str:
    return SETTINGS.windows.label(window)


def hidden(shop: Shop, window: int) -> np.ndarray:
    key = f"checkpoints/window={label(window)}/shard=0000-of-0002.bin"
    return close.Checkpoint.from_bytes(shop.world.data.files[key]).state.hidden


def in_time() -> Shop:
    """The late file came before the model changed."""
    shop = Shop()
    shop.load(*BEFORE)
    shop.load(LATE)
    shop.deployed = NEW
    shop.load(*AFTER)
    return shop


def test_a_new_model_starts_at_the_next_window():
    # GIVEN / WHEN
    shop = in_time()
    # THEN
    assert shop.starts == {label(MONDAY): OLD, label(CHANGE): NEW}
    assert hidden(shop, CHANGE - 7).shape[1] == 4
    assert hidden(shop, CHANGE).shape[1] == 6


def test_its_memory_is_rebuilt_from_the_ring():
    # GIVEN / WHEN
    remembered = hidden(in_time(), CHANGE)
    # THEN it saw the eight weeks before, and this one
    assert remembered.max() == 9


def test_a_late_file_is_closed_by_the_model_of_its_window():
    # GIVEN
    shop = Shop()
    shop.load(*BEFORE)
    shop.deployed = NEW
    shop.load(*AFTER)
    # WHEN
    shop.load(LATE)
    # THEN
    expected = in_time()
    assert state_of(shop.world) == state_of(expected.world)
    assert sorted(alerts_of(shop.world)) == sorted(alerts_of(expected.world))
    assert shop.starts == expected.starts


def test_an_alert_names_the_model_of_its_window():
    # GIVEN / WHEN
    rows = in_time().world.alerts.rows.values()
    # THEN
    told = {row.window < CHANGE: json.loads(row.payload)["model"] for row in rows}
    assert told == {
        True: {"version": "lstm-0a", "sha256": "0a"},
        False: {"version": "gru-1b", "sha256": "1b"},
    }


def test_the_deployed_model_is_kept_once():
    # GIVEN / WHEN
    shop = in_time()
    # THEN
    assert shop.models.asked.count("keep") == 2


def test_a_model_that_never_closed_a_window_is_forgotten():
    # GIVEN a run is planned with the new model, and never ends
    shop = Shop()
    shop.load(*BEFORE, LATE)
    shop.deployed = NEW
    upload(shop.world, weeks_of(history())[WEEKS - 2])
    shop.world.clock.advance(SETTINGS.settle_s)
    assert plan.plan(shop.deps, "dies")["next"] == "go"
    # WHEN it is taken back
    shop.world.clock.advance(10**5)
    shop.deployed = OLD
    shop.load(*AFTER[1:])
    # THEN
    assert shop.starts == {label(MONDAY): OLD}


def test_what_is_deployed_during_a_run_waits_for_the_next():
    # GIVEN
    shop = Shop()
    shop.load(*BEFORE, LATE)
    upload(shop.world, weeks_of(history())[WEEKS - 2])
    shop.world.clock.advance(SETTINGS.settle_s)
    answer = plan.plan(shop.deps, "execution")
    # WHEN
    shop.deployed = NEW
    shop.run(answer["run"], answer["shards"], "execution")
    shop.load(*AFTER[1:])
    # THEN
    assert shop.starts == {label(MONDAY): OLD, label(CHANGE + 7): NEW}
    assert hidden(shop, CHANGE).shape[1] == 4


def test_windows_without_a_valid_model_are_noted_too():
    # GIVEN
    shop = Shop()
    shop.load(*BEFORE, LATE)
    shop.deployed = NONE
    shop.load(AFTER[0])
    # WHEN
    shop.deployed = OLD
    shop.load(*AFTER[1:])
    # THEN
    assert shop.starts == {label(MONDAY): OLD, label(CHANGE): NONE, label(CHANGE + 7): OLD}
    assert hidden(shop, CHANGE + 7).max() == 9


def test_what_was_closed_before_models_were_noted_is_the_deployed_ones():
    # GIVEN
    shop = Shop()
    shop.load(*BEFORE, LATE)
    del shop.world.windows.states[MODELS]
    # WHEN
    shop.load(*AFTER)
    # THEN
    assert shop.starts == {label(MONDAY): OLD}
    straight = Shop()
    straight.load(*range(WEEKS))
    assert state_of(shop.world) == state_of(straight.world)


def test_a_run_says_which_model_scores_each_window():
    # GIVEN
    shop = in_time()
    # WHEN
    names = {key.split("/")[1] for key in shop.world.data.files if key.endswith("plan.json")}
    runs = [Run.load(shop.world.data, name) for name in names]
    # THEN
    done = int(shop.world.windows.states[PROGRESS]["through"])
    (last,) = [run for run in runs if run.windows[-1] == done]
    assert [last.generation(CHANGE + days) for days in (-7, 0, 7)] == [OLD, NEW, NEW]
