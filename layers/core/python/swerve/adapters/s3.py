"""The two buckets: uploads to read, data to read and write."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from swerve.adapters.faults import code_of, transient
from swerve.errors import UploadGone
from swerve.ports import ObjectHead, UploadedObject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COPY_BYTES = 1 << 20
_GONE = frozenset({"404", "NoSuchKey", "NoSuchVersion", "MethodNotAllowed", "405"})


@dataclass(frozen=True, slots=True)
class S3Uploads:
    """The bucket that pipelines drop files into."""

    client: Any

    def head(self, uploaded: UploadedObject) -> ObjectHead:
        """Raise `UploadGone` when the version no longer exists."""
        with transient(f"head of {uploaded.key}"), _gone(uploaded):
            found = self.client.head_object(**_version(uploaded))
        uploaded_ms = round(found["LastModified"].timestamp() * 1000)
        return ObjectHead(found["ContentLength"], uploaded_ms, found["Metadata"])

    def download(self, uploaded: UploadedObject, path: Path) -> None:
        """Copy the object's bytes to a local file."""
        with transient(f"download of {uploaded.key}"), _gone(uploaded):
            body = self.client.get_object(**_version(uploaded))["Body"]
            with path.open("wb") as file:
                shutil.copyfileobj(body, file, _COPY_BYTES)

    def stored(self, bucket: str) -> Iterator[tuple[UploadedObject, int]]:
        """All versions that still exist, with their size in bytes."""
        pages = self.client.get_paginator("list_object_versions")
        with transient(f"list of {bucket}"):
            for page in pages.paginate(Bucket=bucket):
                for found in page.get("Versions", ()):
                    uploaded = UploadedObject(bucket, found["Key"], found["VersionId"])
                    yield uploaded, found["Size"]


@dataclass(frozen=True, slots=True)
class S3Data:
    """The bucket for every file that Swerve writes."""

    client: Any
    bucket: str

    def put(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        """Write or overwrite."""
        with transient(f"put of {key}"):
            self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)

    def get(self, key: str) -> bytes | None:
        """Return the bytes, or None where there is no such key."""
        with transient(f"get of {key}"):
            try:
                found = self.client.get_object(Bucket=self.bucket, Key=key)
                return bytes(found["Body"].read())
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    return None
                raise

    def remove(self, key: str) -> None:
        """Delete; harmless where there is no such key."""
        with transient(f"delete of {key}"):
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys under a prefix, in order."""
        pages = self.client.get_paginator("list_objects_v2")
        with transient(f"list of {prefix}"):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    yield found["Key"]


@contextmanager
def _gone(uploaded: UploadedObject) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if code_of(error) not in _GONE:
            raise
        raise UploadGone(
            f"{uploaded.key} version {uploaded.version or 'latest'} was deleted before it was "
            "read; upload it again"
        ) from error


def _version(uploaded: UploadedObject) -> dict[str, str]:
    where = {"Bucket": uploaded.bucket, "Key": uploaded.key}
    return where | ({"VersionId": uploaded.version} if uploaded.version else {})
