"""Duplicates."""

from uuid import UUID

from atoll.patients.v1 import duplicate_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.pages import Page
from chassis.times import to_timestamp
from services.patients.domain.duplicates import ListedPair, Match, Pair, PairState, Record
from services.patients.rpc.matches import to_evidence, to_grade, to_match
from services.patients.rpc.patients import to_card
from services.patients.store import PatientsStore
from services.patients.use_cases import duplicates as use_cases

STATE = "DUPLICATE_STATE_"


class DuplicateServicer:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def FindDuplicates(self, request: pb.FindDuplicatesRequest, call: Call) -> pb.FindDuplicatesResponse:
        patient_id = from_wire("patient", request.patient_id)
        found = await self._db.read(
            call, request, PatientsStore, lambda store: use_cases.find_duplicates(store, patient_id)
        )
        return pb.FindDuplicatesResponse(duplicates=map(_found, found))

    async def ScoreDuplicates(self, request: pb.ScoreDuplicatesRequest, call: Call) -> pb.ScoreDuplicatesResponse:
        ids = {from_wire("patient", id) for id in request.patient_ids}

        async def work(store: PatientsStore) -> pb.ScoreDuplicatesResponse:
            return pb.ScoreDuplicatesResponse(pairs=map(_scored, await use_cases.score_duplicates(store, ids)))

        return await self._db.once(call, request, pb.ScoreDuplicatesResponse, PatientsStore, work)

    async def ListDuplicates(self, request: pb.ListDuplicatesRequest, call: Call) -> pb.ListDuplicatesResponse:
        page, site_id = Page.of(request, call), from_wire("site", request.site_id) if request.site_id else None
        state = PairState(pb.DuplicateState.Name(request.state or pb.DUPLICATE_STATE_OPEN).removeprefix(STATE))
        before = (float(page.after[0]), UUID(page.after[1]), UUID(page.after[2])) if page.after else None

        async def work(store: PatientsStore) -> tuple[list[ListedPair], str]:
            """Cut to the page inside, since the audit row names who is shown."""
            found = await store.pairs(state, site_id, before, page.limit)
            kept, token = page.cut(found, key=_place)
            store.saw(*(record.id for each in kept for record in (each.first, each.second)))
            return list(kept), token

        kept, token = await self._db.read(call, request, PatientsStore, work)
        return pb.ListDuplicatesResponse(pairs=map(_pair, kept), next_page_token=token)

    async def DismissDuplicate(self, request: pb.DismissDuplicateRequest, call: Call) -> pb.DismissDuplicateResponse:
        patient_id, other_id = from_wire("patient", request.patient_id), from_wire("patient", request.other_patient_id)
        reason = request.reason.strip()

        async def work(store: PatientsStore) -> pb.DismissDuplicateResponse:
            dismissed = await use_cases.dismiss_duplicate(store, patient_id, other_id, reason)
            return pb.DismissDuplicateResponse(pair=_pair(dismissed))

        locks = [patient_id, other_id]
        return await self._db.once(call, request, pb.DismissDuplicateResponse, PatientsStore, work, locks=locks)


def _place(pair: ListedPair) -> list[str]:
    return [str(pair.likeness.score), str(pair.first.id), str(pair.second.id)]


def _found(match: Match) -> pb.FoundDuplicate:
    return pb.FoundDuplicate(match=to_match(match), card=to_card(match.card) if match.card else None)


def _scored(pair: Pair) -> pb.ScoredDuplicate:
    return pb.ScoredDuplicate(
        first_patient_id=to_wire("patient", pair.first_id),
        second_patient_id=to_wire("patient", pair.second_id),
        score=pair.likeness.score,
        grade=to_grade(pair.likeness),
    )


def _record(record: Record) -> pb.DuplicateRecord:
    return pb.DuplicateRecord(
        patient_id=to_wire("patient", record.id),
        home_site_id=to_wire("site", record.home_site_id),
        card=to_card(record.card) if record.card else None,
    )


def _pair(pair: ListedPair) -> pb.DuplicatePair:
    return pb.DuplicatePair(
        first=_record(pair.first),
        second=_record(pair.second),
        score=pair.likeness.score,
        grade=to_grade(pair.likeness),
        evidence=to_evidence(pair.likeness.evidence),
        state=pb.DuplicateState.Value(f"{STATE}{pair.state}"),
        score_time=to_timestamp(pair.scored_at),
        dismiss_reason=pair.dismiss_reason,
        dismissed_by=pair.dismissed_by,
        dismiss_time=to_timestamp(pair.dismissed_at) if pair.dismissed_at else None,
    )
