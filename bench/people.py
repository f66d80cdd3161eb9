"""Many patients of one chain, straight into the tables: names as unevenly spread as they are, phones, emails, numbers.

A few names are very common, and tens of thousands are rare; some patients' names are not Latin.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from uuid import UUID

import asyncpg

from chassis.ids import new_id
from services.patients.domain.names import search_words

PATIENTS = int(os.environ.get("ATOLL_BENCH_PATIENTS", "1000000"))
GIVEN_NAMES, FAMILY_NAMES = 6_000, 80_000
SITES = 5
SEED = 7
COMMON_GIVEN = """
James Mary Michael Patricia Robert Jennifer John Linda David Elizabeth William Barbara Richard Susan Joseph Jessica
Thomas Karen Christopher Sarah Charles Lisa Daniel Nancy Matthew Sandra Anthony Ashley Mark Emily Steven Kimberly Donald
Betty Andrew Margaret Joshua Donna Paul Michelle Kenneth Carol Kevin Amanda Brian Melissa Timothy Deborah Ronald
Stephanie José María Juan Ana Luis Carmen Siobhán François Zoë Jürgen Łukasz Øyvind Li Bo Jo Anh
Анна Иван Ольга Дмитрий 伟 秀英 小明 محمد فاطمة राम सीता 민준 さくら
"""
COMMON_FAMILY = """
Smith Johnson Williams Brown Jones García Miller Davis Rodríguez Martínez Hernández López González Wilson Anderson
Thomas Taylor Moore Jackson Martin Lee Pérez Thompson White Harris Sánchez Clark Ramírez Lewis Robinson Walker Young
Allen King Wright Scott Torres Nguyễn Hill Flores Green Adams Nelson Baker Hall Rivera Campbell Mitchell Carter Roberts
O'Brien Peña-Ortiz Müller Żak Sørensen Li Wu O Ng Иванова Ёлкин Петров 王 李 张 الحسن शर्मा 김 田中
"""
SYLLABLES = (
    "ba be bri ca cha da den dor el fa fen ga gri ha hol in ja ka kov la len lo ma mar mi na nor o pa pel ra ri ros "
)
SYLLABLES += "sa sen ska ster ta ter to u va vi wa win ya za"

NAMES = """
    CREATE TEMPORARY TABLE bench_name (kind text, n bigint, name text, words text[], PRIMARY KEY (kind, n))
"""
# The n-th of a list of names is taken with a chance like 1 / (n + 20): the first by six in a thousand patients.
PERSONS = """
    CREATE TEMPORARY TABLE bench_person AS
    SELECT k, family.name AS family, given.name AS given, family.words AS family_words, given.words AS given_words,
        (family.words[1] || k || '@example.org') AS email, birth_date
    FROM (
        SELECT k, floor(20 * ((($2 + 20) / 20.0) ^ random()) - 20) AS f,
            floor(20 * ((($3 + 20) / 20.0) ^ random()) - 20) AS g,
            date '1930-01-01' + floor(random() * 32000)::int AS birth_date
        FROM generate_series(0, $1::bigint - 1) AS k
        OFFSET 0
    ) AS drawn
    JOIN bench_name AS family ON family.kind = 'family' AND family.n = drawn.f
    JOIN bench_name AS given ON given.kind = 'given' AND given.n = drawn.g
"""
ID = "('01900000-0000-7000-8000-' || 100000000000 + k)::uuid"
ROWS = (
    f"""
    INSERT INTO patient (chain_id, id, mrn, given_names, family_name, prefix, birth_date, gender, language, time_zone,
        home_site_id, deceased, version, created_at, updated_at)
    SELECT $1::uuid, {ID}, 'M' || k, ARRAY[given], family, '', birth_date, 'UNKNOWN', 'en-US', 'America/Denver',
        ($2::uuid[])[1 + k % {SITES}], false, 1, now(), now()
    FROM bench_person
    """,
    f"""
    INSERT INTO patient_site (chain_id, patient_id, site_id)
    SELECT $1::uuid, {ID}, ($2::uuid[])[1 + k % {SITES}] FROM bench_person
    """,
    f"""
    INSERT INTO patient_name (chain_id, patient_id, word, line)
    SELECT DISTINCT $1::uuid, {ID}, word, ' ' || array_to_string(family_words || given_words, ' ') || ' '
    FROM bench_person, unnest(family_words || given_words) AS word
    WHERE $2::uuid[] IS NOT NULL
    """,
    """
    INSERT INTO name_spelling (chain_id, spelling, word)
    SELECT DISTINCT $1::uuid, left(word, i - 1) || substr(word, i + 1), word
    FROM (
        SELECT DISTINCT word FROM patient_name WHERE chain_id = $1 AND length(word) >= 4 AND $2::uuid[] IS NOT NULL
    ) AS known, generate_series(1, length(word) + 1) AS i
    """,
    f"""
    INSERT INTO contact_point (chain_id, patient_id, place, system, value, use, rank, verified)
    SELECT $1::uuid, {ID}, 0, 'PHONE', '+1' || 2000000000 + k, 'MOBILE', 1, false FROM bench_person
    WHERE $2::uuid[] IS NOT NULL
    UNION ALL SELECT $1::uuid, {ID}, 1, 'EMAIL', email, 'HOME', 2, false FROM bench_person
    """,
    f"""
    INSERT INTO patient_identifier (chain_id, system, value, patient_id, place)
    SELECT $1, 'old-system', 'old-' || k, {ID}, 0 FROM bench_person WHERE $2::uuid[] IS NOT NULL
    """,
)
SAMPLE = """
    SELECT family, given, family_words, given_words, email, birth_date, k FROM bench_person WHERE k % $1 = 0 ORDER BY k
"""


@dataclass(frozen=True)
class Person:
    number: int
    family: str
    given: str
    family_words: tuple[str, ...]
    given_words: tuple[str, ...]
    email: str
    birth_date: date


@dataclass(frozen=True)
class People:
    site_ids: tuple[UUID, ...]
    sample: tuple[Person, ...]
    load_s: float


def patient_id(number: int) -> UUID:
    return UUID(f"01900000-0000-7000-8000-{10**11 + number}")


async def load_people(admin_url: str, chain_id: UUID, *, count: int = PATIENTS, sample: int = 2_000) -> People:
    """Foreign keys are not checked row by row: the rows are made so that they hold."""
    began, site_ids = time.perf_counter(), tuple(new_id() for _ in range(SITES))
    admin = await asyncpg.connect(admin_url, server_settings={"jit": "off", "session_replication_role": "replica"})
    try:
        await admin.execute("SET work_mem = '256MB'; SET maintenance_work_mem = '256MB'; SELECT setseed(0.5)")
        for site_id in site_ids:
            await admin.execute("INSERT INTO site VALUES ($1, $2, 'America/Denver')", chain_id, site_id)
        await admin.execute(NAMES)
        await admin.copy_records_to_table("bench_name", records=_names())
        await admin.execute("ANALYZE bench_name")
        await admin.execute(
            PERSONS.replace("$1", str(count)).replace("$2", str(FAMILY_NAMES)).replace("$3", str(GIVEN_NAMES))
        )
        for statement in ROWS:
            await admin.execute(statement, chain_id, list(site_ids), timeout=1_800)
        found = await admin.fetch(SAMPLE, max(1, count // sample))
    finally:
        await admin.close()
    people = tuple(
        Person(
            row["k"],
            row["family"],
            row["given"],
            tuple(row["family_words"]),
            tuple(row["given_words"]),
            row["email"],
            row["birth_date"],
        )
        for row in found
    )
    return People(site_ids, people, time.perf_counter() - began)


def _names() -> Iterator[tuple[str, int, str, Sequence[str]]]:
    dice = Random(SEED)  # noqa: S311  # The same people each time.
    for kind, common, count in (("given", COMMON_GIVEN, GIVEN_NAMES), ("family", COMMON_FAMILY, FAMILY_NAMES)):
        names = dict.fromkeys(common.split())
        while len(names) < count:
            names["".join(dice.choices(SYLLABLES.split(), k=dice.randint(2, 4))).title()] = None
        for n, name in enumerate(names):
            yield kind, n, name, search_words(name)


def misspelt(word: str, dice: Random) -> str:
    """One slip from it."""
    at = dice.randrange(1, len(word))
    return dice.choice(
        [
            word[:at] + word[at + 1 :],
            word[:at] + "e" + word[at:],
            word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :],
        ]
    )
