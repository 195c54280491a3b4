"""What a training run is told: one TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

DEFAULT = Path(__file__).parent / "conf" / "default.toml"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that decides a run, besides the data; see `conf/default.toml`."""

    seed: int
    source: str
    window_days: list[int]
    cells: list[str]
    state: int
    epochs: int
    patience: int
    learning_rate: float
    users_per_batch: int
    steps_per_chunk: int
    held_out: float

    @classmethod
    def read(cls, path: Path = DEFAULT) -> Config:
        """Read a TOML file; raise ValueError that names what is missing or unknown."""
        told = tomllib.loads(path.read_text())
        known = {field.name for field in fields(cls)}
        if told.keys() != known:
            missing, unknown = sorted(known - told.keys()), sorted(told.keys() - known)
            raise ValueError(f"{path}: missing {missing}, unknown {unknown}")
        return cls(**told)
