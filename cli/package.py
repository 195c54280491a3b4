"""Turns infra/template.yaml into one that CloudFormation can deploy: folders become zips in S3."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# Properties that hold a path relative to the template, by resource type.
_FOLDERS = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
}
_FILES = {"AWS::Serverless::StateMachine": "DefinitionUri"}
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # one content, one zip: the date is not content
_COMPILED = {"__pycache__"}


def package(template: Path, put: Callable[[str, bytes], str]) -> dict[str, Any]:
    """Return the template with every local path replaced by what `put` answers.

    Parameters
    ----------
    template : Path
        The SAM template; paths in it are relative to its folder.
    put : callable
        Stores bytes under a name and returns their `s3://` URI.

    Notes
    -----
    A layer that `sam build` would make from wheels becomes an empty zip: the local emulator runs
    handlers on its own interpreter, which has the same packages, and compiled wheels for Lambda's
    Python would break the import.
    """
    from samtranslator.yaml_helper import yaml_parse

    parsed: dict[str, Any] = yaml_parse(template.read_text(encoding="utf-8"))
    for name, resource in parsed["Resources"].items():
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind in _FOLDERS:
            made = resource.get("Metadata", {}).get("BuildMethod") == "makefile"
            folder = template.parent / properties[_FOLDERS[kind]]
            body = zipped({"made_by_sam_build": b""} if made else contents(folder))
            properties[_FOLDERS[kind]] = put(f"{name}.zip", body)
        elif kind in _FILES:
            path = template.parent / properties[_FILES[kind]]
            properties[_FILES[kind]] = put(path.name, path.read_bytes())
    return parsed


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative name, without compiled Python."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _COMPILED & set(path.parts)
    }


def zipped(files: dict[str, bytes]) -> bytes:
    """One zip; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), body, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def as_json(template: dict[str, Any]) -> bytes:
    """Serialise the template; dates that YAML made of bare versions become text again."""
    return json.dumps(template, default=str).encode()


def with_numeric_concurrency(
    template: dict[str, Any], parameters: Mapping[str, str]
) -> dict[str, Any]:
    """Write the queue mappings' concurrency as a number, where a parameter says it.

    CloudFormation reads the text of a Number parameter as a number; the emulator does not.
    """
    for resource in template["Resources"].values():
        for event in resource.get("Properties", {}).get("Events", {}).values():
            scaling = event["Properties"].get("ScalingConfig", {})
            limit = scaling.get("MaximumConcurrency")
            if isinstance(limit, dict):
                name = limit["Ref"]
                value = parameters.get(name, template["Parameters"][name]["Default"])
                scaling["MaximumConcurrency"] = int(value)
    return template


def for_enforced_iam(template: dict[str, Any]) -> dict[str, Any]:
    """Fit the rules to how the emulator enforces them, which differs from AWS in two points.

    It speaks plain HTTP, which the template refuses; and it asks for a right of its own to send
    batches, where AWS asks for `sqs:SendMessage`.
    """
    for name, resource in list(template["Resources"].items()):
        properties = resource.get("Properties", {})
        document = properties.get("PolicyDocument", {})
        if "Statement" in document:
            document["Statement"] = [s for s in document["Statement"] if s["Sid"] != "TlsOnly"]
            if not document["Statement"]:
                del template["Resources"][name]
        for policy in properties.get("Policies", ()):
            for statement in policy["PolicyDocument"]["Statement"]:
                if statement["Action"] == "sqs:SendMessage":
                    statement["Action"] = ["sqs:SendMessage", "sqs:SendMessageBatch"]
    return template
