"""Rules of sites and resources."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from chassis.errors import DomainError
from services.scheduling.domain.hours import Shift
from services.scheduling.domain.resources import CredentialNotOfStaff, NpiInvalid, Resource, ResourceKind, is_npi
from services.scheduling.domain.sites import (
    DiscreetNameRefused,
    PhoneInvalid,
    Site,
    StateUnknown,
    TimeZoneUnknown,
    betrays_health,
)

SITE = Site(
    id=UUID(int=1),
    legal_entity_id=UUID(int=2),
    code="den",
    display_name="Front Range Ketamine",
    discreet_name="Suite 200",
    address={"address_lines": ["1600 Broadway", "Suite 200"], "locality": "Denver", "postal_code": "80202"},
    state="CO",
    time_zone="America/Denver",
    phone="+13035550123",
    opening_hours=(Shift(0, 540, 1020),),
    closed_dates=(),
)
NURSE = Resource(UUID(int=3), SITE.id, ResourceKind.STAFF, "Nurse", frozenset({"infusion"}), 2)


def test_a_site_that_keeps_every_rule_passes_and_has_an_address_of_one_line() -> None:
    SITE.check()
    assert SITE.address_line == "1600 Broadway, Suite 200, Denver, CO 80202"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"time_zone": "America/Albuquerque"}, TimeZoneUnknown),
        ({"time_zone": "localtime"}, TimeZoneUnknown),
        ({"state": "XX"}, StateUnknown),
        ({"address": {"administrative_area": "NM"}}, StateUnknown),
        ({"phone": "(303) 555-0123"}, PhoneInvalid),
        ({"phone": "+1303"}, PhoneInvalid),
        ({"discreet_name": "Denver Infusions"}, DiscreetNameRefused),
    ],
)
def test_a_site_that_breaks_a_rule_is_refused_by_name(changes: dict[str, Any], error: type[DomainError]) -> None:
    with pytest.raises(error) as refused:
        replace(SITE, **changes).check()
    assert len(refused.value.violations) == 1


@pytest.mark.parametrize("name", ["KetaminaPlus", "Mile High Therapy", "PTSD Center", "Pain & Mood", "HealthSpa"])
def test_a_health_word_betrays_a_clinic(name: str) -> None:
    assert betrays_health(name)


@pytest.mark.parametrize("name", ["Suite 200", "Painted Hills", "Monumental", "Tuesday at Broadway"])
def test_other_words_do_not(name: str) -> None:
    assert not betrays_health(name)


@pytest.mark.parametrize(
    ("npi", "valid"),
    [("1234567893", True), ("1234567890", False), ("1234567839", False), ("123456789", False), ("123456789X", False)],
)
def test_an_npi_has_a_check_digit(npi: str, valid: bool) -> None:
    assert is_npi(npi) is valid


def test_only_staff_have_a_credential_and_an_npi() -> None:
    replace(NURSE, credential="RN", npi="1234567893").check()
    for changes in ({"credential": "RN"}, {"npi": "1234567893"}):
        with pytest.raises(CredentialNotOfStaff):
            replace(NURSE, kind=ResourceKind.ROOM, **changes).check()  # type: ignore[arg-type]
    with pytest.raises(NpiInvalid):
        replace(NURSE, npi="1234567890").check()


def test_a_resource_without_hours_has_the_sites_and_one_with_hours_its_own() -> None:
    assert NURSE.hours(SITE.hours) is SITE.hours or NURSE.hours(SITE.hours) == SITE.hours
    early = replace(NURSE, working_hours=(Shift(0, 360, 540),))
    assert early.hours(SITE.hours).shifts == (Shift(0, 360, 540),)
