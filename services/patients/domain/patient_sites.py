"""Sites that may see a record: added by a site that needs it, removed while nothing of it was written there."""

from dataclasses import dataclass
from uuid import UUID

from chassis.errors import DomainError, Kind
from services.patients.domain.changes import FieldChange, NewChange


class PatientSiteThere(DomainError):
    kind, reason, message = Kind.CONFLICT, "PATIENT_SITE_THERE", "the site may see the record already"


class PatientSiteNotFound(DomainError):
    kind, reason, message = Kind.NOT_FOUND, "PATIENT_SITE_NOT_FOUND", "the site is none of those that see the record"


class PatientSiteIsHome(DomainError):
    kind, reason, message = Kind.CONFLICT, "PATIENT_SITE_IS_HOME", "the home site always may see the record"


class PatientSiteInUse(DomainError):
    kind, reason = Kind.CONFLICT, "PATIENT_SITE_IN_USE"
    message = "the site wrote parts of the record, and has to be able to produce them"


@dataclass(frozen=True, slots=True)
class PatientSite:
    """How a site stands to a record, whether or not it may see it."""

    patient_id: UUID
    site_id: UUID
    home_site_ids: frozenset[UUID]  # Of all records of the person: each keeps its own when they are taken apart.
    version: int  # Of the record.
    seen: bool

    def added(self, reason: str) -> NewChange:
        if self.seen:
            raise PatientSiteThere()
        return self._change(FieldChange("site_ids", None, [self.site_id]), reason)

    def removed(self, reason: str) -> NewChange:
        if self.site_id in self.home_site_ids:
            raise PatientSiteIsHome()
        if not self.seen:
            raise PatientSiteNotFound()
        return self._change(FieldChange("site_ids", [self.site_id], None), reason)

    def _change(self, change: FieldChange, reason: str) -> NewChange:
        return NewChange(self.patient_id, self.version + 1, self.site_id, (change,), reason)
