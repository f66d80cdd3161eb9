"""SQL of consent documents, their versions and texts."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from asyncpg import Record
from sqlalchemy import ColumnElement, Select, Text, Uuid, and_, func, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from chassis.errors import NotYetKnown
from chassis.ids import to_wire
from chassis.sql import Statement, param, params, rows
from chassis.store import Settling, Store
from chassis.tables import Instant
from services.patients.domain.consents import SiteTold
from services.patients.domain.documents import (
    EVERY_STATE,
    ConsentDocument,
    ConsentDocumentNotFound,
    ConsentText,
    DocumentVersion,
    PublishedDocument,
    TextFormat,
)
from services.patients.tables.consents import consent_document, consent_document_version, consent_text
from services.patients.tables.recalls import consent_recall, recalling_chain
from services.patients.tables.records import site

CHAIN = param("chain_id", Uuid)

SITE = Statement(select(site).where(site.c.chain_id == CHAIN, site.c.id == param("site_id", Uuid)))

ADD_DOCUMENT = Settling(
    insert(consent_document).inline().values(params(*consent_document.c.keys())).cte("new_document")
)
RETIRE = Settling(
    update(consent_document)
    .where(consent_document.c.chain_id == CHAIN, consent_document.c.id == param("document_id", Uuid))
    .values(params("retired_at", "retired_by"))
    .cte("retired_document")
)
_text = rows("new_text", language=Text, format=Text, content=Text, content_hash=Text)
_new_texts = insert(consent_text).from_select(
    ["chain_id", "version_id", "language", "format", "content", "content_hash"],
    select(CHAIN, param("id", Uuid), _text.c.language, _text.c.format, _text.c.content, _text.c.content_hash),
)
_recalled_at = param("recalled_at", Instant)
_new_recall = insert(consent_recall).from_select(
    ["chain_id", "version_id", "due_at"],
    select(CHAIN, param("id", Uuid), _recalled_at).where(_recalled_at.is_not(None)),
)
_new_chain = (
    pg_insert(recalling_chain)
    .from_select(["chain_id"], select(CHAIN).where(_recalled_at.is_not(None)))
    .on_conflict_do_nothing()
)
ADD_VERSION = Settling(
    insert(consent_document_version).inline().values(params(*consent_document_version.c.keys())).cte("new_version"),
    _new_texts.cte("new_texts"),
    _new_recall.cte("new_recall"),
    _new_chain.cte("new_chain"),
)

# Documents with their versions: a row for each version, and one for a document without any.

_version_columns = [each for each in consent_document_version.c if each.name not in ("chain_id", "document_id", "id")]
_hashes = (
    select(func.jsonb_object_agg(consent_text.c.language, consent_text.c.content_hash))
    .where(consent_text.c.chain_id == CHAIN, consent_text.c.version_id == consent_document_version.c.id)
    .scalar_subquery()
)
_version_of = and_(
    consent_document_version.c.chain_id == CHAIN, consent_document_version.c.document_id == consent_document.c.id
)


def _published(*which: ColumnElement[bool]) -> Statement:
    found = (
        select(
            consent_document,
            consent_document_version.c.id.label("version_id"),
            *_version_columns,
            _hashes.label("content_hashes"),
        )
        .outerjoin_from(consent_document, consent_document_version, _version_of)
        .where(consent_document.c.chain_id == CHAIN, *which)
    )
    return Statement(found.order_by(consent_document.c.id, consent_document_version.c.number))


_earlier, _asked = consent_document.alias("asked_document"), consent_document_version.alias("asked_version")
_code_of_version = (
    select(_earlier.c.code)
    .join(_asked, and_(_asked.c.chain_id == _earlier.c.chain_id, _asked.c.document_id == _earlier.c.id))
    .where(_asked.c.chain_id == CHAIN, _asked.c.id == param("version_id", Uuid))
    .scalar_subquery()
)
_code_of_document = (
    select(_earlier.c.code)
    .where(_earlier.c.chain_id == CHAIN, _earlier.c.id == param("document_id", Uuid))
    .scalar_subquery()
)
OF_VERSIONS_CODE = _published(consent_document.c.code == _code_of_version)
OF_DOCUMENT = _published(consent_document.c.id == param("document_id", Uuid))
EVERY_DOCUMENT = _published()
IN_STATE = _published(consent_document.c.state.in_([EVERY_STATE, param("state", Text)]))


def _documents_of_code(code: ColumnElement[str]) -> Select[tuple[UUID]]:
    found = select(consent_document.c.id).where(consent_document.c.chain_id == CHAIN, consent_document.c.code == code)
    return found.order_by(consent_document.c.id)


# Whoever signs holds the documents of one code as they are; whoever publishes or retires one waits until nobody does.
HOLD_VERSIONS_CODE = Statement(_documents_of_code(_code_of_version).with_for_update(read=True, of=consent_document))
LOCK_DOCUMENTS_CODE = Statement(_documents_of_code(_code_of_document).with_for_update(of=consent_document))

_after = tuple_(param("after_code", Text), param("after_state", Text))
DOCUMENTS = Statement(
    select(consent_document)
    .where(
        consent_document.c.chain_id == CHAIN,
        tuple_(consent_document.c.code, consent_document.c.state) > _after,
    )
    .order_by(consent_document.c.code, consent_document.c.state)
    .limit(param("limit"))
)
VERSION = Statement(
    select(
        consent_document_version.c.id.label("version_id"),
        consent_document_version.c.document_id.label("id"),
        *_version_columns,
        _hashes.label("content_hashes"),
    ).where(consent_document_version.c.chain_id == CHAIN, consent_document_version.c.id == param("version_id", Uuid))
)
TEXT = Statement(
    select(consent_text).where(
        consent_text.c.chain_id == CHAIN,
        consent_text.c.version_id == param("version_id", Uuid),
        consent_text.c.language == param("language", Text),
    )
)


class DocumentStore(Store):
    async def site_told(self, site_id: UUID) -> SiteTold:
        """A site whose state was never told is not yet known: what applies there cannot be said."""
        row = await self.row(SITE, site_id=site_id)
        if row is None or not row["state"]:
            raise NotYetKnown("site", site_id)
        return SiteTold(site_id, row["state"], row["time_zone"])

    def add_document(self, new: ConsentDocument) -> None:
        self.write_last(
            ADD_DOCUMENT,
            id=new.id,
            code=new.code,
            state=new.state,
            display_name=new.display_name,
            guarantor_may_sign=new.guarantor_may_sign,
            created_at=new.created_at,
            retired_at=new.retired_at,
            retired_by=new.retired_by,
        )

    def retire_document(self, retired: ConsentDocument) -> None:
        values = {"retired_at": retired.retired_at, "retired_by": retired.retired_by}
        self.write_last(RETIRE, document_id=retired.id, **values)

    def add_version(self, new: DocumentVersion, texts: Sequence[ConsentText], recalled_at: datetime | None) -> None:
        """`recalled_at`: when earlier signers hear of it; None: nobody does."""
        self.write_last(
            ADD_VERSION,
            id=new.id,
            document_id=new.document_id,
            number=new.number,
            effective_date=new.effective_date,
            earlier_signatures_stay_good=new.earlier_signatures_stay_good,
            published_at=new.published_at,
            published_by=new.published_by,
            language=[each.language for each in texts],
            format=[each.format for each in texts],
            content=[each.content for each in texts],
            content_hash=[each.content_hash for each in texts],
            recalled_at=recalled_at,
        )

    async def documents(self, after: Sequence[str] | None, limit: int) -> list[ConsentDocument]:
        after_code, after_state = after or ("", "")
        found = await self.rows(DOCUMENTS, after_code=after_code, after_state=after_state, limit=limit)
        return [_document(row) for row in found]

    async def document(self, document_id: UUID) -> PublishedDocument:
        found = published_of(await self.rows(OF_DOCUMENT, document_id=document_id))
        if not found:
            raise ConsentDocumentNotFound(consent_document_id=to_wire("consentdocument", document_id))
        return found[0]

    async def document_to_change(self, document_id: UUID) -> PublishedDocument:
        """Until the transaction ends nobody signs, publishes or retires a document of its code."""
        await self.rows(LOCK_DOCUMENTS_CODE, document_id=document_id)
        return await self.document(document_id)

    async def documents_to_sign(self, version_id: UUID) -> list[PublishedDocument]:
        """Those of the version's code. Until the transaction ends none of them is published anew or retired."""
        await self.rows(HOLD_VERSIONS_CODE, version_id=version_id)
        if found := published_of(await self.rows(OF_VERSIONS_CODE, version_id=version_id)):
            return found
        raise _no_version(version_id)

    async def documents_in_state(self, state: str) -> list[PublishedDocument]:
        return published_of(await self.rows(IN_STATE, state=state))

    async def version(self, version_id: UUID) -> DocumentVersion:
        if row := await self.row(VERSION, version_id=version_id):
            return _version(row)
        raise _no_version(version_id)

    async def text(self, version_id: UUID, language: str) -> ConsentText:
        row = await self.row(TEXT, version_id=version_id, language=language)
        assert row
        return ConsentText(row["language"], TextFormat(row["format"]), row["content"])


def _no_version(version_id: UUID) -> ConsentDocumentNotFound:
    return ConsentDocumentNotFound(consent_document_version_id=to_wire("consentdocumentversion", version_id))


def published_of(found: Iterable[Record]) -> list[PublishedDocument]:
    """Of rows that stand in the order of documents and numbers."""
    published = list[PublishedDocument]()
    for _, group in groupby(found, key=lambda row: row["id"]):
        of_one = list(group)
        versions = tuple(_version(row) for row in of_one if row["version_id"])
        published.append(PublishedDocument(_document(of_one[0]), versions))
    return published


def _document(row: Record) -> ConsentDocument:
    return ConsentDocument(
        id=row["id"],
        code=row["code"],
        state=row["state"],
        display_name=row["display_name"],
        guarantor_may_sign=row["guarantor_may_sign"],
        created_at=row["created_at"],
        retired_at=row["retired_at"],
        retired_by=row["retired_by"],
    )


def _version(row: Record) -> DocumentVersion:
    return DocumentVersion(
        id=row["version_id"],
        document_id=row["id"],
        number=row["number"],
        effective_date=row["effective_date"],
        earlier_signatures_stay_good=row["earlier_signatures_stay_good"],
        content_hashes=tuple(sorted(json.loads(row["content_hashes"]).items())),
        published_at=row["published_at"],
        published_by=row["published_by"],
    )
