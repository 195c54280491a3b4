"""`python -m benchmarks.detection`: our system and its peers in one harness; docs/benchmarks.md.

Validation users by default. The locked test split only with `--open-test WHY`, which is counted in
`openings.json`. Needs `pip install -e '.[local,training,benchmark]'`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.detection import tables
from benchmarks.detection.tables import Setup
from training.panels import PANELS, record_opening

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
SECTIONS: dict[str, Callable[[Setup], str]] = {
    "canonical": tables.canonical,
    "wide": tables.wide,
    "ablation": tables.ablation,
    "left-out": tables.leave_one_out,
    "calibration": tables.calibration,
    "fdr": tables.discoveries,
    "households": tables.households,
    "transfer": tables.transfer,
    "shops": tables.shops,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", default="validation", choices=["validation", "train", "test"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--slow-seeds", type=int, default=2, help="for slow peers")
    parser.add_argument("--sections", nargs="+", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--panels", type=Path, default=PANELS)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--open-test", metavar="WHY")
    asked = parser.parse_args()
    if asked.split == "test":
        if not asked.open_test:
            sys.exit("the test split is locked: name a reason with --open-test")
        record_opening(asked.open_test)
    setup = Setup(
        asked.split,
        asked.seeds,
        asked.slow_seeds,
        asked.panels,
        not asked.without_peers,
        bool(asked.open_test),
    )
    kept = asked.panels / f"sections-{asked.split}.json"
    told = json.loads(kept.read_text()) if kept.exists() else {}
    for section in asked.sections:
        started = time.monotonic()
        text = SECTIONS[section](setup)
        stamp = datetime.now(UTC).date().isoformat()
        told[section] = f"{text}\n\n*{stamp}, {time.monotonic() - started:.0f} s.*"
        kept.write_text(json.dumps(told, indent=2))
        print(told[section], file=sys.stderr)
    write_page(asked.page, asked.split, told)


def write_page(page: Path, split: str, told: dict[str, str]) -> None:
    """Replace the part of the page that belongs to this split; keep what people wrote around it."""
    begin, end = f"<!-- {split}: made by benchmarks.detection -->", f"<!-- end {split} -->"
    made = "\n\n".join(told[name] for name in SECTIONS if name in told)
    part = f"{begin}\n\n{made}\n\n{end}"
    text = page.read_text() if page.exists() else f"# Benchmarks\n\n{part}\n"
    if begin in text:
        before, rest = text.split(begin, 1)
        text = before + part + rest.split(end, 1)[1]
    elif part not in text:
        text = f"{text.rstrip()}\n\n{part}\n"
    page.write_text(text)


if __name__ == "__main__":
    main()
