"""What was read of one patient in a file of another system. Pure; no remark repeats what stands in the file."""

from dataclasses import dataclass, field

from atoll.patients.v1.patient_pb2 import Patient


@dataclass(frozen=True, slots=True)
class Remark:
    field: str  # Path in the source: "identifier[2]" of FHIR, the column of a table.
    rule: str
    description: str


@dataclass(slots=True)
class Reading:
    """A patient of the source, as a row."""

    patient: Patient = field(default_factory=Patient)
    faults: list[Remark] = field(default_factory=list)
    """Why it cannot be sent."""
    notes: list[Remark] = field(default_factory=list)
    """What is not taken of it."""
    paths: dict[str, str] = field(default_factory=dict)
    """Where a part of the row stood: "contact_points[0]" → "telecom[0]"."""
    source_id: str = ""
    """What the source's own system calls the record."""
    home_site: str = ""
    """Code or id of a site, where the source names one."""

    def fault(self, path: str, rule: str, description: str) -> None:
        self.faults.append(Remark(path, rule, description))

    def note(self, path: str, rule: str, description: str) -> None:
        self.notes.append(Remark(path, rule, description))

    def path_of(self, part: str) -> str:
        """Of a part that the API names, the path in the source."""
        for ours, theirs in self.paths.items():
            if part == ours or part.startswith((f"{ours}.", f"{ours}[")):
                return theirs + part[len(ours) :]
        return part
