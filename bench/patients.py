"""Creating, reading, finding and importing patients through gRPC, among a million of one chain.

Creating and importing are held against pgbench with the same writes: the SQL of one call of ours, recorded, with other
ids in each transaction. Reading is held against pgbench with the same SELECT and audit row, and against a bare grpc.aio
echo, one process each. The search is held against pgbench with the same SQL for a hundred of the same questions; the
next limit beside it is the 20 ms that its slowest hundredth may take.
"""

import itertools
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import partial
from random import Random
from typing import Any
from uuid import UUID, uuid4

from google.protobuf.message import Message
from rich.console import Console

from atoll.common.v1.access_pb2 import AUDIT_CHANGE, AUDIT_PHI_READ
from atoll.patients.v1 import patient_service_pb2 as pb
from atoll.patients.v1.patient_pb2 import ContactPoint, ContactSystem, Identifier, Patient
from bench.echo import echo_limit
from bench.harness import Limit, Operation, Result, Stage
from bench.people import PATIENTS, People, Person, load_people, misspelt, patient_id
from bench.pgbench import FIRST, NUMBER, Query, numbered, pgbench, recorded, script, writes_of
from chassis.call import Call
from chassis.db import Database
from chassis.ids import from_wire, to_wire
from chassis.times import to_date, utc_now
from services.patients.domain.patients import CROCKFORD, MRN_DIGITS
from services.patients.rpc.patients import PatientServicer

SERVICE = "patients"
PATH = "/atoll.patients.v1.PatientService"
CONCURRENCY, SEARCH_CONCURRENCY, IMPORT_CONCURRENCY = 16, 8, 4
CREATES_PER_S_MAX, IMPORTS_PER_S_MAX = 3_000, 40
BATCH = 200
QUESTIONS, QUESTIONS_OF_LIMIT = 2_000, 100


async def run(stage: Stage) -> list[Result]:
    chain_id = from_wire("chain", stage.chain)
    people = await load_people(stage.admin_url, chain_id)
    Console().print(f"{PATIENTS:,} patients were loaded in {people.load_s:.0f} s")
    bench = Bench(stage, chain_id, people)
    return [await stage.measure(operation) for operation in bench.operations()]


class Bench:
    def __init__(self, stage: Stage, chain_id: UUID, people: People) -> None:
        self._chain_id, self._people = chain_id, people
        self._dice = Random(1)  # noqa: S311  # The same questions each time.
        self._token = stage.issuer.token("bench", stage.chain, {"ROLE_CHAIN_ADMIN": ["*"]})

    def operations(self) -> Iterator[Operation]:
        get = partial(self._cycled, [pb.GetPatientRequest(patient_id=_wire(each)) for each in self._people.sample])
        questions = [question(self._people.sample, self._dice) for _ in range(QUESTIONS)]
        yield self._operation("get a patient", "GetPatient", get, self._get_limit, CONCURRENCY)
        body = pb.GetPatientRequest(patient_id=_wire(self._people.sample[0])).SerializeToString()
        echo = partial(echo_limit, body, CONCURRENCY)
        yield self._operation("get, beside an echo, one process", "GetPatient", get, echo, CONCURRENCY, workers=1)
        yield self._operation(
            f"search among {PATIENTS:,}",
            "SearchPatients",
            partial(self._cycled, questions),
            partial(self._search_limit, questions[:QUESTIONS_OF_LIMIT]),
            SEARCH_CONCURRENCY,
        )
        yield self._operation("create a patient", "CreatePatient", self._creations, self._create_limit, CONCURRENCY)
        yield self._operation(
            "import patients", "ImportPatients", self._imports, self._import_limit, IMPORT_CONCURRENCY, rows=BATCH
        )

    def _operation(
        self,
        name: str,
        method: str,
        bodies: Callable[[float], Iterable[bytes]],
        limit: Callable[[Stage], Awaitable[Limit]],
        concurrency: int,
        **more: Any,
    ) -> Operation:
        return Operation(name, f"{PATH}/{method}", self._token, bodies, limit, concurrency, **more)

    def _cycled(self, requests: Sequence[Message], seconds: float) -> Iterable[bytes]:
        return itertools.cycle([request.SerializeToString() for request in requests])

    def _creations(self, seconds: float) -> Iterable[bytes]:
        count = round(seconds * CREATES_PER_S_MAX)
        return [self._creation().SerializeToString() for _ in range(count)]

    def _creation(self) -> pb.CreatePatientRequest:
        return pb.CreatePatientRequest(request_id=str(uuid4()), patient=self._patient())

    def _imports(self, seconds: float) -> Iterable[bytes]:
        count = max(10, round(seconds * IMPORTS_PER_S_MAX))
        return [self._import().SerializeToString() for _ in range(count)]

    def _import(self) -> pb.ImportPatientsRequest:
        return pb.ImportPatientsRequest(request_id=str(uuid4()), rows=[self._patient() for _ in range(BATCH)])

    def _patient(self) -> Patient:
        """Names of two of the people: nearly all of them are known to the search."""
        family, given = self._dice.choice(self._people.sample), self._dice.choice(self._people.sample)
        number = self._dice.randrange(10**7, 10**8)
        return Patient(
            given_names=[given.given],
            family_name=family.family,
            birth_date=to_date(family.birth_date),
            home_site_id=to_wire("site", self._people.site_ids[0]),
            contact_points=[
                ContactPoint(system=ContactSystem.CONTACT_SYSTEM_PHONE, value=f"+1505{number % 10**7:07}"),
                ContactPoint(system=ContactSystem.CONTACT_SYSTEM_EMAIL, value=f"p{number}@example.org"),
            ],
            identifiers=[Identifier(system="bench", value=uuid4().hex)],
        )

    # Limits.

    async def _get_limit(self, stage: Stage) -> Limit:
        id = patient_id(0)
        request = pb.GetPatientRequest(patient_id=to_wire("patient", id))
        queries = await recorded(
            stage.urls.service, partial(self._answer, method="GetPatient", make=partial(copy, request))
        )
        text = script(queries, {str(id): numbered(id)}, FIRST, FIRST + PATIENTS - 1)
        return pgbench(stage.urls.service, [text], CONCURRENCY)

    async def _search_limit(self, questions: list[pb.SearchPatientsRequest], stage: Stage) -> Limit:
        scripts = list[str]()
        for request in questions:
            ask = partial(self._answer, method="SearchPatients", make=partial(copy, request))
            queries = await recorded(stage.urls.service, ask)
            scripts.append(script(queries, {}))
        return pgbench(stage.urls.service, scripts, SEARCH_CONCURRENCY)

    async def _create_limit(self, stage: Stage) -> Limit:
        return await self._write_limit(stage, "CreatePatient", self._creation, CONCURRENCY, "prepared")

    async def _import_limit(self, stage: Stage) -> Limit:
        return await self._write_limit(stage, "ImportPatients", self._import, IMPORT_CONCURRENCY, "simple")

    async def _write_limit(
        self, stage: Stage, method: str, make: Callable[[], Any], concurrency: int, mode: str
    ) -> Limit:
        queries = writes_of(await recorded(stage.urls.service, partial(self._answer, method=method, make=make)))
        known = {self._chain_id, *self._people.site_ids}
        text = script(queries, _others(queries, known))
        return pgbench(stage.urls.service, [text], concurrency, mode=mode)

    async def _answer(self, db: Database, method: str, make: Callable[[], Any]) -> object:
        request = make()
        audit = AUDIT_CHANGE if hasattr(request, "request_id") else AUDIT_PHI_READ
        cause = getattr(request, "request_id", "")
        name = f"atoll.patients.v1.PatientService.{method}"
        call = Call(self._chain_id, None, "bench", name, cause, audit, utc_now())
        return await getattr(PatientServicer(db), method)(request, call)


def _others(queries: Iterable[Query], known: set[UUID]) -> dict[str, str]:
    """Ids, record numbers and identifiers that must be others in each transaction."""
    others = dict[str, str]()
    for value in _flat(argument for _, arguments in queries for argument in arguments):
        if isinstance(value, UUID) and value not in known:
            others.setdefault(str(value), numbered(UUID(int=len(others) << 96)))
        elif isinstance(value, str) and _is_number(value):
            others.setdefault(value, f"{len(others)}-{NUMBER}")
    return others


def _is_number(text: str) -> bool:
    """A record number that was made, or an identifier of this benchmark."""
    return (len(text) == MRN_DIGITS and set(text) <= set(CROCKFORD)) or re.fullmatch(r"[0-9a-f]{32}", text) is not None


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _wire(person: Person) -> str:
    return to_wire("patient", patient_id(person.number))


def question(people: tuple[Person, ...], dice: Random) -> pb.SearchPatientsRequest:
    """What a front desk types: beginnings of names, some misspelt, now and then a date or a number."""
    person = dice.choice(people)
    family, given = person.family_words[0], person.given_words[0]
    long = family if len(family) > 3 else "martin"
    choices: list[tuple[int, dict[str, Any]]] = [
        (25, {"name": family[: dice.randint(2, 6)]}),
        (15, {"name": person.family}),
        (20, {"name": f"{person.given} {family[:4]}"}),
        (5, {"name": f"{given[0]} {family}"}),
        (2, {"name": given[0]}),
        (10, {"name": misspelt(long, dice)}),
        (8, {"name": f"{given} {misspelt(long, dice)}"}),
        (5, {"birth_date": to_date(person.birth_date)}),
        (5, {"name": family[:3], "birth_date": to_date(person.birth_date)}),
        (3, {"email": person.email}),
        (2, {"mrn": f"M{person.number}"}),
    ]
    weights, asked = zip(*choices, strict=True)
    return pb.SearchPatientsRequest(**dice.choices(asked, weights)[0])
