"""What texting asks of a chain that has texted for long reads by index, as the service's own role."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest_asyncio

from chassis.ids import new_id
from services.notifications.store import texting
from tests.support.texting import OURS, THEIRS, TextingOffice, open_texting

ROWS = 50_000
FILL = (
    """INSERT INTO visit (chain_id, id, site_id, patient_id, status, start_at, telehealth) SELECT $1, gen_random_uuid(),
    $2, gen_random_uuid(), 'BOOKED', now() + interval '1 year', false FROM generate_series(1, $3::int) n""",
    """INSERT INTO suppression (chain_id, id, channel, address_key, sender, kind, method, patient_id, site_id, giver,
    note, created_at, created_by, version, lift_note) SELECT $1, gen_random_uuid(), 'SMS', sha256(n::text::bytea), '',
    'OPT_OUT', 'REPLY', gen_random_uuid(), $2, 'PATIENT', '', now(), 'x', 1, '' FROM generate_series(1, $3::int) n""",
    """INSERT INTO texted (chain_id, address_key, sender, patient_id, site_id, visit_id, to_companion, language,
    last_at) SELECT $1, sha256(n::text::bytea), '+15055550100', gen_random_uuid(), $2, NULL, false, 'en', now()
    FROM generate_series(1, $3::int) n""",
    """INSERT INTO receipt (chain_id, account, provider_id, status, message_id, error_code, at) SELECT $1, 'main',
    'SM' || n, 'sent', gen_random_uuid(), '', now() FROM generate_series(1, $3::int) n WHERE $2::uuid IS NOT NULL""",
    """INSERT INTO reply (chain_id, id, site_id, account, provider_id, sender, address_key, meaning, language, state,
    received_at, version, closed_by, closed_at, close_reason) SELECT $1, gen_random_uuid(), $2, 'main', 'SM' || n,
    '+15055550100', sha256(n::text::bytea), 'OTHER', 'en', 'CLOSED', now(), 1, 'x', now(), ''
    FROM generate_series(1, $3::int) n""",
    """INSERT INTO answer (chain_id, id, reply_id, site_id, kind, state, language, written_by, created_at, expire_at,
    code, sent_at) SELECT chain_id, id, id, site_id, 'HELP', 'SENT', 'en', '', now(), now(), '', now() FROM reply
    WHERE chain_id = $1 AND site_id = $2 LIMIT $3""",
)


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[TextingOffice]:
    async with open_texting(postgres_url, issuer_folder) as office:
        for statement in FILL:
            await office.svc.admin.execute(statement, office.svc.chain_id, office.site_id, ROWS)
        await office.svc.admin.execute("ANALYZE")
        yield office


async def test_each_look_up_has_an_index_under_row_level_security(office: TextingOffice) -> None:
    key, now = office.key(THEIRS), office.svc.now
    place = {"site_id": office.site_id, "after_at": now, "after_id": UUID(int=0), "limit": 50}
    asked: list[tuple[Any, dict[str, Any], str]] = [
        (
            texting.SUPPRESSED,
            {"channel": "VOICE", "channels": ["VOICE", "SMS"], "address_keys": [key], "sender": OURS},
            "suppression_standing_idx",
        ),
        (texting.TEXTED_AT, {"address_key": key, "senders": [OURS], "after": now, "limit": 20}, "texted_pkey"),
        (texting.RECEIPTS_OF_MESSAGES, {"message_ids": [new_id()]}, "receipt_message_idx"),
        (texting.REPLIES, place, "reply_site_idx"),
        (texting.OLD, {"before": now, "limit": 50}, "reply_kept_idx"),
        (texting.PURGE, {"reply_ids": [new_id()]}, "answer_reply_idx"),
        (texting.TAKE_ANSWERS, {"limit": 20, "hold": timedelta(seconds=1)}, "answer_waiting_idx"),
        (texting.ANSWERS, {"id": new_id()}, "answer_reply_idx"),
        (
            texting.ANSWERED_SINCE,
            {"kind": "HELP", "since": now, "address_key": key, "sender": OURS},
            "reply_address_idx",
        ),
        (
            texting.SUPPRESSIONS["patient_id"],
            {"about_id": new_id(), "before": texting.LAST_ID, "limit": 50},
            "suppression_patient_idx",
        ),
    ]
    async with office.svc.db.transaction(office.svc.inside("explain")) as conn:
        for statement, values, index in asked:
            arguments = statement.args({"chain_id": office.svc.chain_id, **values})
            plan = "\n".join(row[0] for row in await conn.fetch(f"EXPLAIN {statement.text}", *arguments))
            assert index in plan, plan
            for table in ("suppression", "texted", "receipt", "reply", "answer", "visit"):
                assert f"Seq Scan on {table}" not in plan, plan
