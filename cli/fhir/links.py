"""FHIR's Patient.link between records of one person, one of which replaces the others. Pure.

A link counts where both records tell it: an id alone may be another record's, of another file.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from atoll.patients.v1.patient_pb2 import FormerName, Identifier, Patient
from cli.fhir import codes
from cli.fhir.elements import dict_of, dicts_of, text_of
from cli.fhir.patients import read_patient
from cli.readings import Reading

MARK = b'"replace'
"""Stands in a document that has such a link, and in hardly any other."""
LISTS = {"identifiers": 10, "contact_points": 20, "former_names": 10, "related_persons": 10}
"""Of a patient, with how many of each the API takes."""
VALUES = ("prefix", "gender", "gender_identity", "language", "time_zone")
"""Of which a patient has one."""
_PATIENT = re.compile(r"(?:.*/)?Patient/([A-Za-z0-9.-]{1,64})")
Resource = Mapping[str, Any]


def is_replaced(resource: Resource) -> bool:
    return any(_linked(resource, codes.REPLACED_BY))


class Replaced:
    """The records among some that others of them replace."""

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        gone, told = list[tuple[str, str, Resource]](), set[tuple[str, str]]()
        for each in resources:
            id = text_of(each.get("id"))
            gone += ((id, by, each) for by in _linked(each, codes.REPLACED_BY))
            told |= {(other, id) for other in _linked(each, codes.REPLACES)}
        agreed = [(id, by, each) for id, by, each in gone if (id, by) in told]
        self._by = {id: by for id, by, _ in agreed}
        self._of = defaultdict[str, list[Resource]](list)
        for id, _, resource in agreed:
            if survivor := self.survivor(id):
                self._of[survivor].append(resource)

    def survivor(self, id: str) -> str:
        """Which record stands for it at last. Empty, if none does."""
        seen, by = {id}, self._by.get(id, "")
        while by in self._by:
            if by in seen:
                return ""  # They replace each other.
            seen.add(by)
            by = self._by[by]
        return by

    def of(self, id: str) -> Sequence[Resource]:
        """Those that it stands for."""
        return self._of.get(id, ())


def _linked(resource: Resource, type_: str) -> Iterator[str]:
    """Ids of the records that it is linked to so."""
    for link in dicts_of(resource.get("link")):
        found = _PATIENT.fullmatch(text_of(dict_of(link.get("other")).get("reference")))
        if link.get("type") == type_:
            yield found[1] if found else ""


def take_in(reading: Reading, replaced: Resource) -> None:
    """What a record that is replaced tells becomes part of the one that replaces it. What that has no place for is told
    as a note."""
    ours, theirs = reading.patient, read_patient(replaced).patient
    _take_values(reading, ours, theirs)
    _take_points(reading, ours, theirs)
    _add(reading, "identifiers", _identifiers(theirs))
    _add(reading, "former_names", _names(ours, theirs))
    _add(reading, "related_persons", theirs.related_persons)


def _take_values(reading: Reading, ours: Patient, theirs: Patient) -> None:
    for name in VALUES:
        if getattr(theirs, name) and not getattr(ours, name):
            setattr(ours, name, getattr(theirs, name))
    for name in (*VALUES, "birth_date"):
        if getattr(theirs, name) and getattr(ours, name) != getattr(theirs, name):
            _leave_out(reading, f"{name} is another")
    ours.deceased = ours.deceased or theirs.deceased
    if theirs.HasField("deceased_date") and not ours.HasField("deceased_date"):
        ours.deceased_date.CopyFrom(theirs.deceased_date)
    if theirs.HasField("self_pay_declaration") and not ours.HasField("self_pay_declaration"):
        ours.self_pay_declaration.CopyFrom(theirs.self_pay_declaration)


def _take_points(reading: Reading, ours: Patient, theirs: Patient) -> None:
    """An address that both have is as confidential as either says."""
    known = {(point.system, point.value): point for point in ours.contact_points}
    for point in theirs.contact_points:
        if (found := known.get((point.system, point.value))) is not None:
            found.confidential = found.confidential or point.confidential
            found.verified = found.verified or point.verified
    _add(reading, "contact_points", (each for each in theirs.contact_points if (each.system, each.value) not in known))


def _identifiers(theirs: Patient) -> Iterator[Identifier]:
    """The record number is one, too: it stands on paper."""
    yield from theirs.identifiers
    if theirs.mrn:
        yield Identifier(system=codes.MRN_SYSTEM, value=theirs.mrn)


def _names(ours: Patient, theirs: Patient) -> Iterator[FormerName]:
    """By which a search is to find the person."""
    name = FormerName(given_names=theirs.given_names, family_name=theirs.family_name)
    if name != FormerName(given_names=ours.given_names, family_name=ours.family_name):
        yield name
    if theirs.preferred_name not in ("", ours.preferred_name):
        yield FormerName(given_names=[theirs.preferred_name])
    yield from theirs.former_names


def _add(reading: Reading, name: str, theirs: Iterable[Any]) -> None:
    kept = getattr(reading.patient, name)
    for each in theirs:
        if each in kept:
            continue
        if len(kept) == LISTS[name]:
            _leave_out(reading, f"{name} are more than a record holds")
            return
        reading.paths[f"{name}[{len(kept)}]"] = "link"
        kept.append(each)


def _leave_out(reading: Reading, why: str) -> None:
    reading.note("link", "REPLACED_NOT_TAKEN", f"not all of a record that it replaces is taken: {why}")
