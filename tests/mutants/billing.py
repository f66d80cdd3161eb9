"""The guards of billing."""

from tests.mutants.mutant import Mutant

U_BILLING_BUSINESS_DAYS = "tests/unit/test_billing_business_days.py"
U_BILLING_ESTIMATES = "tests/unit/test_billing_estimates.py"
U_BILLING_PRICES = "tests/unit/test_billing_prices.py"
U_BILLING_ACCOUNTS = "tests/unit/test_billing_accounts.py"
I_BILLING_CHARGES = "tests/integration/test_billing_charges.py"
I_BILLING_PRICES = "tests/integration/test_billing_prices.py"
I_BILLING_ESTIMATES = "tests/integration/test_billing_estimates.py"
I_BILLING_INVOICES = "tests/integration/test_billing_invoices.py"
I_BILLING_PLANS = "tests/integration/test_billing_plans.py"
I_BILLING_ACCOUNTS = "tests/integration/test_billing_accounts.py"
I_BILLING_MERGES = "tests/integration/test_billing_merges.py"
U_BILLING_TAX = "tests/unit/test_billing_tax.py"
U_BILLING_INVOICE_DOCUMENTS = "tests/unit/test_billing_invoice_documents.py"
P_BILLING_INVOICING = "tests/property/test_billing_invoicing.py"
I_BILLING_INVOICING = "tests/integration/test_billing_invoicing.py"
I_BILLING_CREDIT_NOTES = "tests/integration/test_billing_credit_notes.py"
I_BILLING_CHARGING = "tests/integration/test_billing_charging.py"

BILLING = [
    Mutant("services/billing/domain/business_days.py", '{SATURDAY: -DAY, SUNDAY: DAY}', '{SUNDAY: DAY}', U_BILLING_BUSINESS_DAYS),
    Mutant("services/billing/domain/business_days.py", ' | federal_holidays(day.year + 1)', '', U_BILLING_BUSINESS_DAYS),
    Mutant("services/billing/domain/estimates.py", 'booked_day <= calendar.before(service_day, 3)', 'booked_day < calendar.before(service_day, 3)', U_BILLING_BUSINESS_DAYS),
    Mutant("services/billing/domain/estimates.py", 'if self.priced else None', 'if amounts else None', U_BILLING_ESTIMATES),
    Mutant("services/billing/domain/prices.py", 'return bool(self.route_code), bool(self.band_code)', 'return bool(self.band_code), bool(self.route_code)', U_BILLING_PRICES),
    Mutant("services/billing/domain/prices.py", ' and book.published_at <= known_at', '', U_BILLING_PRICES),
    Mutant("services/billing/domain/prices.py", 'draft.effective_date <= last.effective_date', 'draft.effective_date < last.effective_date', U_BILLING_PRICES),
    Mutant("services/billing/domain/prices.py", 'if book.id == draft.id), None)', 'if False), None)', U_BILLING_PRICES),
    Mutant("services/billing/domain/accounts.py", '[each for each in invoices if payment.course_id in (None, each.course_id)]', 'list(invoices)', U_BILLING_ACCOUNTS),
    Mutant("services/billing/domain/accounts.py", '[each for each in payments if each.course_id in (None, invoice.course_id)]', 'list(payments)', U_BILLING_ACCOUNTS),
    Mutant("services/billing/domain/accounts.py", '(payment.course_id is None, payment.since, payment.id)', '(payment.since, payment.id)', U_BILLING_ACCOUNTS),
    Mutant("services/billing/domain/accounts.py", 'return due is not None and paid_minor', 'return due is None or paid_minor', U_BILLING_ACCOUNTS),
    Mutant("services/billing/domain/ledger.py", 'or any(totals.values())', 'or sum(totals.values())', U_BILLING_ACCOUNTS),
    Mutant("services/billing/domain/sites.py", 'instant.astimezone(self.zone).date()', 'instant.date()', I_BILLING_CHARGES),
    Mutant("services/billing/use_cases/prices.py", '    await store.lock([draft.site_id])\n', '', I_BILLING_PRICES),
    Mutant("services/billing/use_cases/prices.py", 'store.uncharged(site_id, WAITING_MAX)', 'store.uncharged(site_id, 500)', I_BILLING_CHARGES),
    Mutant("services/billing/use_cases/estimates.py", 'if estimate.total is not None:', 'if True:', I_BILLING_ESTIMATES),
    Mutant("services/billing/use_cases/estimates.py", '    if better != estimate:\n', '    if True:\n', I_BILLING_ESTIMATES),
    Mutant("services/billing/use_cases/charges.py", '    if await store.keep_rendered(visit):\n', '    await store.keep_rendered(visit)\n    if True:\n', I_BILLING_CHARGES),
    Mutant("services/billing/use_cases/payments.py", 'if whose not in patient.ids or where != command.site_id:', 'if False:', I_BILLING_INVOICES),
    Mutant("services/billing/use_cases/payments.py", 'if invoice.left == paid.get(invoice.id):', 'if invoice.id in paid:', I_BILLING_INVOICES),
    Mutant("services/billing/use_cases/invoices.py", '    await store.lock([course.patient_id])\n', '', I_BILLING_INVOICES),
    Mutant("services/billing/rpc/payments.py", 'locks = [command.patient_id]', 'locks = []', I_BILLING_INVOICES),
    Mutant("services/billing/consumers.py", '    await store.course(from_wire("course", course_id))\n', '', I_BILLING_CHARGES),
    Mutant("services/billing/store/estimates.py", 'and_(estimate.c.total_minor.is_(None), _latest)', 'estimate.c.total_minor.is_(None)', I_BILLING_ESTIMATES),
    Mutant("services/billing/store/documents.py", 'open_item.c.left_minor > literal_column("0")', 'open_item.c.left_minor >= literal_column("0")', I_BILLING_PLANS),
    Mutant("services/billing/migrations/versions/0001_initial.py", 'HAVING sum(amount_minor) <> 0', 'HAVING false', I_BILLING_ACCOUNTS),
    Mutant("services/billing/migrations/versions/0001_initial.py", 'IF NOT EXISTS (SELECT FROM posting WHERE', 'IF false AND NOT EXISTS (SELECT FROM posting WHERE', I_BILLING_ACCOUNTS),
    Mutant("services/billing/migrations/versions/0001_initial.py", 'GRANT SELECT, INSERT ON posting TO billing', 'GRANT SELECT, INSERT, UPDATE, DELETE ON posting TO billing', I_BILLING_ACCOUNTS),
    Mutant("services/billing/migrations/versions/0001_initial.py", 'CREATE TRIGGER published_price_book_stays BEFORE INSERT ON price_item', 'CREATE TRIGGER published_price_book_stays BEFORE DELETE ON price_item', I_BILLING_PRICES),
    Mutant("services/billing/migrations/versions/0001_initial.py", '"left_minor >= 0"', '"left_minor >= -100000"', I_BILLING_ACCOUNTS),
    Mutant("services/billing/migrations/versions/0001_initial.py", 'CREATE POLICY own_sites ON charge AS RESTRICTIVE USING (', 'CREATE POLICY own_sites ON charge AS RESTRICTIVE USING (true OR ', I_BILLING_ACCOUNTS),
    Mutant("services/billing/use_cases/charges.py", '(await store.whole(visit.patient_id)).end', 'visit.patient_id', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/estimates.py", 'patient_id=(await store.whole(course.patient_id)).end,', 'patient_id=course.patient_id,', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/estimates.py", 'patient_id, now = (await store.whole(course.patient_id)).end,', 'patient_id, now = course.patient_id,', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/estimates.py", '        patient_id=patient_id,\n        course_id=None,', '        patient_id=command.patient_id,\n        course_id=None,', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/invoices.py", 'store.lock_whole(course.patient_id, locked=course.patient_id)', 'store.whole(course.patient_id)', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/invoices.py", '        patient_id=patient_id,\n', '        patient_id=course.patient_id,\n', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/payments.py", 'store.locked_patient(command.patient_id)', 'store.patient(command.patient_id)', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/payments.py", 'if whose not in patient.ids or', 'if whose != command.patient_id or', I_BILLING_MERGES),
    Mutant("services/billing/use_cases/payments.py", '        patient_id=patient.end,\n', '        patient_id=command.patient_id,\n', I_BILLING_MERGES),
    Mutant("services/billing/store/documents.py", 'open_item.c.patient_id == any_(PATIENTS.all_ids(PATIENT)),', 'open_item.c.patient_id == PATIENT,', I_BILLING_MERGES),
    Mutant("services/billing/store/copies.py", '(any_(PATIENTS.all_ids(ABOUT)) if column == "patient_id" else ABOUT)', 'ABOUT', I_BILLING_MERGES),
    Mutant("services/billing/store/copies.py", 'patient.c.id == PATIENTS.end(ID)', 'patient.c.id == ID', I_BILLING_MERGES),
    Mutant("services/billing/store/accounts.py", 'table.c.patient_id == any_(PATIENTS.all_ids(PATIENT)))', 'table.c.patient_id == PATIENT)', I_BILLING_MERGES),
    Mutant("services/billing/domain/accounts.py", 'if patient_id in (None, total.patient_id)]', 'if True]', I_BILLING_MERGES),
    Mutant("services/billing/consumers.py", 'from_wire("patient", event.merged_patient_id), None,', 'from_wire("patient", event.merged_patient_id), from_wire("patient", event.patient_id),', I_BILLING_MERGES),
    Mutant("chassis/aliases.py", '            await self.lock([locked])\n', '', I_BILLING_MERGES),
    # What goes on invoices, and what comes off them.
    Mutant("services/billing/domain/tax.py", '(2 * exact.numerator + exact.denominator) //', '(2 * exact.numerator + exact.denominator - 1) //', U_BILLING_TAX),
    Mutant("services/billing/domain/tax.py", 'line.day <= self.end_date', 'line.day < self.end_date', U_BILLING_TAX),
    Mutant("services/billing/domain/tax.py", 'self.effective_date <= line.day and', 'self.effective_date < line.day and', U_BILLING_TAX),
    Mutant("services/billing/domain/tax.py", 'line.kind is not ChargeKind.PRODUCT or not', 'not', U_BILLING_TAX),
    Mutant("services/billing/domain/tax.py", 'each.rate_ppm for each in rules if each.included and', 'each.rate_ppm for each in rules if False and', U_BILLING_TAX),
    Mutant("services/billing/domain/tax.py", 'end < rule.effective_date or', 'False or', U_BILLING_TAX),
    Mutant("services/billing/domain/tax.py", '(rule.end_date is not None and end > rule.end_date)', 'False', U_BILLING_TAX),
    Mutant("services/billing/domain/tax.py", 'new.effective_date <= rule.effective_date', 'new.effective_date < rule.effective_date', U_BILLING_TAX),
    Mutant("services/billing/domain/invoices.py", '    if discount.amount > subtotal:', '    if False:', I_BILLING_INVOICING),
    Mutant("services/billing/domain/invoices.py", '    if len({each.charge.site_id for each in found}) > 1:', '    if False:', I_BILLING_INVOICING),
    Mutant("services/billing/domain/invoices.py", '    if {each.charge.patient_id for each in found} - patient_ids:', '    if False:', I_BILLING_INVOICING),
    Mutant("services/billing/domain/invoices.py", 'if known[id].invoiced]:', 'if False]:', I_BILLING_INVOICING),
    Mutant("services/billing/domain/invoices.py", ' or known[id].charge.corrects_id not in (None, *asked)]', ']', I_BILLING_CHARGING),
    Mutant("services/billing/domain/invoices.py", 'if due is not None and due < today:', 'if False:', I_BILLING_INVOICING),
    Mutant("services/billing/domain/invoices.py", 'max(wording.due_date, issued) if', 'wording.due_date if', U_BILLING_TAX),
    Mutant("services/billing/domain/invoices.py", 'if not net.minor and each.charge.id in corrected}', 'if not net.minor}', U_BILLING_TAX),
    Mutant("services/billing/domain/credit_notes.py", 'amounts[i].minor > minor or not amounts[i].minor]:', 'not amounts[i].minor]:', I_BILLING_CREDIT_NOTES),
    Mutant("services/billing/domain/credit_notes.py", ' or id in ids[:i]]', ']', I_BILLING_CREDIT_NOTES),
    Mutant("services/billing/domain/credit_notes.py", 'half_up(whole.minor * part) - before', 'half_up(whole.minor * Fraction(amount.minor, line.net.minor))', P_BILLING_INVOICING),
    Mutant("services/billing/domain/credit_notes.py", '(each.applied_at, each.application_id), reverse=True)', '(each.applied_at, each.application_id))', U_BILLING_TAX),
    Mutant("services/billing/domain/credit_notes.py", 'if not each.applied.of_credit and note.purpose', 'if note.purpose', I_BILLING_CREDIT_NOTES),
    Mutant("services/billing/domain/charges.py", '    if amount.minor < 0 and charge.kind in FEES:', '    if False:', I_BILLING_CHARGING),
    Mutant("services/billing/domain/charges.py", '    if wild := out_of_range(net_of(charge, corrections) + amount, "amount"):', '    if wild := []:', I_BILLING_CHARGING),
    Mutant("services/billing/domain/charges.py", '    if charge.kind not in CORRECTABLE:', '    if False:', I_BILLING_CHARGING),
    Mutant("services/billing/domain/charges.py", '    if charge.kind not in FEES:\n        raise NotAFee()', '    if False:\n        raise NotAFee()', I_BILLING_CHARGING),
    Mutant("services/billing/use_cases/invoices.py", '    await store.lock([whose])\n', '', I_BILLING_INVOICING),
    Mutant("services/billing/use_cases/invoices.py", '    await store.end_draft(draft_id, version, invoice_id)\n', '', I_BILLING_INVOICING),
    Mutant("services/billing/use_cases/invoices.py", '    if made.site_id != before.site_id:', '    if False:', I_BILLING_INVOICING),
    Mutant("services/billing/use_cases/invoices.py", '    if made.patient_id != (await store.whole(before.patient_id)).end:', '    if False:', I_BILLING_INVOICING),
    Mutant("services/billing/use_cases/credit_notes.py", '    await store.lock([whose])\n', '', I_BILLING_CREDIT_NOTES),
    Mutant("services/billing/use_cases/credit_notes.py", '    if purpose is CreditPurpose.OFFSET and offset < total:', '    if False:', I_BILLING_CREDIT_NOTES),
    Mutant("services/billing/use_cases/credit_notes.py", '    if invoice.credited == invoice.total:', '    if False:', I_BILLING_CREDIT_NOTES),
    Mutant("services/billing/use_cases/credit_notes.py", 'if not voids and offset.minor and offset == invoice.balance:', 'if offset.minor and offset == invoice.balance:', I_BILLING_CREDIT_NOTES),
    Mutant("services/billing/use_cases/charging.py", '    await store.lock([whose])\n', '', I_BILLING_CHARGING),
    Mutant("services/billing/use_cases/charging.py", '(await store.lock_whole(visit.patient_id)).end', '(await store.whole(visit.patient_id)).end', I_BILLING_CHARGING),
    Mutant("services/billing/use_cases/charging.py", '    if own.invoiced:', '    if False:', I_BILLING_CHARGING),
    Mutant("services/billing/use_cases/charging.py", '        if course.patient_id not in patient_ids or course.site_id != command.site_id:', '        if False:', I_BILLING_CHARGING),
    Mutant("services/billing/use_cases/charging.py", '        if visit is None or visit.course_id != command.course_id:', '        if False:', I_BILLING_CHARGING),
    Mutant("services/billing/use_cases/tax.py", '            await store.end_tax_rule(each.id, each.version, day_before)\n', '            pass\n', I_BILLING_INVOICING),
    Mutant("services/billing/consumers.py", '    if event.reason == CANCELLATION_REASON_PATIENT:', '    if True:', I_BILLING_CHARGING),
    Mutant("services/billing/store/charges.py", 'offence.c.patient_id == any_(PATIENTS.all_ids(PATIENT)),', 'offence.c.patient_id == PATIENT,', I_BILLING_CHARGING),
    Mutant("services/billing/store/credit_notes.py", 'cast(table.c.amount_minor - back, BigInteger)', 'cast(table.c.amount_minor, BigInteger)', I_BILLING_CREDIT_NOTES),
    Mutant("services/billing/store/billable.py", '        service_code.c.effective_date <= charge.c.service_date,\n', '', I_BILLING_INVOICING),
    Mutant("services/billing/migrations/versions/0006_invoices.py", 'left_minor + credited_minor <= whole_minor AND credited_minor >= 0', 'true', I_BILLING_CREDIT_NOTES),
    Mutant("services/billing/migrations/versions/0006_invoices.py", 'GRANT SELECT, INSERT ON credit_note TO billing', 'GRANT SELECT, INSERT, UPDATE, DELETE ON credit_note TO billing', I_BILLING_ACCOUNTS),
    Mutant("services/billing/migrations/versions/0006_invoices.py", 'CREATE POLICY own_sites ON credit_use AS RESTRICTIVE USING (', 'CREATE POLICY own_sites ON credit_use AS RESTRICTIVE USING (true OR ', I_BILLING_ACCOUNTS),
    Mutant("services/billing/use_cases/credit_notes.py", '(await store.lock_whole(whose, locked=whose)).end', 'whose', I_BILLING_CREDIT_NOTES),
]  # fmt: skip
