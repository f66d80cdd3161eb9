"""Accesses to a patient's data, and what they are called."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

CHANGE = "AUDIT_CHANGE"


class AccessKind(StrEnum):
    READ_RECORD = "READ_RECORD"
    SEARCHED = "SEARCHED"
    CHANGED = "CHANGED"
    IMPORTED = "IMPORTED"
    EXPORTED = "EXPORTED"
    BROKE_GLASS = "BROKE_GLASS"
    READ_CONTACTS = "READ_CONTACTS"
    READ_ACCESSES = "READ_ACCESSES"


BY_NAME = {
    "BreakGlass": AccessKind.BROKE_GLASS,
    "GetContactDetails": AccessKind.READ_CONTACTS,
    "ListAccesses": AccessKind.READ_ACCESSES,
    "ListGlassBreaks": AccessKind.READ_ACCESSES,
    "SearchAudit": AccessKind.READ_ACCESSES,
    "ListDuplicates": AccessKind.SEARCHED,
}
BY_VERB = {
    "Import": AccessKind.IMPORTED,
    "Export": AccessKind.EXPORTED,
    "Search": AccessKind.SEARCHED,
    "Find": AccessKind.SEARCHED,
    "Score": AccessKind.SEARCHED,
}


@dataclass(frozen=True, slots=True)
class Access:
    position: int  # Of its audit row.
    at: datetime
    actor: str
    method: str  # Full name of the RPC.
    audit: str  # AUDIT_CHANGE or AUDIT_PHI_READ.
    cause: str
    roles: tuple[str, ...]
    site_ids: tuple[str, ...]  # As the audit row has them.
    beside_another: bool = False  # Another record was made or changed, and this one shown as a likely duplicate of it.

    @property
    def kind(self) -> AccessKind:
        if self.beside_another:
            return AccessKind.SEARCHED
        name = self.method.rpartition(".")[2]
        if name in BY_NAME:
            return BY_NAME[name]
        by_verb = (kind for verb, kind in BY_VERB.items() if name.startswith(verb))
        return next(by_verb, AccessKind.CHANGED if self.audit == CHANGE else AccessKind.READ_RECORD)
