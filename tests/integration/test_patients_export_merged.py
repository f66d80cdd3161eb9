"""Merged records leave with the one that stands for them, linked, and come back as the one person they are."""

import json
from pathlib import Path
from typing import Any

from atoll.patients.v1.patient_pb2 import Patient
from chassis.ids import new_id
from cli.exporting.chain import ChainExport
from cli.exporting.command import patient_lines
from cli.fhir.links import Replaced
from cli.importing import Outcome, Report
from tests.integration.test_import_fhir import imported
from tests.integration.test_patients_export import client, exported, written
from tests.support.fhir import check_resource
from tests.support.patients import Desk, desk
from tests.support.patients_access import accesses
from tests.support.patients_merges import Merges, merges
from tests.support.patients_parts import of_patient

__all__ = ["desk", "merges"]

ZOE: dict[str, Any] = {
    "given_names": ["Zoe"],
    "identifiers": [{"system": "urn:old", "value": "77777"}],
    "contact_points": [{"system": "CONTACT_SYSTEM_EMAIL", "value": "zoe@example.org"}],
}


def fhir(patient_id: str) -> str:
    return patient_id.replace("_", "-")


def link(type_: str, patient_id: str) -> dict[str, Any]:
    return {"other": {"reference": f"Patient/{fhir(patient_id)}"}, "type": type_}


def subjects(resources: list[dict[str, Any]]) -> set[str]:
    """What entries refer to."""
    found = (each.get("subject") or each.get("patient") for each in resources if each["resourceType"] != "Patient")
    return {each["reference"] for each in found if each}


async def test_the_export_of_one_holds_what_the_merged_records_tell(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create(**ZOE)
    await merges.merge(survivor, merged)
    for id, token in (
        (merged.id, None),
        (survivor.id, of_patient(desk, survivor.id)),
        (merged.id, of_patient(desk, merged.id)),
    ):
        [part] = await exported(desk, id, token)
        assert part.patient == await desk.get(survivor.id)
        [theirs] = part.merged_patients
        assert (theirs.id, theirs.mrn, theirs.survivor_patient_id) == (merged.id, merged.mrn, survivor.id)
        assert (theirs.given_names, theirs.identifiers) == (merged.given_names, merged.identifiers)
        assert theirs.contact_points == merged.contact_points


async def test_of_one_person_every_reference_is_to_a_record_of_the_file(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create(**ZOE)
    await desk.screen(merged.id)
    await merges.merge(survivor, merged)
    await desk.screen(survivor.id)
    lines = [json.loads(line) async for line in patient_lines(client(desk), survivor.id)]
    for line in lines:
        check_resource(line)
    first, second = (line for line in lines if line["resourceType"] == "Patient")
    assert (first["id"], first["link"], "active" in first) == (
        fhir(survivor.id), [link("replaces", merged.id)], False,
    )  # fmt: skip
    assert (second["id"], second["link"], second["active"]) == (
        fhir(merged.id), [link("replaced-by", survivor.id)], False,
    )  # fmt: skip
    assert second["telecom"] == [{"system": "email", "value": "zoe@example.org"}]
    assert subjects(lines) == {f"Patient/{each['id']}" for each in (first, second)}


async def test_an_export_of_one_is_in_the_report_of_each_merged_record(desk: Desk, merges: Merges) -> None:
    survivor, merged = await desk.create(), await desk.create(**ZOE)
    await merges.merge(survivor, merged)
    await exported(desk, survivor.id)
    await merges.unmerge(merged.id)
    found = (await accesses(desk, merged.id)).accesses
    assert [each.method.rpartition(".")[2] for each in found].count("ExportPatient") == 1


async def test_a_chain_is_exported_with_each_record_once_and_linked(desk: Desk, merges: Merges, tmp_path: Path) -> None:
    survivor, merged = await desk.create(), await desk.create(**ZOE)
    await merges.merge(survivor, merged)
    await ChainExport(tmp_path, {}).run(client(desk))
    found = written(tmp_path)["Patient"]
    assert [(each["id"], each["link"]) for each in found] == [
        (fhir(survivor.id), [link("replaces", merged.id)]),
        (fhir(merged.id), [link("replaced-by", survivor.id)]),
    ]


async def in_another_chain(desk: Desk) -> None:
    chain_id = new_id()
    await desk.service.admin.execute("INSERT INTO site VALUES ($1, $2, 'America/Denver')", chain_id, desk.site_id)
    desk.service.chain_id = chain_id


async def merged_with(desk: Desk, merges: Merges, folder: Path, **changes: Any) -> list[Patient]:
    """A survivor and a record merged into it, which is the older one, exported with their chain into `folder`."""
    merged, survivor = await desk.create(**ZOE | changes), await desk.create()
    await merges.merge(survivor, merged)
    await ChainExport(folder, {}).run(client(desk))
    return [survivor, merged]


def told(report: Report) -> list[tuple[str, list[str]]]:
    return [(each.outcome.value, [one.rule for one in (*each.faults, *each.notes)]) for each in report.entries]


async def test_what_was_merged_comes_into_another_chain_as_one_patient(
    desk: Desk, merges: Merges, tmp_path: Path
) -> None:
    survivor, merged = await merged_with(desk, merges, tmp_path, deceased=True)
    await in_another_chain(desk)
    report = await imported(desk, tmp_path)
    patients = [(each.outcome.value, each.source_id) for each in report.entries if each.outcome is not Outcome.SKIPPED]
    assert patients == [("taken into another", fhir(merged.id)), ("created", fhir(survivor.id))]
    [id] = report.patient_ids
    found = await desk.get(id)
    assert (list(found.given_names), found.mrn, found.deceased) == (["Ana"], survivor.mrn, True)
    assert [list(each.given_names) for each in found.former_names] == [["Zoe"]]
    assert [each.value for each in found.contact_points] == ["zoe@example.org"]
    assert [(each.system, each.value) for each in found.identifiers] == [
        ("urn:atoll:patient", survivor.id), ("urn:old", "77777"), ("urn:atoll:mrn", merged.mrn),
    ]  # fmt: skip
    assert await desk.found("zoe") == ["Ana"]


async def test_what_was_merged_is_imported_twice_as_once_wherever(desk: Desk, merges: Merges, tmp_path: Path) -> None:
    await merged_with(desk, merges, tmp_path)
    again: list[tuple[str, list[str]]] = [("taken into another", []), ("already there", [])]
    assert told(await imported(desk, tmp_path / "Patient.ndjson")) == again
    await in_another_chain(desk)
    assert told(await imported(desk, tmp_path / "Patient.ndjson")) == [again[0], ("created", [])]
    assert told(await imported(desk, tmp_path / "Patient.ndjson")) == again


async def test_what_a_chain_exported_is_there_already_when_it_is_imported_again(
    desk: Desk, merges: Merges, tmp_path: Path
) -> None:
    await merged_with(desk, merges, tmp_path, identifiers=[])
    await desk.create(given_names=["Eva"])
    await ChainExport(tmp_path / "again", {}).run(client(desk))
    for folder in (tmp_path, tmp_path / "again"):
        report = await imported(desk, folder / "Patient.ndjson")
        assert {outcome for outcome, _ in told(report)} == {"taken into another", "already there"}
    assert await desk.service.count("patient") == 3


async def test_an_address_that_both_records_have_is_as_confidential_as_either_says(
    desk: Desk, merges: Merges, tmp_path: Path
) -> None:
    point = {"system": "CONTACT_SYSTEM_EMAIL", "value": "zoe@example.org"}
    merged = await desk.create(contact_points=[point | {"confidential": True}])
    survivor = await desk.create(contact_points=[point])
    await merges.merge(survivor, merged)
    await ChainExport(tmp_path, {}).run(client(desk))
    await in_another_chain(desk)
    [id] = (await imported(desk, tmp_path)).patient_ids
    assert [each.confidential for each in (await desk.get(id)).contact_points] == [True]


async def test_a_replaced_record_without_the_one_that_replaces_it_is_refused(
    desk: Desk, merges: Merges, tmp_path: Path
) -> None:
    await merged_with(desk, merges, tmp_path / "out")
    merged, survivor = (json.loads(line) for line in (tmp_path / "out" / "Patient.ndjson").read_text().splitlines())
    await in_another_chain(desk)
    for name, resources in (("alone", [merged]), ("silent", [merged, {**survivor, "link": []}])):
        file = tmp_path / f"{name}.ndjson"
        file.write_text("\n".join(map(json.dumps, resources)))
        assert told(await imported(desk, file))[0] == ("refused", ["SURVIVOR_MISSING"])


async def test_what_the_other_record_has_no_place_for_is_told(desk: Desk, merges: Merges, tmp_path: Path) -> None:
    born = {"year": 1981, "month": 5, "day": 17}
    await merged_with(desk, merges, tmp_path, birth_date=born, time_zone="America/Phoenix")
    await in_another_chain(desk)
    report = await imported(desk, tmp_path / "Patient.ndjson")
    assert told(report)[1] == ("created", ["REPLACED_NOT_TAKEN"] * 2)


def test_records_that_replace_each_other_are_both_refused() -> None:
    a, b = ({"id": id, "link": [link("replaces", other), link("replaced-by", other)]} for id, other in ("ab", "ba"))
    assert [Replaced([a, b]).survivor(id) for id in "ab"] == ["", ""]


def test_a_record_is_taken_into_the_last_that_replaces_it() -> None:
    a, b, c = (
        {"id": "a", "link": [link("replaced-by", "b")]},
        {"id": "b", "link": [link("replaces", "a"), link("replaced-by", "c")]},
        {"id": "c", "link": [link("replaces", "b")]},
    )
    assert Replaced([a, b, c]).of("c") == [a, b]
