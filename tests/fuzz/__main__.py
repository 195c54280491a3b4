"""Fuzzes what reads uploads, guided by coverage: make fuzz SECONDS=600.

Each target gets its share of the time in a process of its own. What it finds is written below
build/fuzz; copy it to tests/fuzz/findings/<target>-<what>, and the tests hold it from then on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["swerve"]):
    from tests.fuzz.targets import HEADER, TARGETS

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build/fuzz"
LONGEST_BYTES = 2048
# The fuzzer keeps some memory of each run, the more the longer its files have become.
MOST_RUNS, MOST_MB = 60_000, 3_000
ROW = b"u1,2026-11-02T10:00:00Z,view,i1,Home,1.5,e1\n"
JSON_ROW = (
    b'{"user_id":"u1","timestamp":"2026-11-02T10:00:00Z","behavior":"view","value":1.5,'
    b'"event_id":"e1","category_id":"a/b"}\n'
)
SEEDS = {
    "csv_rows": [ROW * 2, b'"u,1",1793613600,view,"a\nb",,2,\n' + ROW],
    "json_lines": [JSON_ROW * 2, JSON_ROW.replace(b":", b": ").replace(b",", b", ")],
    "csv_pieces": [b'a,b,c\n"a\n",b,c\n', b'a,"b,c\na,b,c\n'],
    "json_pieces": [JSON_ROW * 2],
    "json_stream": [JSON_ROW.strip() * 2, b"[" + JSON_ROW + b"," + JSON_ROW + b"]"],
}


def run(target: str, arguments: list[str]) -> None:
    """Fuzz in this process; libFuzzer ends it."""
    atheris.Setup([sys.argv[0], *arguments], TARGETS[target])
    atheris.Fuzz()


def seeds_of(target: str) -> list[bytes]:
    """Files to begin with: hand-written ones, fixtures, and what was found before."""
    fixtures = [
        path.read_bytes()
        for path in (ROOT / "tests/fixtures/sources").iterdir()
        if target == "whole_file" and "golden" not in path.name
    ]
    known = [path.read_bytes() for path in (ROOT / "tests/fuzz/findings").glob(f"{target}-*")]
    first = [HEADER + ROW, JSON_ROW] if target == "whole_file" else SEEDS[target]
    return [*first, *fixtures, *known]


def main(seconds: int, targets: list[str]) -> int:
    """Give each target its share; return 1 where one of them found something."""
    found = []
    for target in targets:
        corpus = WORK / target
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds_of(target)):
            (corpus / f"seed-{number}").write_bytes(seed)
        options = [
            f"-max_total_time={seconds // len(targets)}",
            f"-runs={MOST_RUNS}",
            f"-max_len={LONGEST_BYTES}",
            f"-artifact_prefix={WORK}/{target}-",
            f"-dict={Path(__file__).parent / 'words.dict'}",
            "-len_control=0",
            "-timeout=20",
            f"-rss_limit_mb={MOST_MB}",
            "-print_final_stats=1",
        ]
        command = [sys.executable, "-m", "tests.fuzz", "run", target, *options, str(corpus)]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            found.append(target)
    told = f"{', '.join(found)}: see {WORK}" if found else "nothing found"
    sys.stdout.write(f"{seconds} s: {told}\n")
    return 1 if found else 0


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(int(sys.argv[1]), sys.argv[2:] or list(TARGETS)))
