"""Reads the translated template: what refers to what, who may write where, what starts what."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.package import package

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "infra/template.yaml"
WORKFLOW = "AWS::StepFunctions::StateMachine"
_SUBSTITUTION = re.compile(r"\$\{([A-Za-z0-9]+)(?:\.[A-Za-z0-9.]+)?\}")
# What a role may do that can start something, or feed what starts something.
_WRITES = {
    "sqs:SendMessage",
    "s3:PutObject",
    "states:StartExecution",
    "lambda:InvokeFunction",
    "sns:Publish",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:BatchWriteItem",
}

Resources = dict[str, dict[str, Any]]


def packaged() -> dict[str, Any]:
    """The SAM template with paths replaced by S3 addresses."""
    return package(TEMPLATE, lambda name, _body: f"s3://artifacts/{name}")


def translate(template: dict[str, Any]) -> dict[str, Any]:
    """What CloudFormation gets to see."""
    import boto3
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    session = boto3.Session(region_name="us-east-1")
    translator = Translator({}, Parser(), boto_session=session)
    return dict(translator.translate(json.loads(json.dumps(template, default=str)), {}))


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def references(value: Any) -> Iterator[str]:
    """Every logical id that a value mentions by Ref, GetAtt or Sub."""
    if isinstance(value, list):
        for part in value:
            yield from references(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key == "Ref":
                yield part
            elif key == "Fn::GetAtt":
                yield part[0] if isinstance(part, list) else part.split(".")[0]
            elif key == "Fn::Sub":
                text = part[0] if isinstance(part, list) else part
                yield from _SUBSTITUTION.findall(text)
                if isinstance(part, list):
                    yield from references(part[1])
            else:
                yield from references(part)


def target(value: Any) -> str:
    """The one logical id that a value mentions, or an empty string."""
    return next(references(value), "")


def of_type(resources: Resources, kind: str) -> dict[str, dict[str, Any]]:
    """Properties of all resources of one type, by logical id."""
    return {n: r.get("Properties", {}) for n, r in resources.items() if r["Type"] == kind}


def rights(resources: Resources, role: str) -> Iterator[dict[str, Any]]:
    """Statements of a role's inline policies, and of those put on it."""
    inline = resources[role]["Properties"].get("Policies", [])
    put_on = of_type(resources, "AWS::IAM::Policy").values()
    for policy in [*inline, *(p for p in put_on if role in references(p["Roles"]))]:
        yield from as_list(policy["PolicyDocument"]["Statement"])


def dependencies(resources: Resources) -> dict[str, set[str]]:
    """What CloudFormation must create before each resource."""
    return {
        name: {r for r in references(body.get("Properties", {})) if r in resources}
        | set(as_list(body.get("DependsOn", [])))
        for name, body in resources.items()
    }


def writes(resources: Resources, role: str) -> set[str]:
    """Resources that a role may start or write to."""
    return {
        reference
        for statement in rights(resources, role)
        if statement["Effect"] == "Allow" and _WRITES & set(as_list(statement["Action"]))
        for reference in references(statement["Resource"])
    }


def flow(resources: Resources) -> dict[str, set[str]]:
    """What can set what in motion: triggers, and the rights of what is triggered.

    But for a workflow that may start itself: so AWS has a Distributed Map run its items.
    """
    edges: dict[str, set[str]] = {name: set() for name in resources}
    for mapping in of_type(resources, "AWS::Lambda::EventSourceMapping").values():
        edges[target(mapping["EventSourceArn"])].add(target(mapping["FunctionName"]))
    for name, bucket in of_type(resources, "AWS::S3::Bucket").items():
        edges[name] |= set(references(bucket.get("NotificationConfiguration", {})))
    for name, schedule in of_type(resources, "AWS::Scheduler::Schedule").items():
        edges[name].add(target(schedule["Target"]["Arn"]))
    for kind, key in (
        ("AWS::Lambda::Function", "Role"),
        (WORKFLOW, "RoleArn"),
    ):
        for name, properties in of_type(resources, kind).items():
            edges[name] |= writes(resources, target(properties[key]))
            if kind == WORKFLOW:
                edges[name].discard(name)
    return edges


def circle(edges: dict[str, set[str]]) -> list[str]:
    """One circle in a graph, or nothing."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(edges.get(name, ())):
            if found := walk(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(edges) if (found := walk(name, []))), [])
