"""Gates: what must be so before a visit begins or ends, and what happens where it is not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from chassis.errors import DomainError, Kind, Violation
from services.scheduling.domain.protocols import Gate, GateEffect, GateKind, GateStage, SegmentKind, VisitType
from services.scheduling.domain.visits import SegmentMinutes

KNOWN_OTHERWISE = frozenset({GateKind.OBSERVATION_SERVED, GateKind.DEPOSIT_PAID, GateKind.ESTIMATE_DELIVERED})
"""By the minutes of the visit, and by what billing tells; nobody records these."""


class GatesNotPassed(DomainError):
    kind, reason, message = Kind.CONFLICT, "GATES_NOT_PASSED", "gates of the visit are not passed"


class GateNotOfVisit(DomainError):
    kind, reason, message = Kind.CONFLICT, "GATE_NOT_OF_VISIT", "the visit has no such gate"


class GateNotRecordedByHand(DomainError):
    kind, reason, message = Kind.INVALID, "GATE_NOT_RECORDED_BY_HAND", "the system knows this gate itself"


@dataclass(frozen=True, slots=True)
class GateRecord:
    """What somebody saw last."""

    passed: bool
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class GateState:
    gate: Gate
    passed: bool
    record: GateRecord | None = None
    override_reason: str = ""


Records = Mapping[GateKind, GateRecord]


def states_of(
    gates: Iterable[Gate], records: Records, overrides: Mapping[tuple[GateKind, GateStage], str]
) -> list[GateState]:
    """In the order of the gates. What nobody recorded is not passed."""
    return [
        GateState(
            gate,
            passed=gate.kind in records and records[gate.kind].passed,
            record=records.get(gate.kind),
            override_reason=overrides.get((gate.kind, gate.stage), ""),
        )
        for gate in gates
    ]


def let_through(states: Sequence[GateState], stage: GateStage, reason: str) -> list[GateState]:
    """Those of a stage that are not passed and let the visit go on; or a refusal that names each that does not."""
    unpassed = [each for each in states if each.gate.stage is stage and not each.passed]
    faults = [
        Violation(f"gates.{_name(each)}", rule, TEXTS[rule]) for each in unpassed if (rule := _rule(each, reason))
    ]
    if faults:
        raise GatesNotPassed(*faults)
    return unpassed


TEXTS = {
    "BLOCKED": "is not passed, and no visit goes on without",
    "REASON_NEEDED": "is not passed; the visit goes on for a reason",
}


def _rule(state: GateState, reason: str) -> str:
    if state.gate.effect is GateEffect.BLOCK:
        return "BLOCKED"
    return "REASON_NEEDED" if state.gate.effect is GateEffect.ALLOW_WITH_REASON and not reason.strip() else ""


def _name(state: GateState) -> str:
    return state.gate.kind.removeprefix("GATE_KIND_")


def observation_served(visit_type: VisitType, minutes: SegmentMinutes) -> bool:
    """Whether the patient was watched for as long as planned."""
    planned = sum(segment.minutes for segment in visit_type.segments if segment.kind is SegmentKind.OBSERVATION)
    return sum(each for kind, each in minutes if kind is SegmentKind.OBSERVATION) >= planned


def check_recordable(gates: Iterable[Gate], kind: GateKind) -> None:
    if kind in KNOWN_OTHERWISE:
        raise GateNotRecordedByHand(Violation("kind", "KNOWN_OTHERWISE", GateNotRecordedByHand.message))
    if all(gate.kind is not kind for gate in gates):
        raise GateNotOfVisit(Violation("kind", "GATE_NOT_OF_VISIT", GateNotOfVisit.message))
