"""ChainService and LegalEntityService."""

from atoll.scheduling.v1 import chain_service_pb2 as chain_pb
from atoll.scheduling.v1 import legal_entity_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from services.scheduling import use_cases
from services.scheduling.domain.sites import Chain, LegalEntity
from services.scheduling.store import SchedulingStore


class ChainServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateChain(self, request: chain_pb.CreateChainRequest, call: Call) -> chain_pb.CreateChainResponse:
        async def work(store: SchedulingStore) -> chain_pb.CreateChainResponse:
            chain = Chain(call.chain_id, request.display_name)
            await use_cases.register_chain(store, chain)
            return chain_pb.CreateChainResponse(chain=_chain(chain))

        return await self._db.once(call, request, chain_pb.CreateChainResponse, SchedulingStore, work)

    async def GetChain(self, request: chain_pb.GetChainRequest, call: Call) -> chain_pb.GetChainResponse:
        chain = await self._db.read(call, request, SchedulingStore, lambda store: store.chain())
        return chain_pb.GetChainResponse(chain=_chain(chain))


class LegalEntityServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateLegalEntity(self, request: pb.CreateLegalEntityRequest, call: Call) -> pb.CreateLegalEntityResponse:
        async def work(store: SchedulingStore) -> pb.CreateLegalEntityResponse:
            entity = LegalEntity(new_id(), request.display_name)
            await use_cases.register_legal_entity(store, entity)
            return pb.CreateLegalEntityResponse(legal_entity=_entity(entity))

        return await self._db.once(call, request, pb.CreateLegalEntityResponse, SchedulingStore, work)

    async def UpdateLegalEntity(self, request: pb.UpdateLegalEntityRequest, call: Call) -> pb.UpdateLegalEntityResponse:
        told = request.legal_entity
        id, version = from_wire("legalentity", told.id), from_etag(told.etag)

        async def work(store: SchedulingStore) -> pb.UpdateLegalEntityResponse:
            changed = await use_cases.change_legal_entity(store, id, version, told.display_name)
            return pb.UpdateLegalEntityResponse(legal_entity=_entity(changed))

        return await self._db.once(call, request, pb.UpdateLegalEntityResponse, SchedulingStore, work)

    async def GetLegalEntity(self, request: pb.GetLegalEntityRequest, call: Call) -> pb.GetLegalEntityResponse:
        id = from_wire("legalentity", request.legal_entity_id)
        entity = await self._db.read(call, request, SchedulingStore, lambda store: store.legal_entity(id))
        return pb.GetLegalEntityResponse(legal_entity=_entity(entity))

    async def ListLegalEntities(self, request: pb.ListLegalEntitiesRequest, call: Call) -> pb.ListLegalEntitiesResponse:
        page = Page.of(request, call)
        found = await self._db.read(call, request, SchedulingStore, lambda store: store.legal_entities(page))
        entities, token = page.cut(found, key=lambda entity: [str(entity.id)])
        return pb.ListLegalEntitiesResponse(legal_entities=map(_entity, entities), next_page_token=token)


def _chain(chain: Chain) -> chain_pb.Chain:
    return chain_pb.Chain(id=to_wire("chain", chain.id), display_name=chain.display_name)


def _entity(entity: LegalEntity) -> pb.LegalEntity:
    return pb.LegalEntity(
        id=to_wire("legalentity", entity.id), display_name=entity.display_name, etag=to_etag(entity.version)
    )
