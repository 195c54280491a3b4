"""Faults between any two calls of a port: crashes, throttling, answers that are lost."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from swerve.errors import TransientFault

if TYPE_CHECKING:
    from collections.abc import Callable

Method = TypeVar("Method", bound="Callable[..., Any]")


class Crash(BaseException):
    """The process died here: no `except Exception` may see it."""


@dataclass
class Faults:
    """Decides for every port call whether it goes through.

    `crash_at=k` dies just before the k-th call (1-based), so k over 1..n+1 covers every gap between
    two calls. `throttle=p` raises `TransientFault` with probability p, half of them after the call
    took effect, as when only the answer is lost. `retries` is how often the port itself tries
    again, as botocore does: what took effect is then done twice.
    """

    crash_at: int | None = None
    throttle: float = 0.0
    seed: int = 0
    retries: int = 0
    calls: int = 0
    names: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - a test's dice

    def before(self, name: str) -> None:
        self.calls += 1
        self.names[name] += 1
        if self.calls == self.crash_at:
            raise Crash(f"before call {self.calls}: {name}")
        if self.throttle and self._random.random() < self.throttle / 2:
            raise TransientFault(f"{name}: throttled before call {self.calls}")

    def after(self, name: str) -> None:
        if self.throttle and self._random.random() < self.throttle / 2:
            raise TransientFault(f"{name}: answer of call {self.calls} was lost")

    def heal(self) -> None:
        """No more faults; the count starts anew."""
        self.crash_at, self.throttle, self.retries, self.calls = None, 0.0, 0, 0
        self.names.clear()


def guarded(method: Method) -> Method:
    """Let the call pass through the fake's `faults`."""

    @wraps(method)
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        name = f"{type(self).__name__.removeprefix('Fake').lower()}.{method.__name__}"
        for retries_left in reversed(range(self.faults.retries + 1)):
            try:
                self.faults.before(name)
                answer = method(self, *arguments, **named)
                self.faults.after(name)
            except TransientFault:
                if not retries_left:
                    raise
                continue
            return answer
        raise AssertionError("unreachable: the last try returns or raises")

    return call  # type: ignore[return-value] - wraps keeps the signature
