"""The key of the pseudonyms: change it, and forget the one before."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from swerve.errors import SwerveError

if TYPE_CHECKING:
    from swerve.domain.pseudonym import Keyring

    from cli.stack import Stack

_KEY_BYTES = 32


def keyring(stack: Stack) -> Keyring:
    """Read the keys; it needs the right to read the stack's secret."""
    from swerve.domain.pseudonym import Keyring

    return Keyring.parse(_secret(stack))


def rotate(stack: Stack) -> str:
    """Put a new key before the current one; shards and event keys stay as they are."""
    from swerve.domain.pseudonym import Keyring

    text = _secret(stack)
    if json.loads(text).get("previous"):
        raise SwerveError(
            "the key before is still kept: its users would lose their history;"
            " run `swerve rotate-key --forget` once a horizon has passed since the last rotation"
        )
    _put(stack, Keyring.rotated(text, secrets.token_urlsafe(_KEY_BYTES)))
    return (
        "A new key is in use once each function starts anew (minutes); the next close renames."
        f"\nIn {stack.settings.horizon_days} days: swerve rotate-key --forget"
    )


def forget(stack: Stack) -> str:
    """Drop the previous key: old pseudonyms can no longer be linked to the new ones."""
    fields = json.loads(_secret(stack))
    if not fields.pop("previous", None):
        return "There is no previous key to forget."
    _put(stack, json.dumps(fields))
    return "The previous key is gone."


def _secret(stack: Stack) -> str:
    found = stack.client("secretsmanager").get_secret_value(
        SecretId=stack.outputs["PseudonymSecretArn"]
    )
    return str(found["SecretString"])


def _put(stack: Stack, text: str) -> None:
    stack.client("secretsmanager").put_secret_value(
        SecretId=stack.outputs["PseudonymSecretArn"], SecretString=text
    )
