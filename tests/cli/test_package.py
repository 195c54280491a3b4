from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from cli.local import TEMPLATE
from cli.package import as_json, contents, package, zipped

if TYPE_CHECKING:
    from pathlib import Path


def names(body: bytes) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(body)).namelist())


def test_every_path_becomes_an_address() -> None:
    # GIVEN
    stored: dict[str, bytes] = {}

    def put(name: str, body: bytes) -> str:
        stored[name] = body
        return f"s3://artifacts/{name}"

    # WHEN
    template = package(TEMPLATE, put)
    # THEN
    resources = template["Resources"]
    assert resources["Score"]["Properties"]["CodeUri"] == "s3://artifacts/Score.zip"
    assert resources["CloseWorkflow"]["Properties"]["DefinitionUri"] == (
        "s3://artifacts/close.asl.json"
    )
    assert "python/swerve/settings.py" in names(stored["CoreLayer.zip"])
    assert b"../" not in as_json(template)


def test_layers_of_wheels_stay_empty_on_this_computer() -> None:
    stored: dict[str, bytes] = {}
    package(TEMPLATE, lambda name, body: stored.setdefault(name, body) and "s3://a/b")
    for layer in ("IngestLayer", "InferenceLayer", "ObservabilityLayer"):
        assert names(stored[f"{layer}.zip"]) == {"made_by_sam_build"}


def test_one_content_gives_one_zip(tmp_path: Path) -> None:
    # GIVEN
    (tmp_path / "b.py").write_text("b")
    (tmp_path / "a.py").write_text("a")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/a.pyc").write_bytes(b"compiled at another time")
    # WHEN
    first = zipped(contents(tmp_path))
    (tmp_path / "a.py").touch()
    # THEN
    assert zipped(contents(tmp_path)) == first
    assert names(first) == {"a.py", "b.py"}
