"""Arrows point one way: functions -> use-cases -> domain; adapters alone touch the outside."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "layers/core/python/swerve"
OUTSIDE = {"boto3", "botocore", "duckdb", "onnxruntime", "aws_lambda_powertools"}
TOO_HEAVY = {"scipy", "pandas", "pyarrow", "polars", "torch", "sklearn", "matplotlib"}
# zstd, by its two names: it is in the standard library from Python 3.14 on.
PURE = {"numpy", "swerve", "backports", "compression"}


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, at any depth, by its full dotted name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def top(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def swerve_imports(path: Path) -> set[str]:
    return {name for name in imports_of(path) if name.startswith("swerve.")}


@pytest.mark.parametrize("path", python_files(PACKAGE / "domain"), ids=lambda p: p.stem)
def test_domain_knows_only_itself_numpy_and_a_codec(path: Path) -> None:
    import sys

    names = imports_of(path)
    assert top(names) - set(sys.stdlib_module_names) <= PURE
    assert all(name.startswith("swerve.domain") for name in swerve_imports(path))


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda p: p.stem)
def test_use_cases_reach_the_outside_only_through_ports(path: Path) -> None:
    names = imports_of(path)
    assert not top(names) & (OUTSIDE | TOO_HEAVY)
    assert not any(name.startswith("swerve.adapters") for name in names)


@pytest.mark.parametrize(
    "path",
    python_files(PACKAGE) + python_files(ROOT / "functions"),
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_nothing_too_heavy_for_lambda(path: Path) -> None:
    assert not top(imports_of(path)) & TOO_HEAVY
    assert not top(imports_of(path)) & {"cli", "training", "typer", "rich"}


@pytest.mark.parametrize("path", sorted((ROOT / "functions").glob("*/app.py")), ids=str)
def test_handlers_stay_thin(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


def test_no_room_is_named_after_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "data2"}
    sources = [
        p
        for folder in ("layers/core", "functions", "cli", "training", "tests", "benchmarks")
        for p in python_files(ROOT / folder)
    ]
    assert not [p for p in sources if p.stem in vague]
