"""Gates: what must be so before a visit begins or ends, and what happens where it is not."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.errors import DomainError, Kind, Violation
from chassis.ids import to_wire
from services.scheduling.domain.consents import Consents
from services.scheduling.domain.courses import GatePending
from services.scheduling.domain.protocols import Gate, GateEffect, GateKind, GateStage, SegmentKind, VisitType
from services.scheduling.domain.visits import SegmentMinutes
from services.scheduling.domain.vitals import Found, Vitals

KNOWN_OTHERWISE = frozenset({GateKind.OBSERVATION_SERVED, GateKind.DEPOSIT_PAID, GateKind.ESTIMATE_DELIVERED})
"""By the minutes of the visit, and by what billing tells; nobody records these. Consent is known by what patients tells
where documents apply, see `Consents`, and vitals where vital signs were taken, see `Vitals`."""


class GatesNotPassed(DomainError):
    kind, reason, message = Kind.CONFLICT, "GATES_NOT_PASSED", "gates of the visit are not passed"


class GateNotOfVisit(DomainError):
    kind, reason, message = Kind.CONFLICT, "GATE_NOT_OF_VISIT", "the visit has no such gate"


class GateNotRecordedByHand(DomainError):
    kind, reason, message = Kind.INVALID, "GATE_NOT_RECORDED_BY_HAND", "the system knows this gate itself"


class GateFollowsConsents(DomainError):
    kind, reason = Kind.CONFLICT, "GATE_FOLLOWS_CONSENTS"
    message = "consent documents apply to the visit: who signs them passes the gate"


class GateFollowsVitals(DomainError):
    kind, reason = Kind.CONFLICT, "GATE_FOLLOWS_VITALS"
    message = "vital signs of the patient were taken: the last ones pass the gate or not"


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
    unsigned: tuple[UUID, ...] = ()
    """Of a gate that follows consents: the documents that keep it from being passed."""


Records = Mapping[GateKind, GateRecord]


def states_of(
    gates: Iterable[Gate],
    records: Records,
    overrides: Mapping[tuple[GateKind, GateStage], str],
    consents: Consents | None = None,
    vitals: Vitals | None = None,
) -> list[GateState]:
    """In the order of the gates. What nobody recorded is not passed.

    `consents`: what applies to the visit; None: what was recorded of its consent counts. `vitals` are needed where a
    gate asks for them.
    """
    known = with_consents(records, consents)
    unsigned = consents.unsigned if consents else ()
    found = [(gate, record_of(gate, known, vitals)) for gate in gates]
    return [
        GateState(
            gate,
            passed=record is not None and record.passed,
            record=record,
            override_reason=overrides.get((gate.kind, gate.stage), ""),
            unsigned=unsigned if gate.kind is GateKind.CONSENT else (),
        )
        for gate, record in found
    ]


def record_of(gate: Gate, records: Records, vitals: Vitals | None) -> GateRecord | None:
    """What counts for the gate: what was taken, where anything was, before what was recorded by hand."""
    record = records.get(gate.kind)
    if gate.kind is not GateKind.VITALS or vitals is None:
        return record
    if found := vitals.found(gate.stage):
        return record_of_signs(found)
    if gate.stage is GateStage.DISCHARGE and record and (vitals.since is None or record.at < vitals.since):
        return None
    return record


def with_consents(records: Records, consents: Consents | None) -> Records:
    """What was recorded by hand before documents applied counts no more."""
    if consents is None:
        return records
    known: dict[GateKind, GateRecord] = dict(records)
    known.pop(GateKind.CONSENT, None)
    if not consents.unsigned:
        known[GateKind.CONSENT] = GateRecord(True, consents.signed_at, "patients")
    return known


def record_of_signs(found: Found) -> GateRecord:
    return GateRecord(found.within, found.at, "patients")


def let_through(states: Sequence[GateState], stage: GateStage, reason: str) -> list[GateState]:
    """Those of a stage that are not passed and let the visit go on; or a refusal that names each that does not."""
    unpassed = [each for each in states if each.gate.stage is stage and not each.passed]
    if faults := list(_faults("gates", unpassed, reason)):
        raise GatesNotPassed(*faults, **_unsigned_of(unpassed))
    return unpassed


def let_book(states: Mapping[int, Sequence[GateState]], reason: str) -> Mapping[int, Sequence[GateState]]:
    """As `let_through`, of several visits by their index, whose gates are those of booking. Where nothing but a deposit
    is lacking it is pending: it may be on its way."""
    unpassed = {i: [each for each in of_visit if not each.passed] for i, of_visit in states.items()}
    if faults := [fault for i, each in unpassed.items() for fault in _faults(f"visits[{i}].gates", each, reason)]:
        stopping = [each for of_visit in unpassed.values() for each in of_visit if _rule(each, reason)]
        if all(each.gate.kind is GateKind.DEPOSIT_PAID for each in stopping):
            raise GatePending(*faults)
        raise GatesNotPassed(*faults, **_unsigned_of(stopping))
    return unpassed


def _faults(path: str, unpassed: Iterable[GateState], reason: str) -> Iterator[Violation]:
    for each in unpassed:
        if rule := _rule(each, reason):
            yield Violation(f"{path}.{_name(each)}", rule, TEXTS[rule])


def _unsigned_of(unpassed: Iterable[GateState]) -> dict[str, str]:
    unsigned = sorted({to_wire("consentdocument", id) for each in unpassed for id in each.unsigned})
    return {"consent_document_ids": ",".join(unsigned)} if unsigned else {}


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


def check_recordable(
    gates: Iterable[Gate], kind: GateKind, consents: Consents | None = None, vitals: Vitals | None = None
) -> None:
    if kind in KNOWN_OTHERWISE:
        raise GateNotRecordedByHand(Violation("kind", "KNOWN_OTHERWISE", GateNotRecordedByHand.message))
    if all(gate.kind is not kind for gate in gates):
        raise GateNotOfVisit(Violation("kind", "GATE_NOT_OF_VISIT", GateNotOfVisit.message))
    if kind is GateKind.CONSENT and consents:
        raise GateFollowsConsents(Violation("kind", "FOLLOWS_CONSENTS", GateFollowsConsents.message))
    if kind is GateKind.VITALS and vitals and _ahead(gates, vitals):
        raise GateFollowsVitals(Violation("kind", "FOLLOWS_VITALS", GateFollowsVitals.message))


def _ahead(gates: Iterable[Gate], vitals: Vitals) -> Found | None:
    """What was found for the gate of vitals that is ahead, or for the only one."""
    stages = [gate.stage for gate in gates if gate.kind is GateKind.VITALS]
    return vitals.found(vitals.stage if vitals.stage in stages else stages[0])
