"""FHIR R4, both ways: documents to rows of an import, and the codes that an export writes as an import reads them."""

from cli.fhir.documents import Found, NotFhir, read_document
from cli.fhir.patients import read_patient
from cli.readings import Reading, Remark

__all__ = ["Found", "NotFhir", "Reading", "Remark", "read_document", "read_patient"]
