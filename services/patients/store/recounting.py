"""SQL of telling anew what a chain has published and had signed. Nothing of what signers are called is read."""

from uuid import UUID

from sqlalchemy import Uuid

from chassis.sql import Statement, param
from chassis.store import Store
from services.patients.domain.consents import Signature
from services.patients.domain.documents import PublishedDocument
from services.patients.store.consents import EVERY_SIGNATURE, signature_of
from services.patients.store.documents import EVERY_DOCUMENT, published_of
from services.patients.tables.consents import consent

SIGNATURES = Statement(
    EVERY_SIGNATURE.where(consent.c.id > param("after", Uuid)).order_by(consent.c.id).limit(param("limit"))
)


class RecountStore(Store):
    async def every_document(self) -> list[PublishedDocument]:
        """Of the chain, with its versions."""
        return published_of(await self.rows(EVERY_DOCUMENT))

    async def signatures(self, after: UUID, limit: int) -> list[Signature]:
        """In the order of their making, withdrawn ones too."""
        return [signature_of(row) for row in await self.rows(SIGNATURES, after=after, limit=limit)]
