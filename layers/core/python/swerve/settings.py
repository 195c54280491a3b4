"""Settings of the stack, read once from the environment that the template sets."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from swerve.domain.window import WindowSpec, is_zone

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Settings:
    """Every knob, with the default of the template's parameter of the same meaning.

    Environment names are `SWERVE_` and the field's name in capitals.
    """

    stack: str = "swerve"
    uploads_bucket: str = ""
    data_bucket: str = ""
    windows_table: str = ""
    alerts_table: str = ""
    score_queue_url: str = ""
    notify_queue_url: str = ""
    close_workflow_arn: str = ""
    email_topic_arn: str = ""
    sms_topic_arn: str = ""
    events_topic_arn: str = ""
    secret_id: str = ""
    window: str = "1d"
    time_zone: str = "UTC"
    shard_count: int = 64
    lateness_s: int = 86_400
    settle_s: int = 300
    horizon_days: int = 35
    retention_days: int = 400
    source_idle_s: int = 7 * 86_400
    max_object_mb: int = 1024
    rate_cap: int = 20_000
    early: str = "on"
    budget_per_1000: float = 1.0
    fdr_q: float = 0.0
    warmup_weeks: int = 12
    cooldown_weeks: int = 8
    language: str = "en"
    subject_mode: str = "ascii"
    daily_email_budget: int = 50
    daily_sms_budget: int = 5
    digest_hours: int = 3
    quiet_hours: str = "21-08"
    flood_limit: int = 1000
    link_base: str = ""
    outbox: str = "off"

    @property
    def windows(self) -> WindowSpec:
        """How event time is cut."""
        return WindowSpec(7 if self.window == "7d" else 1, self.time_zone)

    @property
    def layout(self) -> dict[str, str | int]:
        """How stored data is laid out."""
        return {
            "shards": self.shard_count,
            "window": self.window,
            "time_zone": self.time_zone,
        }

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read and check all fields; raise ValueError that names the variable and the way out."""
        source = os.environ if environment is None else environment
        values: dict[str, object] = {}
        for field in fields(cls):
            name = f"SWERVE_{field.name.upper()}"
            text = source.get(name)
            if text is None:
                continue
            default = getattr(_DEFAULTS, field.name)
            try:
                values[field.name] = type(default)(text)
            except ValueError as wrong:
                raise ValueError(f"{name}={text!r}: expected a value like {default!r}") from wrong
        settings = cls(**values)  # type: ignore[arg-type]
        if settings.window not in {"1d", "7d"}:
            raise ValueError(f"SWERVE_WINDOW={settings.window!r} is neither 1d nor 7d")
        if not is_zone(settings.time_zone):
            raise ValueError(
                f"SWERVE_TIME_ZONE={settings.time_zone!r} is no IANA zone such as Asia/Shanghai"
            )
        return settings


_DEFAULTS = Settings()
