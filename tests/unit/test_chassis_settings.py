"""What is secret may come from files, is never repeated, and is not what a local stack made for itself."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chassis.keyring import KeyRing
from chassis.settings import Settings, SettingsRefused, read
from chassis.signing import new_key
from deploy.local.home import Home
from deploy.local.process import PYTHON, ROOT
from services.billing.processor import ProcessorSettings
from services.billing.settings import BillingSettings
from services.notifications.texting import TextingSettings
from services.patients.settings import PatientsSettings
from services.scheduling.accounts import AccountSettings

SECRET = "correct-horse-battery"
NEEDED = {
    "MODE": "production",
    "DATABASE_URL": "postgresql://a@db/a",
    "RELAY_DATABASE_URL": "postgresql://b@db/a",
    "SEALER_DATABASE_URL": "postgresql://c@db/a",
    "NATS_URL": "nats://nats:4222",
    "ISSUER": "https://id.example.org",
    "JWKS": "https://id.example.org/jwks",
    "TLS_ELSEWHERE": "true",
    "PATIENTS_ADDRESS": "patients:50051",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ATOLL_")]:
        monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(f"ATOLL_{name}", value)


def written(folder: Path, text: str) -> str:
    path = folder / "secret"
    path.write_text(text)
    return str(path)


def test_a_value_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ATOLL_DATABASE_URL")
    monkeypatch.setenv("ATOLL_DATABASE_URL_FILE", written(tmp_path, f"postgresql://a:{SECRET}@db/a\n"))
    assert read(Settings).database_url == f"postgresql://a:{SECRET}@db/a"


def test_what_is_written_as_json_may_stand_in_a_file_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    account = {"chain_id": "chain_01h455vb4pex5vsknk084sn02q", "provider": "none"}
    monkeypatch.setenv("ATOLL_TEXTING_FILE", written(tmp_path, json.dumps({"main": account | {"token": SECRET}})))
    with pytest.raises(SettingsRefused, match="ATOLL_TEXTING: ") as refused:
        read(TextingSettings)
    assert SECRET not in str(refused.value)
    monkeypatch.setenv("ATOLL_TEXTING_FILE", written(tmp_path, "{}\n"))
    assert read(TextingSettings).texting == {}


def test_what_scheduling_is_told_of_service_accounts_may_stand_in_a_file_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATOLL_ACCOUNT_ISSUER_FILE", written(tmp_path, "https://api.example.org\n"))
    assert read(AccountSettings).account_issuer == "https://api.example.org"


def test_a_value_that_is_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATOLL_NATS_URL_FILE", written(tmp_path, "nats://other:4222"))
    with pytest.raises(SettingsRefused, match="ATOLL_NATS_URL and ATOLL_NATS_URL_FILE are both set"):
        read(Settings)


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ATOLL_NATS_URL")
    monkeypatch.setenv("ATOLL_NATS_URL_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsRefused, match="ATOLL_NATS_URL_FILE names a file that cannot be read"):
        read(Settings)


@pytest.mark.parametrize("name", ["POOL_SIZE", "WORKERS", "MODE", "PROCESSORS"])
def test_a_refusal_names_the_setting_and_not_its_value(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"ATOLL_{name}", SECRET)
    with pytest.raises(SettingsRefused) as refused:
        read(ProcessorSettings if name == "PROCESSORS" else Settings)
    assert name.lower() in str(refused.value).lower()
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)


def ring(*ids: str) -> dict[str, Any]:
    key = base64.b64encode(bytes(32)).decode()
    return {"current": ids[0], "keys": dict.fromkeys(ids, key)}


@pytest.mark.parametrize("held", [ring("dev-1"), ring("2027", "dev-1")])
def test_production_refuses_a_ring_with_a_key_of_a_local_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, held: dict[str, Any]
) -> None:
    monkeypatch.setenv("ATOLL_DOCUMENT_KEYS_FILE", written(tmp_path, json.dumps(held)))
    with pytest.raises(SettingsRefused, match="ATOLL_DOCUMENT_KEYS_FILE holds a key for development"):
        read(BillingSettings)
    monkeypatch.setenv("ATOLL_MODE", "development")
    assert read(BillingSettings)


def test_production_refuses_to_sign_with_a_key_of_a_local_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATOLL_AUDIT_HEADS_FILE", str(tmp_path / "heads"))
    monkeypatch.setenv("ATOLL_AUDIT_KEY_FILE", written(tmp_path, json.dumps(new_key("dev-1"))))
    with pytest.raises(SettingsRefused, match="ATOLL_AUDIT_KEY_FILE holds a key for development"):
        read(Settings)
    written(tmp_path, json.dumps(new_key("2027")))
    assert read(Settings)


@pytest.mark.parametrize("text", ["", "[]", "nonsense"])
def test_production_refuses_a_file_that_holds_no_keys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.setenv("ATOLL_DOCUMENT_KEYS_FILE", written(tmp_path, text))
    with pytest.raises(SettingsRefused, match="ATOLL_DOCUMENT_KEYS_FILE names a file that holds no keys"):
        read(BillingSettings)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"current": "2", "keys": {}}', '{"current": "1", "keys": {"1": "c2hvcnQ="}}', None]
)
def test_patients_is_not_served_without_keys_in_development_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    path = str(tmp_path / "none") if text is None else written(tmp_path, text)
    monkeypatch.setenv("ATOLL_MODE", "development")
    monkeypatch.setenv("ATOLL_RECORD_KEYS_FILE", path)
    with pytest.raises(SettingsRefused, match="ATOLL_RECORD_KEYS_FILE names a file without usable keys"):
        read(PatientsSettings)
    monkeypatch.setenv("ATOLL_RECORD_KEYS_FILE", written(tmp_path, json.dumps(ring("2027"))))
    assert read(PatientsSettings)
    monkeypatch.delenv("ATOLL_RECORD_KEYS_FILE")
    with pytest.raises(SettingsRefused, match="ATOLL_RECORD_KEYS_FILE: Field required"):
        read(PatientsSettings)


def test_production_refuses_to_seal_records_with_a_key_of_a_local_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATOLL_RECORD_KEYS_FILE", written(tmp_path, json.dumps(ring("2027", "dev-1"))))
    with pytest.raises(SettingsRefused, match="ATOLL_RECORD_KEYS_FILE holds a key for development"):
        read(PatientsSettings)


def test_heads_and_the_key_that_signs_them_are_set_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATOLL_AUDIT_HEADS_FILE", str(tmp_path / "heads"))
    with pytest.raises(SettingsRefused, match="ATOLL_AUDIT_HEADS_FILE and ATOLL_AUDIT_KEY_FILE go together"):
        read(Settings)


def test_every_key_that_a_local_stack_makes_is_one_that_production_refuses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = Home(tmp_path)
    home.make_keys()
    for variable, path in (
        ("DOCUMENT_KEYS_FILE", home.document_keys),
        ("DOCUMENT_KEYS_FILE", home.message_keys),
        ("DOCUMENT_KEYS_FILE", home.record_keys),
        ("DOCUMENT_KEYS_FILE", home.audit_key),
    ):
        monkeypatch.setenv(f"ATOLL_{variable}", str(path))
        with pytest.raises(SettingsRefused, match="holds a key for development"):
            read(BillingSettings)
    assert KeyRing(home.document_keys).digest(b"x")


def test_a_service_that_does_not_start_says_why_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.scheduling", "serve"]
    environment = {**os.environ, **PYTHON, "ATOLL_POOL_SIZE": SECRET}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("scheduling does not start: ATOLL_POOL_SIZE: ")
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr
