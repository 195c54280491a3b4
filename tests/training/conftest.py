"""Without torch its tests are not collected; `make test-training` installs it."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["test_train.py"]
