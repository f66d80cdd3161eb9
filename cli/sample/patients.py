"""Patients for the sample chain: generated ones as FHIR, which are imported like anybody's."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from cli.fhir.codes import ROLE_SYSTEM

GIVEN = (
    "Alfa", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "India", "Juliett", "Kilo", "Lima", "Mike",
    "November", "Oscar", "Papa", "Quebec", "Romeo", "Sierra", "Tango", "Uniform", "Victor", "Whiskey", "Xray", "Yankee",
    "Zulu",
)  # fmt: skip
FAMILY = ("Sample", "Muster", "Ejemplo", "Exemple", "Esempio")  # "Sample" in five languages.
LANGUAGES = ("en-US", "en-US", "es-US", "en-US")
OLDEST = date(1950, 2, 28)
SYSTEM = "https://atoll.test/sample"
COUNT = 40
SITES = 5


def write_patients(folder: Path, count: int = COUNT) -> Path:
    """An NDJSON file of FHIR R4 Patient resources; the same ones each time."""
    path = folder / "patients.ndjson"
    path.write_text("".join(json.dumps(patient) + "\n" for patient in patients(count)))
    return path


def patients(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        given, family = GIVEN[number % len(GIVEN)], FAMILY[number % len(FAMILY)]
        yield {
            "resourceType": "Patient",
            "id": f"sample-{number:03d}",
            "identifier": [{"system": SYSTEM, "value": f"{number:03d}"}],
            "name": [{"use": "official", "given": [given], "family": family}],
            "telecom": [{"system": "phone", "use": "mobile", "value": f"+1505555{100 + number:04d}"}],
            "gender": ("female", "male", "other")[number % 3],
            "birthDate": (OLDEST + timedelta(days=331 * number)).isoformat(),
            "communication": [{"language": {"coding": [{"code": LANGUAGES[number % len(LANGUAGES)]}]}}],
            "contact": [escort(number)] if number // SITES % 2 == 0 else [],
        }


def escort(number: int) -> dict[str, Any]:
    """Who takes the patient home. At each site every second patient has nobody: the messages say so."""
    return {
        "relationship": [{"coding": [{"system": ROLE_SYSTEM, "code": "escort"}]}],
        "name": {"text": f"Escort {FAMILY[number % len(FAMILY)]}"},
        "telecom": [
            {"system": "phone", "value": f"+1505556{100 + number:04d}"},
            {"system": "email", "value": f"escort-{number:03d}@example.org"},
        ],
    }
