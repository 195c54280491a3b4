"""What the template promises: each function returns the faults that it finds, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.contract.wiring import (
    WORKFLOW,
    Resources,
    as_list,
    circle,
    dependencies,
    flow,
    of_type,
    references,
    rights,
    target,
)

Promise = Callable[[Resources], Iterator[str]]
TWO_WEEKS_S = 1_209_600
TIMES_TIMEOUT = 6  # AWS: visibility of a queue before a function
MAPPING = "AWS::Lambda::EventSourceMapping"
QUEUE, BUCKET, TOPIC = "AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::SNS::Topic"
TABLE, FUNCTION, ROLE = "AWS::DynamoDB::Table", "AWS::Lambda::Function", "AWS::IAM::Role"
ALARM = "AWS::CloudWatch::Alarm"
SECRET = "AWS::SecretsManager::Secret"
NOTHING = {"Ref": "AWS::NoValue"}
TABLE_KEY = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": {"Ref": "KmsKeyArn"}}
BUCKET_KEY = {
    "BucketKeyEnabled": {"Fn::If": ["HasKey", True, False]},
    "ServerSideEncryptionByDefault": {
        "SSEAlgorithm": {"Fn::If": ["HasKey", "aws:kms", "AES256"]},
        "KMSMasterKeyID": {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, NOTHING]},
    },
}
KEPT = {"DataBucket", "WindowsTable", "AlertsTable", "PseudonymSecret"}


def _sources(resources: Resources) -> Iterator[tuple[str, str]]:
    for mapping in of_type(resources, MAPPING).values():
        yield target(mapping["EventSourceArn"]), target(mapping["FunctionName"])


def _dead_letters(resources: Resources) -> set[str]:
    return {
        target(queue["RedrivePolicy"]["deadLetterTargetArn"])
        for queue in of_type(resources, QUEUE).values()
        if "RedrivePolicy" in queue
    }


def queues_give_up_into_dead_letters(resources: Resources) -> Iterator[str]:
    queues = of_type(resources, QUEUE)
    for name, _ in _sources(resources):
        policy = queues.get(name, {}).get("RedrivePolicy", {})
        if policy.get("maxReceiveCount", 0) < 5:
            yield f"{name} has no redrive policy of five receives or more"
        behind = queues.get(target(policy.get("deadLetterTargetArn", "")), {})
        if behind.get("MessageRetentionPeriod") != TWO_WEEKS_S:
            yield f"{name}'s dead letters are not kept for two weeks"


def visibility_covers_retries(resources: Resources) -> Iterator[str]:
    queues, functions = of_type(resources, QUEUE), of_type(resources, FUNCTION)
    for queue, function in _sources(resources):
        least = TIMES_TIMEOUT * functions[function]["Timeout"]
        if queues.get(queue, {}).get("VisibilityTimeout", 30) < least:
            yield f"{queue} shows messages again before {least} s"


def mappings_answer_by_message(resources: Resources) -> Iterator[str]:
    for name, mapping in of_type(resources, MAPPING).items():
        if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{name} re-runs good messages behind a bad one"


def mappings_read_queues_only(resources: Resources) -> Iterator[str]:
    for name, mapping in of_type(resources, MAPPING).items():
        if target(mapping["EventSourceArn"]) not in of_type(resources, QUEUE):
            yield f"{name} reads a stream"


def mappings_are_capped(resources: Resources) -> Iterator[str]:
    for name, mapping in of_type(resources, MAPPING).items():
        if "MaximumConcurrency" not in mapping.get("ScalingConfig", {}):
            yield f"{name} has no concurrency limit"


def alarms_watch_everything(resources: Resources) -> Iterator[str]:
    watched = {
        (alarm["MetricName"], reference)
        for alarm in of_type(resources, ALARM).values()
        for reference in references(alarm["Dimensions"])
    }
    wanted = {("ApproximateNumberOfMessagesVisible", q) for q in _dead_letters(resources)}
    wanted |= {("ApproximateAgeOfOldestMessage", q) for q, _ in _sources(resources)}
    for function in of_type(resources, FUNCTION):
        wanted |= {("Errors", function), ("Throttles", function)}
    for workflow in of_type(resources, WORKFLOW):
        wanted |= {("ExecutionsFailed", workflow), ("ExecutionsTimedOut", workflow)}
    wanted.add(("NumberOfMessagesSent", "IngestQueue"))
    yield from (f"no alarm on {metric} of {name}" for metric, name in sorted(wanted - watched))


def alarms_tell_someone(resources: Resources) -> Iterator[str]:
    for name, alarm in of_type(resources, ALARM).items():
        if target(alarm.get("AlarmActions", [])) not in of_type(resources, TOPIC):
            yield f"{name} tells nobody"


def _refuses_plain_text(resources: Resources, kind: str, key: str) -> set[str]:
    refused = set()
    for policy in of_type(resources, kind).values():
        for statement in policy["PolicyDocument"]["Statement"]:
            condition = statement.get("Condition", {}).get("Bool", {})
            if statement["Effect"] == "Deny" and condition == {"aws:SecureTransport": "false"}:
                refused |= set(references(policy[key])) & set(references(statement["Resource"]))
    return refused


def only_tls_is_spoken(resources: Resources) -> Iterator[str]:
    for kind, policies, key in (
        (BUCKET, "AWS::S3::BucketPolicy", "Bucket"),
        (QUEUE, "AWS::SQS::QueuePolicy", "Queues"),
        (TOPIC, "AWS::SNS::TopicPolicy", "Topics"),
    ):
        refused = _refuses_plain_text(resources, policies, key)
        yield from (f"{n} speaks plain text" for n in of_type(resources, kind) if n not in refused)


def each_queue_and_topic_has_one_policy(resources: Resources) -> Iterator[str]:
    # A second policy resource replaces the first: SetQueueAttributes knows one policy.
    for kind, key in (("AWS::SQS::QueuePolicy", "Queues"), ("AWS::SNS::TopicPolicy", "Topics")):
        named = [r for p in of_type(resources, kind).values() for r in references(p[key])]
        yield from (f"{n} has two policies" for n in sorted(set(named)) if named.count(n) > 1)


def services_are_pinned_to_their_source(resources: Resources) -> Iterator[str]:
    for kind in ("AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy"):
        for name, policy in of_type(resources, kind).items():
            for statement in policy["PolicyDocument"]["Statement"]:
                condition = statement.get("Condition", {})
                keys = {key for part in condition.values() for key in part}
                if statement["Effect"] == "Allow" and "aws:SourceAccount" not in keys:
                    yield f"{name} lets other accounts in"
                if statement["Principal"] == {"Service": "s3.amazonaws.com"} and (
                    "aws:SourceArn" not in keys
                ):
                    yield f"{name} lets other buckets in"


def buckets_are_closed(resources: Resources) -> Iterator[str]:
    for name, bucket in of_type(resources, BUCKET).items():
        block = bucket.get("PublicAccessBlockConfiguration", {})
        if len(block) != 4 or not all(block.values()):
            yield f"{name} may become public"
        if "BucketOwnerEnforced" not in str(bucket.get("OwnershipControls")):
            yield f"{name} has object owners"


def buckets_forget(resources: Resources) -> Iterator[str]:
    for name, bucket in of_type(resources, BUCKET).items():
        if bucket.get("VersioningConfiguration") != {"Status": "Enabled"}:
            yield f"{name} is not versioned"
        rules = bucket.get("LifecycleConfiguration", {}).get("Rules", [])
        for wanted in (
            "ExpirationInDays",
            "NoncurrentVersionExpiration",
            "AbortIncompleteMultipartUpload",
        ):
            if not any(wanted in rule for rule in rules):
                yield f"{name} has no {wanted}"


def _by_key(otherwise: object) -> dict[str, Any]:
    """The customer's key where there is one."""
    return {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, otherwise]}


def everything_is_encrypted(resources: Resources) -> Iterator[str]:
    by_service = {"Fn::If": ["HasKey", NOTHING, True]}
    wanted: dict[str, dict[str, Any]] = {
        QUEUE: {"SqsManagedSseEnabled": by_service, "KmsMasterKeyId": _by_key(NOTHING)},
        TOPIC: {"KmsMasterKeyId": _by_key("alias/aws/sns")},
        SECRET: {"KmsKeyId": _by_key(NOTHING)},  # by the service's otherwise, always
        TABLE: {"SSESpecification": {"Fn::If": ["HasKey", TABLE_KEY, NOTHING]}},
        BUCKET: {"BucketEncryption": {"ServerSideEncryptionConfiguration": [BUCKET_KEY]}},
    }
    for kind, said in wanted.items():
        for name, properties in of_type(resources, kind).items():
            # CloudWatch cannot publish under the key that AWS manages for SNS.
            asked = {"KmsMasterKeyId": _by_key(NOTHING)} if name == "AlarmTopic" else said
            if not asked.items() <= properties.items():
                yield f"{name} is not encrypted, or not by the customer's key"


def whoever_stores_may_use_the_key(resources: Resources) -> Iterator[str]:
    for name in of_type(resources, ROLE):
        given = rights(resources, name)
        if not any(right["Resource"] == {"Ref": "KmsKeyArn"} for right in given):
            yield f"{name} may not use the customer's key"


def concurrency_is_kept_on_request(resources: Resources) -> Iterator[str]:
    kept = {
        name: function.get("ReservedConcurrentExecutions", {}).get("Fn::If", [""])
        for name, function in of_type(resources, FUNCTION).items()
    }
    for name, (condition, *values) in kept.items():
        if condition != "IsReserved" or values[1:] != [NOTHING]:
            yield f"{name} cannot have concurrency for itself"
    for mapping in of_type(resources, MAPPING).values():
        name, most = target(mapping["FunctionName"]), mapping["ScalingConfig"]["MaximumConcurrency"]
        least = most + 1 if isinstance(most, int) else most  # one more for select
        if name != "Score" and kept[name][1:2] != [least]:
            yield f"{name} is given more messages at a time than it takes"


def roles_are_narrow(resources: Resources) -> Iterator[str]:
    for name, role in of_type(resources, ROLE).items():
        if role.get("ManagedPolicyArns"):
            yield f"{name} takes a managed policy"
        for statement in rights(resources, name):
            actions = as_list(statement["Action"])
            if any("*" in action for action in actions):
                yield f"{name} may do a wildcard"
            if all(action.startswith("xray:") for action in actions):
                continue  # X-Ray knows no resources
            for resource in as_list(statement["Resource"]):
                if not set(references(resource)) & {*resources, "KmsKeyArn"}:
                    yield f"{name} reaches beyond the stack"


def functions_have_their_own_role(resources: Resources) -> Iterator[str]:
    roles = [target(f["Role"]) for f in of_type(resources, FUNCTION).values()]
    yield from (f"{role} is shared" for role in sorted(set(roles)) if roles.count(role) > 1)


def nothing_starts_itself(resources: Resources) -> Iterator[str]:
    if found := circle(flow(resources)):
        yield " -> ".join(found)


def resources_can_be_created_in_some_order(resources: Resources) -> Iterator[str]:
    if found := circle(dependencies(resources)):
        yield " -> ".join(found)


def data_survives(resources: Resources) -> Iterator[str]:
    for name in sorted(KEPT):
        if resources[name].get("DeletionPolicy") != "Retain":
            yield f"{name} dies with the stack"
    for name, table in of_type(resources, TABLE).items():
        recovery = table.get("PointInTimeRecoverySpecification", {})
        if recovery.get("PointInTimeRecoveryEnabled") is not True:
            yield f"{name} cannot be restored"
        if table.get("TimeToLiveSpecification") != {"AttributeName": "expires", "Enabled": True}:
            yield f"{name} never forgets"


def logs_expire_and_are_json(resources: Resources) -> Iterator[str]:
    for name, group in of_type(resources, "AWS::Logs::LogGroup").items():
        if "RetentionInDays" not in group:
            yield f"{name} is kept for ever"
    for name, function in of_type(resources, FUNCTION).items():
        logging = function.get("LoggingConfig", {})
        if logging.get("LogFormat") != "JSON" or "LogGroup" not in logging:
            yield f"{name} does not log JSON into a group of the stack"


def traces_are_a_choice(resources: Resources) -> Iterator[str]:
    is_traced = {"Fn::If": ["IsTraced", True, False]}
    for kind, key, asked in (
        (FUNCTION, "Role", {"TracingConfig": {"Mode": {"Ref": "Tracing"}}}),
        (WORKFLOW, "RoleArn", {"TracingConfiguration": {"Enabled": is_traced}}),
    ):
        for name, properties in of_type(resources, kind).items():
            if not asked.items() <= properties.items():
                yield f"{name} does not follow the parameter"
            given = rights(resources, target(properties[key]))
            if not any("xray:PutTraceSegments" in as_list(right["Action"]) for right in given):
                yield f"{name} may not trace"


def runtimes_are_current(resources: Resources) -> Iterator[str]:
    for name, function in of_type(resources, FUNCTION).items():
        if function.get("Runtime") != "python3.13":
            yield f"{name} runs on {function.get('Runtime')}"


def secrets_are_generated(resources: Resources) -> Iterator[str]:
    for name, secret in of_type(resources, SECRET).items():
        if "SecretString" in secret or "GenerateSecretString" not in secret:
            yield f"{name} is written in the template"
    for name, function in of_type(resources, FUNCTION).items():
        for variable, value in function["Environment"]["Variables"].items():
            hidden = any(word in variable for word in ("KEY", "SECRET", "TOKEN", "PASSWORD"))
            if hidden and not isinstance(value, dict):
                yield f"{name} carries {variable}"


def only_events_trigger(resources: Resources) -> Iterator[str]:
    for name, bucket in of_type(resources, BUCKET).items():
        for queue in bucket.get("NotificationConfiguration", {}).get("QueueConfigurations", []):
            rules: Any = queue.get("Filter", {}).get("S3Key", {}).get("Rules")
            if rules != [{"Name": "prefix", "Value": "events/"}]:
                yield f"{name} triggers on more than events/"


def loops_are_cut(resources: Resources) -> Iterator[str]:
    for name, function in of_type(resources, FUNCTION).items():
        if function.get("RecursiveLoop") != "Terminate":
            yield f"{name} may call itself for ever"


PROMISES: list[Promise] = [
    queues_give_up_into_dead_letters,
    visibility_covers_retries,
    mappings_answer_by_message,
    mappings_read_queues_only,
    mappings_are_capped,
    alarms_watch_everything,
    alarms_tell_someone,
    only_tls_is_spoken,
    each_queue_and_topic_has_one_policy,
    services_are_pinned_to_their_source,
    buckets_are_closed,
    buckets_forget,
    everything_is_encrypted,
    whoever_stores_may_use_the_key,
    concurrency_is_kept_on_request,
    roles_are_narrow,
    functions_have_their_own_role,
    nothing_starts_itself,
    resources_can_be_created_in_some_order,
    data_survives,
    logs_expire_and_are_json,
    traces_are_a_choice,
    runtimes_are_current,
    secrets_are_generated,
    only_events_trigger,
    loops_are_cut,
]
