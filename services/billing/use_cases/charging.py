"""What people charge and correct, and fees that follow from what became of a visit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.errors import NotYetKnown, Violation
from chassis.ids import new_id, to_wire
from chassis.money import Money
from services.billing.domain.accounts import Charge, ChargeKind, CorrectionReason
from services.billing.domain.charges import (
    ChargeInvoiced,
    ChargeMisdirected,
    ChargeNotFound,
    Explanation,
    PlannedVisit,
    check_correction,
    of_product,
    waived,
)
from services.billing.domain.fees import FeeKind, FeePrice, fee_for
from services.billing.domain.payments import still_taken, taken_from, with_taxes
from services.billing.domain.prices import PriceBook, PriceItem, PriceMissing, since
from services.billing.domain.sites import Site
from services.billing.store import BillingStore
from services.billing.use_cases.charges import add_charge, price_in_course
from services.billing.use_cases.estimates import books_of
from services.billing.use_cases.payments import forfeit, return_deposits

FEE_KINDS = {FeeKind.NO_SHOW: ChargeKind.NO_SHOW_FEE, FeeKind.LATE_CANCELLATION: ChargeKind.LATE_CANCELLATION_FEE}
NEVER_FORGIVEN = 1_000
"""So many offences no fee rule forgives."""


@dataclass(frozen=True, slots=True)
class ChargeProduct:
    site_id: UUID
    patient_id: UUID
    course_id: UUID | None
    visit_id: UUID | None
    product_code: str
    quantity: int


@dataclass(frozen=True, slots=True)
class CorrectCharge:
    charge_id: UUID
    amount: Money
    reason: CorrectionReason
    note: str


@dataclass(frozen=True, slots=True)
class Found:
    """A charge that is not on an invoice, and its corrections, with its patient locked."""

    charge: Charge
    corrections: tuple[Charge, ...]
    patient_id: UUID


async def charge_fee(
    store: BillingStore, site: Site, visit_id: UUID, kind: FeeKind, cancelled_at: datetime | None, event_id: UUID
) -> None:
    """Of a visit that the patient missed, or cancelled at that instant, if the pinned price book asks for one and
    nobody made one of the course's deposit by hand. What is forgiven counts as an offence all the same. With the
    patient locked, so that no two offences are the first, and no money is taken twice."""
    visit = await store.planned_visit(visit_id)
    if visit is None:
        return
    patient_id = (await store.lock_whole(visit.patient_id)).end
    books = await books_of(store, site, await store.course(visit.course_id))
    if not books:
        return
    visit_price = await _price_of(store, books, visit)
    before = await store.offences(patient_id)

    def fee(offences_before: int) -> FeePrice | None:
        return fee_for(
            books[0],
            kind,
            cancelled_at=cancelled_at,
            start_at=visit.start_at,
            site=site,
            offences_before=offences_before,
            visit_price=visit_price,
        )

    if not fee(NEVER_FORGIVEN) or not await store.add_offence(visit, patient_id, FEE_KINDS[kind], event_id):
        return
    found = fee(before)
    if not found or await store.deposit_forfeited(visit.course_id):
        return
    taken = await _of_deposit(store, visit.course_id, found)
    charge = Charge(
        id=new_id(),
        kind=FEE_KINDS[kind],
        site_id=visit.site_id,
        patient_id=patient_id,
        course_id=visit.course_id,
        visit_id=visit.id,
        service_date=site.day(visit.start_at),
        service=None,
        item_code=found.item.code,
        description=found.item.description,
        quantity=1,
        amount=found.amount - Money(sum(taken.values()), found.amount.currency),
        price_book_id=books[0].id,
        price_book_version=books[0].version,
        price_item_id=found.item.id,
        event_id=event_id,
        posted_at=store.call.now,
    )
    await add_charge(store, site, charge)
    rules = await store.all_tax_rules(site.id) if taken else []
    parts = with_taxes(taken, charge.amount.currency, rules, charge.kind, charge.item_code, charge.service_date)
    await forfeit(store, site, visit.course_id, parts, found.item.description, charge.id)


async def _of_deposit(store: BillingStore, course_id: UUID, fee: FeePrice) -> dict[UUID, int]:
    """What the fee takes of which payment. Nothing while the estimate is in dispute: then nothing is collected."""
    if not fee.takes_deposit or await store.disputed(course_id):
        return {}
    kept = [each for each in await store.kept_for_course(course_id) if each.left.currency == fee.amount.currency]
    return taken_from(fee.amount.minor, {each.id: each.left.minor for each in kept})


async def charge_product(store: BillingStore, command: ChargeProduct) -> Charge:
    """A product, or what is added to a visit. The caller has locked the patient."""
    site, now = await store.site(command.site_id), store.call.now
    patient = await store.locked_patient(command.patient_id)
    await _check_purpose(store, command, patient.ids)
    book, item = await _sold(store, site, command)
    charge = Charge(
        id=new_id(),
        kind=ChargeKind.PRODUCT,
        site_id=site.id,
        patient_id=patient.end,
        course_id=command.course_id,
        visit_id=command.visit_id,
        service_date=site.day(now),
        service=None,
        item_code=command.product_code,
        description=item.description,
        quantity=command.quantity,
        amount=of_product(item.unit_price_at(command.quantity), command.quantity),
        price_book_id=book.id,
        price_book_version=book.version,
        price_item_id=item.id,
        made_by=store.call.actor,
        posted_at=now,
    )
    await add_charge(store, site, charge)
    return charge


async def _sold(store: BillingStore, site: Site, command: ChargeProduct) -> tuple[PriceBook, PriceItem]:
    """A product by the price book in force on the day; an add-on, which goes with the visit's type, by that of its
    course."""
    now = store.call.now
    for book in since(await store.published(site.id), site.day(now), now)[:1]:
        if item := book.product(command.product_code):
            return book, item
    visit = await store.planned_visit(command.visit_id) if command.visit_id else None
    if visit and visit.kind:
        for book in (await books_of(store, site, await store.course(visit.course_id)))[:1]:
            for item in book.add_ons(visit.kind.visit_type_code):
                if item.code == command.product_code:
                    return book, item
    raise PriceMissing(Violation("product_code", "PRICE_MISSING", PriceMissing.message))


async def correct_charge(store: BillingStore, command: CorrectCharge) -> Charge:
    found = await _found(store, command.charge_id)
    check_correction(found.charge, found.corrections, command.amount)
    site = await store.site(found.charge.site_id)
    return await _correct(store, site, found, command.amount, command.reason, command.note)


async def waive_fee(store: BillingStore, charge_id: UUID, note: str) -> Charge:
    """What was taken for it of the deposit is the patient's again, as it was before."""
    found = await _found(store, charge_id)
    parts, site = await store.forfeitures_of([found.charge.origin_id]), await store.site(found.charge.site_id)
    amount = waived(found.charge, found.corrections, of_deposit=bool(still_taken(parts)))
    correction = await _correct(store, site, found, amount, CorrectionReason.WAIVER, note)
    await return_deposits(store, site, [found.charge], parts, note)
    return correction


async def explain_charge(store: BillingStore, charge_id: UUID) -> Explanation:
    background = await store.background(charge_id)
    found = [each.charge for each in await store.to_bill([charge_id])]
    charge = next(each for each in found if each.id == charge_id)
    return Explanation(
        charge=charge,
        pinned_book_id=background.pinned_book_id,
        item_description=background.item_description,
        corrections=tuple(sorted((each for each in found if each.corrects_id), key=lambda each: each.id)),
        invoice_id=background.invoice_id,
        invoice_display_number=background.invoice_display_number,
        credits=await store.credits_of_charge(charge_id),
        deposit_parts=await store.forfeitures_of([charge.origin_id]),
        replaces=background.replaces,
        replaced_by_id=background.replaced_by_id,
    )


async def _found(store: BillingStore, charge_id: UUID) -> Found:
    found = await store.to_bill([charge_id])
    whose = next((each.charge.patient_id for each in found if each.charge.id == charge_id), None)
    if whose is None:
        raise ChargeNotFound(charge_id=to_wire("charge", charge_id))
    patient_id = (await store.lock_patient(whose)).end
    by_id = {each.charge.id: each for each in await store.to_bill([charge_id])}
    own = by_id.pop(charge_id)
    if own.invoiced:
        raise ChargeInvoiced()
    return Found(own.charge, tuple(each.charge for each in by_id.values()), patient_id)


async def _correct(
    store: BillingStore, site: Site, found: Found, amount: Money, reason: CorrectionReason, note: str
) -> Charge:
    corrected = found.charge
    correction = Charge(
        id=new_id(),
        kind=ChargeKind.CORRECTION,
        site_id=corrected.site_id,
        patient_id=found.patient_id,
        course_id=corrected.course_id,
        visit_id=None,
        service_date=corrected.service_date,
        service=None,
        item_code=corrected.item_code,
        description=corrected.description,
        quantity=1,
        amount=amount,
        corrects_id=corrected.id,
        made_by=store.call.actor,
        reason=reason,
        note=note,
        posted_at=store.call.now,
    )
    await add_charge(store, site, correction, corrected.kind)
    return correction


async def _check_purpose(store: BillingStore, command: ChargeProduct, patient_ids: frozenset[UUID]) -> None:
    """The course and the visit that are named must be this patient's, at this site."""
    if command.course_id:
        course = await store.course(command.course_id)
        if course.patient_id not in patient_ids or course.site_id != command.site_id:
            raise ChargeMisdirected(Violation("course_id", "CHARGE_MISDIRECTED", ChargeMisdirected.message))
    if command.visit_id:
        visit = await store.planned_visit(command.visit_id)
        if visit is None:
            raise NotYetKnown("visit", command.visit_id)
        if visit.course_id != command.course_id:
            raise ChargeMisdirected(Violation("visit_id", "CHARGE_MISDIRECTED", ChargeMisdirected.message))


async def _price_of(store: BillingStore, books: Sequence[PriceBook], visit: PlannedVisit) -> Money:
    """Zero where nobody knows what the visit would have cost: then a part of it is nothing."""
    found = await price_in_course(store, books, visit.course_id, visit.kind) if visit.kind else None
    return found.amount if found else Money(0, books[0].currency)
