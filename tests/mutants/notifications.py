"""The guards of notifications."""

from tests.mutants.mutant import Mutant

U_NOTIFICATIONS_RULES = "tests/unit/test_notifications_rules.py"
I_NOTIFICATIONS_SENDING = "tests/integration/test_notifications_sending.py"
I_NOTIFICATIONS_EVENTS = "tests/integration/test_notifications_events.py"
I_NOTIFICATIONS_MAIL = "tests/integration/test_notifications_mail.py"
U_NOTIFICATIONS_WORDING = "tests/unit/test_notifications_wording.py"
I_NOTIFICATIONS_RPC = "tests/integration/test_notifications_rpc.py"
I_NOTIFICATIONS_MERGES = "tests/integration/test_notifications_merges.py"

NOTIFICATIONS = [
    Mutant("services/notifications/domain/hours.py", 'self.begin <= instant.astimezone(zone).time()', 'self.begin <= instant.time()', U_NOTIFICATIONS_RULES),
    Mutant("services/notifications/domain/messages.py", 'max(HOURS.previous(visit_start - REMIND_BEFORE, zone), now)', 'max(visit_start - REMIND_BEFORE, now)', U_NOTIFICATIONS_RULES),
    Mutant("services/notifications/domain/messages.py", 'return decent if decent < visit_start else now', 'return decent', U_NOTIFICATIONS_RULES),
    Mutant("services/notifications/domain/messages.py", '    if taken.in_doubt and not RESENT_IN_DOUBT[taken.kind]:\n        return settle(taken, Status.UNKNOWN, Reason.NO_ANSWER)\n', '', U_NOTIFICATIONS_RULES),
    Mutant("services/notifications/domain/messages.py", '    if taken.in_doubt and status is not Status.SENT:\n        return Settle(Status.UNKNOWN, Reason.NO_ANSWER, error)\n', '', U_NOTIFICATIONS_RULES),
    Mutant("services/notifications/domain/messages.py", '    if now >= taken.visit.start:\n        return settle(taken, Status.SUPPRESSED, Reason.VISIT_STARTED)\n', '', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/domain/messages.py", 'return Postpone(decent) if decent > now else Send()', 'return Send()', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/domain/messages.py", '    if taken.attempts >= ATTEMPTS_MAX:\n        reason =', '    if False:\n        reason =', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/domain/messages.py", '    if contact.deceased:', '    if False:', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/store/sending.py", '.with_for_update(skip_locked=True)\n    .cte("ripe")', '.cte("ripe")', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/store/sending.py", '        or_(message.c.held_until.is_(None), message.c.held_until < _real_now),\n', '', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/store/sending.py", '    message.c.lease_id == param("lease_id", Uuid),\n)', '    param("lease_id", Uuid).is_not(None),\n)', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/store/messages.py", 'reason=param("reason"), lease_id=null(), held_until=null())', 'reason=param("reason"))', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/store/sending.py", '        message.c.due_at <= param("now", Instant),\n', '        param("now", Instant).is_not(None),\n', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/store/copies.py", 'where=patient.c.version < _patient.excluded.version', 'where=None', I_NOTIFICATIONS_EVENTS),
    Mutant("services/notifications/store/messages.py", 'message.c.visit_id == ID, message.c.status == Status.SCHEDULED)', 'message.c.visit_id == ID)', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/store/copies.py", '            raise NotYetKnown("patient", row["end_id"])', '            return patient_id, ZoneInfo("UTC")', I_NOTIFICATIONS_EVENTS),
    Mutant("services/notifications/store/copies.py", '            raise NotYetKnown("site", site_id)', '            return', I_NOTIFICATIONS_EVENTS),
    Mutant("services/notifications/use_cases/messages.py", 'status=known[visit.id]', 'status=visit.status', I_NOTIFICATIONS_EVENTS),
    Mutant("services/notifications/use_cases/patients.py", 'await store.move({', 'dict({', I_NOTIFICATIONS_EVENTS),
    Mutant("services/notifications/sender.py", '        if attempts is None:\n            return None\n', '        attempts = attempts or 1\n', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/sender.py", 'self._take_or_wait(IN_HAND_MAX - len(in_hand))', 'self._take_or_wait(IN_HAND_MAX)', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/sender.py", '            if in_hand:\n                await asyncio.wait(in_hand, timeout=DRAIN_S)\n', '            for task in in_hand:\n                task.cancel()\n', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/sender.py", '                await self._renew(chain_id, taken)\n', '                await asyncio.sleep(0)\n', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/sender.py", '        if end := domain.unreachable(taken, contact):\n            return end\n', '', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/clients.py", ' and point.use != CONTACT_USE_OLD', '', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/clients.py", 'point.rank or UNRANKED', 'point.rank', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/channels/email.py", 'Answer.NEVER, Answer.NONE)', 'Answer.NEVER, Answer.NOT_NOW)', I_NOTIFICATIONS_MAIL),
    Mutant("services/notifications/channels/email.py", '(partial(smtp.rcpt, recipient), Answer.NEVER,', '(partial(smtp.rcpt, recipient), Answer.NOT_NOW,', I_NOTIFICATIONS_MAIL),
    Mutant("services/notifications/channels/email.py", '(smtp.connect, Answer.NOT_NOW,', '(smtp.connect, Answer.NEVER,', I_NOTIFICATIONS_MAIL),
    Mutant("services/notifications/channels/email.py", '    if not ADDRESS.fullmatch(letter.recipient):\n        raise AddressUnusable()\n', '', I_NOTIFICATIONS_MAIL),
    Mutant("services/notifications/wording.py", 'if found := health_words(source):', 'if found := list[str]():', U_NOTIFICATIONS_WORDING),
    Mutant("services/notifications/wording.py", 'undefined=StrictUndefined,', '', U_NOTIFICATIONS_WORDING),
    Mutant("services/notifications/wording.py", '.astimezone(site.zone)', '', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/rpc/messages.py", 'site_id = from_wire("site", request.site_id) if request.site_id else None', 'site_id = None', I_NOTIFICATIONS_RPC),
    Mutant("services/notifications/rpc/messages.py", '_status(request.status)', 'None', I_NOTIFICATIONS_RPC),
    Mutant("services/notifications/migrations/versions/0001_initial.py", 'sa.UniqueConstraint("chain_id", "visit_id", "kind",', 'sa.UniqueConstraint("chain_id", "visit_id", "kind", "event_id",', I_NOTIFICATIONS_EVENTS),
    Mutant("services/notifications/migrations/versions/0001_initial.py", "USING (current_setting('app.chain', true) = '00000000-0000-0000-0000-000000000000')", 'USING (true)', I_NOTIFICATIONS_SENDING),
    Mutant("services/notifications/store/sending.py", 'func.coalesce(_recipient.c.time_zone, patient.c.time_zone)', 'func.coalesce(_recipient.c.time_zone, "UTC")', I_NOTIFICATIONS_MERGES),
    Mutant("services/notifications/store/copies.py", 'patient.c.id == _end)', 'patient.c.id == ID)', I_NOTIFICATIONS_MERGES),
    Mutant("services/notifications/store/messages.py", 'message.c.patient_id == any_(PATIENTS.all_ids(ID)),', 'message.c.patient_id == ID,', I_NOTIFICATIONS_MERGES),
    Mutant("services/notifications/store/messages.py", 'message.c.patient_id == any_(PATIENTS.all_ids(_about_id))', 'message.c.patient_id == _about_id', I_NOTIFICATIONS_MERGES),
    Mutant("services/notifications/use_cases/messages.py", 'store.add(command.site_id, patient_id,', 'store.add(command.site_id, command.patient_id,', I_NOTIFICATIONS_MERGES),
    Mutant("services/notifications/use_cases/patients.py", '        await _reckon_again(store, command.merged_patient_id)\n', '        return\n', I_NOTIFICATIONS_MERGES),
    Mutant("services/notifications/use_cases/patients.py", '    if zone:\n', '    if True:\n', I_NOTIFICATIONS_MERGES),
    Mutant("services/notifications/store/sending.py", 'recipient_id=row["recipient_id"]', 'recipient_id=row["patient_id"]', I_NOTIFICATIONS_MERGES),
]  # fmt: skip
