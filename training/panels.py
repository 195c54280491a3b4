"""Panels: shops whose changes are known, to tune, calibrate and measure detection on.

Each panel is a folder with `EVENTS.csv.gz` (common schema), `truth.csv` (one row a user) and
`panel.json` (how it was made). Real panels are spliced from Complete Journey households that were
split into train, validation and test by user, before splicing; donors come from the same split.
The test split is locked: every opening is written down and committed.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from swerve.errors import SwerveError

from training import data, panel_r, panel_s, panel_shops
from training.log import WEEK_S, Log
from training.shops import SHOPS
from training.splice import CANONICAL, INTEREST_KINDS, Label, splice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    Simulate = Callable[[int, int, float], tuple[pd.DataFrame, list[Label], list[str]]]

PANELS = Path(".swerve/panels")
OPENINGS = Path(__file__).resolve().parents[1] / "benchmarks" / "detection" / "openings.json"
SPLITS = ("train", "validation", "test")
SALT = b"swerve-split-1"
DENSE_WEEKS = 40
PROMOTION_WEEKS = (20, 33, 44)
TRUTH_COLUMNS = (
    "user_id",
    "kind",
    "change_week",
    "change_at",
    "source_user",
    "donor_user",
    "activity",
    "changed_categories",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which share of the users changes, and how; and whether the whole shop has promotions."""

    fractions: Mapping[str, float]
    promotions: bool = False


_WIDE = ("partial", "gradual", "surge", "new_category", "swap_1", "swap_2", "swap_5")
RECIPES: dict[str, Recipe] = {
    "canonical": Recipe(CANONICAL),
    "wide": Recipe({"none": 0.37} | dict.fromkeys((*_WIDE, "narrowing", "widening"), 0.07)),
    "unchanged": Recipe({"none": 1.0}),
    "promotion": Recipe({"none": 1.0}, promotions=True),
    "promoted": Recipe(CANONICAL, promotions=True),
} | {f"only_{kind}": Recipe({"none": 0.5, kind: 0.5}) for kind in sorted(INTEREST_KINDS)}


class Locked(SwerveError):
    """The test split may be opened only on purpose, and the opening is written down."""


def split_users(log: Log) -> dict[str, list[str]]:
    """Deal all users out into three splits of the same activity distribution.

    Users are ranked by (dense or not, events); each run of three neighbours is ordered by a salted
    hash of the id and gives one user to each split. So a split depends on ids alone, and dense
    users are split among themselves (leaving sparse ones for training was measured to hurt).
    """
    ranked = sorted(
        log.rows,
        key=lambda user: (log.active_weeks(user) >= DENSE_WEEKS, log.rows_of(user).size, user),
    )
    splits: dict[str, list[str]] = {name: [] for name in SPLITS}
    for start in range(0, len(ranked), len(SPLITS)):
        block = sorted(ranked[start : start + len(SPLITS)], key=_salted)
        for name, user in zip(SPLITS, block, strict=False):
            splits[name].append(user)
    return splits


def _salted(user: str) -> bytes:
    return hashlib.blake2b(user.encode(), key=SALT, digest_size=8).digest()


def record_opening(why: str, openings: Path = OPENINGS) -> int:
    """Write down that the test split is opened; return how often it has been."""
    told = json.loads(openings.read_text()) if openings.exists() else []
    told.append({"at": datetime.now(UTC).isoformat(timespec="seconds"), "why": why})
    openings.write_text(json.dumps(told, indent=2) + "\n")
    return len(told)


def real_panel(
    split: str,
    recipe: str,
    seed: int,
    out: Path = PANELS,
    *,
    source: str = "completejourney",
    min_active_weeks: int = DENSE_WEEKS,
    opened: bool = False,
) -> Path:
    """Make one panel of a split (or find it); return its folder.

    Parameters
    ----------
    split : str
        One of `SPLITS`; `all` takes every user (other sources than Complete Journey).
    opened : bool
        Must be true for the test split: the caller has called `record_opening`.

    Raises
    ------
    Locked
        The test split without `opened`.
    """
    if split == "test" and not opened:
        raise Locked("the test split is locked: name a reason with --open-test")
    folder = out / f"{source}-{split}-{recipe}-{min_active_weeks}w-{seed}"
    if (folder / "panel.json").exists():
        return folder
    log = Log.of(data.load(source))
    users = log.dense_users(min_active_weeks, None if split == "all" else split_users(log)[split])
    chosen = RECIPES[recipe]
    if chosen.promotions:
        log = promote(log, PROMOTION_WEEKS, np.random.default_rng([seed, 1]))
    events, labels = splice(log, users, seed=seed, fractions=chosen.fractions)
    about = {
        "source": source,
        "split": split,
        "recipe": recipe,
        "fractions": dict(chosen.fractions),
        "min_active_weeks": min_active_weeks,
        "seed": seed,
        "zone": data.SOURCES[source].zone,
        "promotion_weeks": [log.week_label(w) for w in PROMOTION_WEEKS if chosen.promotions],
    }
    return write_panel(folder, events, labels, about)


def promote(log: Log, weeks: tuple[int, ...], rng: np.random.Generator) -> Log:
    """Give the whole shop promotion weeks, as Panel S has them.

    Everybody's volume grows by U(1.6, 2.6), the additions taken from a random own week before, and
    two random common categories double. No user's interest has changed.
    """
    rows = [np.arange(log.time_s.size)]
    shift = [np.zeros(log.time_s.size, np.int64)]
    of_week = log.week_of(log.time_s)
    for week in weeks:
        more = rng.uniform(0.6, 1.6)
        liked = rng.choice(log.named(60), 2, replace=False)
        for own in log.rows.values():
            for keep in (min(1.0, more), max(0.0, more - 1.0)):
                taken = int(rng.integers(0, week))
                copied = own[of_week[own] == taken]
                copied = copied[rng.random(copied.size) < keep]
                rows.append(copied)
                shift.append(np.full(copied.size, (week - taken) * WEEK_S))
        doubled = np.flatnonzero((of_week == week) & np.isin(log.category, liked))
        rows.append(doubled)
        shift.append(np.zeros(doubled.size, np.int64))
    taken_rows = np.concatenate(rows)
    time_s = log.time_s[taken_rows] + np.concatenate(shift)
    order = np.argsort(time_s, kind="stable")
    return log.rebuilt(taken_rows[order], time_s[order])


def write_panel(
    folder: Path, events: pd.DataFrame, labels: list[Label], about: dict[str, object]
) -> Path:
    """Write the three files; panel.json comes last and marks the folder complete."""
    folder.mkdir(parents=True, exist_ok=True)
    data.write_csv_gz(events, folder / "EVENTS.csv.gz")
    with (folder / "truth.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(TRUTH_COLUMNS)
        for label in labels:
            fields = asdict(label)
            changed = "|".join(fields.pop("changed"))
            fields["activity"] = round(label.activity, 3)
            rows.writerow([*fields.values(), changed])
    about |= {"users": len(labels), "events": len(events)}
    (folder / "panel.json").write_text(json.dumps(about, indent=2) + "\n")
    return folder


def simulated_panel(
    seed: int, out: Path = PANELS, *, users: int = 5_250, changed: float = 0.0
) -> Path:
    """Panel S: a simulated shop of which the generator is known (`training.panel_s`)."""
    return _simulated("panel_s", panel_s.simulate, seed, out, users, changed)


def shop_panel(
    name: str, seed: int, out: Path = PANELS, *, users: int = 1_000, changed: float = 0.0
) -> Path:
    """One of the simulated shops that differ in structure (`training.panel_shops`)."""
    simulate = partial(panel_shops.simulate, SHOPS[name])
    return _simulated(f"shop_{name}", simulate, seed, out, users, changed)


def _simulated(
    source: str, simulate: Simulate, seed: int, out: Path, users: int, changed: float
) -> Path:
    folder = out / f"{source}-{users}u-{round(100 * changed)}-{seed}"
    if (folder / "panel.json").exists():
        return folder
    events, labels, promotions = simulate(seed, users, changed)
    about: dict[str, object] = {
        "source": source,
        "seed": seed,
        "changed": changed,
        "zone": "UTC",
        "promotion_weeks": promotions,
    }
    return write_panel(folder, events, labels, about)


def household_panel(out: Path = PANELS) -> Path:
    """Panel R: real households, published counts, weekly presence (`training.panel_r`)."""
    folder = out / "panel_r"
    if (folder / "panel.json").exists():
        return folder
    events, labels = panel_r.build()
    about: dict[str, object] = {
        "source": "panel_r",
        "zone": "UTC",
        "note": "its households are in every split: report with it, do not tune on it",
        "promotion_weeks": [],
    }
    return write_panel(folder, events, labels, about)


def main() -> None:
    """Make panels from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("panel", choices=[*RECIPES, "panel_r", "panel_s", "shops"])
    parser.add_argument("--split", default="validation", choices=[*SPLITS, "all"])
    parser.add_argument("--source", default="completejourney", choices=list(data.SOURCES))
    parser.add_argument("--seeds", default="0:1", help="first:last, last excluded")
    parser.add_argument("--min-active-weeks", type=int, default=DENSE_WEEKS)
    parser.add_argument("--users", type=int, help="of Panel S (5,250), of each shop (1,000)")
    parser.add_argument("--changed", type=float, default=0.0, help="share of simulated users")
    parser.add_argument("--out", type=Path, default=PANELS)
    parser.add_argument("--open-test", metavar="WHY", help="count one opening of the test split")
    asked = parser.parse_args()
    if asked.split == "test" and asked.open_test:
        record_opening(asked.open_test)
    first, last = (int(part) for part in asked.seeds.split(":"))
    simulated = {"changed": asked.changed} | ({"users": asked.users} if asked.users else {})
    for seed in range(first, last):
        if asked.panel == "panel_r":
            folders = [household_panel(asked.out)]
        elif asked.panel == "panel_s":
            folders = [simulated_panel(seed, asked.out, **simulated)]
        elif asked.panel == "shops":
            folders = [shop_panel(name, seed, asked.out, **simulated) for name in SHOPS]
        else:
            folders = [
                real_panel(
                    asked.split,
                    asked.panel,
                    seed,
                    asked.out,
                    source=asked.source,
                    min_active_weeks=asked.min_active_weeks,
                    opened=bool(asked.open_test),
                )
            ]
        print(*folders, sep="\n")  # noqa: T201 (a command)


if __name__ == "__main__":
    main()
