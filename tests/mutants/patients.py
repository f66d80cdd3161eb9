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
P_PATIENTS_PHONES = "tests/property/test_patients_phones.py"
I_PATIENTS_EXPORT = "tests/integration/test_patients_export.py"
I_IMPORT_CSV = "tests/integration/test_import_csv.py"
I_IMPORT_RESUMED = "tests/integration/test_import_resumed.py"
I_IMPORT_FHIR = "tests/integration/test_import_fhir.py"

PATIENTS = [
    Mutant("services/patients/use_cases/records.py", 'if call.sites is not None and site_id not in call.sites:', 'if False:', I_PATIENTS),
    Mutant("services/patients/use_cases/records.py", '    if current.version != command.version:\n', '    if False:\n', I_PATIENTS),
    Mutant("services/patients/use_cases/records.py", 'refuse("patient.", (*examined.faults, *examined.left_out))\n    refuse_taken(command.identifiers,', 'refuse("patient.", examined.faults)\n    refuse_taken(command.identifiers,', I_PATIENTS),
    Mutant("services/patients/use_cases/records.py", '    if events.patient_updated(changed) != events.patient_updated(current):\n', '    if True:\n', I_PATIENTS),
    Mutant("services/patients/use_cases/imports.py", 'if found := [holders[each] for each in row.identifiers if each in holders and each.system != MRN_SYSTEM]:', 'if found := list[UUID]():', I_PATIENTS_IMPORT),
    Mutant("services/patients/use_cases/imports.py", '            holders |= dict.fromkeys((*patient.person.identifiers, patient.own_identifier), patient.id)\n', '', I_PATIENTS_IMPORT),
    Mutant("services/patients/use_cases/imports.py", '        except DomainError as refused:\n', '        except KeyError as refused:\n', I_PATIENTS_IMPORT),
    Mutant("services/patients/rpc/patients.py", '            except (IdentifierTaken, MrnTaken):  # By', '            except KeyError:  # By', I_PATIENTS_IMPORT),
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
    Mutant("cli/fhir/documents.py", '    if len(found.patients) > 1 and document.get("type") in ONE_PATIENTS:\n', '    if False:\n', U_FHIR),
    Mutant("cli/fhir/patients.py", '        if kinds:\n', '        if False:\n', U_FHIR),
    Mutant("cli/importing/batches.py", ' and self.size + size <= BATCH_BYTES_MAX', '', I_IMPORT_FHIR),
    Mutant("cli/importing/batches.py", '            waiting = [i for i in waiting if any(fault.rule == "NOT_YET_KNOWN" for fault in results[i].faults)]\n', '            waiting = []\n', I_IMPORT_FHIR),
    Mutant("services/patients/use_cases/imports.py", '    await store.forget_plans()\n', '', I_PATIENTS_IMPORT),
    Mutant("services/patients/domain/contacts.py", 'at_home or phonenumbers.is_valid_number(number)', 'at_home', P_PATIENTS_PHONES),
    Mutant("services/patients/rpc/exports.py", '            call = replace(call, audit=AUDIT_NONE)  # It was kept when the stream was opened.\n', '', I_PATIENTS_EXPORT),
    Mutant("services/patients/rpc/exports.py", '                for part in parts[:-1]:\n                    yield pb.ExportPatientsResponse(patient_export=_part(part))\n', '                for part in parts[:-1]:\n                    yield pb.ExportPatientsResponse(patient_export=_part(part), resume_token=to_wire("patient", export.patient_id))\n', I_PATIENTS_EXPORT),
    Mutant("services/patients/store/exports.py", '.where(\n        AT_ITS_SITES_OR_BEHIND_GLASS\n    )', '', I_PATIENTS_EXPORT),
    Mutant("cli/exporting/chain.py", '            os.truncate(file, size)\n', '', I_PATIENTS_EXPORT),
    Mutant("cli/importing/state.py", '        os.truncate(self.report, size)\n', '', I_IMPORT_RESUMED),
    Mutant("cli/importing/state.py", '        if changed:\n', '        if False:\n', I_IMPORT_RESUMED),
    Mutant("cli/importing/batches.py", '        while len(self._flying) >= IN_FLIGHT_MAX:\n', '        while False:\n', I_IMPORT_RESUMED),
    Mutant("cli/importing/batches.py", '            if len(rows) == 1:\n', '            if True:\n', I_IMPORT_RESUMED),
    Mutant("cli/importing/records.py", '        if len(content) > RECORD_BYTES_MAX:\n', '        if False:\n', I_IMPORT_CSV),
    Mutant("cli/importing/columns.py", '    return printable[:COLUMN_SHOWN_MAX] or "(empty)"\n', '    return name\n', I_IMPORT_CSV),
]  # fmt: skip
