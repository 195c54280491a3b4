# ruff: noqa: PLC0415, S608 - imports are part of what is measured; SQL over own files
"""Speed and memory of ingest against the article's recipe and its usual replacements.

    python benchmarks/ingest.py [--events 5000000] [--folder DIR] [--polars-python PYTHON]

Each implementation runs in a process of its own on the same file, and does the same job: parse,
validate, count rejects by reason, drop exact duplicates, one packed item per user and day (ours:
packed shards, with pseudonyms, names and event keys on top). Figures are events per CPU-second.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIELDS = ["user_id", "timestamp", "behavior", "item_id", "category_id", "value"]
BEHAVIOURS = ["view", "search", "cart", "favorite", "purchase", "review", "share"]
FORMATS = ["csv", "csv.gz", "jsonl.gz", "parquet"]
RUNS = {
    "csv": ["swerve", "duckdb", "polars", "pandas_pyarrow", "article"],
    "csv.gz": ["swerve", "duckdb", "polars"],
    "jsonl.gz": ["swerve", "duckdb"],
    "parquet": ["swerve", "duckdb", "polars", "pandas_pyarrow"],
}


def write_files(folder: Path, count: int) -> None:
    """Zipf users, two days, 2 % exact duplicates, 0.4 % bad fields."""
    import duckdb
    import numpy as np

    rng = np.random.default_rng(11)
    weights = np.arange(1, 500_001) ** -0.8
    users = rng.permutation(500_000)[
        np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(count))
    ]
    columns = {
        "u": users,
        "s": np.sort(rng.integers(0, 2 * 86_400, count)),
        "b": rng.choice(len(BEHAVIOURS), count, p=[0.6, 0.1, 0.1, 0.05, 0.1, 0.03, 0.02]),
        "i": rng.zipf(1.3, count) % 50_000,
        "c": rng.integers(0, 300, count),
        "v": np.round(rng.lognormal(2, 1, count), 2),
        "bad": rng.random(count),
    }
    connection = duckdb.connect()
    connection.execute("SET threads = 1; SET preserve_insertion_order = true")
    connection.register("raw", columns)
    connection.execute(f"""
        CREATE TABLE events AS SELECT
            CASE WHEN bad < .001 THEN '' ELSE 'user' || u END AS user_id,
            CASE WHEN bad BETWEEN .001 AND .002 THEN 'soon' ELSE
                strftime(TIMESTAMP '2026-11-02' + to_seconds(s), '%Y-%m-%dT%H:%M:%SZ') END
                AS timestamp,
            CASE WHEN bad BETWEEN .002 AND .003 THEN 'teleport' ELSE {BEHAVIOURS}[b + 1] END
                AS behavior,
            'item' || i AS item_id, 'category' || c AS category_id,
            CASE WHEN bad BETWEEN .003 AND .004 THEN 'x' ELSE v::VARCHAR END AS value
        FROM raw;
        INSERT INTO events SELECT * FROM events USING SAMPLE reservoir(2 PERCENT) REPEATABLE (3);
    """)
    for name, options in {
        "csv": "FORMAT csv, HEADER",
        "csv.gz": "FORMAT csv, HEADER, COMPRESSION gzip",
        "jsonl.gz": "FORMAT json, COMPRESSION gzip",
        "parquet": "FORMAT parquet, COMPRESSION zstd",
    }.items():
        connection.execute(f"COPY events TO '{folder / f'events.{name}'}' ({options})")


def swerve(path: Path) -> dict[str, int]:
    from swerve.adapters.files import LocalFiles
    from swerve.batch import Batch, Task
    from swerve.domain.pseudonym import Keyring
    from swerve.domain.recognise import recognise
    from swerve.settings import Settings
    from swerve.sources import bundled_sources

    files = LocalFiles()
    # The others have no rate cap.
    settings = Settings(window="1d", shard_count=64, max_object_mb=8000, rate_cap=10**9)
    shape = files.sniff(path, 8_000_000_000)
    with tempfile.TemporaryDirectory() as folder:
        task = Task(
            path,
            Path(folder),
            shape,
            recognise(shape, bundled_sources()),
            None,
            0,
            1 << 62,
            lambda: None,
        )
        keyring = Keyring.parse('{"current": "a key of the benchmark"}')
        batch = Batch(task, settings, keyring, files)
        batch.read()
        size = sum(len(item.data) for item in batch.partials("0" * 32))
    return {
        "rows": batch.rows,
        "rejected": batch.rejected.total,
        "items": batch.segments,
        "B": size,
    }


def duckdb(path: Path) -> dict[str, int]:
    import duckdb as db

    connection = db.connect(config={"threads": 1, "memory_limit": "1400MB"})
    names = ", ".join(f"'{name}': 'VARCHAR'" for name in FIELDS)
    scan = f"read_parquet('{path}')"
    if ".csv" in path.name:
        scan = (
            f"read_csv('{path}', auto_detect=false, header=true, delim=',', quote='\"',"
            f" columns={{{names}}})"
        )
    elif "jsonl" in path.name:
        scan = f"read_json('{path}', format='newline_delimited', columns={{{names}}})"
    connection.execute(f"""
        CREATE TABLE checked AS SELECT *, epoch_ms(try_cast(timestamp AS TIMESTAMP)) AS ms,
            list_position({BEHAVIOURS}, behavior) AS b, try_cast(value AS FLOAT) AS v,
            CASE WHEN coalesce(user_id, '') = '' THEN 1 WHEN ms IS NULL THEN 2
                 WHEN b IS NULL THEN 3 WHEN v IS NULL AND value <> '' THEN 4 ELSE 0 END AS bad
        FROM {scan}""")
    reasons = connection.execute("SELECT bad, count(*) FROM checked GROUP BY 1").fetchall()
    items = connection.execute("""
        SELECT user_id, ms // 86400000 AS day, list((ms, b, item_id, category_id, v)) AS packed
        FROM (SELECT DISTINCT user_id, ms, b, item_id, category_id, v FROM checked WHERE bad = 0)
        GROUP BY ALL""").fetchnumpy()
    rejected = sum(n for bad, n in reasons if bad)
    return {"rows": sum(n for _, n in reasons), "rejected": rejected, "items": len(items["day"])}


def polars(path: Path) -> dict[str, int]:
    import polars as pl

    if path.suffix == ".parquet":
        frame = pl.scan_parquet(path)
    else:
        frame = pl.scan_csv(path, schema=dict.fromkeys(FIELDS, pl.String))
    checked = frame.with_columns(
        ms=pl.col("timestamp").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", strict=False),
        known=pl.col("behavior").is_in(BEHAVIOURS),
        v=pl.col("value").cast(pl.Float32, strict=False),
    ).collect(engine="streaming")
    good = checked.filter(
        pl.col("user_id").fill_null("") != "",
        pl.col("ms").is_not_null(),
        pl.col("known"),
        pl.col("v").is_not_null() | (pl.col("value").fill_null("") == ""),
    )
    items = (
        good.unique(FIELDS)
        .with_columns(day=pl.col("ms").dt.date())
        .group_by("user_id", "day")
        .agg("ms", "behavior", "item_id", "category_id", "v")
    )
    return {"rows": len(checked), "rejected": len(checked) - len(good), "items": len(items)}


def _pandas(frame, day_of, number=int) -> dict[str, int]:
    good = frame[
        (frame["user_id"].fillna("") != "")
        & frame["time"].notna()
        & frame["behavior"].isin(BEHAVIOURS)
        & frame["number"].notna()
    ]
    once = good.drop_duplicates(FIELDS)
    items = {}
    keys = [once["user_id"], day_of(once["time"]), once["behavior"]]
    for (user, day, behaviour), count in once.groupby(keys).size().items():
        items.setdefault((user, day), {})[behaviour] = number(count)
    return {"rows": len(frame), "rejected": len(frame) - len(good), "items": len(items)}


def pandas_pyarrow(path: Path) -> dict[str, int]:
    import pandas as pd

    read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
    options = {} if path.suffix == ".parquet" else {"engine": "pyarrow", "dtype": "string[pyarrow]"}
    frame = read(path, dtype_backend="pyarrow", **options)
    frame["time"] = pd.to_datetime(frame["timestamp"].astype("string"), errors="coerce", utc=True)
    frame["number"] = pd.to_numeric(frame["value"].astype("string"), errors="coerce")
    return _pandas(frame, lambda time: time.dt.floor("D"))


def article(path: Path) -> dict[str, int]:
    """read_csv, to_datetime, drop_duplicates, groupby, a dict of Decimal, as DynamoDB asks."""
    from decimal import Decimal

    import pandas as pd

    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame["time"] = pd.to_datetime(frame["timestamp"], errors="coerce", utc=True)
    frame["number"] = pd.to_numeric(frame["value"], errors="coerce")
    return _pandas(frame, lambda time: time.dt.date, Decimal)


def measured(python: str, name: str, path: Path) -> dict[str, float]:
    told = subprocess.run(
        [python, __file__, "--one", name, "--folder", str(path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"},
    )
    if told.returncode:
        return {"failed": 1, "why": told.stderr.strip().splitlines()[-1:]}  # type: ignore[dict-item]
    return json.loads(told.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--polars-python", default=sys.executable)
    parser.add_argument("--one")
    asked = parser.parse_args()
    if asked.one == "write":
        write_files(asked.folder, asked.events)
        return
    if asked.one:
        began = time.process_time()
        counts = globals()[asked.one](asked.folder)
        cpu_s = time.process_time() - began
        rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**counts, "cpu_s": cpu_s, "rss_mb": rss_mb}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        if not (folder / "events.parquet").exists():
            # A process begins with the peak memory of the one that starts it: this one stays small.
            write = [sys.executable, __file__, "--one", "write", "--folder", str(folder)]
            subprocess.run([*write, "--events", str(asked.events)], check=True)
        # Installed packages have their bytecode; a working copy may lack it.
        package = Path(__file__).parents[1] / "layers/core/python/swerve"
        compileall.compile_dir(package, quiet=1)
        print(
            "| format | implementation | M events/s/core | CPU s | peak RSS MB | rows | rejected |"
        )
        print("|---|---|---|---|---|---|---|")
        for form in FORMATS:
            for name in RUNS[form]:
                python = asked.polars_python if name == "polars" else sys.executable
                got = measured(python, name, folder / f"events.{form}")
                if "failed" in got:
                    print(f"| {form} | {name} | failed: {got['why']} | | | | |", flush=True)
                    continue
                rate = got["rows"] / got["cpu_s"] / 1e6
                print(
                    f"| {form} | {name} | {rate:.2f} | {got['cpu_s']:.1f} | {got['rss_mb']:.0f}"
                    f" | {got['rows']:,.0f} | {got['rejected']:,.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
