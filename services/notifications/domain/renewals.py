"""Documents that a patient is to sign anew. Pure."""

from dataclasses import dataclass
from uuid import UUID, uuid5

from chassis.ids import to_wire
from services.notifications.domain.matters import Matter, MatterKind


@dataclass(frozen=True, slots=True)
class Renewal:
    patient_id: UUID
    document_id: UUID
    version_id: UUID
    number: int
    site_ids: tuple[UUID, ...]
    """Where it is to be signed."""

    @property
    def matter_id(self) -> UUID:
        """One for each patient and version, so that it is told once."""
        return uuid5(self.version_id, str(self.patient_id))

    def matter(self, site_id: UUID) -> Matter:
        about = to_wire("consentdocumentversion", self.version_id)
        return Matter(self.matter_id, MatterKind.CONSENT, site_id, self.patient_id, about=about)
