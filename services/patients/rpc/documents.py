"""Consent documents."""

from atoll.patients.v1 import consent_document_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import from_date, to_date, to_timestamp
from services.patients.domain.documents import (
    ConsentDocument,
    ConsentText,
    DocumentVersion,
    TextFormat,
    language_tag,
    nearest_language,
)
from services.patients.store import PatientsStore
from services.patients.use_cases import documents as use_cases

VERSIONS_MAX = 100


class ConsentDocumentServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateConsentDocument(
        self, request: pb.CreateConsentDocumentRequest, call: Call
    ) -> pb.CreateConsentDocumentResponse:
        document = ConsentDocument(
            id=new_id(),
            code=request.code,
            state=request.state_code,
            display_name=request.display_name.strip(),
            guarantor_may_sign=request.guarantor_may_sign,
            created_at=call.now,
        )

        async def work(store: PatientsStore) -> pb.CreateConsentDocumentResponse:
            store.add_document(document)
            return pb.CreateConsentDocumentResponse(consent_document=_document(document))

        return await self._db.once(call, request, pb.CreateConsentDocumentResponse, PatientsStore, work)

    async def PublishConsentDocumentVersion(
        self, request: pb.PublishConsentDocumentVersionRequest, call: Call
    ) -> pb.PublishConsentDocumentVersionResponse:
        document_id = from_wire("consentdocument", request.consent_document_id)
        texts = [_read_text(text) for text in request.texts]
        effective_date = from_date(request.effective_date, "effective_date")

        async def work(store: PatientsStore) -> pb.PublishConsentDocumentVersionResponse:
            version = await use_cases.publish_version(
                store,
                document_id,
                texts,
                effective_date,
                earlier_signatures_stay_good=request.earlier_signatures_stay_good,
            )
            return pb.PublishConsentDocumentVersionResponse(consent_document_version=_version(version))

        return await self._db.once(call, request, pb.PublishConsentDocumentVersionResponse, PatientsStore, work)

    async def RetireConsentDocument(
        self, request: pb.RetireConsentDocumentRequest, call: Call
    ) -> pb.RetireConsentDocumentResponse:
        document_id = from_wire("consentdocument", request.consent_document_id)

        async def work(store: PatientsStore) -> pb.RetireConsentDocumentResponse:
            retired = await use_cases.retire_document(store, document_id)
            return pb.RetireConsentDocumentResponse(consent_document=_document(retired))

        return await self._db.once(call, request, pb.RetireConsentDocumentResponse, PatientsStore, work)

    async def GetConsentDocument(
        self, request: pb.GetConsentDocumentRequest, call: Call
    ) -> pb.GetConsentDocumentResponse:
        document_id = from_wire("consentdocument", request.consent_document_id)
        published = await self._db.read(call, request, PatientsStore, lambda store: store.document(document_id))
        versions = published.versions[-VERSIONS_MAX:]
        return pb.GetConsentDocumentResponse(
            consent_document=_document(published.document), versions=[_version(each) for each in reversed(versions)]
        )

    async def GetConsentDocumentVersion(
        self, request: pb.GetConsentDocumentVersionRequest, call: Call
    ) -> pb.GetConsentDocumentVersionResponse:
        version_id = from_wire("consentdocumentversion", request.consent_document_version_id)

        async def work(store: PatientsStore) -> tuple[DocumentVersion, ConsentText]:
            version = await store.version(version_id)
            return version, await store.text(version_id, nearest_language(version.languages, request.language_code))

        version, text = await self._db.read(call, request, PatientsStore, work)
        return pb.GetConsentDocumentVersionResponse(
            consent_document_version=_version(version),
            text=pb.ConsentText(
                language_code=text.language,
                format=pb.ConsentTextFormat.Value(f"CONSENT_TEXT_FORMAT_{text.format}"),
                content=text.content,
            ),
            content_hash=text.content_hash,
        )

    async def ListConsentDocuments(
        self, request: pb.ListConsentDocumentsRequest, call: Call
    ) -> pb.ListConsentDocumentsResponse:
        page = Page.of(request, call)
        found = await self._db.read(call, request, PatientsStore, lambda store: store.documents(page.after, page.limit))
        kept, token = page.cut(found, key=lambda each: [each.code, each.state])
        return pb.ListConsentDocumentsResponse(
            consent_documents=[_document(each) for each in kept], next_page_token=token
        )


def _read_text(text: pb.ConsentText) -> ConsentText:
    name = pb.ConsentTextFormat.Name(text.format).removeprefix("CONSENT_TEXT_FORMAT_")
    return ConsentText(language_tag(text.language_code), TextFormat(name), text.content)


def _document(document: ConsentDocument) -> pb.ConsentDocument:
    return pb.ConsentDocument(
        id=to_wire("consentdocument", document.id),
        code=document.code,
        state_code=document.state,
        display_name=document.display_name,
        guarantor_may_sign=document.guarantor_may_sign,
        create_time=to_timestamp(document.created_at),
        retire_time=to_timestamp(document.retired_at) if document.retired_at else None,
        retired_by=document.retired_by or "",
    )


def _version(version: DocumentVersion) -> pb.ConsentDocumentVersion:
    return pb.ConsentDocumentVersion(
        id=to_wire("consentdocumentversion", version.id),
        consent_document_id=to_wire("consentdocument", version.document_id),
        number=version.number,
        effective_date=to_date(version.effective_date),
        earlier_signatures_stay_good=version.earlier_signatures_stay_good,
        language_codes=version.languages,
        publish_time=to_timestamp(version.published_at),
        published_by=version.published_by,
    )
