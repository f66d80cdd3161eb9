"""The guard of bills: what a course may be billed beyond its estimate, who lets it, and what the patient disputes.

With the patient locked, as whoever bills has it: two invoices do not pass where one may.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from chassis.ids import new_id, to_wire
from chassis.money import Money
from services.billing.domain.amounts import AmountOutOfRange, CurrencyMismatch, of_another_currency, out_of_range
from services.billing.domain.business_days import end_of
from services.billing.domain.coverage import CoverageLine, cover
from services.billing.domain.guard import (
    Approval,
    Dispute,
    DisputeClosed,
    DisputeOpen,
    EstimateExceeded,
    GuardResult,
    Item,
    Level,
    judge_course,
    last_day_to_dispute,
    measure_of,
)
from services.billing.store import BillingStore


@dataclass(frozen=True, slots=True)
class Approve:
    course_id: UUID
    up_to: Money
    reason: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """A course beside its valid estimate; of several, of 12 months each, that of the next visit."""

    course_id: UUID
    estimate_id: UUID | None
    lines: tuple[CoverageLine, ...]
    guard: GuardResult
    exceeded_at: datetime | None
    dispute_end_at: datetime | None
    """When the last day is over on which the patient may begin a dispute."""
    disputed: bool


async def check_bill(store: BillingStore, course_id: UUID, currency: str, more: Sequence[Item] = ()) -> GuardResult:
    """How the course's bills stand to its valid estimates once `more` is billed by the site."""
    estimates, billed = await store.valid_estimates(course_id), await store.billed_for_course(course_id)
    result = judge_course(estimates, billed, more, currency)
    if result.level is Level.BEYOND:
        approved_up_to, _, _ = await store.granted(course_id)
        result = replace(result, approved=result.over.minor <= approved_up_to)
    return result


async def let_bill(store: BillingStore, course_id: UUID, site_id: UUID, currency: str, more: Sequence[Item]) -> None:
    """Refuses what goes too far beyond the estimate without approval; keeps when a bill first went so far."""
    result = await check_bill(store, course_id, currency, more)
    if result.level is not Level.BEYOND:
        return
    if not result.approved:
        raise EstimateExceeded(course_id=to_wire("course", course_id), over_minor=result.over.minor)
    await store.exceed(course_id, site_id)


async def approve(store: BillingStore, command: Approve) -> Approval:
    course = await store.course(command.course_id)
    site = await store.site(course.site_id)
    if foreign := of_another_currency(command.up_to, site.currency or command.up_to.currency, "up_to"):
        raise CurrencyMismatch(*foreign)
    if wild := out_of_range(command.up_to, "up_to", least=1):
        raise AmountOutOfRange(*wild)
    approval = Approval(
        new_id(), course.site_id, course.id, command.up_to, command.reason, store.call.actor, store.call.now
    )
    await store.approve(approval)
    return approval


async def coverage(store: BillingStore, course_id: UUID) -> Coverage:
    course, estimates = await store.course(course_id), await store.valid_estimates(course_id)
    site = await store.site(course.site_id)
    books = await store.pinned(site.id, course.id)
    names = await store.visit_types(course.protocol_version_id)
    visits, charged = await store.expected_visits(course_id), await store.charged_for_course(course_id)
    currency = site.currency or "USD"
    next_day = next((site.day(each.start) for each in visits if not each.settled), date.max)
    estimate = measure_of(estimates, next_day)
    lines = cover(
        estimate,
        [each for each in visits if measure_of(estimates, site.day(each.start)) is estimate],
        [each for each in charged if measure_of(estimates, each.day) is estimate],
        books,
        names,
        currency,
        [each for each in charged if measure_of(estimates, each.day) is not estimate],
    )
    _, exceeded_at, disputed = await store.granted(course_id)
    guard = await check_bill(store, course_id, currency)
    ends_at = end_of(last_day_to_dispute(site.day(exceeded_at)), site.zone) if exceeded_at else None
    return Coverage(course_id, estimate.id if estimate else None, lines, guard, exceeded_at, ends_at, disputed)


async def open_dispute(store: BillingStore, course_id: UUID) -> Dispute:
    """One at a time, which a unique key holds."""
    course = await store.course(course_id)
    if before := await store.open_dispute_of(course_id):
        raise DisputeOpen(dispute_id=to_wire("dispute", before.id))
    patient_id = (await store.whole(course.patient_id)).end
    dispute = Dispute(new_id(), course.site_id, patient_id, course.id, store.call.now)
    await store.open_dispute(dispute)
    return dispute


async def close_dispute(store: BillingStore, dispute_id: UUID) -> Dispute:
    dispute = await store.estimate_dispute(dispute_id)
    if dispute.closed_at:
        raise DisputeClosed()
    await store.close_dispute(dispute_id)
    return replace(dispute, closed_at=store.call.now)
