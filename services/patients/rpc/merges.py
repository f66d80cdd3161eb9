"""Merges."""

from uuid import UUID

from atoll.patients.v1 import merge_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.etags import from_etag
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.patients.domain.merges import Merge, Written
from services.patients.store import PatientsStore
from services.patients.use_cases import merges as use_cases
from services.patients.use_cases.merges import MergePatients, merge_lock

WRITTEN_AT_ONCE = 50
KINDS = {"ADVERSE_EVENT": "adverseevent"}
"""Kinds of ids that are not called as what they name."""


class MergeServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def MergePatients(self, request: pb.MergePatientsRequest, call: Call) -> pb.MergePatientsResponse:
        command = MergePatients(
            survivor_id=from_wire("patient", request.patient_id),
            survivor_version=from_etag(request.etag),
            merged_id=from_wire("patient", request.merged_patient_id),
            merged_version=from_etag(request.merged_etag),
            reason=request.reason.strip(),
        )

        async def work(store: PatientsStore) -> pb.MergePatientsResponse:
            return pb.MergePatientsResponse(merge=_merge(await use_cases.merge_patients(store, command)))

        locks = [merge_lock(call.chain_id), command.survivor_id, command.merged_id]
        return await self._db.once(call, request, pb.MergePatientsResponse, PatientsStore, work, locks=locks)

    async def UnmergePatients(self, request: pb.UnmergePatientsRequest, call: Call) -> pb.UnmergePatientsResponse:
        merged_id, reason = from_wire("patient", request.merged_patient_id), request.reason.strip()

        async def work(store: PatientsStore) -> pb.UnmergePatientsResponse:
            ended = await use_cases.unmerge_patients(store, merged_id, reason)
            found = await store.written_while(ended, None, WRITTEN_AT_ONCE + 1)
            return pb.UnmergePatientsResponse(
                merge=_merge(ended), written=map(_written, found[:WRITTEN_AT_ONCE]), more=len(found) > WRITTEN_AT_ONCE
            )

        locks = [merge_lock(call.chain_id), merged_id]
        return await self._db.once(call, request, pb.UnmergePatientsResponse, PatientsStore, work, locks=locks)

    async def ListMerges(self, request: pb.ListMergesRequest, call: Call) -> pb.ListMergesResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)
        before = UUID(page.after[0]) if page.after else None
        found = await self._db.read(
            call, request, PatientsStore, lambda store: store.merges(patient_id, before, page.limit)
        )
        kept, token = page.cut(found, key=lambda each: [str(each.id)])
        return pb.ListMergesResponse(merges=map(_merge, kept), next_page_token=token)

    async def ListWrittenWhileMerged(
        self, request: pb.ListWrittenWhileMergedRequest, call: Call
    ) -> pb.ListWrittenWhileMergedResponse:
        merge_id, page = from_wire("merge", request.merge_id), Page.of(request, call)
        after = UUID(page.after[0]) if page.after else None

        async def work(store: PatientsStore) -> list[Written]:
            return await store.written_while(await store.merge(merge_id), after, page.limit)

        found = await self._db.read(call, request, PatientsStore, work)
        kept, token = page.cut(found, key=lambda each: [str(each.id)])
        return pb.ListWrittenWhileMergedResponse(written=map(_written, kept), next_page_token=token)


def _merge(merge: Merge) -> pb.Merge:
    return pb.Merge(
        id=to_wire("merge", merge.id),
        patient_id=to_wire("patient", merge.survivor_id),
        merged_patient_id=to_wire("patient", merge.merged_id),
        reason=merge.reason,
        merged_by=merge.merged_by,
        merge_time=to_timestamp(merge.merged_at),
        unmerge_reason=merge.unmerge_reason or "",
        unmerged_by=merge.unmerged_by or "",
        unmerge_time=to_timestamp(merge.unmerged_at) if merge.unmerged_at else None,
    )


def _written(written: Written) -> pb.Written:
    return pb.Written(
        kind=pb.WrittenKind.Value(f"WRITTEN_KIND_{written.kind}"),
        written_id=to_wire(KINDS.get(written.kind, written.kind.lower()), written.id),
        patient_id=to_wire("patient", written.patient_id),
        site_id=to_wire("site", written.site_id),
    )
