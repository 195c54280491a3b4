"""What each part of the system finds alone: the honest ablation, the network's among it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from swerve.adapters.local_events import read_canonical
from swerve.adapters.onnx import load
from swerve.domain.calibration import Calibration
from swerve.domain.candidate import Head
from swerve.domain.detector import Detector
from swerve.domain.forecast import box
from swerve.domain.profile import ShardState
from swerve.domain.window import WindowSpec

from benchmarks.detection import harness
from benchmarks.detection.shop import Shop
from training.evaluate import difference_of_recalls, summarise
from training.progress import Progress
from training.walk import in_context

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Scores = dict[str, NDArray[np.float64]]

LSTM = "LSTM residual outside its box"


@dataclass(frozen=True, slots=True)
class Parts:
    """Scores [n, T] of every part over one panel; its users and weeks.

    Attributes
    ----------
    bucket : uint8[n, T]
        Of activity, of the interest head.
    """

    shop: Shop
    scores: Scores
    bucket: NDArray[np.uint8]


def walked(panel: Path) -> Parts:
    """Walk a panel with the network: -log p of all statistics and heads, and the residual."""
    about = json.loads((panel / "panel.json").read_text())
    read = read_canonical([panel / "EVENTS.csv.gz"], about["zone"])
    users = pd.read_csv(panel / "truth.csv", usecols=["user_id"], dtype=str)["user_id"].tolist()
    row = {name: number for number, name in enumerate(users)}
    place = {key: row[name] for key, name in read.users.items()}
    spec = WindowSpec(7, about["zone"])
    tables = Calibration.shipped()
    found: list[dict[str, NDArray[np.float64]]] = []
    ends, buckets = [], []
    detector, state = Detector(spec, tables, load()), ShardState.empty(spec)
    for counts, context in in_context(read.events, spec):
        state, said = detector.score(state, counts, context)
        at = np.array([place[int(user)] for user in said.users], int)
        low, high = box(state.residuals)
        newest = state.residuals[:, 0].astype(float)
        reach = np.maximum(high - low, 1e-6) / 4  # the whiskers are four ranges apart
        told = {LSTM: np.maximum(newest - high, low - newest) / reach}
        for head in Head:
            told[f"{head.value} head"] = -np.log(np.maximum(said.p[head], 1e-300))
            for number, name in enumerate(tables.heads[head].statistics):
                told[name] = -said.single[head][:, number]
        wide = {}
        for name, values in told.items():
            wide[name] = np.full(len(users), -np.inf)
            wide[name][at] = np.where(np.isfinite(values), values, -np.inf)
        found.append(wide)
        buckets.append(np.zeros(len(users), np.uint8))
        buckets[-1][at] = said.bucket[Head.INTEREST]
        ends.append((counts.window + 7) / 7)
    scores = {name: np.stack([week[name] for week in found], axis=1) for name in found[0]}
    blank = np.zeros((len(users), len(ends)), np.float32)
    return Parts(
        Shop(users, blank[:, :, None], blank, np.array(ends)), scores, np.stack(buckets, axis=1)
    )


def table(controls: Path, panels: list[Path]) -> str:
    """Recall of each part alone at one false alarm per 1,000 user-weeks."""
    calm = walked(controls)
    every = []
    with Progress("parts", len(panels)) as progress:
        for panel in panels:
            every.append(walked(panel))
            progress.step(panel.name)
    with_network = "engagement head + LSTM"
    for part in (calm, *every):
        part.scores[with_network] = np.maximum(
            part.scores["engagement head"], _surprise(calm.scores[LSTM], part.scores[LSTM])
        )
    users = {}
    for name, score in calm.scores.items():
        limit = harness.threshold(score, 1.0).limit
        told = [
            harness.told_outcomes(panel, part.shop, harness.alarms(part.scores[name], limit))
            for panel, part in zip(panels, every, strict=True)
        ]
        users[name] = pd.concat(told, ignore_index=True)
    reports = {name: summarise(one, 1.0) for name, one in users.items()}
    kinds = sorted(reports["interest head"].recall8)
    lines = [f"| part alone | {' | '.join(kinds)} | false alarms / 1,000 |"]
    lines.append("|---|" + "---|" * (len(kinds) + 1))
    for name in sorted(reports, key=lambda name: ("head" not in name, name)):
        cells = " | ".join(f"{reports[name].recall8[kind].value:.2f}" for kind in kinds)
        lines.append(f"| {name} | {cells} | {reports[name].false_per_1000} |")
    gains = [
        f"{kind} {difference_of_recalls(users[with_network], users['engagement head'], kind)}"
        for kind in kinds
        if kind in {"stop", "thin", "surge"}
    ]
    return (
        "\n".join(lines)
        + "\n\nWhat the network would add to the engagement head, recall within 8 weeks at "
        f"the same budget, paired: {', '.join(gains)}."
    )


def _surprise(calm: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """-log of the share of unchanged user-weeks at least as far outside."""
    known = np.sort(calm[:, 12:][np.isfinite(calm[:, 12:])])
    above = known.size - np.searchsorted(known, values, side="left")
    return -np.log((above + 1) / (known.size + 1))
