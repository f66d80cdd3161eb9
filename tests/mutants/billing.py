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
U_BILLING_DEADLINES = "tests/unit/test_billing_deadlines.py"
U_BILLING_GUARD = "tests/unit/test_billing_guard.py"
I_BILLING_ESTIMATE_CHANGES = "tests/integration/test_billing_estimate_changes.py"
I_BILLING_DELIVERIES = "tests/integration/test_billing_deliveries.py"
I_BILLING_GUARD = "tests/integration/test_billing_guard.py"
I_BILLING_DOCUMENTS = "tests/integration/test_billing_documents.py"

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
    Mutant("services/billing/use_cases/estimates.py", '    if better == estimate:\n        return\n', '', I_BILLING_ESTIMATES),
    Mutant("services/billing/use_cases/charges.py", '    if await store.keep_rendered(visit):\n', '    await store.keep_rendered(visit)\n    if True:\n', I_BILLING_CHARGES),
    Mutant("services/billing/use_cases/payments.py", 'if whose not in patient.ids or where != command.site_id:', 'if False:', I_BILLING_INVOICES),
    Mutant("services/billing/use_cases/payments.py", 'if invoice.left == paid.get(invoice.id):', 'if invoice.id in paid:', I_BILLING_INVOICES),
    Mutant("services/billing/use_cases/invoices.py", '    await store.lock([course.patient_id])\n', '', I_BILLING_INVOICES),
    Mutant("services/billing/rpc/payments.py", 'locks = [command.patient_id]', 'locks = []', I_BILLING_INVOICES),
    Mutant("services/billing/use_cases/estimates.py", '    await store.course(course_id)\n', '', I_BILLING_CHARGES),
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
    Mutant("services/billing/use_cases/estimates.py", 'patient_id=(await store.patient(command.patient_id)).end,', 'patient_id=command.patient_id,', I_BILLING_MERGES),
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
    # Estimates: clocks, deliveries, the guard, documents.
    Mutant("services/billing/domain/deadlines.py", 'today > site.calendar.before(service_day, 1)', 'today >= site.calendar.before(service_day, 1)', U_BILLING_DEADLINES),
    Mutant("services/billing/domain/deadlines.py", 'return clock if clock.due_at else', 'return clock if True else', U_BILLING_DEADLINES),
    Mutant("services/billing/domain/deadlines.py", 'before.closed_at or before.clock.due_at is None', 'before.clock.due_at is None', U_BILLING_DEADLINES),
    Mutant("services/billing/domain/deadlines.py", 'or before.clock.due_at <= clock.due_at:', 'or False:', U_BILLING_DEADLINES),
    Mutant("services/billing/domain/estimates.py", 'if day > end]:', 'if day >= end]:', U_BILLING_DEADLINES),
    Mutant("services/billing/domain/estimates.py", '    if estimate.id != latest_id:\n', '    if False:\n', I_BILLING_DELIVERIES),
    Mutant("services/billing/domain/estimates.py", 'estimate.created_at <= delivered_at <= now', 'delivered_at <= now', I_BILLING_DELIVERIES),
    Mutant("services/billing/domain/estimates.py", '<= delivered_at <= now', '<= delivered_at', I_BILLING_DELIVERIES),
    Mutant("services/billing/domain/estimates.py", '    if not estimate.deliveries:\n', '    if False:\n', I_BILLING_DELIVERIES),
    Mutant("services/billing/domain/estimates.py", 'return self is not DeliveryMethod.ORAL', 'return True', I_BILLING_DELIVERIES),
    Mutant("services/billing/domain/guard.py", 'if over_minor >= THRESHOLD_MINOR:', 'if over_minor > THRESHOLD_MINOR:', U_BILLING_GUARD),
    Mutant("services/billing/domain/guard.py", 'THRESHOLD_MINOR * NEAR_PERCENT else', 'THRESHOLD_MINOR * 100 else', U_BILLING_GUARD),
    Mutant("services/billing/domain/guard.py", 'due = _taken_over(expected, billed)\n', 'due = list(expected)\n', U_BILLING_GUARD),
    Mutant("services/billing/domain/guard.py", 'min(wanted, spare[other_id, kind])', 'min(wanted, item.count)', U_BILLING_GUARD),
    Mutant("services/billing/domain/guard.py", 'worst = max(compare(', 'worst = min(compare(', U_BILLING_GUARD),
    Mutant("services/billing/domain/coverage.py", 'if not visit.charged)', ')', U_BILLING_GUARD),
    Mutant("services/billing/use_cases/guard.py", 'result.over.minor <= approved_up_to', 'approved_up_to > 0', I_BILLING_GUARD),
    Mutant("services/billing/use_cases/guard.py", '    await store.exceed(course_id, site_id)\n', '', I_BILLING_GUARD),
    Mutant("services/billing/use_cases/guard.py", '    if dispute.closed_at:\n', '    if False:\n', I_BILLING_GUARD),
    Mutant("services/billing/use_cases/invoices.py", '    await let_bill(store, course_id, course.site_id, total)\n', '', I_BILLING_GUARD),
    Mutant("services/billing/store/guard.py", '.with_for_update()', '', I_BILLING_GUARD),
    Mutant("services/billing/store/estimates.py", 'not_(estimate.c.too_late)', 'estimate.c.too_late.is_not(None)', I_BILLING_ESTIMATE_CHANGES),
    Mutant("services/billing/use_cases/estimates.py", 'if booked else HOLD', 'if True else HOLD', I_BILLING_ESTIMATE_CHANGES),
    Mutant("services/billing/use_cases/estimates.py", 'unbooked = all(dropped) or', 'unbooked =', I_BILLING_ESTIMATE_CHANGES),
    Mutant("services/billing/use_cases/estimates.py", 'all(dropped) or all(visit.held for visit in left)', 'all(dropped)', I_BILLING_ESTIMATE_CHANGES),
    Mutant("services/billing/use_cases/estimates.py", 'None if all(dropped) else service_day', 'service_day', I_BILLING_ESTIMATE_CHANGES),
    Mutant("services/billing/use_cases/estimates.py", 'now_due = sooner(clock, await store.duty(id))\n', 'now_due = clock\n', I_BILLING_ESTIMATE_CHANGES),
    Mutant("services/billing/use_cases/estimates.py", ' if site.day(visit.start) <= last_covered(first)]', ']', I_BILLING_ESTIMATE_CHANGES),
    Mutant("services/billing/use_cases/estimates.py", '    refuse_too_long(days)\n', '', I_BILLING_ESTIMATE_CHANGES),
    Mutant("services/billing/use_cases/estimates.py", '            await store.close_duty(course_id)\n', '            pass\n', I_BILLING_ESTIMATE_CHANGES),
    Mutant("services/billing/use_cases/estimates.py", '    await store.lock([found.site_id])\n', '', I_BILLING_DELIVERIES),
    Mutant("services/billing/use_cases/estimates.py", 'closed_at = store.call.now if delivery.method.written else None', 'closed_at = store.call.now', I_BILLING_DELIVERIES),
    Mutant("services/billing/store/copies.py", 'visit.c.status != param("status", SmallInteger)', 'visit.c.status.is_not(None)', I_BILLING_ESTIMATE_CHANGES),
    Mutant("services/billing/store/copies.py", 'where=site.c.version < _site.excluded.version', 'where=site.c.version.is_not(None)', I_BILLING_ESTIMATE_CHANGES),
    Mutant("services/billing/store/deadlines.py", 'estimate_duty.c.told_at.is_(None), estimate_duty.c.due_at', 'estimate_duty.c.due_at', I_BILLING_DELIVERIES),
    Mutant("services/billing/store/deadlines.py", 'or_(not_(param("legal_only", Boolean)), estimate_duty.c.due_at.is_not(None))', 'or_(not_(param("legal_only", Boolean)), estimate_duty.c.id.is_not(None))', I_BILLING_DELIVERIES),
    Mutant("services/billing/store/printing.py", '    .on_conflict_do_nothing()\n', '', I_BILLING_DOCUMENTS),
    Mutant("services/billing/store/printing.py", 'document_work.c.not_before <= func.now()', 'document_work.c.not_before.is_not(None)', I_BILLING_DOCUMENTS),
    Mutant("services/billing/store/printing.py", 'PATIENTS.end(document_order.c.patient_id)', 'document_order.c.patient_id', I_BILLING_DOCUMENTS),
    Mutant("services/billing/printing/keys.py", 'return f"{part} {document_id}".encode()', 'return part.encode()', I_BILLING_DOCUMENTS),
    Mutant("services/billing/printing/keys.py", 'AESGCM(keys[sealed.key_id])', 'AESGCM(keys["1"])', I_BILLING_DOCUMENTS),
    Mutant("services/billing/printing/writer.py", 'await asyncio.to_thread(self._render, TEMPLATES[order.kind], content, order.ordered_at)', 'self._render(TEMPLATES[order.kind], content, order.ordered_at)', I_BILLING_DOCUMENTS),
    Mutant("services/billing/printing/writer.py", '        except Exception as error:\n', '        except KeyError as error:\n', I_BILLING_DOCUMENTS),
    Mutant("services/billing/migrations/versions/0006_estimates.py", '"octet_length(pdf) > 28 AND octet_length(snapshot) > 28"', '"octet_length(pdf) > 0"', I_BILLING_DOCUMENTS),
    Mutant("services/billing/migrations/versions/0006_estimates.py", 'GRANT SELECT, INSERT ON document TO billing', 'GRANT SELECT, INSERT, UPDATE, DELETE ON document TO billing', I_BILLING_ACCOUNTS, "change_a_document"),
    Mutant("services/billing/migrations/versions/0006_estimates.py", 'GRANT SELECT, INSERT ON estimate_approval TO billing', 'GRANT SELECT, INSERT, UPDATE, DELETE ON estimate_approval TO billing', I_BILLING_ACCOUNTS, "change_a_document"),
    Mutant("services/billing/use_cases/estimates.py", 'if not all(visit.kind.visit_type_code for visit in visits):', 'if False:', I_BILLING_ESTIMATE_CHANGES),
]  # fmt: skip
