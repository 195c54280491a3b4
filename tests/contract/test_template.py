from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from samtranslator.model.exceptions import InvalidDocumentException
from swerve.reshard import MOST_SHARDS
from swerve.settings import Settings

from tests.contract import promises
from tests.contract.promises import PROMISES, Promise
from tests.contract.wiring import TEMPLATE, Resources, packaged, translate

if TYPE_CHECKING:
    from collections.abc import Callable

# Set by each function's own resources, not by a knob.
WIRED = {
    "stack",
    "uploads_bucket",
    "data_bucket",
    "windows_table",
    "alerts_table",
    "score_queue_url",
    "notify_queue_url",
    "close_workflow_arn",
    "email_topic_arn",
    "sms_topic_arn",
    "events_topic_arn",
    "secret_id",
}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return packaged()


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> Resources:
    return dict(translate(template)["Resources"])


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_the_template_keeps_its_promise(resources: Resources, promise: Promise) -> None:
    assert list(promise(resources)) == []


def _props(resources: Resources, name: str) -> dict[str, Any]:
    return resources[name]["Properties"]


def _policy(resources: Resources, role: str, sid: str) -> dict[str, Any]:
    found = _props(resources, role)["Policies"][0]["PolicyDocument"]["Statement"]
    return next(s for s in found if s["Sid"] == sid)


def _grow(role: str, action: str, resource: object) -> Callable[[Resources], None]:
    def change(resources: Resources) -> None:
        statements = _props(resources, role)["Policies"][0]["PolicyDocument"]["Statement"]
        statements.append({"Effect": "Allow", "Action": action, "Resource": resource})

    return change


def _drop(name: str, *path: str) -> Callable[[Resources], None]:
    def change(resources: Resources) -> None:
        inner: dict[str, Any] = resources
        for step in (name, *path)[:-1]:
            inner = inner[step]
        del inner[(name, *path)[-1]]

    return change


def _set(name: str, key: str, value: object) -> Callable[[Resources], None]:
    return lambda resources: _props(resources, name).__setitem__(key, value)


P = promises
PLANTED: list[tuple[Callable[[Resources], None], Promise]] = [
    (_drop("ScoreQueue", "Properties", "RedrivePolicy"), P.queues_give_up_into_dead_letters),
    (
        _drop("NotifyDeadLetters", "Properties", "MessageRetentionPeriod"),
        P.queues_give_up_into_dead_letters,
    ),
    (_set("IngestQueue", "VisibilityTimeout", 300), P.visibility_covers_retries),
    (_set("Score", "Timeout", 901), P.visibility_covers_retries),
    (_drop("ScoreEarly", "Properties", "FunctionResponseTypes"), P.mappings_answer_by_message),
    (
        _set("NotifyTold", "EventSourceArn", {"Fn::GetAtt": ["AlertsTable", "StreamArn"]}),
        P.mappings_read_queues_only,
    ),
    (_drop("FeaturizeUploads", "Properties", "ScalingConfig"), P.mappings_are_capped),
    (_drop("NotifyDeadLettersAlarm"), P.alarms_watch_everything),
    (_drop("ScoreThrottlesAlarm"), P.alarms_watch_everything),
    (_drop("NoUploadsAlarm"), P.alarms_watch_everything),
    (_drop("CloseFailedAlarm", "Properties", "AlarmActions"), P.alarms_tell_someone),
    (_drop("DataBucketPolicy"), P.only_tls_is_spoken),
    (_drop("TopicsTlsOnly"), P.only_tls_is_spoken),
    (_set("QueuesTlsOnly", "Queues", [{"Ref": "ScoreQueue"}]), P.only_tls_is_spoken),
    (
        _set("QueuesTlsOnly", "Queues", [{"Ref": "ScoreQueue"}, {"Ref": "IngestQueue"}]),
        P.each_queue_and_topic_has_one_policy,
    ),
    (
        lambda r: _props(r, "IngestQueuePolicy")["PolicyDocument"]["Statement"][0].pop("Condition"),
        P.services_are_pinned_to_their_source,
    ),
    (_drop("DataBucket", "Properties", "PublicAccessBlockConfiguration"), P.buckets_are_closed),
    (_drop("UploadsBucket", "Properties", "BucketEncryption"), P.everything_is_encrypted),
    (_drop("UploadsBucket", "Properties", "LifecycleConfiguration"), P.buckets_forget),
    (_drop("UploadsBucket", "Properties", "VersioningConfiguration"), P.buckets_forget),
    (_drop("EmailTopic", "Properties", "KmsMasterKeyId"), P.everything_is_encrypted),
    (_set("AlarmTopic", "KmsMasterKeyId", "alias/aws/sns"), P.everything_is_encrypted),
    (_set("IngestDeadLetters", "SqsManagedSseEnabled", False), P.everything_is_encrypted),
    (_drop("AlertsTable", "Properties", "SSESpecification"), P.everything_is_encrypted),
    (_drop("PseudonymSecret", "Properties", "KmsKeyId"), P.everything_is_encrypted),
    (
        lambda r: _props(r, "KeyPolicy")["Roles"].remove({"Ref": "SchedulerRole"}),
        P.whoever_stores_may_use_the_key,
    ),
    (
        _drop("Score", "Properties", "ReservedConcurrentExecutions"),
        P.concurrency_is_kept_on_request,
    ),
    (
        lambda r: _props(r, "Notify")["ReservedConcurrentExecutions"]["Fn::If"].__setitem__(1, 1),
        P.concurrency_is_kept_on_request,
    ),
    (
        lambda r: _policy(r, "ScoreRole", "KeepState").__setitem__("Action", "s3:*"),
        P.roles_are_narrow,
    ),
    (
        lambda r: _policy(r, "ScoreRole", "KeepState").__setitem__("Resource", "*"),
        P.roles_are_narrow,
    ),
    (
        lambda r: _props(r, "CloseMapPolicy")["PolicyDocument"]["Statement"][1].update(
            Resource="*"
        ),
        P.roles_are_narrow,
    ),
    (
        _set("NotifyRole", "ManagedPolicyArns", ["arn:aws:iam::aws:policy/AWSLambdaExecute"]),
        P.roles_are_narrow,
    ),
    (
        _set("Notify", "Role", {"Fn::GetAtt": ["ScoreRole", "Arn"]}),
        P.functions_have_their_own_role,
    ),
    (
        _grow("NotifyRole", "sqs:SendMessage", {"Fn::GetAtt": ["NotifyQueue", "Arn"]}),
        P.nothing_starts_itself,
    ),
    (
        _grow("ScoreRole", "s3:PutObject", {"Fn::Sub": "${UploadsBucket.Arn}/events/*"}),
        P.nothing_starts_itself,
    ),
    (
        _grow("ScoreRole", "states:StartExecution", {"Ref": "CloseWorkflow"}),
        P.nothing_starts_itself,
    ),
    (
        _set("IngestQueuePolicy", "Queues", [{"Ref": "IngestQueue"}, {"Ref": "UploadsBucket"}]),
        P.resources_can_be_created_in_some_order,
    ),
    (_drop("WindowsTable", "DeletionPolicy"), P.data_survives),
    (_drop("AlertsTable", "Properties", "PointInTimeRecoverySpecification"), P.data_survives),
    (_drop("AlertsTable", "Properties", "TimeToLiveSpecification"), P.data_survives),
    (_drop("ScoreLog", "Properties", "RetentionInDays"), P.logs_expire_and_are_json),
    (_drop("Score", "Properties", "LoggingConfig"), P.logs_expire_and_are_json),
    (_set("Score", "TracingConfig", {"Mode": "Active"}), P.traces_are_a_choice),
    (_drop("CloseWorkflow", "Properties", "TracingConfiguration"), P.traces_are_a_choice),
    (
        lambda r: _policy(r, "NotifyRole", "Trace").__setitem__("Action", []),
        P.traces_are_a_choice,
    ),
    (_set("Score", "Runtime", "python3.8"), P.runtimes_are_current),
    (_set("PseudonymSecret", "SecretString", '{"current": "x"}'), P.secrets_are_generated),
    (
        lambda r: _props(r, "Featurize")["Environment"]["Variables"].__setitem__("API_KEY", "abc"),
        P.secrets_are_generated,
    ),
    (
        lambda r: _props(r, "UploadsBucket")["NotificationConfiguration"]["QueueConfigurations"][
            0
        ].pop("Filter"),
        P.only_events_trigger,
    ),
    (_drop("Score", "Properties", "RecursiveLoop"), P.loops_are_cut),
]


@pytest.mark.parametrize(
    ("plant", "promise"), PLANTED, ids=[f"{i}-{p.__name__}" for i, (_, p) in enumerate(PLANTED)]
)
def test_a_planted_defect_is_found(
    resources: Resources, plant: Callable[[Resources], None], promise: Promise
) -> None:
    # GIVEN
    broken = copy.deepcopy(resources)
    # WHEN
    plant(broken)
    # THEN
    assert list(promise(broken))


def test_every_promise_has_a_planted_defect() -> None:
    assert {promise for _, promise in PLANTED} == set(PROMISES)


def test_a_typo_in_an_event_source_is_refused(template: dict[str, Any]) -> None:
    # GIVEN
    broken = copy.deepcopy(template)
    mapping = broken["Resources"]["Score"]["Properties"]["Events"]["Early"]["Properties"]
    # WHEN
    mapping["ScalingConfgi"] = mapping.pop("ScalingConfig")
    # THEN
    with pytest.raises(InvalidDocumentException):
        translate(broken)


def test_the_template_is_clean_under_cfn_lint() -> None:
    # Beside the interpreter that runs the tests: cfn-lint cannot be run with -m.
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run(
        [cfn_lint, "--regions", "us-east-1", "--", TEMPLATE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_is_a_parameter_with_the_same_default(template: dict[str, Any]) -> None:
    # GIVEN
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    defaults = Settings()
    # WHEN
    said = {}
    for field in fields(Settings):
        if field.name not in WIRED:
            parameter = variables[f"SWERVE_{field.name.upper()}"]["Ref"]
            said[field.name] = template["Parameters"][parameter]["Default"]
    # THEN
    kinds = {name: type(getattr(defaults, name)) for name in said}
    assert {n: kinds[n](v) for n, v in said.items()} == {n: getattr(defaults, n) for n in said}


def test_every_variable_of_a_function_is_a_setting(resources: Resources) -> None:
    names = {f"SWERVE_{field.name.upper()}" for field in fields(Settings)}
    for function in ("Featurize", "Score", "Notify"):
        variables = _props(resources, function)["Environment"]["Variables"]
        assert {n for n in variables if n.startswith("SWERVE_")} <= names


def test_every_parameter_is_described_grouped_and_bounded(template: dict[str, Any]) -> None:
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    grouped = [name for group in groups for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template["Parameters"])
    for name, parameter in template["Parameters"].items():
        assert parameter["Description"].endswith("."), name
        assert "Default" in parameter, name
        assert parameter.keys() & {"AllowedPattern", "AllowedValues", "MinValue"}, name


def test_shards_can_be_as_many_as_reshard_makes(template: dict[str, Any]) -> None:
    allowed = template["Parameters"]["ShardCount"]["AllowedValues"]
    assert allowed == [2**bits for bits in range(MOST_SHARDS.bit_length())]


def test_every_output_is_described(template: dict[str, Any]) -> None:
    assert all(output["Description"] for output in template["Outputs"].values())
