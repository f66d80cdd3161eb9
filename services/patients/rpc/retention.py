"""Retention: the chain's policy, what is kept of a patient, restrictions, and forgetting."""

from datetime import datetime, timedelta
from uuid import UUID

from atoll.patients.v1 import retention_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import to_date, to_timestamp
from services.patients.domain.retention import Restriction, Retention, RetentionPolicy
from services.patients.store import PatientsStore
from services.patients.use_cases import retention as use_cases
from services.patients.use_cases.merges import merge_lock
from services.patients.use_cases.retention import Decide

YEAR_MIN = timedelta(days=365)


class RetentionServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def GetRetentionPolicy(
        self, request: pb.GetRetentionPolicyRequest, call: Call
    ) -> pb.GetRetentionPolicyResponse:
        policy = await self._db.read(call, request, PatientsStore, lambda store: store.retention_policy())
        return pb.GetRetentionPolicyResponse(policy=_policy(policy))

    async def SetRetentionPolicy(
        self, request: pb.SetRetentionPolicyRequest, call: Call
    ) -> pb.SetRetentionPolicyResponse:
        policy = RetentionPolicy(request.policy.years, request.policy.years_of_age)

        async def work(store: PatientsStore) -> pb.SetRetentionPolicyResponse:
            store.set_retention_policy(policy)
            return pb.SetRetentionPolicyResponse(policy=_policy(policy))

        return await self._db.once(call, request, pb.SetRetentionPolicyResponse, PatientsStore, work)

    async def GetRetention(self, request: pb.GetRetentionRequest, call: Call) -> pb.GetRetentionResponse:
        patient_id = from_wire("patient", request.patient_id)

        async def work(store: PatientsStore) -> pb.GetRetentionResponse:
            found, policy = await store.retention(patient_id), await store.retention_policy()
            return pb.GetRetentionResponse(retention=_retention(found, policy, call.now))

        return await self._db.read(call, request, PatientsStore, work)

    async def ListDueForAnonymisation(
        self, request: pb.ListDueForAnonymisationRequest, call: Call
    ) -> pb.ListDueForAnonymisationResponse:
        page = Page.of(request, call)
        after = (datetime.fromisoformat(page.after[0]), UUID(page.after[1])) if page.after else None

        async def work(store: PatientsStore) -> pb.ListDueForAnonymisationResponse:
            policy = await store.retention_policy()
            found = await store.unchanged(call.now - policy.years * YEAR_MIN, after, page.limit)
            kept, token = page.cut(found, key=lambda each: [each.updated_at.isoformat(), str(each.patient_id)])
            due = [_retention(each, policy, call.now) for each in kept if not each.holds(policy, call.now)]
            return pb.ListDueForAnonymisationResponse(due=due, next_page_token=token)

        return await self._db.read(call, request, PatientsStore, work)

    async def RestrictPatient(self, request: pb.RestrictPatientRequest, call: Call) -> pb.RestrictPatientResponse:
        command = Decide(from_wire("patient", request.patient_id), True, request.reason.strip())

        async def work(store: PatientsStore) -> pb.RestrictPatientResponse:
            return pb.RestrictPatientResponse(
                restriction=_restriction(await use_cases.decide_restriction(store, command))
            )

        locks = [merge_lock(call.chain_id), command.patient_id]
        return await self._db.once(call, request, pb.RestrictPatientResponse, PatientsStore, work, locks=locks)

    async def LiftRestriction(self, request: pb.LiftRestrictionRequest, call: Call) -> pb.LiftRestrictionResponse:
        command = Decide(from_wire("patient", request.patient_id), False, request.reason.strip())

        async def work(store: PatientsStore) -> pb.LiftRestrictionResponse:
            return pb.LiftRestrictionResponse(
                restriction=_restriction(await use_cases.decide_restriction(store, command))
            )

        locks = [merge_lock(call.chain_id), command.patient_id]
        return await self._db.once(call, request, pb.LiftRestrictionResponse, PatientsStore, work, locks=locks)

    async def AnonymisePatient(self, request: pb.AnonymisePatientRequest, call: Call) -> pb.AnonymisePatientResponse:
        patient_id, law = from_wire("patient", request.patient_id), request.law.strip()

        async def work(store: PatientsStore) -> pb.AnonymisePatientResponse:
            found = await use_cases.anonymise_patient(store, patient_id, law)
            return pb.AnonymisePatientResponse(retention=_retention(found, RetentionPolicy(), call.now))

        locks = [merge_lock(call.chain_id), patient_id]
        return await self._db.once(call, request, pb.AnonymisePatientResponse, PatientsStore, work, locks=locks)


def _policy(policy: RetentionPolicy) -> pb.RetentionPolicy:
    return pb.RetentionPolicy(years=policy.years, years_of_age=policy.years_of_age)


def _retention(found: Retention, policy: RetentionPolicy, now: datetime) -> pb.Retention:
    return pb.Retention(
        patient_id=to_wire("patient", found.patient_id),
        last_contact_date=to_date(found.last_contact),
        holds=[
            pb.RetentionHold(
                kind=pb.RetentionHoldKind.Value(f"RETENTION_HOLD_KIND_{hold.kind}"),
                until_date=to_date(hold.until) if hold.until else None,
            )
            for hold in found.holds(policy, now)
        ],
        restricted=found.restricted,
        anonymise_time=to_timestamp(found.anonymised_at) if found.anonymised_at else None,
    )


def _restriction(decided: Restriction) -> pb.Restriction:
    return pb.Restriction(
        patient_id=to_wire("patient", decided.patient_id),
        restricted=decided.restricted,
        reason=decided.reason,
        decided_by=decided.decided_by,
        decide_time=to_timestamp(decided.decided_at),
    )
