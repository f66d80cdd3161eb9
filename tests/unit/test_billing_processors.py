"""Which account of a processor a site has, as the environment tells."""

import json
import subprocess
import sys
from zoneinfo import ZoneInfo

import pytest

from chassis.ids import new_id, to_wire
from services.billing.domain.sites import Site
from services.billing.processor import Processors, ProcessorSettings

CHAIN, OTHER_CHAIN, ENTITY = new_id(), new_id(), new_id()
SITE, OTHER_SITE = (Site(new_id(), ENTITY, ZoneInfo("America/Denver")) for _ in range(2))
SECRET = "sk_test_canary"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> ProcessorSettings:
    chain = {"chain_id": to_wire("chain", CHAIN), "secret_key": SECRET, "webhook_secrets": ["whsec_a", "whsec_b"]}
    accounts = {
        "shared": chain | {"legal_entity_ids": [to_wire("legalentity", ENTITY)]},
        "own": chain | {"site_ids": [to_wire("site", SITE.id)]},
    }
    monkeypatch.setenv("ATOLL_PROCESSORS", json.dumps(accounts))
    return ProcessorSettings()


def test_a_site_has_its_own_account_or_that_of_its_legal_entity(settings: ProcessorSettings) -> None:
    processors = Processors(settings.processors)
    assert processors.account_of(CHAIN, SITE) == "own"
    assert processors.account_of(CHAIN, OTHER_SITE) == "shared"
    assert processors.account_of(OTHER_CHAIN, SITE) is None
    assert processors.chains == {CHAIN}
    assert [processors.chain_of(name) for name in ("own", "none")] == [CHAIN, None]


def test_secrets_are_not_shown(settings: ProcessorSettings) -> None:
    assert SECRET not in repr(settings)
    assert "whsec" not in repr(settings)


def test_without_an_account_the_processors_library_is_not_loaded() -> None:
    program = "import sys, services.billing.__main__; print('stripe' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
