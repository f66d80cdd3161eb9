"""Merged records leave with the one that stands for them, linked, and come back as the one person they are."""

import json
from pathlib import Path
from typing import Any

from cli.exporting.chain import ChainExport
from cli.exporting.command import patient_lines
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
