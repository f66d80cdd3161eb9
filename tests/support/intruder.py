"""Somebody who may do anything in a database, knows how seals are made, and changes a sealed trail."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.sealer import hash_of
from tests.support.service import Running


@dataclass
class Intruder:
    """Changes a trail of which seals up to `exported` were exported, inside a transaction that is rolled back."""

    notes: Running
    chance: random.Random
    length: int
    exported: int

    async def run(self, sql: str, *values: Any) -> None:
        await self.notes.admin.execute(sql.replace("WHERE", "WHERE chain_id = $1 AND", 1), self.notes.chain_id, *values)

    def any_seal(self, up_to: int | None = None) -> int:
        return self.chance.randint(1, up_to or self.length)

    def two(self) -> Sequence[int]:
        return sorted(self.chance.sample(range(1, self.length + 1), 2))

    async def change_a_field(self) -> None:
        column, sql = self.chance.choice(
            [
                ("actor", "actor || $3"), ("method", "method || $3"), ("kind", "kind || $3"), ("cause", "cause || $3"),
                ("ids", "ids || jsonb_build_object('x' || $3, $3)"), ("at", "at + length($3) * interval '1 us'"),
            ]
        )  # fmt: skip
        await self.run(f"UPDATE audit SET {column} = {sql} WHERE position = $2", self.any_seal(), self.any_text())

    def any_text(self) -> str:
        return "".join(self.chance.choices("abcdef", k=self.chance.randint(1, 9)))

    async def change_a_seal(self) -> None:
        await self.run("UPDATE audit_seal SET hash = sha256(hash || $3) WHERE sequence = $2", self.any_seal(), b"x")

    async def remove_a_row(self) -> None:
        await self.run("DELETE FROM audit WHERE position = $2", self.any_seal())

    async def remove_a_row_and_its_seal(self) -> None:
        seal = self.any_seal(self.exported)
        await self.run("DELETE FROM audit WHERE position = $2", seal)
        await self.run("DELETE FROM audit_seal WHERE sequence = $2", seal)
        await self.close_up(seal)

    async def close_up(self, seal: int) -> None:
        await self.run("UPDATE audit_seal SET sequence = sequence - 100000 WHERE sequence > $2", seal)
        await self.run("UPDATE audit_seal SET sequence = sequence + 99999 WHERE sequence < $2", 0)

    async def swap_two_rows(self) -> None:
        one, other = self.two()
        for table in ("audit", "audit_subject"):
            for old, new in ((one, -1), (other, one), (-1, other)):
                await self.run(f"UPDATE {table} SET position = $3 WHERE position = $2", old, new)

    async def reorder_seals(self) -> None:
        one, other = self.two()
        for old, new in ((one, -1), (other, one), (-1, other)):
            await self.run("UPDATE audit_seal SET sequence = $3 WHERE sequence = $2", old, new)

    async def insert_a_row_with_a_seal(self) -> None:
        seal = self.any_seal(self.exported)
        await self.run("UPDATE audit_seal SET sequence = sequence + 100001 WHERE sequence >= $2", seal)
        await self.run("UPDATE audit_seal SET sequence = sequence - 100000 WHERE sequence > $2", 100000)
        await self.copy_a_row(self.length + 1)
        await self.run(
            "INSERT INTO audit_seal (chain_id, sequence, position, hash) "
            "SELECT chain_id, $2, $3, sha256(hash) FROM audit_seal WHERE sequence <> $2 LIMIT 1",
            seal,
            self.length + 1,
        )

    async def insert_a_row_below_the_seals(self) -> None:
        await self.copy_a_row(-self.any_seal())

    async def copy_a_row(self, position: int) -> None:
        await self.run(
            "INSERT INTO audit (chain_id, position, actor, method, kind, cause, ids, at) OVERRIDING SYSTEM VALUE "
            "SELECT chain_id, $3, actor, method, kind, cause, ids - 'subjects', at FROM audit WHERE position = $2",
            self.any_seal(),
            position,
        )

    async def cut_off_the_end(self) -> None:
        first = self.any_seal(self.exported)
        for table, column in (("audit", "position"), ("audit_seal", "sequence"), ("audit_subject", "position")):
            await self.run(f"DELETE FROM {table} WHERE {column} >= $2", first)

    async def rewrite_the_end(self) -> None:
        """With all hashes after it made anew."""
        first = self.any_seal(self.exported)
        await self.run("UPDATE audit SET actor = actor || $3 WHERE position = $2", first, self.any_text())
        await self.seal_anew(first)

    async def move_a_row_and_rewrite(self) -> None:
        first = self.any_seal(self.exported - 1)
        await self.run("UPDATE audit SET at = at - interval '1 day' WHERE position = $2", first)
        await self.run("UPDATE audit_subject SET at = at - interval '1 day' WHERE position = $2", first)
        await self.seal_anew(first)

    async def seal_anew(self, first: int) -> None:
        admin, chain_id = self.notes.admin, self.notes.chain_id
        before = await admin.fetchval(
            "SELECT hash FROM audit_seal WHERE chain_id = $1 AND sequence = $2", chain_id, first - 1
        )
        digest, seals = before or b"", list[tuple[UUID, int, bytes]]()
        for row in await admin.fetch(
            "SELECT * FROM audit WHERE chain_id = $1 AND position >= $2 ORDER BY position", chain_id, first
        ):
            digest = hash_of(digest, row)
            seals.append((chain_id, row["position"], digest))
        await admin.executemany("UPDATE audit_seal SET hash = $3 WHERE chain_id = $1 AND position = $2", seals)

    async def make_all_anew(self) -> None:
        """As if the trail had begun with its second row."""
        await self.run("DELETE FROM audit WHERE position = $2", 1)
        await self.run("DELETE FROM audit_subject WHERE position = $2", 1)
        await self.run("DELETE FROM audit_seal WHERE sequence >= $2", 0)
        rows = await self.notes.admin.fetch(
            "SELECT * FROM audit WHERE chain_id = $1 ORDER BY position", self.notes.chain_id
        )
        digest = b""
        for sequence, row in enumerate(rows, 1):
            digest = hash_of(digest, row)
            await self.notes.admin.execute(
                "INSERT INTO audit_seal (chain_id, sequence, position, hash) VALUES ($1, $2, $3, $4)",
                self.notes.chain_id, sequence, row["position"], digest,
            )  # fmt: skip

    async def remove_everything(self) -> None:
        for table in ("audit", "audit_subject", "audit_seal"):
            await self.run(f"DELETE FROM {table} WHERE $2", True)

    async def change_the_index(self) -> None:
        sql = self.chance.choice(
            ["DELETE FROM audit_subject WHERE position = $2",
             "UPDATE audit_subject SET subject_id = gen_random_uuid() WHERE position = $2",
             "UPDATE audit_subject SET at = at + interval '1 s' WHERE position = $2"]
        )  # fmt: skip
        await self.run(sql, self.any_seal())


CHANGES: Sequence[Callable[[Intruder], Any]] = (
    Intruder.change_a_field,
    Intruder.change_a_seal,
    Intruder.remove_a_row,
    Intruder.remove_a_row_and_its_seal,
    Intruder.swap_two_rows,
    Intruder.reorder_seals,
    Intruder.insert_a_row_with_a_seal,
    Intruder.insert_a_row_below_the_seals,
    Intruder.cut_off_the_end,
    Intruder.rewrite_the_end,
    Intruder.move_a_row_and_rewrite,
    Intruder.make_all_anew,
    Intruder.remove_everything,
    Intruder.change_the_index,
)
