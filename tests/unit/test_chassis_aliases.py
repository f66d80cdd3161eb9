"""Where aliases lead."""

from uuid import UUID

from chassis.aliases import path

A, B, C, D = (UUID(int=n) for n in range(1, 5))


def test_an_id_that_is_no_alias_is_its_own_end() -> None:
    assert path(A, {}) == [A]
    assert path(A, {A: None}) == [A]


def test_an_alias_ends_where_its_last_survivor_stands_for_itself() -> None:
    survivors = {A: B, B: C, C: None}
    assert path(A, survivors) == [A, B, C]
    assert path(B, survivors) == [B, C]


def test_all_ids_of_a_ring_end_at_the_least_of_it_and_so_does_who_leads_into_it() -> None:
    survivors = {A: D, D: C, C: B, B: D}
    assert {id: path(id, survivors)[-1] for id in survivors} == {A: B, B: B, C: B, D: B}
