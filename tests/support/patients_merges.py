"""Whoever merges and unmerges records: an admin of the chain, unless a token says otherwise."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest_asyncio

from atoll.patients.v1 import merge_service_pb2 as pb
from atoll.patients.v1 import retention_service_pb2
from atoll.patients.v1.merge_service_pb2_grpc import MergeServiceStub
from atoll.patients.v1.patient_pb2 import Patient
from atoll.patients.v1.retention_service_pb2_grpc import RetentionServiceStub
from chassis.ids import to_wire
from tests.support.patients import Desk


@dataclass
class Merges:
    desk: Desk

    def __post_init__(self) -> None:
        self.stub: Any = self.desk.service.stub(MergeServiceStub)
        self.retention: Any = self.desk.service.stub(RetentionServiceStub)

    async def merge(
        self, survivor: Patient, merged: Patient, token: str | None = None, *, request_id: str = "", **changes: Any
    ) -> pb.Merge:
        fields: dict[str, Any] = {
            "request_id": request_id or str(uuid4()),
            "patient_id": survivor.id,
            "etag": survivor.etag,
            "merged_patient_id": merged.id,
            "merged_etag": merged.etag,
            "reason": "the same passport photograph",
        }
        request = pb.MergePatientsRequest(**fields | changes)
        done: pb.Merge = (await self.desk.service.call(self.stub.MergePatients, request, token)).merge
        return done

    async def unmerge(self, merged_id: str, token: str | None = None, **changes: Any) -> pb.UnmergePatientsResponse:
        fields = {"request_id": str(uuid4()), "merged_patient_id": merged_id, "reason": "twins"} | changes
        request = pb.UnmergePatientsRequest(**fields)
        answer: pb.UnmergePatientsResponse = await self.desk.service.call(self.stub.UnmergePatients, request, token)
        return answer

    async def of(self, patient_id: str, token: str | None = None, **page: Any) -> pb.ListMergesResponse:
        request = pb.ListMergesRequest(patient_id=patient_id, **page)
        answer: pb.ListMergesResponse = await self.desk.service.call(self.stub.ListMerges, request, token)
        return answer

    async def written(self, merge_id: str, token: str | None = None, **page: Any) -> pb.ListWrittenWhileMergedResponse:
        request = pb.ListWrittenWhileMergedRequest(merge_id=merge_id, **page)
        answer: pb.ListWrittenWhileMergedResponse = await self.desk.service.call(
            self.stub.ListWrittenWhileMerged, request, token
        )
        return answer

    async def restrict(self, patient_id: str) -> None:
        request = retention_service_pb2.RestrictPatientRequest(
            request_id=str(uuid4()), patient_id=patient_id, reason="asked for it"
        )
        await self.desk.service.call(self.retention.RestrictPatient, request)

    async def anonymise(self, patient_id: str) -> None:
        request = retention_service_pb2.AnonymisePatientRequest(
            request_id=str(uuid4()), patient_id=patient_id, law="CCPA, section 1798.105"
        )
        await self.desk.service.call(self.retention.AnonymisePatient, request)

    async def elsewhere(self, **changes: Any) -> Patient:
        """Whose home is the other site."""
        return await self.desk.create(home_site_id=to_wire("site", self.desk.other_site_id), **changes)


@pytest_asyncio.fixture
async def merges(desk: Desk) -> AsyncIterator[Merges]:
    """To be imported, as `desk` is."""
    yield Merges(desk)
