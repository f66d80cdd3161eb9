"""The guards of patients."""

from tests.mutants.mutant import Mutant

I_PATIENTS = "tests/integration/test_patients.py"
I_PATIENTS_IMPORT = "tests/integration/test_patients_import.py"
I_PATIENTS_RACES = "tests/integration/test_patients_races.py"
I_PATIENTS_CLEARANCES = "tests/integration/test_patients_clearances.py"
I_PATIENTS_SEARCH = "tests/integration/test_patients_search.py"
I_PATIENTS_SPEED = "tests/integration/test_patients_speed.py"
P_PATIENTS_NAMES = "tests/property/test_patients_names.py"
U_PATIENTS_RULES = "tests/unit/test_patients_rules.py"
U_FHIR = "tests/unit/test_fhir.py"
I_IMPORT_FHIR = "tests/integration/test_import_fhir.py"
I_PATIENTS_CONSENT_DOCUMENTS = "tests/integration/test_patients_consent_documents.py"
I_PATIENTS_CONSENTS = "tests/integration/test_patients_consents.py"
I_PATIENTS_CONSENT_RACES = "tests/integration/test_patients_consent_races.py"
I_PATIENTS_CONSENT_SPEED = "tests/integration/test_patients_consent_speed.py"
I_PATIENTS_PERMISSIONS = "tests/integration/test_patients_permissions.py"
U_PATIENTS_CONSENTS = "tests/unit/test_patients_consents.py"

PATIENTS = [
    Mutant("services/patients/use_cases/records.py", 'if call.sites is not None and site_id not in call.sites:', 'if False:', I_PATIENTS),
    Mutant("services/patients/use_cases/records.py", '    if current.version != command.version:\n', '    if False:\n', I_PATIENTS),
    Mutant("services/patients/use_cases/records.py", 'refuse("patient.", (*examined.faults, *examined.left_out))\n    refuse_taken(command.identifiers,', 'refuse("patient.", examined.faults)\n    refuse_taken(command.identifiers,', I_PATIENTS),
    Mutant("services/patients/use_cases/records.py", '    if events.patient_updated(changed) != events.patient_updated(current):\n', '    if True:\n', I_PATIENTS),
    Mutant("services/patients/use_cases/imports.py", 'if found := [holders[each] for each in row.identifiers if each in holders and each.system != MRN_SYSTEM]:', 'if found := list[UUID]():', I_PATIENTS_IMPORT),
    Mutant("services/patients/use_cases/imports.py", '            holders |= dict.fromkeys((*patient.person.identifiers, patient.own_identifier), patient.id)\n', '', I_PATIENTS_IMPORT),
    Mutant("services/patients/use_cases/imports.py", '        except DomainError as refused:\n', '        except KeyError as refused:\n', I_PATIENTS_IMPORT),
    Mutant("services/patients/rpc/patients.py", 'locks = identity_locks(call.chain_id, (each for row in readable for each in row.identifiers))', 'locks = set[UUID]()', I_PATIENTS_IMPORT),
    Mutant("services/patients/store/records.py", '    .where(exists(select(patient_site.c.site_id).where(_of_patient(patient_site))))\n', '', I_PATIENTS),
    Mutant("services/patients/store/records.py", 'RECORD_TO_CHANGE = Statement(_record.with_for_update(of=patient))', 'RECORD_TO_CHANGE = Statement(_record)', I_PATIENTS_RACES),
    Mutant("services/patients/store/clearances.py", 'CLEARANCE_TO_CHANGE = Statement(_clearance.with_for_update())', 'CLEARANCE_TO_CHANGE = Statement(_clearance)', I_PATIENTS_RACES),
    Mutant("services/patients/store/__init__.py", '        "patient_identifier_pkey": IdentifierTaken,\n', '', I_PATIENTS_RACES),
    Mutant("services/patients/store/__init__.py", '        "clearance_chain_id_patient_id_site_id_fkey": PatientNotFound,\n', '', I_PATIENTS_CLEARANCES),
    Mutant("services/patients/store/search.py", ', ~_has_word_before(first)', '', I_PATIENTS_SEARCH),
    Mutant("services/patients/store/search.py", 'return select(true()).where(_of_patient(other), begins).limit(1).scalar_subquery()', 'return exists(select(other.c.word).where(_of_patient(other), begins))', I_PATIENTS_SPEED),
    Mutant("services/patients/migrations/versions/0001_the_tables_of_patients.py", 'sa.Text(collation="C")', 'sa.Text()', I_PATIENTS_SPEED),
    Mutant("services/patients/migrations/versions/0002_who_sees_a_record_sees_all_of_it.py", 'written_at_own_sites ON screening AS RESTRICTIVE', 'written_at_own_sites ON screening AS PERMISSIVE', I_PATIENTS_CLEARANCES),
    Mutant("services/patients/domain/names.py", 'unicodedata.normalize("NFKD", text).casefold()', 'text.casefold()', P_PATIENTS_NAMES),
    Mutant("services/patients/domain/contacts.py", 'verified=point.verified and phone.valid', 'verified=point.verified', U_PATIENTS_RULES),
    Mutant("services/patients/domain/patients.py", 'identifiers=tuple(each for each in person.identifiers if not never_kept(each)),', 'identifiers=person.identifiers,', U_PATIENTS_RULES),
    Mutant("services/patients/domain/patients.py", '    elif person.birth_date > today:\n', '    elif False:\n', U_PATIENTS_RULES),
    Mutant("services/patients/domain/patients.py", 'now.astimezone(ZoneInfo(zone)).date()', 'now.date()', U_PATIENTS_RULES),
    Mutant("services/patients/domain/clearances.py", '        if self.expire_date < today:\n', '        if False:\n', U_PATIENTS_RULES),
    Mutant("services/patients/domain/clearances.py", '        if self.revoked_at is not None:\n', '        if False:\n', U_PATIENTS_RULES),
    Mutant("services/patients/domain/documents.py", '        if self.retired_at is not None:\n', '        if False:\n', I_PATIENTS_CONSENT_DOCUMENTS, 'retired'),
    Mutant("services/patients/domain/documents.py", 'day < day_of(self.retired_at, time_zone)', 'day <= day_of(self.retired_at, time_zone)', U_PATIENTS_CONSENTS),
    Mutant("services/patients/domain/documents.py", 'if version.effective_date <= day]', 'if version.effective_date < day]', U_PATIENTS_CONSENTS),
    Mutant("services/patients/domain/documents.py", 'return all(each.earlier_signatures_stay_good', 'return any(each.earlier_signatures_stay_good', U_PATIENTS_CONSENTS),
    Mutant("services/patients/domain/documents.py", '            if before is None or before.document.state == EVERY_STATE:\n', '            if True:\n', U_PATIENTS_CONSENTS),
    Mutant("services/patients/domain/documents.py", '        if text.language in seen:\n', '        if False:\n', I_PATIENTS_CONSENT_DOCUMENTS, 'cannot_be'),
    Mutant("services/patients/domain/documents.py", '(now.astimezone(UTC) + WESTERNMOST).date()', 'now.astimezone(UTC).date()', I_PATIENTS_CONSENT_DOCUMENTS, 'everywhere_on_earth'),
    Mutant("services/patients/domain/documents.py", '    if last and effective_date < last.effective_date:\n', '    if False:\n', I_PATIENTS_CONSENT_DOCUMENTS, 'no_earlier'),
    Mutant("services/patients/domain/consents.py", 'day.year - birth_date.year - ((day.month, day.day) < (birth_date.month, birth_date.day))', 'day.year - birth_date.year', U_PATIENTS_CONSENTS),
    Mutant("services/patients/domain/consents.py", '        return "OTHER_STATE"\n', '        return None\n', I_PATIENTS_CONSENTS, 'states_own'),
    Mutant("services/patients/domain/consents.py", '        return "RETIRED"\n', '        return None\n', I_PATIENTS_CONSENTS, 'retired'),
    Mutant("services/patients/domain/consents.py", '        return "NOT_YET_IN_EFFECT"\n', '        return None\n', U_PATIENTS_CONSENTS),
    Mutant("services/patients/domain/consents.py", '        return "STATE_HAS_ITS_OWN"\n', '        return None\n', I_PATIENTS_CONSENTS, 'states_own'),
    Mutant("services/patients/domain/consents.py", 'ours.in_effect(signed_on) != version or not ours.still_good(version.number, today)', 'not ours.still_good(version.number, today)', U_PATIENTS_CONSENTS),
    Mutant("services/patients/domain/consents.py", '    if age < ADULT_YEARS and relationship not in MAY_SIGN_FOR_A_MINOR:\n', '    if False:\n', U_PATIENTS_CONSENTS),
    Mutant("services/patients/domain/consents.py", '    elif relationship is Relationship.GUARANTOR and not document.guarantor_may_sign:\n', '    elif False:\n', U_PATIENTS_CONSENTS),
    Mutant("services/patients/domain/consents.py", '    if signing.by_patient and relationship is not Relationship.SELF:\n', '    if False:\n', I_PATIENTS_CONSENTS, 'alone'),
    Mutant("services/patients/domain/consents.py", '    if signing.by_patient and signing.method is not Method.ELECTRONIC:\n', '    if False:\n', I_PATIENTS_CONSENTS, 'alone'),
    Mutant("services/patients/domain/consents.py", '    if signing.by_patient and signing.witness_name:\n', '    if False:\n', I_PATIENTS_CONSENTS, 'alone'),
    Mutant("services/patients/domain/consents.py", '    if signing.by_patient and signing.signed_at is not None:\n', '    if False:\n', I_PATIENTS_CONSENTS, 'alone'),
    Mutant("services/patients/domain/consents.py", '    if signing.method is Method.VERBAL and not signing.witness_name:\n', '    if False:\n', I_PATIENTS_CONSENTS, 'cannot_be'),
    Mutant("services/patients/domain/consents.py", '    if signing.language not in version.languages:\n', '    if False:\n', I_PATIENTS_CONSENTS, 'cannot_be'),
    Mutant("services/patients/domain/consents.py", '    if signed_at > now:\n', '    if False:\n', I_PATIENTS_CONSENTS, 'cannot_be'),
    Mutant("services/patients/domain/consents.py", '    if signed_at < version.published_at:\n', '    if False:\n', I_PATIENTS_CONSENTS, 'cannot_be'),
    Mutant("services/patients/domain/consents.py", 'last.withdrawal.withdrawn_at if last.withdrawal else last.signed_at', 'last.signed_at', I_PATIENTS_CONSENTS, 'signed_before'),
    Mutant("services/patients/domain/consents.py", '    if last and not last.withdrawal and (', '    if False and last and (', I_PATIENTS_CONSENTS, 'signed_once'),
    Mutant("services/patients/domain/consents.py", '    if consent.withdrawal:\n', '    if False:\n', I_PATIENTS_CONSENTS, 'not_stand'),
    Mutant("services/patients/domain/consents.py", '    if consent.id != last.id:\n', '    if False:\n', I_PATIENTS_CONSENTS, 'not_stand'),
    Mutant("services/patients/domain/consents.py", '    if signature.consent.withdrawal:\n', '    if False:\n', I_PATIENTS_CONSENTS, 'given_again'),
    Mutant("services/patients/domain/permissions.py", '        if self.channel is Channel.PORTAL and self.use is not ContactUse.UNSPECIFIED:\n', '        if False:\n', I_PATIENTS_PERMISSIONS, 'cannot_be'),
    Mutant("services/patients/domain/permissions.py", '        if self.giver is Giver.COMPANION and self.purpose is not Purpose.COMPANION:\n', '        if False:\n', I_PATIENTS_PERMISSIONS, 'cannot_be'),
    Mutant("services/patients/domain/permissions.py", '        if self.told_at > self.recorded_at:\n', '        if False:\n', I_PATIENTS_PERMISSIONS, 'cannot_be'),
    Mutant("services/patients/domain/permissions.py", '        if self.giver is not Giver.PATIENT:\n', '        if False:\n', I_PATIENTS_PERMISSIONS, 'speaks'),
    Mutant("services/patients/domain/permissions.py", '        if self.method is not PermissionMethod.ELECTRONIC:\n', '        if False:\n', I_PATIENTS_PERMISSIONS, 'speaks'),
    Mutant("services/patients/domain/permissions.py", '        if told_at_given:\n', '        if False:\n', I_PATIENTS_PERMISSIONS, 'speaks'),
    Mutant("services/patients/domain/permissions.py", '(False, True) if purpose is Purpose.COMPANION else (False,)', '(False,)', I_PATIENTS_PERMISSIONS, 'both'),
    Mutant("services/patients/domain/permissions.py", ' or (of_all and not of_all.permitted and of_all.told_at >= of_use.told_at)', '', U_PATIENTS_CONSENTS),
    Mutant("services/patients/domain/permissions.py", 'for purpose in Purpose if purpose is not Purpose.COMPANION)', 'for purpose in Purpose)', I_PATIENTS_PERMISSIONS, 'opt_out'),
    Mutant("services/patients/store/documents.py", 'if row is None or not row["state"]:', 'if row is None:', I_PATIENTS_CONSENTS, 'without_a_state'),
    Mutant("services/patients/store/documents.py", '.with_for_update(read=True, of=consent_document)', '', I_PATIENTS_CONSENT_RACES),
    Mutant("services/patients/store/documents.py", '.with_for_update(read=True, of=consent_document)', '.with_for_update(of=consent_document)', I_PATIENTS_CONSENT_RACES, 'without_waiting'),
    Mutant("services/patients/store/documents.py", '_documents_of_code(_code_of_document).with_for_update(of=consent_document)', '_documents_of_code(_code_of_document)', I_PATIENTS_CONSENT_RACES),
    Mutant("services/patients/store/consents.py", '_kept(consent_withdrawal.c.withdrawn_at < UNTIL)', '_kept()', I_PATIENTS_CONSENTS, 'past_day'),
    Mutant("services/patients/store/consents.py", '    .where(consent.c.signed_at < UNTIL)\n', '', I_PATIENTS_CONSENTS, 'past_day'),
    Mutant("services/patients/store/permissions.py", 'permission.c.told_at.desc(), permission.c.id.desc()', 'permission.c.id.desc()', I_PATIENTS_PERMISSIONS, 'told_last'),
    Mutant("services/patients/store/records.py", 'set_=params("time_zone", "state")', 'set_=params("time_zone")', I_PATIENTS_CONSENTS, 'without_a_state'),
    Mutant("services/patients/rpc/consents.py", '        locks = [command.patient_id]\n        return await self._db.once(call, request, pb.SignConsentResponse, PatientsStore, work, locks=locks)\n', '        return await self._db.once(call, request, pb.SignConsentResponse, PatientsStore, work)\n', I_PATIENTS_CONSENT_RACES, 'at_once_the_second'),
    Mutant("services/patients/rpc/consents.py", '        locks = [command.patient_id]\n        return await self._db.once(call, request, pb.WithdrawConsentResponse, PatientsStore, work, locks=locks)\n', '        return await self._db.once(call, request, pb.WithdrawConsentResponse, PatientsStore, work)\n', I_PATIENTS_CONSENT_RACES, 'at_the_door'),
    Mutant("services/patients/store/__init__.py", '        "consent_document_chain_id_code_state_key": ConsentDocumentTaken,\n', '', I_PATIENTS_CONSENT_DOCUMENTS, 'code_is_one'),
    Mutant("services/patients/store/__init__.py", '        "consent_chain_id_patient_id_site_id_fkey": PatientNotFound,\n', '', I_PATIENTS_CONSENTS, 'nobody_signs'),
    Mutant("services/patients/store/__init__.py", '        "consent_chain_id_patient_id_document_id_sequence_key": ConsentAlreadyGiven,\n', '', I_PATIENTS_CONSENT_RACES, 'refuses_one'),
    Mutant("services/patients/store/__init__.py", '        "consent_withdrawal_chain_id_patient_id_site_id_fkey": PatientNotFound,\n', '', I_PATIENTS_CONSENTS, 'not_found'),
    Mutant("services/patients/store/__init__.py", '        "consent_withdrawal_pkey": ConsentNotStanding,\n', '', I_PATIENTS_CONSENT_RACES, 'refuses_one'),
    Mutant("services/patients/store/__init__.py", '        "permission_chain_id_patient_id_site_id_fkey": PatientNotFound,\n', '', I_PATIENTS_PERMISSIONS, 'nothing_is_recorded'),
    Mutant("services/patients/store/__init__.py", '        "permission_chain_id_version_id_fkey": ConsentDocumentNotFound,\n', '', I_PATIENTS_PERMISSIONS, 'nothing_is_recorded'),
    Mutant("services/patients/migrations/versions/0007_consents_and_permissions.py", 'GRANT SELECT, INSERT ON consent TO patients', 'GRANT SELECT, INSERT, UPDATE, DELETE ON consent TO patients', I_PATIENTS_CONSENT_DOCUMENTS, 'cannot_change'),
    Mutant("services/patients/migrations/versions/0007_consents_and_permissions.py", 'GRANT SELECT, INSERT ON consent_text TO patients', 'GRANT SELECT, INSERT, UPDATE ON consent_text TO patients', I_PATIENTS_CONSENT_DOCUMENTS, 'cannot_change'),
    Mutant("services/patients/migrations/versions/0007_consents_and_permissions.py", '"content_hash = encode(sha256(convert_to(content, \'UTF8\')), \'hex\')"', '"true"', I_PATIENTS_CONSENT_DOCUMENTS, 'hash'),
    Mutant("services/patients/use_cases/permissions.py", 'told_at=min(opt_out.told_at, store.call.now)', 'told_at=opt_out.told_at', I_PATIENTS_PERMISSIONS, 'fast_clock'),
    Mutant("cli/fhir.py", '    if len(found.patients) > 1 and document.get("type") in ONE_PATIENTS:\n', '    if False:\n', U_FHIR),
    Mutant("cli/fhir.py", 'next((NEVER_KEPT[code] for code in _codes(identifier.get("type")) if code in NEVER_KEPT), None)', '""', U_FHIR),
    Mutant("cli/importing/batches.py", ' or self._bytes + size > BATCH_BYTES_MAX', '', I_IMPORT_FHIR),
    Mutant("cli/importing/batches.py", '            waiting = [i for i in waiting if any(fault.rule == "NOT_YET_KNOWN" for fault in results[i].faults)]\n', '            waiting = []\n', I_IMPORT_FHIR),
]  # fmt: skip
