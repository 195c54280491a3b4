"""`python -m training`: the same commands as `swerve train | tune | export | evaluate`."""

from __future__ import annotations

import typer

from cli import training

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
for command in (training.train, training.tune, training.export, training.evaluate):
    app.command()(command)

if __name__ == "__main__":
    app()
