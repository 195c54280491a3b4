"""The tables of docs/benchmarks.md, one function each."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.detection import harness, left_out, parts, peers, peers_slow, shop
from training import evaluate
from training.evaluate import false_discoveries, outcomes, ratio_of_recalls, summarise
from training.panels import household_panel, real_panel, shop_panel, simulated_panel
from training.progress import Progress
from training.runs import backtest
from training.shop_users import KINDS
from training.shops import SHOPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.evaluate import Report

OURS = "**Swerve**"
SHOP_SEEDS, SHOP_CHANGED = 4, 0.3
BUDGETS = (1.0, 2.0, 5.0, 20.0)
FAST: dict[str, Callable[..., Any]] = {
    "random": peers.random,
    "always fires": peers.always,
    "never fires": peers.never,
    "plain IQR 1.5 fence, tuned": peers.iqr,
    "Mann-Kendall, 12 weeks": peers.mann_kendall,
    "Jensen-Shannon, raw": peers.jensen_shannon,
    "Jensen-Shannon, null-corrected": peers.jensen_shannon_corrected,
    "river ADWIN": peers.adwin,
    "river Page-Hinkley": peers.page_hinkley,
    "PyOD ECOD": peers.ecod,
    "PyOD IForest": peers.isolation_forest,
    "ruptures split gain (rbf)": peers_slow.ruptures_split,
    "ruptures window (rbf)": peers_slow.ruptures_window,
    "ruptures PELT (rbf)": peers_slow.ruptures_pelt,
}
SLOW: dict[str, Callable[..., Any]] = {
    "river KSWIN": peers.kswin,
    "rrcf CoDisp": peers_slow.rrcf_codisp,
    "the article's LSTM + IQR": peers_slow.article_lstm,
}
PEERS = FAST | SLOW
FITTED = {peers.ecod, peers.isolation_forest}
STRONGEST = "Jensen-Shannon, null-corrected"


@dataclass(frozen=True)
class Setup:
    """Which users, how many seeds, and whether peers run."""

    split: str
    seeds: int
    slow_seeds: int
    panels: Path
    peers: bool
    opened: bool

    def panel(self, recipe: str, seed: int) -> Path:
        return real_panel(self.split, recipe, seed, self.panels, opened=self.opened)

    def ours(self, panel: Path, budget: float) -> Path:
        return backtest(panel, self.panels / "runs" / panel.name / f"{budget:g}", budget)


def canonical(setup: Setup) -> str:
    """Recall at a budget of 1: everybody on the published recipe."""
    panels = [setup.panel("canonical", seed) for seed in range(setup.seeds)]
    users = {OURS: _ours(setup, panels, 1.0)}
    users |= _peers(setup, panels, 1.0)
    kinds = ("splice", "category_swap", "stop", "thin")
    head = "| detector | splice | category_swap | stop | thin | splice @4 "
    head += "| false alarms / 1,000 | seeds |\n|---|---|---|---|---|---|---|---|\n"
    lines = []
    for name, (table, seeds) in users.items():
        report = summarise(table, 1.0)
        cells = [str(report.recall8[kind]) for kind in kinds] + [str(report.recall4["splice"])]
        lines.append(f"| {name} | {' | '.join(cells)} | {report.false_per_1000} | {seeds} |")
    ours = users[OURS][0]
    text = (
        f"## Splice recipe, {setup.split} users\n\n"
        "Recall within 8 weeks at one stated false alarm per 1,000 user-weeks, Complete Journey, "
        f"{len(pd.unique(ours['source_user']))} dense users, {setup.seeds} splice seeds; 95 % "
        "intervals by bootstrap over base users. Thresholds of the peers come from unchanged "
        "users of the training split; ours is what `swerve backtest --budget 1` does.\n\n"
        f"{head}{chr(10).join(lines)}"
    )
    if STRONGEST in users:
        fair = _one_peer(setup, STRONGEST, panels, 1.0, setup.panel("unchanged", 0))
        told = summarise(fair, 1.0)
        text += (
            f"\n\n{STRONGEST} alarms more often than stated. With a threshold from the very users "
            f"that it is measured on it finds {told.recall8['splice']} of the splices and "
            f"{told.recall8['category_swap']} of the swaps at {told.false_per_1000} false alarms; "
            f"our splice recall is {ratio_of_recalls(ours, fair, 'splice')} times that."
        )
    report = summarise(ours, 1.0)
    named = f"{report.named} of {report.named.n} true alerts"
    return text + (
        f"\n\nA truly changed category is among those named in {named}.\n\n"
        f"{_by_activity(report)}\n\n{_delays(report)}"
    )


def wide(setup: Setup) -> str:
    """Recall on kinds that no part of the system was fitted to."""
    panels = [setup.panel("wide", seed) for seed in range(setup.seeds)]
    users = {OURS: _ours(setup, panels, 1.0)}
    fast = ("Jensen-Shannon, null-corrected", "ruptures split gain (rbf)", "PyOD IForest")
    users |= _peers(setup, panels, 1.0, fast)
    reports = {name: summarise(table, 1.0) for name, (table, _) in users.items()}
    kinds = sorted(reports[OURS].recall8)
    head = "| kind | " + " | ".join(reports) + " | Swerve @4 |\n|---|" + "---|" * (len(reports) + 1)
    lines = []
    for kind in kinds:
        cells = [str(report.recall8[kind]) for report in reports.values()]
        lines.append(f"| {kind} | {' | '.join(cells)} | {reports[OURS].recall4[kind]} |")
    rates = " | ".join(str(report.false_per_1000) for report in reports.values())
    lines.append(f"| *false alarms / 1,000* | {rates} | |")
    return (
        f"## Other kinds of change, {setup.split} users\n\nRecall within 8 weeks at the same "
        f"budget of 1, {setup.seeds} seeds.\n\n" + "\n".join([head, *lines])
    )


def ablation(setup: Setup) -> str:
    """Every part alone."""
    controls = real_panel("train", "unchanged", 0, setup.panels)
    some = range(min(3, setup.seeds))
    panels = [setup.panel(recipe, n) for recipe in ("canonical", "wide") for n in some]
    return (
        f"## Ablation, {setup.split} users\n\nEach part alone at a threshold of one false alarm "
        "per 1,000 user-weeks on unchanged training users; recall within 8 weeks, "
        f"{len(some)} seeds. The box-plot residual of the network votes and explains; the heads "
        "decide.\n\n" + parts.table(controls, panels)
    )


def leave_one_out(setup: Setup) -> str:
    """Kinds that the weights were not chosen on."""
    some = range(min(4, setup.seeds))
    recipes = ("canonical", "wide")
    train = [real_panel("train", recipe, n, setup.panels) for recipe in recipes for n in some]
    others = [setup.panel(recipe, n) for recipe in recipes for n in some]
    return (
        f"## One kind left out, {setup.split} users\n\nRecall of the interest head within 8 "
        "weeks at half a false alarm per 1,000 user-weeks, before the running calibration. "
        "Weights are chosen by coordinate ascent, from equal ones, on the mean recall of the "
        "other kinds on training users; no weight and no table has seen the kind or the users it "
        "is read on; limits are those at which these users' unchanged half keeps the rate, so that "
        "the columns compare. The statistics were designed by people who knew of all kinds.\n\n"
        + left_out.table(train, others)
    )


def calibration(setup: Setup) -> str:
    """Realised over stated, on users of whom nothing was changed."""
    real = setup.panel("unchanged", 0)
    everybody = real_panel(
        setup.split, "unchanged", 0, setup.panels, min_active_weeks=12, opened=setup.opened
    )
    promoted = [setup.panel("promotion", seed) for seed in range(min(3, setup.seeds))]
    simulated = [simulated_panel(seed, setup.panels) for seed in range(201, 206)]
    lines = [
        "| users | budget | control user-weeks | realised / stated | by activity quartile "
        "| promotion weeks |",
        "|---|---|---|---|---|---|",
    ]
    for name, panels in (
        ("real, dense, unchanged", [real]),
        ("real, 12+ active weeks, unchanged", [everybody]),
        ("real, with shop-wide promotions", promoted),
        ("simulated (Panel S)", simulated),
    ):
        for budget in BUDGETS:
            report = summarise(_ours(setup, panels, budget)[0], budget)
            quartiles = [report.slices[f"activity quartile {n}"] for n in range(1, 5)]
            promotion = report.slices.get("promotion weeks", "")
            told = " · ".join(f"{rate.value:.2f}" for rate in quartiles)
            lines.append(
                f"| {name} | {budget:g} | {report.ratio.n:,} | {report.ratio} | {told} "
                f"| {promotion} |"
            )
    return (
        f"## Is the stated budget kept? {setup.split} users\n\n"
        "Real users do change, and nobody knows when: their rate is an upper bound.\n\n"
        + "\n".join(lines)
    )


def discoveries(setup: Setup) -> str:
    """Benjamini-Hochberg on the calibrated p-values of each window."""
    panels = [setup.panel("canonical", seed) for seed in range(setup.seeds)]
    runs = [setup.ours(panel, 1.0) for panel in panels]
    lines = ["| stated q | realised false discoveries | discoveries |", "|---|---|---|"]
    for q in (0.05, 0.10, 0.20):
        realised, count = false_discoveries(list(zip(panels, runs, strict=True)), q)
        lines.append(f"| {q:.2f} | {realised} | {count:,} |")
    return (
        f"## False discovery rate, {setup.split} users\n\nBenjamini-Hochberg within each window "
        "and head; a discovery is false before the change and on unchanged users.\n\n"
        + "\n".join(lines)
    )


def households(setup: Setup) -> str:
    """Panel R, the published one: its households are in every split."""
    panel = household_panel(setup.panels)
    lines = ["| budget | shift | partial | gradual | drop | surge | false alarms / 1,000 |"]
    lines.append("|---|---|---|---|---|---|---|")
    for budget in (1.0, 2.0, 5.0):
        report = summarise(_ours(setup, [panel], budget)[0], budget)
        kinds = ("shift", "partial", "gradual", "drop", "surge")
        cells = " | ".join(str(report.recall8[kind]) for kind in kinds)
        lines.append(f"| {budget:g} | {cells} | {report.false_per_1000} |")
    return (
        "## Panel R: 662 real households, weekly presence counts\n\nRecall within 8 weeks. "
        "These households were not kept apart from training: a comparison with published "
        "numbers, no test.\n\n" + "\n".join(lines)
    )


def transfer(setup: Setup) -> str:
    """Other shops, as shipped: nothing was trained or tuned there."""
    lines = ["| shop | users | kind | recall @8 | recall @4 | false alarms / 1,000 |"]
    lines.append("|---|---|---|---|---|---|")
    for source in ("online_retail", "tafeng"):
        panels = [
            real_panel("all", "canonical", seed, setup.panels, source=source, min_active_weeks=12)
            for seed in range(setup.seeds)
        ]
        table, _ = _ours(setup, panels, 1.0)
        report = summarise(table, 1.0)
        for kind, rate in report.recall8.items():
            lines.append(
                f"| {source} | {table['source_user'].nunique()} | {kind} | {rate} "
                f"| {report.recall4[kind]} | {report.false_per_1000} |"
            )
    return f"## Other shops, zero-shot, budget 1, {setup.seeds} seeds\n\n" + "\n".join(lines)


def shops(setup: Setup) -> str:
    """Simulated shops that differ in structure, on seeds for development."""
    seeds = range(min(SHOP_SEEDS, setup.seeds))
    lines = [f"| shop | false alarms / 1,000 | in promotion weeks | {' | '.join(KINDS)} |"]
    lines.append("|---|---|---|" + "---|" * len(KINDS))
    for name in SHOPS:
        reports = {}
        for changed in (0.0, SHOP_CHANGED):
            panels = [shop_panel(name, seed, setup.panels, changed=changed) for seed in seeds]
            reports[changed] = summarise(_ours(setup, panels, 1.0)[0], 1.0)
        calm, recall = reports[0.0], reports[SHOP_CHANGED].recall8
        promotion = calm.slices.get("promotion weeks", "")
        cells = " | ".join(f"{recall[kind].value:.2f}" for kind in KINDS)
        lines.append(f"| {name} | {calm.false_per_1000} | {promotion} | {cells} |")
    return (
        f"## Simulated shops, budget 1, {len(seeds)} seeds\n\nShops as different as outside "
        "judges could think of (`training.shops`), 1,000 users each: false alarms where nobody "
        f"changes, recall within 8 weeks where {SHOP_CHANGED:.0%} do. Other seeds stay for "
        "judging.\n\n" + "\n".join(lines)
    )


def _ours(setup: Setup, panels: list[Path], budget: float) -> tuple[pd.DataFrame, str]:
    tables = []
    with Progress(f"swerve at {budget:g}", len(panels)) as progress:
        for panel in panels:
            tables.append(outcomes(panel, setup.ours(panel, budget)))
            progress.step(panel.name)
    return pd.concat(tables, ignore_index=True), str(len(panels))


@cache
def _unchanged(panels: Path) -> shop.Shop:
    return shop.read(real_panel("train", "unchanged", 0, panels))


def _peers(
    setup: Setup, panels: list[Path], budget: float, names: tuple[str, ...] | None = None
) -> dict[str, tuple[pd.DataFrame, str]]:
    if not setup.peers:
        return {}
    told = {}
    for name in PEERS if names is None else names:
        used = panels[: setup.slow_seeds] if name in SLOW else panels
        tables = _one_peer(setup, name, used, budget)
        seconds = tables["seconds"].iloc[0]
        told[name] = (tables, f"{len(used)}, {seconds:.1f} s a panel")
    return told


def _one_peer(
    setup: Setup, name: str, panels: list[Path], budget: float, calm: Path | None = None
) -> pd.DataFrame:
    """Outcomes of a peer on some panels; kept until the code that makes them changes."""
    sources = (peers, peers_slow, harness, shop, evaluate)
    code = "".join(Path(str(module.__file__)).read_text() for module in sources)
    what = json.dumps([code, name, [panel.name for panel in panels], budget, str(calm)])
    kept = setup.panels / "peers" / f"{blake2b(what.encode(), digest_size=12).hexdigest()}.parquet"
    if kept.exists():
        return pd.read_parquet(kept)
    peer = PEERS[name]
    controls = _unchanged(setup.panels) if calm is None else shop.read(calm)
    extra = (controls,) if peer in FITTED else ()
    started = time.process_time()
    limit = harness.threshold(peer(controls, *extra), budget).limit
    tables = []
    with Progress(name, len(panels)) as progress:
        for panel in panels:
            one = shop.read(panel)
            fired = harness.alarms(peer(one, *extra), limit)
            tables.append(harness.told_outcomes(panel, one, fired))
            progress.step(panel.name)
    seconds = (time.process_time() - started) / (len(panels) + 1)
    told = pd.concat(tables, ignore_index=True).assign(seconds=seconds)
    kept.parent.mkdir(parents=True, exist_ok=True)
    told.to_parquet(kept)
    return told


def _by_activity(report: Report) -> str:
    head = "| activity quartile | " + " | ".join(report.recall8) + " |"
    lines = [head, "|---|" + "---|" * len(report.recall8)]
    for number in range(1, 5):
        cells = [
            str(report.recall8_by_activity.get(f"{kind}, quartile {number}", "-"))
            for kind in report.recall8
        ]
        lines.append(f"| {number} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _delays(report: Report) -> str:
    told = ", ".join(
        f"{kind} {np.median(weeks):.0f}" for kind, weeks in report.delays.items() if weeks
    )
    return f"Median delay of those found, weeks: {told}."
