"""Gates that stand before a booking, where a protocol or a site's form of it has some: most have none."""

from collections.abc import Sequence

from chassis.auth import AccessDenied
from services.scheduling.domain.courses import Course, Layout, Terms
from services.scheduling.domain.gates import GateState, let_book, states_of
from services.scheduling.domain.protocols import Gate, GateEffect, GateStage
from services.scheduling.domain.visits import Visit
from services.scheduling.store import SchedulingStore


async def check_booking_gates(store: SchedulingStore, terms: Terms, course: Course, layouts: Sequence[Layout]) -> None:
    """Of visits that were not held: of these is known what patients told, and whether the deposit of a course that is
    there was paid."""
    await _unpassed(store, terms, course, layouts, (), "")


async def pass_booking_gates(
    store: SchedulingStore, terms: Terms, course: Course, layouts: Sequence[Layout], reason: str
) -> None:
    """Of the visits that the course holds, of each of which something may have been recorded. For the reason given, by
    staff, where a gate asks for one."""
    if reason and store.call.patient_id is not None:
        raise AccessDenied()
    held = course.held_visits
    for i, unpassed in (await _unpassed(store, terms, course, layouts, held, reason)).items():
        if asking := [each for each in unpassed if each.gate.effect is GateEffect.ALLOW_WITH_REASON]:
            await store.override_gates(held[i], asking, reason)


async def _unpassed(
    store: SchedulingStore,
    terms: Terms,
    course: Course,
    layouts: Sequence[Layout],
    held: Sequence[Visit],
    reason: str,
) -> dict[int, Sequence[GateState]]:
    gated = {i: gates for i, layout in enumerate(layouts) if (gates := _gates_of(terms, layout))}
    deposit = await store.deposit_of(course.id) if gated and not held else {}
    states = dict[int, Sequence[GateState]]()
    for i, gates in gated.items():
        records = (await store.known_gates(held[i].id)).records if held else deposit
        consents = await store.consents_of(gates, course.site_id, terms.patient_id, layouts[i].stay.start)
        states[i] = states_of(gates, records, {}, consents)
    return dict(let_book(states, reason))


def _gates_of(terms: Terms, layout: Layout) -> list[Gate]:
    standing = terms.template.gates_of(layout.type.code, terms.day(layout.stay))
    return [each for each in standing if each.stage is GateStage.BOOKING]
