"""The stack's secret, read once per process: the keys of the pseudonyms."""

from __future__ import annotations

from typing import Any

from swerve.adapters.faults import transient


def read_secret(client: Any, secret_id: str) -> str:
    """Return the secret's text."""
    with transient(f"secret {secret_id}"):
        return str(client.get_secret_value(SecretId=secret_id)["SecretString"])
