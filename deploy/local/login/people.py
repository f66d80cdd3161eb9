"""Whom one may sign in as: the roles and sites of the sample chain, and its patients as the API finds them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from atoll.common.v1.access_pb2 import Role
from deploy.local.issuer import EVERYTHING, Issuer
from deploy.local.login.protocol import Person

SEARCH_S = 10.0
FOUND_MAX = 12
ELSEWHERE = ("ROLE_UNSPECIFIED", "ROLE_PATIENT", "ROLE_SERVICE")
ROLES = {name: name.removeprefix("ROLE_").replace("_", " ").capitalize() for name in Role.keys()}  # noqa: SIM118
STAFF_ROLES = {name: text for name, text in ROLES.items() if name not in ELSEWHERE}


@dataclass(frozen=True, slots=True)
class PatientFound:
    id: str
    name: str
    birth_date: str
    site: str


class People:
    def __init__(self, sites_file: Path, edge_url: str, issuer: Issuer) -> None:
        self._file, self._issuer, self.edge = sites_file, issuer, edge_url

    @property
    def chain(self) -> str:
        """Empty until the sample is loaded."""
        return str(self._sample().get("chain_id", ""))

    @property
    def sites(self) -> Mapping[str, str]:
        """Id by code."""
        return dict(self._sample().get("sites", {}))

    def patients(self, name: str) -> Sequence[PatientFound] | None:
        """Some of those whose names begin so; None while the API does not answer."""
        if not self.chain or not name.strip():
            return []
        token = self._issuer.token("login", self.chain, {"ROLE_FRONT_DESK": [EVERYTHING]})
        request = Request(  # noqa: S310  # Always http on this machine.
            f"{self.edge}/v1/patients:search",
            json.dumps({"name": name, "pageSize": FOUND_MAX}).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urlopen(request, timeout=SEARCH_S) as response:  # noqa: S310
                cards = json.load(response)["cards"]
        except (URLError, OSError):
            return None
        codes = {id: code for code, id in self.sites.items()}
        return [_found(card, codes) for card in cards]

    def person(self, form: Mapping[str, Sequence[str]]) -> Person | None:
        """Of the form that was sent; None if it names nobody."""
        chain, patient = self.chain or _first(form, "chain"), _first(form, "patient")
        roles = [role for role in form.get("role", ()) if role in STAFF_ROLES]
        if not chain.startswith("chain_"):
            return None
        if patient:
            return Person(patient, _first(form, "name") or patient, chain, {"ROLE_PATIENT": [EVERYTHING]}, patient)
        subject = _first(form, "subject")
        if not roles or not subject:
            return None
        sites = list(form.get("site", ())) or [EVERYTHING]
        return Person(subject, subject, chain, {role: sites for role in roles})

    def _sample(self) -> Mapping[str, Any]:
        content: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}
        return content


def _found(card: Mapping[str, Any], codes: Mapping[str, str]) -> PatientFound:
    born = card.get("birthDate")
    return PatientFound(
        id=card["patientId"],
        name=" ".join([*card["givenNames"], card["familyName"]]).strip(),
        birth_date="{year:04d}-{month:02d}-{day:02d}".format(**born) if born else "",
        site=codes.get(card["homeSiteId"], ""),
    )


def _first(form: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(form.get(name, ())), "").strip()
