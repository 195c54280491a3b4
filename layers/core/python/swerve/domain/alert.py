"""An alert's payload `interest-alert/1.0`, from which every text and page is made."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from swerve.domain import text_en, text_zh
from swerve.domain.actions import actions_of
from swerve.domain.candidate import Candidate, Head, Kind, Level
from swerve.domain.figures import clump, was_rare
from swerve.domain.identity import alert_id, dedup_key, iso, page_key
from swerve.domain.lint import clean, clean_path, display_name
from swerve.domain.reliability import Reliability
from swerve.domain.window import WEEK_DAYS, WindowSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swerve.domain.candidate import Share
    from swerve.domain.selection import Decision

Payload: TypeAlias = dict[str, Any]

SCHEMA = "interest-alert/1.0"
# Smaller groups are not counted aloud: k-anonymity of everything said above user level.
GROUP_USERS = 20
BASELINE_WEEKS = 8  # the longest span that detection compares; see Candidate.facts["baseline_days"]
_SHIFTS = frozenset({Kind.SWITCH, Kind.DRIFT})
_PREFIX_NAMES = {Level.CATEGORY: "category", Level.PRODUCT: "product", Level.CAMPAIGN: "campaign"}


class Knobs(Protocol):
    """Those of the stack's settings that an alert speaks of."""

    @property
    def stack(self) -> str:
        """Name of the stack."""
        ...

    @property
    def windows(self) -> WindowSpec:
        """How event time is cut."""
        ...

    @property
    def budget_per_1000(self) -> float:
        """False alarms per 1,000 user-weeks."""
        ...

    @property
    def fdr_q(self) -> float:
        """False discovery rate, or 0."""
        ...

    @property
    def cooldown_weeks(self) -> int:
        """Weeks without a second alert."""
        ...

    @property
    def link_base(self) -> str:
        """Address before the key of a page, or nothing."""
        ...


@dataclass(frozen=True, slots=True)
class StackFacts:
    """What every alert says of the stack that made it."""

    stack: str
    spec: WindowSpec
    budget_per_1000: float = 1.0
    fdr_q: float = 0.0
    cooldown_weeks: int = 8
    link_base: str = ""
    model_version: str = "none"
    model_sha256: str = ""
    reliability: Reliability | None = None

    def scored_by(self, generation: str) -> StackFacts:
        """Return these facts with the generation of model that scored (empty: none did)."""
        cell, _, digest = generation.partition("-")
        sha256, version = _model({"cell": cell, "sha256": digest})
        return replace(self, model_sha256=sha256, model_version=version)

    @classmethod
    def of(cls, settings: Knobs, manifest: Mapping[str, Any] | None = None) -> StackFacts:
        """Take the facts from the settings and the manifest of the model in use, if any."""
        model = (manifest or {}).get("model", {})
        sha256, version = _model(model)
        return cls(
            settings.stack,
            settings.windows,
            settings.budget_per_1000,
            settings.fdr_q,
            settings.cooldown_weeks,
            settings.link_base.rstrip("/"),
            version,
            sha256,
            Reliability.of(manifest or {}),
        )


def _model(model: Mapping[str, Any]) -> tuple[str, str]:
    """Hash and name of a model."""
    sha256 = str(model.get("sha256", ""))
    return sha256, f"{model.get('cell', 'model')}-{sha256[:8]}" if sha256 else "none"


def named_keys(decisions: Iterable[Decision]) -> set[int]:
    """Keys whose names the payloads of these decisions need."""
    keys: set[int] = set()
    for decision in decisions:
        candidate = decision.candidate
        if candidate is None:
            continue
        keys.update(share.category for share in candidate.falling + candidate.rising)
        keys.update(key for point in candidate.history for key, _ in point.shares)
        if candidate.level in _PREFIX_NAMES:
            keys.add(int(candidate.subject[2:], 16))
    return keys - {0}


def build_payload(
    decision: Decision, names: Mapping[int, str], facts: StackFacts, *, provisional: bool = False
) -> Payload:
    """Make the payload of a selected or folded candidate.

    Pure: the same events give the same bytes. `created_at` is therefore the end of the alert's
    window; the time of telling is added as `told_at` when it is published.

    Parameters
    ----------
    decision : Decision
        With a candidate.
    names : mapping
        Names of the keys in `named_keys`; a missing one is shown by its key.
    facts : StackFacts
    provisional : bool
        An early notice: the window is still open.

    Raises
    ------
    ValueError
        If the decision has no candidate.
    """
    candidate = decision.candidate
    if candidate is None:
        raise ValueError(f"{decision.subject_kind}: a {decision.action} decision has no payload")
    spec = facts.spec
    end_ms = spec.end_ms(candidate.window)
    label = spec.label(candidate.window)
    key = dedup_key(candidate.level, candidate.subject, candidate.kind, label)
    right = None
    if facts.reliability is not None and candidate.level is Level.USER:
        right = facts.reliability.right(candidate.head, candidate.p_value)
    payload: Payload = {
        "schema": SCHEMA,
        "alert_id": alert_id(key, end_ms),
        "dedup_key": key,
        "status": "open",
        "kind": candidate.kind.value,
        "head": candidate.head.value,
        "severity": decision.severity.value,
        "level": candidate.level.value,
        "subject": _subject(candidate, names),
        "window": _window(candidate, spec),
        "change": _change(candidate, names),
        "facts": _public_facts(candidate),
        "p_value": candidate.p_value,
        "p_limit": decision.p_limit,
        "confidence": 1.0 - candidate.p_value if right is None else right,
        "confidence_basis": "false_alarm" if right is None else "backtest",
        "evidence": _evidence(candidate),
        "model": {"version": facts.model_version, "sha256": facts.model_sha256},
        "stack": _stack(facts, end_ms),
        "links": _links(facts, alert_id(key, end_ms)),
        "created_at": iso(end_ms),
    }
    if right is not None and facts.reliability is not None:
        payload["backtest"] = {
            "day": facts.reliability.day,
            "changed_share": facts.reliability.changed_share,
        }
    if provisional:
        payload["provisional"] = True
    if decision.into:
        payload["folded_into"] = decision.into
    if decision.suppressed and decision.suppressed_since is not None:
        payload["suppressed"] = {
            "since": iso(spec.end_ms(decision.suppressed_since)),
            "count": decision.suppressed,
            "reason": "cooldown",
        }
    if candidate.history:
        payload["history"] = _history(candidate, names, spec)
    payload["actions"] = actions_of(candidate.level, candidate.kind, payload)
    payload["change"]["summary"] = {
        "en": " ".join(text_en.what(payload)),
        "zh-CN": "".join(text_zh.what(payload)),
    }
    return payload


def to_json(payload: Payload) -> str:
    """Deterministic JSON."""
    return json.dumps(
        payload, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def _name(key: int, names: Mapping[int, str]) -> str:
    name = display_name(names.get(key, ""))
    return name or f"#{key:016x}"[:9]


def _subject(candidate: Candidate, names: Mapping[int, str]) -> dict[str, Any]:
    subject: dict[str, Any] = {"id": candidate.subject, "pseudonymous": False}
    if candidate.level is Level.USER:
        subject["label"] = f"user {candidate.subject[:10]}"
        subject["pseudonymous"] = True
    elif candidate.level is Level.PLATFORM:
        subject["label"] = "whole shop"
    else:
        subject["name"] = _name(int(candidate.subject[2:], 16), names)
        subject["label"] = f"{_PREFIX_NAMES[candidate.level]} {subject['name']}"
        users = candidate.facts.get("users", 0.0)
        if users >= GROUP_USERS:
            subject["members"] = int(users)
    return subject


def _window(candidate: Candidate, spec: WindowSpec) -> dict[str, str]:
    change_ms = spec.start_ms(candidate.change_window)
    baseline_days = int(candidate.facts.get("baseline_days", BASELINE_WEEKS * WEEK_DAYS))
    return {
        "start": iso(spec.start_ms(candidate.window)),
        "end": iso(spec.end_ms(candidate.window)),
        "baseline_start": iso(spec.start_ms(candidate.change_window - baseline_days)),
        "baseline_end": iso(change_ms),
        "change_point": iso(change_ms),
        "label": spec.label(candidate.window),
        "change_label": spec.label(candidate.change_window),
        "last_day": spec.label(candidate.window + spec.days - 1),
    }


def _share(share: Share, names: Mapping[int, str]) -> dict[str, Any]:
    units = {} if share.units is None else asdict(share.units)
    return {
        "category": clean_path(names.get(share.category, "")) or f"#{share.category:016x}",
        "name": _name(share.category, names),
        "share": share.now,
        "was": share.before,
    } | {name: round(value, 2) for name, value in units.items()}


def _change(candidate: Candidate, names: Mapping[int, str]) -> dict[str, Any]:
    change: dict[str, Any] = {"metric": "share_of_actions", "from": {}, "to": {}}
    for side, shares in (("from", candidate.falling), ("to", candidate.rising)):
        told = [_share(share, names) for share in shares]
        # The most surprising one, if it is no stock-up; a new interest is named first.
        if told:
            sure = [s for s in told if not (was_rare(s) or clump(s))]
            change[side] = (sure or told)[0] if candidate.kind in _SHIFTS else told[0]
    facts = candidate.facts
    if candidate.kind is Kind.BREADTH_CHANGE:
        change["metric"] = "categories"
        if "breadth_before" in facts and "breadth_now" in facts:
            before = facts["breadth_before"]
            change["delta_pct"] = _percent(facts["breadth_now"], before)
    elif candidate.head is not Head.INTEREST:
        change["metric"] = "actions_per_week"
        if "ratio" in facts:
            change["delta_pct"] = _percent(facts["ratio"], 1.0)
    elif change["to"].get("share"):
        change["delta_pct"] = _percent(change["to"]["share"], change["to"]["was"])
    return change


def _percent(now: float, before: float) -> float:
    """Change in percent; from almost nothing, the largest that is still readable."""
    return min(round((now / before - 1) * 100, 1), 99_999.0) if before > 0 else 99_999.0


def _public_facts(candidate: Candidate) -> dict[str, float]:
    """Finite numbers, without counts of groups smaller than `GROUP_USERS`."""
    return {
        name: value
        for name, value in sorted(candidate.facts.items())
        if math.isfinite(value)
        and not (
            name.startswith("users") and candidate.level is not Level.USER and value < GROUP_USERS
        )
    }


def _evidence(candidate: Candidate) -> list[dict[str, Any]]:
    found = []
    for evidence in candidate.evidence:
        item: dict[str, Any] = {
            "detector": evidence.detector,
            "value": _finite(evidence.value),
            "threshold": _finite(evidence.threshold),
            "vote": bool(evidence.vote),
        }
        if evidence.p_value is not None:
            item["p_value"] = _finite(evidence.p_value)
        if evidence.note:
            item["note"] = clean(evidence.note, 160)
        found.append(item)
    return found


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else math.copysign(1e9, value)


def _stack(facts: StackFacts, end_ms: int) -> dict[str, Any]:
    stack: dict[str, Any] = {
        "name": facts.stack,
        "time_zone": facts.spec.zone,
        "window_days": facts.spec.days,
        "quiet_until": iso(end_ms + facts.cooldown_weeks * WEEK_DAYS * 86_400_000),
    }
    if facts.fdr_q:
        stack["fdr_q"] = facts.fdr_q
    else:
        stack["budget_per_1000"] = facts.budget_per_1000
    return stack


def _links(facts: StackFacts, identifier: str) -> dict[str, str]:
    page = page_key(identifier)
    return {"page": page} | ({"chart": f"{facts.link_base}/{page}"} if facts.link_base else {})


def _history(
    candidate: Candidate, names: Mapping[int, str], spec: WindowSpec
) -> list[dict[str, Any]]:
    points = []
    for point in candidate.history:
        item: dict[str, Any] = {
            "window": spec.label(point.window),
            "actions": round(point.actions, 2),
            "shares": [
                {"name": _name(key, names), "share": round(share, 4)} for key, share in point.shares
            ],
        }
        if point.score is not None and math.isfinite(point.score):
            item["score"] = round(point.score, 3)
        points.append(item)
    return points
