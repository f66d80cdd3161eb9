"""The guards of patients."""

from tests.mutants.mutant import Mutant

I_PATIENTS = "tests/integration/test_patients.py"
I_PATIENTS_IMPORT = "tests/integration/test_patients_import.py"
I_PATIENTS_RACES = "tests/integration/test_patients_races.py"
I_PATIENTS_CLEARANCES = "tests/integration/test_patients_clearances.py"
I_PATIENTS_SEARCH = "tests/integration/test_patients_search.py"
I_PATIENTS_SPEED = "tests/integration/test_patients_speed.py"
P_PATIENTS_SEARCH = "tests/property/test_patients_search.py"
U_PATIENTS_RULES = "tests/unit/test_patients_rules.py"
U_FHIR = "tests/unit/test_fhir.py"
I_IMPORT_FHIR = "tests/integration/test_import_fhir.py"

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
    Mutant("services/patients/migrations/versions/0001_the_tables_of_patients.py", 'sa.Text(collation="C")', 'sa.Text()', I_PATIENTS_SPEED),
    Mutant("services/patients/migrations/versions/0002_who_sees_a_record_sees_all_of_it.py", 'written_at_own_sites ON screening AS RESTRICTIVE', 'written_at_own_sites ON screening AS PERMISSIVE', I_PATIENTS_CLEARANCES),
    Mutant("services/patients/domain/names.py", 'unicodedata.normalize("NFKD", text).casefold()', 'text.casefold()', U_PATIENTS_RULES),
    Mutant("services/patients/domain/contacts.py", 'verified=point.verified and phone.valid', 'verified=point.verified', U_PATIENTS_RULES),
    Mutant("services/patients/domain/patients.py", 'identifiers=tuple(each for each in person.identifiers if not never_kept(each)),', 'identifiers=person.identifiers,', U_PATIENTS_RULES),
    Mutant("services/patients/domain/patients.py", '    elif person.birth_date > today:\n', '    elif False:\n', U_PATIENTS_RULES),
    Mutant("services/patients/domain/patients.py", 'now.astimezone(ZoneInfo(zone)).date()', 'now.date()', U_PATIENTS_RULES),
    Mutant("services/patients/domain/clearances.py", '        if self.expire_date < today:\n', '        if False:\n', U_PATIENTS_RULES),
    Mutant("services/patients/domain/clearances.py", '        if self.revoked_at is not None:\n', '        if False:\n', U_PATIENTS_RULES),
    Mutant("cli/fhir.py", '    if len(found.patients) > 1 and document.get("type") in ONE_PATIENTS:\n', '    if False:\n', U_FHIR),
    Mutant("cli/fhir.py", 'next((NEVER_KEPT[code] for code in _codes(identifier.get("type")) if code in NEVER_KEPT), None)', '""', U_FHIR),
    Mutant("cli/importing/batches.py", ' or self._bytes + size > BATCH_BYTES_MAX', '', I_IMPORT_FHIR),
    Mutant("cli/importing/batches.py", '            waiting = [i for i in waiting if any(fault.rule == "NOT_YET_KNOWN" for fault in results[i].faults)]\n', '            waiting = []\n', I_IMPORT_FHIR),
    Mutant("services/patients/store/search.py", 'name.c.word == _first_word(name), ', '', I_PATIENTS_SEARCH),
    Mutant("services/patients/store/search.py", ', else_=elsewhere.scalar_subquery()).collate("C")', ', else_="").collate("C")', I_PATIENTS_SEARCH),
    Mutant("services/patients/store/search.py", 'name.c.word == slip.c.slips_0, tuple_(*key) > tuple_(*after))', 'name.c.word == slip.c.slips_0)', P_PATIENTS_SEARCH),
    Mutant("services/patients/store/search.py", '        .where(~_begins(name, 0))\n', '', P_PATIENTS_SEARCH),
    Mutant("services/patients/store/search.py", '*slipping, *others, ~_begins(name, n)', '*slipping, *others', P_PATIENTS_SEARCH),
    Mutant("services/patients/store/search.py", 'return found if nearest.cost >= 2 * SLIP else [each for each in found if each[1].cost < 2 * SLIP]', 'return found', P_PATIENTS_SEARCH),
    Mutant("services/patients/store/search.py", '.where(found.c.line.is_not(None))', '', I_PATIENTS_SEARCH),
    Mutant("services/patients/store/records.py", '    new_spellings("patient_name_word"),\n', '', P_PATIENTS_SEARCH),
    Mutant("services/patients/tables/records.py", 'Index("patient_name_patient_idx", "chain_id", "patient_id")', 'Index("patient_name_patient_idx", "chain_id", "patient_id", "word")', "tests/integration/test_chassis_schema.py"),
    Mutant("services/patients/domain/names.py", ' or (lengths == (2, 2) and differ[0] == differ[1][::-1])', '', P_PATIENTS_SEARCH),
    Mutant("services/patients/domain/names.py", '    composed = unicodedata.normalize("NFKC", text)\n', '    composed = text\n', I_PATIENTS_SEARCH),
]  # fmt: skip
