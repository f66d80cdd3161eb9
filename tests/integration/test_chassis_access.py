"""Who may do and see what; and that the database agrees."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import grpc
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from grpc import StatusCode
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from chassis.auth import TokenRefused
from chassis.ids import new_id, to_wire
from deploy.local.issuer import NAME, Issuer
from tests.support.notes import SERVICE, create_request, metadata, pb, pb_grpc
from tests.support.service import Refusal, Running, refusal, running, tokens_of

SITE, ELSEWHERE = new_id(), new_id()


def create(notes: Running, request: Any, token: str | None = None, **metadata: Any) -> Awaitable[Any]:
    stub = notes.stub(pb_grpc.NoteServiceStub)
    return notes.call(stub.CreateNote, request, staff(notes) if token is None else token, **metadata)


def get(notes: Running, note_id: str, token: str | None = None, **metadata: Any) -> Awaitable[Any]:
    stub, request = notes.stub(pb_grpc.NoteServiceStub), pb.GetNoteRequest(note_id=note_id)
    return notes.call(stub.GetNote, request, staff(notes) if token is None else token, **metadata)


def listed(notes: Running, token: str | None = None, patient_id: str = "") -> Awaitable[Any]:
    stub, request = notes.stub(pb_grpc.NoteServiceStub), pb.ListNotesRequest(patient_id=patient_id)
    return notes.call(stub.ListNotes, request, staff(notes) if token is None else token)


def staff(notes: Running, *sites: UUID, **changes: Any) -> str:
    return notes.token("ROLE_FRONT_DESK", sites=sites or None, **changes)


def patient(notes: Running, id: UUID) -> str:
    return notes.token("ROLE_PATIENT", patient=to_wire("patient", id))


def service(notes: Running, **changes: Any) -> str:
    return notes.token("ROLE_SERVICE", chain="*", **changes)


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def unsigned(notes: Running) -> str:
    """`alg: none`, as the oldest trick has it."""
    return f"{part({'alg': 'none', 'typ': 'at+jwt'})}.{staff(notes).split('.')[1]}."


def confused(notes: Running) -> str:
    """Signed by a shared secret: the issuer's public key, which everybody has."""
    header = part({"alg": "HS256", "typ": "at+jwt", "kid": notes.issuer.key.kid})
    text = f"{header}.{staff(notes).split('.')[1]}"
    signature = hmac.digest(notes.issuer.key.as_pem(private=False), text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def strangers(notes: Running, **header: Any) -> str:
    key = ECKey.generate_key("P-256", {"use": "sig"}, auto_kid=True)
    claims = jwt.decode(staff(notes), notes.issuer.key).claims
    return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": key.kid} | header, claims, key)


def own_key(notes: Running, **header: Any) -> str:
    """A stranger's, which says by its header that it is to be verified by the stranger's own key."""
    key = ECKey.generate_key("P-256")
    head = part({"alg": "ES256", "typ": "at+jwt", "jwk": key.as_dict(private=False), **header})
    return signed(key, f"{head}.{staff(notes).split('.')[1]}")


def signed(key: ECKey, text: str) -> str:
    """By hand, since no library signs what is wrong."""
    signature = key.get_op_key("sign").sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    halves = (number.to_bytes(32, "big") for number in decode_dss_signature(signature))
    return f"{text}.{base64.urlsafe_b64encode(b''.join(halves)).decode().rstrip('=')}"


def by_issuer(notes: Running, header: str = "", payload: str = "") -> str:
    """Signed with the issuer's own key, whatever the parts hold; what is empty is as it should be."""
    good = part({"alg": "ES256", "typ": "at+jwt", "kid": notes.issuer.key.kid}), staff(notes).split(".")[1]
    return signed(notes.issuer.key, f"{header or good[0]}.{payload or good[1]}")


def headed(notes: Running, **header: Any) -> str:
    return by_issuer(notes, part({"alg": "ES256", "typ": "at+jwt", "kid": notes.issuer.key.kid} | header))


def doubled(notes: Running, name: str, value: object) -> str:
    """Says a claim twice: first something else, then what would pass."""
    text = json.dumps(jwt.decode(staff(notes), notes.issuer.key).claims)
    twice = f"{{{json.dumps(name)}: {json.dumps(value)}, {text[1:]}"
    return by_issuer(notes, payload=base64.urlsafe_b64encode(twice.encode()).decode().rstrip("="))


REFUSED: dict[str, Callable[[Running], str]] = {
    "none": lambda notes: "",
    "nonsense": lambda notes: "nonsense",
    "three parts of nonsense": lambda notes: "a.b.c",
    "of a header without end": lambda notes: base64.urlsafe_b64encode(b"[" * 4500).decode() + ".e30.c2ln",
    "unsigned": unsigned,
    "signed with the public key": confused,
    "a stranger's": strangers,
    "a stranger's under our key's name": lambda notes: strangers(notes, kid=notes.issuer.key.kid),
    "another's claims": lambda notes: ".".join(
        [*staff(notes, subject="else").split(".")[:2], staff(notes).split(".")[2]]
    ),
    "expired": lambda notes: staff(notes, exp=int(time.time()) - 31),
    "of no expiry": lambda notes: staff(notes, exp=None),
    "not yet valid": lambda notes: staff(notes, nbf=int(time.time()) + 60),
    "another audience's": lambda notes: staff(notes, aud="another"),
    "another issuer's": lambda notes: staff(notes, iss="another"),
    "an identity token": lambda notes: staff(notes, typ="JWT"),
    "of an audience that is nobody": lambda notes: staff(notes, aud=[]),
    "of no audience": lambda notes: staff(notes, aud=None),
    "issued later than now": lambda notes: staff(notes, iat=int(time.time()) + 60),
    "of an expiry that is a text": lambda notes: staff(notes, exp=str(int(time.time()) + 60)),
    "of no type": lambda notes: headed(notes, typ=""),
    "an identity token under an access token's type": lambda notes: staff(notes, nonce="n-1"),
    "an identity token of a flow": lambda notes: staff(notes, at_hash="h"),
    "an identity token by its use": lambda notes: staff(notes, token_use="id"),
    "of its own key": own_key,
    "of its own key under our key's name": lambda notes: own_key(notes, kid=notes.issuer.key.kid),
    "of a key at an address": lambda notes: own_key(notes, jku="https://evil.example/jwks.json"),
    "of a certificate at an address": lambda notes: own_key(notes, x5u="https://evil.example/cert.pem"),
    "of a certificate that it carries": lambda notes: own_key(notes, x5c=["MIIB"]),
    "of a key that is a path": lambda notes: strangers(notes, kid="../../../../dev/null"),
    "of a key that is a statement": lambda notes: strangers(notes, kid="' OR 1=1 --"),
    "of a key that is no text": lambda notes: headed(notes, kid=7),
    "of no algorithm": lambda notes: headed(notes, alg=""),
    "of an algorithm in other letters": lambda notes: headed(notes, alg="nOnE"),
    "of another algorithm than its key's": lambda notes: headed(notes, alg="RS256"),
    "of an extension that nobody knows": lambda notes: headed(notes, crit=["x"], x=1),
    "of an extension that is not there": lambda notes: headed(notes, crit=["x"]),
    "of a payload that is not encoded": lambda notes: headed(notes, crit=["b64"], b64=False),
    "of two issuers": lambda notes: doubled(notes, "iss", "another"),
    "of two subjects": lambda notes: doubled(notes, "sub", "admin"),
    "of a payload that is a list": lambda notes: by_issuer(notes, payload=part(["iss"])),
    "in four parts": lambda notes: f"{staff(notes)}.{staff(notes).split('.')[2]}",
    "whose signature was cut off": lambda notes: staff(notes).rpartition(".")[0] + ".",
    "whose signature is zeros": lambda notes: f"{staff(notes).rpartition('.')[0]}.{'A' * 86}",
    "of no chain": lambda notes: staff(notes, chain=""),
    "of a chain that is none": lambda notes: staff(notes, chain=to_wire("site", SITE)),
    "of every chain, by staff": lambda notes: staff(notes, chain="*"),
    "of every chain, by a service that is staff too": lambda notes: service(
        notes, grants={"ROLE_SERVICE": ["*"], "ROLE_FRONT_DESK": ["*"]}
    ),
    "of sites that are none": lambda notes: staff(notes, grants={"ROLE_FRONT_DESK": ["site_1"]}),
    "of grants that are a list": lambda notes: staff(notes, grants=["ROLE_FRONT_DESK"]),
    "of a patient that is none": lambda notes: staff(notes, patient="7"),
    "of nobody": lambda notes: staff(notes, subject=""),
    "of a name that is no text": lambda notes: staff(notes, subject="user\0"),
    "of a name without end": lambda notes: staff(notes, subject="u" * 201),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_no_token_or_a_bad_one_is_refused(notes: Running, what: str) -> None:
    refused = await refusal(create(notes, create_request(SITE), REFUSED[what](notes)))
    assert (refused.code, refused.reason) == (StatusCode.UNAUTHENTICATED, "TOKEN_REFUSED")
    assert await notes.count("note") == 0


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
async def test_a_clock_that_is_some_seconds_off_is_borne_with(notes: Running, claim: str) -> None:
    away = -25 if claim == "exp" else 25
    await listed(notes, staff(notes, **{claim: int(time.time()) + away}))


async def test_an_access_token_may_name_its_type_in_full(notes: Running) -> None:
    await listed(notes, notes.token("ROLE_FRONT_DESK", typ="application/at+JWT"))


async def test_a_token_without_end_is_not_even_looked_into(notes: Running) -> None:
    tokens = tokens_of(notes.issuer)
    assert (await tokens.caller(f"Bearer {staff(notes)}")).id == "user"
    with pytest.raises(TokenRefused):
        await tokens.caller(f"Bearer {staff(notes, filler='x' * 6200)}")


async def test_another_scheme_than_bearer_is_refused(notes: Running) -> None:
    refused = await refusal(create(notes, create_request(SITE), "", authorization=f"Basic {staff(notes)}"))
    assert refused.reason == "TOKEN_REFUSED"


async def test_a_token_that_expired_is_refused_though_it_was_seen_before(
    notes: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.auth.LEEWAY_S", 0)
    token = staff(notes, exp=int(time.time()) + 2)
    await listed(notes, token)
    for now in (time.time() + 3,):
        monkeypatch.setattr("time.time", lambda now=now: now)
        monkeypatch.setattr(notes.server._tokens._verifiers[NAME]._claims, "leeway", 0)
        assert (await refusal(listed(notes, token))).reason == "TOKEN_REFUSED"


@pytest_asyncio.fixture
async def rotating(notes_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """With an issuer of its own, whose keys a test may change."""
    monkeypatch.setattr("chassis.keys.KEYS_AGAIN_S", 0.0)
    monkeypatch.setattr("chassis.auth.CACHED_S", 0.0)
    async with running(SERVICE, notes_server, tmp_path) as notes:
        yield notes


def rotate(notes: Running, folder: Path) -> str:
    """A token of a new key, which alone is published."""
    key = ECKey.generate_key("P-256", {"use": "sig"}, auto_kid=True)
    (folder / "jwks.json").write_text(json.dumps(KeySet([key]).as_dict(private=False)))
    return Running(**vars(notes) | {"issuer": Issuer(key, notes.issuer.jwks)}).token("ROLE_FRONT_DESK")


async def test_a_token_of_a_key_published_since_is_accepted(rotating: Running, tmp_path: Path) -> None:
    await listed(rotating)
    await listed(rotating, rotate(rotating, tmp_path))


async def test_a_key_that_is_published_no_more_is_refused_once_the_keys_are_read_anew(
    rotating: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = staff(rotating)
    await listed(rotating, old)
    rotate(rotating, tmp_path)
    await listed(rotating, old)  # Fresh enough.
    monkeypatch.setattr("chassis.keys.KEYS_FRESH_S", 0.0)
    await listed(rotating, old)  # It is read meanwhile.
    assert (await refusal(listed(rotating, old))).reason == "TOKEN_REFUSED"


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"keys": []}', '{"keys": [{"kty": "?"}]}'])
async def test_while_the_keys_cannot_be_read_the_old_ones_stay_good(
    rotating: Running, tmp_path: Path, content: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await listed(rotating)
    monkeypatch.setattr("chassis.keys.KEYS_FRESH_S", 0.0)
    path = tmp_path / "jwks.json"
    path.unlink() if content is None else path.write_text(content)
    for _ in range(3):
        await listed(rotating)
    assert (await refusal(listed(rotating, strangers(rotating)))).reason == "TOKEN_REFUSED"


async def test_while_no_key_was_ever_read_callers_are_asked_to_come_again(rotating: Running, tmp_path: Path) -> None:
    keys = (tmp_path / "jwks.json").read_text()
    (tmp_path / "jwks.json").unlink()
    refused = await refusal(listed(rotating))
    assert (refused.code, refused.reason, refused.retry) == (StatusCode.UNAVAILABLE, "TRY_AGAIN", True)
    (tmp_path / "jwks.json").write_text(keys)
    await listed(rotating)


async def test_a_role_that_the_rpc_does_not_name_is_denied(notes: Running) -> None:
    note = (await create(notes, create_request(SITE))).note
    auditor = notes.token("ROLE_AUDITOR")
    for answer in (create(notes, create_request(SITE), auditor), get(notes, note.id, auditor), listed(notes, auditor)):
        refused = await refusal(answer)
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    assert await notes.count("note") == 1
    assert await notes.count("audit") == 1


async def test_a_role_at_another_site_is_denied_before_anything_is_looked_up(notes: Running) -> None:
    await create(notes, create_request(SITE, title="taken"))
    for site in (SITE, new_id()):  # One with notes, one without: the same answer, though the title is taken.
        refused = await refusal(create(notes, create_request(site, title="taken"), staff(notes, ELSEWHERE)))
        assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")


async def test_the_sites_of_all_roles_that_the_rpc_names_count_and_of_no_other(notes: Running) -> None:
    at = {"ROLE_FRONT_DESK": [to_wire("site", SITE)], "ROLE_NURSE": [to_wire("site", ELSEWHERE)]}
    token = notes.token(grants=at)
    await create(notes, create_request(SITE), token)
    assert (await refusal(create(notes, create_request(ELSEWHERE), token))).reason == "ACCESS_DENIED"


async def test_a_role_at_no_site_sees_nothing(notes: Running) -> None:
    await create(notes, create_request(SITE))
    nowhere = notes.token(grants={"ROLE_FRONT_DESK": []})
    assert list((await listed(notes, nowhere)).notes) == []
    assert (await refusal(create(notes, create_request(SITE), nowhere))).reason == "ACCESS_DENIED"


@pytest.mark.parametrize("foreign", ["chain", "site"])
async def test_a_note_of_another_chain_or_site_is_not_found_like_an_absent_one(notes: Running, foreign: str) -> None:
    note = (await create(notes, create_request(SITE))).note
    token = staff(notes, ELSEWHERE) if foreign == "site" else staff(notes, chain_id=new_id())
    theirs, absent = [await refusal(get(notes, id, token)) for id in (note.id, to_wire("note", new_id()))]
    assert theirs == absent
    assert (theirs.code, theirs.reason) == (StatusCode.NOT_FOUND, "NOTE_NOT_FOUND")
    assert list((await listed(notes, token)).notes) == []


async def test_a_patient_sees_their_own_and_nobody_elses(notes: Running) -> None:
    me, another = new_id(), new_id()
    mine, theirs, nobodys = [
        (await create(notes, create_request(SITE, patient_id=id))).note
        for id in (to_wire("patient", me), to_wire("patient", another), "")
    ]
    assert (await get(notes, mine.id, patient(notes, me))).note == mine
    for note in (theirs, nobodys):
        assert (await refusal(get(notes, note.id, patient(notes, me)))).reason == "NOTE_NOT_FOUND"
    assert list((await listed(notes, patient(notes, me))).notes) == [mine]
    assert list((await listed(notes, patient(notes, me), mine.patient_id)).notes) == [mine]


async def test_a_patient_who_names_another_is_denied_before_anything_is_looked_up(notes: Running) -> None:
    refused = await refusal(listed(notes, patient(notes, new_id()), to_wire("patient", new_id())))
    assert (refused.code, refused.reason) == (StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")


async def test_a_patient_may_do_only_what_names_the_role(notes: Running) -> None:
    assert (await refusal(create(notes, create_request(SITE), patient(notes, new_id())))).reason == "ACCESS_DENIED"


async def test_the_role_of_a_patient_without_a_patient_is_denied(notes: Running) -> None:
    assert (await refusal(listed(notes, notes.token("ROLE_PATIENT")))).reason == "ACCESS_DENIED"


async def test_staff_who_are_patients_too_see_what_staff_see(notes: Running) -> None:
    note = (await create(notes, create_request(SITE, patient_id=to_wire("patient", new_id())))).note
    grants = {"ROLE_FRONT_DESK": ["*"], "ROLE_PATIENT": ["*"]}
    assert list((await listed(notes, notes.token(grants=grants, patient=to_wire("patient", new_id())))).notes) == [note]


async def test_a_service_names_the_chain_of_each_call(notes: Running) -> None:
    chain = to_wire("chain", notes.chain_id)
    note = (await create(notes, create_request(SITE), service(notes, subject="billing"), atoll_chain=chain)).note
    assert (await get(notes, note.id)).note == note
    assert await notes.admin.fetchval("SELECT actor FROM audit LIMIT 1") == "billing"
    other = await refusal(get(notes, note.id, service(notes), atoll_chain=to_wire("chain", new_id())))
    assert other.reason == "NOTE_NOT_FOUND"


@pytest.mark.parametrize("chain", [{}, {"atoll_chain": "nonsense"}])
async def test_a_service_that_names_no_chain_is_refused(notes: Running, chain: dict[str, str]) -> None:
    refused = await refusal(create(notes, create_request(SITE), service(notes), **chain))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_ID")


async def test_only_a_service_may_choose_its_chain(notes: Running) -> None:
    other = new_id()
    await create(notes, create_request(SITE), atoll_chain=to_wire("chain", other))
    assert await notes.admin.fetchval("SELECT chain_id FROM note") == notes.chain_id


async def test_the_database_shows_no_row_of_another_chain_even_to_sql_without_a_where(notes: Running) -> None:
    await create(notes, create_request(SITE))
    tables = ("note", "outbox", "idempotency", "audit")
    async with notes.pool.acquire() as conn, conn.transaction():
        for chain, sees in (("", False), (str(new_id()), False), (str(notes.chain_id), True)):
            await conn.execute("SELECT set_config('app.chain', $1, true), set_config('app.sites', '*', true)", chain)
            for table in tables:
                assert bool(await conn.fetchval(f"SELECT count(*) FROM {table}")) is sees, table


async def test_a_transaction_knows_its_actor_whatever_the_issuer_calls_them(notes: Running) -> None:
    name = "o'brien'; SET LOCAL app.chain = 'x"
    call = replace(notes.inside("test"), actor=name)
    async with notes.db.transaction(call) as conn:
        assert await conn.fetchval("SELECT current_setting('app.actor')") == name
        assert await conn.fetchval("SELECT current_setting('app.chain')") == str(notes.chain_id)


async def test_the_database_takes_no_row_of_another_chain_site_or_patient(notes: Running) -> None:
    row = "INSERT INTO note VALUES ($1, gen_random_uuid(), $2, $3, gen_random_uuid()::text)"
    mine = notes.chain_id, SITE, new_id()
    settings = zip(("app.chain", "app.sites", "app.patient"), mine, strict=True)
    async with notes.pool.acquire() as conn:
        for name, value in settings:
            await conn.execute("SELECT set_config($1, $2, false)", name, str(value))
        for place in range(3):
            theirs = [new_id() if n == place else value for n, value in enumerate(mine)]
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await conn.execute(row, *theirs)
        await conn.execute(row, *mine)


async def test_the_service_cannot_rewrite_its_audit_trail_its_events_or_its_receipts(notes: Running) -> None:
    changes = [f"UPDATE {table} SET chain_id = chain_id" for table in ("audit", "outbox", "inbox", "filing")]
    changes += [f"DELETE FROM {table}" for table in ("audit", "outbox", "inbox", "filing")]
    changes += ["SELECT count(*) FROM audit_seal", "INSERT INTO audit_seal VALUES (gen_random_uuid(), 1, 1, '')"]
    changes += ["TRUNCATE note", "DROP TABLE note", "ALTER TABLE note DISABLE ROW LEVEL SECURITY"]
    async with notes.pool.acquire() as conn:
        for change in changes:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(change)


@pytest.mark.parametrize(
    ("role", "sees"),
    [
        ("relay", {"outbox", "dead_letter"}),
        ("sealer", {"audit", "audit_seal", "audit_subject"}),
    ],
)
async def test_relay_and_sealer_see_what_they_need_of_every_chain_and_nothing_else(
    notes: Running, role: str, sees: set[str]
) -> None:
    await create(notes, create_request(SITE))
    conn = await asyncpg.connect(getattr(notes.urls, role))
    seen = set()
    for table in metadata.tables:
        try:
            await conn.fetch(f"SELECT * FROM {table}")
            seen.add(table)
        except asyncpg.InsufficientPrivilegeError:
            continue
    assert seen == sees
    assert await conn.fetchval(f"SELECT count(*) FROM {'outbox' if role == 'relay' else 'audit'}") == 1
    for change in ("UPDATE outbox SET payload = ''", "DELETE FROM audit", "UPDATE audit_seal SET hash = ''"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(change)
    await conn.close()


async def test_no_role_of_a_running_service_is_above_row_level_security(notes: Running) -> None:
    rows = await notes.admin.fetch(
        "SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb AS above, "
        "(SELECT count(*) FROM pg_class WHERE relowner = pg_roles.oid) AS owns FROM pg_roles WHERE rolname ~ '^notes'"
    )
    assert {row["rolname"] for row in rows if row["above"]} == set()
    assert {row["rolname"] for row in rows if row["owns"]} == {"notes_owner"}
    assert len(rows) == 4


async def test_every_broken_field_is_named(notes: Running) -> None:
    request = create_request(SITE, request_id="nonsense", tags=["a", "", "b"])
    request.site_id = to_wire("patient", SITE)
    refused = await refusal(create(notes, request))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert refused.faults == [
        ("request_id", "string.uuid"),
        ("site_id", "string.typeid"),
        ("tags[1]", "string.min_len"),
    ]


async def test_of_many_broken_fields_as_many_are_named_as_a_trailer_holds(notes: Running) -> None:
    refused = await refusal(create(notes, create_request(SITE, tags=[""] * 5_000)))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert refused.faults[0] == ("tags", "repeated.max_items")
    assert len(refused.faults) + int(refused.metadata["violations_left_out"]) == 5_001


async def test_a_text_that_the_database_does_not_keep_is_named(notes: Running) -> None:
    refused = await refusal(create(notes, create_request(SITE, title="a\0b")))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert refused.faults == [("title", "string.no_nul")]
    assert await notes.count("note") == 0


async def test_an_id_of_the_right_look_that_is_none_is_refused(notes: Running) -> None:
    refused = await refusal(get(notes, "note_" + "u" * 26))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_ID")


async def raw_call(notes: Running, payload: bytes) -> Refusal:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{notes.ports[0]}") as channel:
        raw: Any = channel.unary_unary("/atoll.notes.v1.NoteService/CreateNote")
        return await refusal(raw(payload, metadata=(("authorization", f"Bearer {staff(notes)}"),), timeout=5))


async def test_bytes_that_are_no_message_are_an_invalid_argument(notes: Running) -> None:
    refused = await raw_call(notes, b"\xff\xff")
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")


async def test_a_text_that_holds_a_nul_is_refused_whatever_the_rules_of_its_field_allow(notes: Running) -> None:
    refused = await refusal(create(notes, create_request(SITE, title="a\0b")))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert await notes.admin.fetchval("SELECT count(*) FROM note") == 0


async def test_a_message_above_the_bound_is_refused_unread(notes: Running) -> None:
    assert (await raw_call(notes, b"\0" * ((1 << 20) + 1))).code == StatusCode.RESOURCE_EXHAUSTED


async def test_a_method_that_does_not_exist_is_unimplemented(notes: Running) -> None:
    raw: Any = notes.channel.unary_unary("/atoll.notes.v1.NoteService/BurnNotes")
    assert (await refusal(raw(b"", timeout=5))).code == StatusCode.UNIMPLEMENTED


async def test_an_unforeseen_error_tells_the_caller_nothing(notes: Running) -> None:
    await notes.admin.execute("DROP TABLE note")
    refused = await refusal(create(notes, create_request(SITE)))
    assert (refused.code, refused.message, refused.reason) == (StatusCode.INTERNAL, "internal error", "")
