"""GateService, and gates on the wire."""

from atoll.scheduling.v1 import gate_pb2, protocol_pb2
from atoll.scheduling.v1 import gate_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.times import to_timestamp
from services.scheduling import use_cases
from services.scheduling.domain.gates import GateState
from services.scheduling.domain.protocols import GateKind
from services.scheduling.store import SchedulingStore


class GateServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListGates(self, request: pb.ListGatesRequest, call: Call) -> pb.ListGatesResponse:
        id = from_wire("visit", request.visit_id)
        gates = await self._db.read(call, request, SchedulingStore, lambda store: store.gates(id))
        return pb.ListGatesResponse(gates=map(gate_to_wire, gates))

    async def RecordGate(self, request: pb.RecordGateRequest, call: Call) -> pb.RecordGateResponse:
        id, kind = from_wire("visit", request.visit_id), GateKind(protocol_pb2.GateKind.Name(request.kind))

        async def work(store: SchedulingStore) -> pb.RecordGateResponse:
            gates = await use_cases.record_gate(store, id, kind, passed=request.passed)
            return pb.RecordGateResponse(gates=map(gate_to_wire, gates))

        return await self._db.once(call, request, pb.RecordGateResponse, SchedulingStore, work)


def gate_to_wire(state: GateState) -> gate_pb2.GateState:
    record = state.record
    return gate_pb2.GateState(
        kind=protocol_pb2.GateKind.Value(state.gate.kind),
        stage=protocol_pb2.GateStage.Value(state.gate.stage),
        effect=protocol_pb2.GateEffect.Value(state.gate.effect),
        passed=state.passed,
        record_time=to_timestamp(record.at) if record else None,
        recorded_by=record.actor if record else "",
        override_reason=state.override_reason,
        unsigned_document_ids=[to_wire("consentdocument", id) for id in state.unsigned],
    )
