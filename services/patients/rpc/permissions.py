"""Permissions."""

from uuid import UUID

from atoll.patients.v1 import permission_pb2 as shared_pb
from atoll.patients.v1 import permission_service_pb2 as pb
from atoll.patients.v1.patient_pb2 import ContactUse as WireUse
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import Page
from chassis.times import to_instant, to_timestamp
from services.patients.domain.contacts import ContactUse
from services.patients.domain.permissions import Channel, Giver, Permission, PermissionMethod, Present, Purpose, present
from services.patients.store import PatientsStore
from services.patients.use_cases import permissions as use_cases


class PermissionServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def RecordPermission(self, request: pb.RecordPermissionRequest, call: Call) -> pb.RecordPermissionResponse:
        permission = _read_permission(request, call)
        permission.check(by_patient=call.patient_id is not None, told_at_given=request.HasField("tell_time"))

        async def work(store: PatientsStore) -> pb.RecordPermissionResponse:
            recorded = await use_cases.record_permission(store, permission)
            return pb.RecordPermissionResponse(permission=to_permission(recorded))

        locks = [permission.patient_id]
        return await self._db.once(call, request, pb.RecordPermissionResponse, PatientsStore, work, locks=locks)

    async def ListPermissions(self, request: pb.ListPermissionsRequest, call: Call) -> pb.ListPermissionsResponse:
        patient_id, page = from_wire("patient", request.patient_id), Page.of(request, call)
        before = UUID(page.after[0]) if page.after else None

        async def work(store: PatientsStore) -> tuple[list[Permission], list[Present]]:
            return await store.permissions(patient_id, before, page.limit), present(await store.last_words(patient_id))

        found, holding = await self._db.read(call, request, PatientsStore, work)
        kept, token = page.cut(found, key=lambda each: [str(each.id)])
        return pb.ListPermissionsResponse(
            permissions=[to_permission(each) for each in kept],
            next_page_token=token,
            present=[to_present(each) for each in holding],
        )


def _read_permission(request: pb.RecordPermissionRequest, call: Call) -> Permission:
    version_id = request.consent_document_version_id
    return Permission(
        id=new_id(),
        patient_id=from_wire("patient", request.patient_id),
        site_id=from_wire("site", request.site_id),
        channel=Channel(shared_pb.MessageChannel.Name(request.channel).removeprefix("MESSAGE_CHANNEL_")),
        purpose=Purpose(shared_pb.MessagePurpose.Name(request.purpose).removeprefix("MESSAGE_PURPOSE_")),
        use=ContactUse(WireUse.Name(request.use).removeprefix("CONTACT_USE_")),
        permitted=request.permitted,
        giver=Giver(shared_pb.PermissionGiver.Name(request.giver).removeprefix("PERMISSION_GIVER_")),
        method=PermissionMethod(pb.PermissionMethod.Name(request.method).removeprefix("PERMISSION_METHOD_")),
        told_at=to_instant(request.tell_time) if request.HasField("tell_time") else call.now,
        wording_code=request.wording_code,
        version_id=from_wire("consentdocumentversion", version_id) if version_id else None,
        recorded_by=call.actor,
        recorded_at=call.now,
    )


def to_present(holding: Present) -> shared_pb.PresentPermission:
    return shared_pb.PresentPermission(
        channel=shared_pb.MessageChannel.Value(f"MESSAGE_CHANNEL_{holding.channel}"),
        purpose=shared_pb.MessagePurpose.Value(f"MESSAGE_PURPOSE_{holding.purpose}"),
        use=WireUse.Value(f"CONTACT_USE_{holding.use}"),
        permitted=holding.permitted,
        tell_time=to_timestamp(holding.told_at),
    )


def to_permission(permission: Permission) -> pb.Permission:
    version_id = permission.version_id
    return pb.Permission(
        id=to_wire("permission", permission.id),
        patient_id=to_wire("patient", permission.patient_id),
        site_id=to_wire("site", permission.site_id),
        channel=shared_pb.MessageChannel.Value(f"MESSAGE_CHANNEL_{permission.channel}"),
        purpose=shared_pb.MessagePurpose.Value(f"MESSAGE_PURPOSE_{permission.purpose}"),
        use=WireUse.Value(f"CONTACT_USE_{permission.use}"),
        permitted=permission.permitted,
        giver=shared_pb.PermissionGiver.Value(f"PERMISSION_GIVER_{permission.giver}"),
        method=pb.PermissionMethod.Value(f"PERMISSION_METHOD_{permission.method}"),
        tell_time=to_timestamp(permission.told_at),
        wording_code=permission.wording_code,
        consent_document_version_id=to_wire("consentdocumentversion", version_id) if version_id else "",
        create_time=to_timestamp(permission.recorded_at),
        recorded_by=permission.recorded_by,
    )
