"""Which account of a processor a site has, as the environment tells."""

import json
import os
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from chassis.ids import new_id, to_wire
from services.billing.domain.sites import Site
from services.billing.processor import PlainProcessor, ProcessorAccount, Processors, ProcessorSettings

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


@pytest.fixture
def account() -> dict[str, object]:
    site_ids = [to_wire("site", SITE.id)]
    return {"chain_id": to_wire("chain", CHAIN), "secret_key": SECRET, "site_ids": site_ids}


def write(path: Path, told: str, second: int) -> None:
    """At a time of its own: clocks of files are coarse."""
    path.write_text(told)
    os.utime(path, (second, second))


def test_accounts_of_a_file_are_those_that_stand_in_it_now(tmp_path: Path, account: dict[str, object]) -> None:
    file = tmp_path / "accounts.json"
    settings = ProcessorSettings(mode="development", processors_file=file)
    processors = Processors.told(settings)
    assert processors.account_of(CHAIN, SITE) is None
    write(file, json.dumps({"desk": account}), 1)
    assert processors.account_of(CHAIN, SITE) == "desk"
    assert "desk" in processors
    assert (processors.chain_of("desk"), processors.chains) == (CHAIN, frozenset({CHAIN}))
    made = processors["desk"]
    write(file, json.dumps({"desk": account | {"secret_key": "sk_test_other"}}), 2)
    assert processors["desk"] is not made
    write(file, json.dumps({}), 3)
    assert processors.account_of(CHAIN, SITE) is None


def test_a_file_that_cannot_be_read_changes_nothing(tmp_path: Path, account: dict[str, object]) -> None:
    file = tmp_path / "accounts.json"
    write(file, json.dumps({"desk": account}), 1)
    processors = Processors.told(ProcessorSettings(mode="development", processors_file=file))
    assert "desk" in processors
    write(file, "{", 2)
    assert "desk" in processors
    file.unlink()
    assert "desk" in processors


def test_in_production_a_processor_is_asked_over_tls_only(tmp_path: Path, account: dict[str, object]) -> None:
    plain = ProcessorAccount.model_validate(account | {"api_url": "http://127.0.0.1:8095"})
    with pytest.raises(PlainProcessor):
        Processors.told(ProcessorSettings(mode="production", processors={"desk": plain}))
    assert "desk" in Processors.told(ProcessorSettings(mode="development", processors={"desk": plain}))
    file = tmp_path / "accounts.json"
    file.write_text(json.dumps({"desk": account | {"api_url": "http://127.0.0.1:8095"}}))
    assert "desk" not in Processors.told(ProcessorSettings(mode="production", processors_file=file))
    file.write_text(json.dumps({"desk": account | {"api_url": "https://pay.example"}}))
    assert "desk" in Processors.told(ProcessorSettings(mode="production", processors_file=file))
