"""`swerve train | tune | export | evaluate`: offline work on the model, with torch."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer
from swerve.errors import SwerveError

from cli.options import WindowLength

RUN = Path(".swerve/model")
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        exists=True,
        dir_okay=False,
        help="Settings of the training (TOML).",
        show_default="training/conf/default.toml",
    ),
]
RunFolder = Annotated[Path, typer.Option("--run", help="Folder of the run; resumed where left.")]


def train(config: ConfigFile = None, run: RunFolder = RUN) -> None:
    """Train the LSTM and the GRU on the training split of Complete Journey.

    [dim]Example:[/dim]  swerve train --config mine.toml --run .swerve/mine
    """
    _need_torch()
    from training.config import DEFAULT, Config
    from training.train import train as train_all

    for cell, one in train_all(Config.read(config or DEFAULT), run).items():
        typer.echo(f"{cell:5} {one.epochs} epochs, held-out loss {one.held_out_loss:.4f}")
    typer.echo(f"Run: {run / 'run.json'}\nNext: swerve export --run {run}")


def tune(
    trials: Annotated[int, typer.Option(min=1, help="How many, those already run included.")] = 20,
    config: ConfigFile = None,
    run: RunFolder = Path(".swerve/tune"),
) -> None:
    """Search learning rate, state, batch and cell by random trials; resumable.

    [dim]Example:[/dim]  swerve tune --trials 40
    """
    _need_torch()
    from training.config import DEFAULT, Config
    from training.tune import tune as search

    best = search(Config.read(config or DEFAULT), trials, run)
    typer.echo(f"Best: learning rate {best.learning_rate:.2g}, state {best.state}")
    typer.echo(f"Next: swerve train --config {run / 'best.toml'}")


def export(
    config: ConfigFile = None,
    run: RunFolder = RUN,
    to: Annotated[
        Path | None, typer.Option(help="Folder to write to.", show_default="the model layer")
    ] = None,
) -> None:
    """Export the cell that forecasts unseen users best to ONNX, checked against torch.

    [dim]Example:[/dim]  swerve export --run .swerve/mine --to build/model
    """
    _need_torch()
    from training.config import DEFAULT, Config
    from training.export import LAYER, export_run

    manifest = export_run(Config.read(config or DEFAULT), run, to or LAYER)
    model, parity = manifest["model"], manifest["parity"]
    typer.echo(f"{model['cell']} sha256 {model['sha256']}")
    typer.echo(f"parity with torch: {parity['max_abs_error']:.1e} over {parity['windows']:.0f}")
    for cell, metrics in manifest["metrics"].items():
        typer.echo(f"{cell:5} gain over habit, nats a window: {json.dumps(metrics)}")


def evaluate(
    recipe: Annotated[
        list[str] | None, typer.Option(help="Panels to make: canonical, wide, promotion ...")
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"], typer.Option(help="Users that panels are made of.")
    ] = "validation",
    seeds: Annotated[int, typer.Option(min=1, help="Panels of each recipe.")] = 3,
    budget: Annotated[
        float, typer.Option(min=0.0, help="False alarms per 1,000 user-weeks, in all.")
    ] = 1.0,
    window: WindowLength = "7d",
    panels: Annotated[Path, typer.Option(help="Where panels are kept.")] = Path(".swerve/panels"),
    report: Annotated[
        Path | None, typer.Option(help="Also write one self-contained HTML page with figures.")
    ] = None,
    open_test: Annotated[
        str | None, typer.Option(metavar="WHY", help="Open the locked test split; is counted.")
    ] = None,
) -> None:
    """Backtest labelled panels and say what was found, how late, and how often wrongly.

    [dim]Example:[/dim]  swerve evaluate --recipe canonical --recipe wide --seeds 10
    """
    if report and find_spec("matplotlib") is None:
        raise SwerveError("--report needs matplotlib: pip install --editable '.[training]'")
    from training.panels import RECIPES, record_opening
    from training.runs import Asked, evaluated

    for name in recipe or ():
        if name not in RECIPES:
            raise SwerveError(f"there is no recipe {name}: name some of {', '.join(RECIPES)}")

    if split == "test" and open_test:
        record_opening(open_test)
    asked = Asked(
        tuple(recipe or ["canonical"]), split, seeds, budget, window, panels, bool(open_test)
    )
    told = evaluated(asked)
    typer.echo(told.report.table())
    if report:
        from training.report import write_report

        write_report(told, report)
        typer.echo(f"Report: {report}")


def _need_torch() -> None:
    if find_spec("torch") is None:
        raise SwerveError("training needs torch: pip install --editable '.[training]'")
