"""Breaking the glass, and looking after it."""

from dataclasses import dataclass
from uuid import UUID

from chassis.ids import new_id
from services.patients import events
from services.patients.domain.break_glass import Finding, GlassBreak, GlassNotNeeded, Review, check_reason
from services.patients.store import PatientsStore


@dataclass(frozen=True, slots=True)
class BreakGlass:
    patient_id: UUID
    site_id: UUID
    reason: str
    minutes: int


@dataclass(frozen=True, slots=True)
class ReviewGlassBreak:
    glass_break_id: UUID
    finding: Finding
    note: str


async def break_glass(store: PatientsStore, command: BreakGlass) -> GlassBreak:
    check_reason(command.reason)
    await store.time_zone(command.site_id)  # Whether the site was heard of.
    patient_id = store.survivor(command.patient_id)
    if await store.seen_at(patient_id, command.site_id):
        raise GlassNotNeeded()
    glass = await store.break_glass(new_id(), patient_id, command.site_id, command.reason, command.minutes)
    store.emit(events.glass_broken(glass), about=glass.patient_id)
    return glass


async def review_glass_break(store: PatientsStore, command: ReviewGlassBreak) -> GlassBreak:
    """Of two who review at once, the database refuses one."""
    glass = await store.glass_break(command.glass_break_id)
    review = Review(command.finding, command.note, reviewed_by=store.call.actor, reviewed_at=store.call.now)
    reviewed = glass.reviewed(review)
    store.review_glass_break(glass, review)
    return reviewed
