"""Heads of audit trails are exported, signed, and find whoever rewrites what was sealed before."""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from joserfc.jwk import ECKey, KeySet
from prometheus_client import REGISTRY

from chassis.heads import Exporter, Exports, append, furthest
from chassis.ids import new_id, to_wire
from chassis.pool import Pool, open_pool
from chassis.sealer import Head, Sealer, Verdict, read_chains, verify
from chassis.signing import BadKey, new_key, public_keys, signing_key
from tests.integration.test_chassis_sealer import look
from tests.support.intruder import CHANGES, Intruder
from tests.support.service import Running

SEED = 20270301


@pytest_asyncio.fixture
async def pool(notes: Running) -> AsyncIterator[Pool]:
    async with open_pool(notes.urls.sealer, size=2) as pool:
        yield pool


@dataclass(frozen=True)
class Target:
    file: Path
    key: Path

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def read(self, text: str | None = None, keys: KeySet | None = None) -> Exports:
        exports = Exports()
        exports.read(self.file.read_text() if text is None else text, keys or public_keys(self.key))
        return exports


@pytest.fixture
def target(tmp_path: Path) -> Target:
    key = tmp_path / "key.json"
    key.write_text(json.dumps(new_key("2027")))
    return Target(tmp_path / "heads.jsonl", key)


def heads(*sequences: int, chain_id: UUID | None = None) -> list[Head]:
    chain_id = chain_id or new_id()
    return [Head(chain_id, sequence, bytes([sequence]) * 32) for sequence in sequences]


async def test_each_trail_has_its_head_exported_and_again_only_when_it_has_grown(
    notes: Running, pool: Pool, target: Target
) -> None:
    exporter, sealer = Exporter(pool, "notes", target.file, target.key), Sealer(pool)
    await look(notes, times=2)
    await sealer.seal()
    assert [await exporter.export(), await exporter.export()] == [1, 0]
    await look(notes)
    await look(notes, new_id())
    await sealer.seal()
    assert await exporter.export() == 2
    assert {line["service"] for line in target.lines()} == {"notes"}
    own = [line["sequence"] for line in target.lines() if line["chain"] == to_wire("chain", notes.chain_id)]
    assert own == [2, 3]
    exports = target.read()
    assert exports.faults == []
    async with pool.acquire() as conn:
        for chain_id in await read_chains(conn):
            assert (await verify(conn, chain_id, exports.kept["notes", chain_id])).fault == ""


async def test_an_export_is_made_every_minute(
    notes: Running, pool: Pool, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.heads.EVERY_S", 0.02)
    sealer = Sealer(pool)
    running = asyncio.create_task(Exporter(pool, "notes", target.file, target.key).run())
    for sequence in (1, 2):
        await look(notes)
        await sealer.seal()
        for _ in range(100):
            if target.file.exists() and len(target.lines()) == sequence:
                break
            await asyncio.sleep(0.02)
    running.cancel()
    assert [line["sequence"] for line in target.lines()] == [1, 2]


async def test_a_trail_that_is_cut_off_is_told_of_at_the_next_export(
    notes: Running, pool: Pool, target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    exporter = Exporter(pool, "notes", target.file, target.key)
    await look(notes, times=2)
    await Sealer(pool).seal()
    await exporter.export()
    await notes.admin.execute("DELETE FROM audit_seal WHERE sequence = 2")
    await exporter.export()
    assert "audit.cut_off" in "".join(capsys.readouterr())


async def test_a_trail_that_was_cut_off_is_told_of_until_it_ends_beyond_what_was_exported(
    notes: Running, pool: Pool, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the process that begins later, too: it knows it from the file, with a torn line and one of another service."""
    found = list[Head]()

    async def read(*_: object) -> list[Head]:
        return found

    monkeypatch.setattr("chassis.heads.read_heads", read)

    async def behind(exporter: Exporter, sequence: int) -> float | None:
        found[:] = heads(sequence, chain_id=notes.chain_id)
        await exporter.export()
        return REGISTRY.get_sample_value("atoll_audit_heads_behind")

    append(target.file, signing_key(target.key), "others", heads(150, chain_id=notes.chain_id))
    exporter = Exporter(pool, "notes", target.file, target.key)
    assert [await behind(exporter, sequence) for sequence in (100, 40, 40, 41, 99)] == [0, 1, 1, 1, 1]
    with target.file.open("a") as file:
        file.write('{"service": "notes", "chain"')
    exporter = Exporter(pool, "notes", target.file, target.key)
    assert [await behind(exporter, sequence) for sequence in (60, 99, 100, 101)] == [1, 1, 0, 0]


def test_only_the_end_of_a_long_export_is_read_by_who_begins(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    chain_id, gone = new_id(), new_id()
    for head in (*heads(7, chain_id=gone), *heads(4, 5, chain_id=chain_id)):
        append(target.file, signing_key(target.key), "notes", [head])
    *_, before, last = target.file.read_bytes().splitlines(keepends=True)
    monkeypatch.setattr("chassis.heads.SEED_BYTES", len(before + last) + 1)
    assert furthest(target.file, "notes") == {chain_id: 5}


def test_lines_are_signed_and_each_follows_the_one_before(target: Target) -> None:
    key = signing_key(target.key)
    append(target.file, key, "notes", heads(1, 2))
    append(target.file, key, "notes", heads(3))
    assert target.read().faults == []
    first, second, third = target.file.read_text().splitlines(keepends=True)
    assert target.read(second + third).faults == []  # A file before it was put away.
    assert target.read(first + third).faults == ["line 2 of the export does not follow the line before"]
    assert target.read(first + third + second).faults[0] == "line 2 of the export does not follow the line before"


@pytest.mark.parametrize(
    ("field", "value"),
    [("sequence", 2), ("hash", "00" * 32), ("chain", to_wire("chain", UUID(int=7))), ("service", "others")],
)
def test_a_line_that_was_changed_is_not_signed(target: Target, field: str, value: object) -> None:
    append(target.file, signing_key(target.key), "notes", heads(1))
    [line] = target.lines()
    exports = target.read(json.dumps(line | {field: value}) + "\n")
    assert exports.faults == ["line 1 of the export is not signed by a key that is known"]
    assert exports.kept == {}


def test_a_line_signed_by_another_key_of_the_same_name_is_refused(target: Target) -> None:
    append(target.file, signing_key(target.key), "notes", heads(1))
    other = KeySet([ECKey.import_key(new_key("2027"))])
    assert target.read(keys=other).faults == ["line 1 of the export is not signed by a key that is known"]


def test_lines_that_old_keys_signed_are_read_by_a_set_of_all_keys(target: Target) -> None:
    old, new = ECKey.import_key(new_key("2026")), signing_key(target.key)
    append(target.file, old, "notes", heads(1))
    append(target.file, new, "notes", heads(2))
    both = target.key.with_name("keys.json")
    both.write_text(json.dumps(KeySet([old, new]).as_dict(private=False)))
    assert target.read(keys=public_keys(both)).faults == []
    assert len(target.read().faults) == 1


def test_two_heads_for_one_seal_are_found_though_both_are_signed(target: Target) -> None:
    chain_id = new_id()
    [one] = heads(1, chain_id=chain_id)
    append(target.file, signing_key(target.key), "notes", [one, Head(chain_id, 1, b"\xff" * 32)])
    assert target.read().faults == ["line 2 of the export names another seal 1 than a line before"]


def test_a_line_that_a_crash_cut_off_is_taken_away_by_the_next_export(target: Target) -> None:
    key = signing_key(target.key)
    append(target.file, key, "notes", heads(1, 2))
    whole = target.file.read_text()
    for cut in (1, 40, len(whole.splitlines()[1])):
        target.file.write_text(whole[:-cut])
        assert target.read().faults == []
        append(target.file, key, "notes", heads(3))
        assert [line["sequence"] for line in target.lines()] in ([1, 3], [1, 2, 3])
        assert target.read().faults == []


def test_a_damaged_line_stops_no_export(target: Target) -> None:
    target.file.write_bytes(b"\xff\n")
    append(target.file, signing_key(target.key), "notes", heads(1))
    exports = target.read(target.file.read_text(errors="replace"))
    assert exports.faults == ["line 1 of the export is no head"]
    assert len(exports.kept) == 1


def test_what_is_exported_is_on_disk(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, fsync = list[int](), os.fsync

    def noting(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", noting)
    append(target.file, signing_key(target.key), "notes", heads(1))
    assert synced[0] == target.file.stat().st_size
    assert len(synced) == 2  # The folder that has the new file, too.


@pytest.mark.parametrize("text", ["", "{}", '{"kty": "oct", "k": "AAAA", "kid": "x"}', "nonsense"])
def test_a_file_that_holds_no_key_to_sign_with_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(BadKey):
        signing_key(tmp_path / "key")


def test_a_public_key_is_none_to_sign_with(target: Target) -> None:
    key = signing_key(target.key)
    target.key.write_text(json.dumps(key.as_dict(private=False)))
    with pytest.raises(BadKey):
        signing_key(target.key)


@pytest.mark.parametrize("times", [pytest.param(70), pytest.param(1_000, marks=pytest.mark.long)])
async def test_every_change_of_a_sealed_trail_is_found(notes: Running, pool: Pool, target: Target, times: int) -> None:
    """The last rows were sealed after the last export, as those of the last minute are."""
    exporter, sealer = Exporter(pool, "notes", target.file, target.key), Sealer(pool)
    for count in (20, 15, 5):
        for _ in range(count):
            notes.clock.now += timedelta(seconds=7)
            await look(notes, patient_id=new_id())
        await sealer.seal()
        if count != 5:
            await exporter.export()
    exports = target.read()
    kept = exports.kept["notes", notes.chain_id]
    await notes.admin.execute("ALTER TABLE audit ALTER position DROP IDENTITY")
    intruder = Intruder(notes, random.Random(SEED), length=40, exported=35)  # noqa: S311
    missed = list[str]()
    for number in range(times):
        change = CHANGES[number % len(CHANGES)]
        transaction = notes.admin.transaction(isolation="repeatable_read")
        await transaction.start()
        await change(intruder)
        found = await verify(notes.admin, notes.chain_id, kept)
        await transaction.rollback()
        if not (found.fault or found.late):
            missed.append(f"{number}: {change.__name__}")
    assert missed == []
    assert await verify(notes.admin, notes.chain_id, kept) == Verdict(notes.chain_id, 40, "")
