"""The containers of deploy/compose.yaml, as far as they can be looked at without a Docker engine."""

import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chassis.provision import DatabaseUrls
from chassis.server import GRACE_S
from deploy.envoy.config import Accounts
from deploy.local import envoy
from deploy.local.home import Home
from deploy.local.process import ROOT
from deploy.local.services import PEERS, SERVICES, ServicePorts, serve
from deploy.prepare import configure_edge, make_certificates
from services.notifications import sender
from services.notifications.webhooks import sender as webhook_sender

COMPOSE = (ROOT / "deploy" / "compose.yaml").read_text()
CLOSING_S = 5.0
ADDRESSES = " ".join(f"{name}=127.0.0.1:50051" for name in SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_shows_its_own_certificate_and_admits_those_who_call_it(name: str) -> None:
    block = re.split(r"\n  (?=\S)", COMPOSE.split(f"\n  {name}:\n")[1])[0]
    settings = dict(re.findall(r"ATOLL_TLS_(\w+): (\S+)", block))
    assert settings == {
        "CERT_FILE": f"/data/tls/{name}.pem",
        "KEY_FILE": f"/data/tls/{name}-key.pem",
        "PEERS": ",".join(PEERS[name]),
    }


def test_a_service_that_stops_is_given_the_time_that_what_it_has_in_hand_may_take(tmp_path: Path) -> None:
    in_hand_s = max(GRACE_S, sender.DRAIN_S, webhook_sender.DRAIN_S)
    [in_containers] = re.findall(r"stop_grace_period: (\d+)s\n", COMPOSE)
    databases = DatabaseUrls(owner="", service="", relay="", sealer="")
    around: Any = SimpleNamespace(environment=dict, of_tls=lambda _: {}, of_scheduling=dict, audit_heads=tmp_path)
    here = serve("scheduling", ServicePorts(1, 2, 3), databases, around)
    for given_s in (int(in_containers), here.stop_within_s):
        assert given_s >= in_hand_s + CLOSING_S


def test_every_service_and_the_edge_agree_on_who_signs_tokens_of_service_accounts() -> None:
    edge = "${ATOLL_EDGE_URL:-http://localhost:8080}"
    assert re.findall(r'ATOLL_ACCOUNT_ISSUER: "(.+)"', COMPOSE) == [edge, edge]  # Of scheduling, and of the edge.
    [trusted] = re.findall(r"ATOLL_ISSUERS: '(.+)'", COMPOSE)
    assert json.loads(trusted) == [{"issuer": edge, "jwks": f"/data/{Home(Path('/data')).account_jwks.name}"}]
    assert f"ATOLL_ACCOUNT_KEYS_FILE: {Home(Path('/data')).account_keys}\n" in COMPOSE


@pytest.mark.parametrize("tls", [False, True])
def test_what_is_prepared_for_the_edge_envoy_finds_good(tmp_path: Path, tls: bool) -> None:
    home = Home(tmp_path)
    make_certificates(home)
    configure_edge(home, ADDRESSES, Accounts("127.0.0.1:50053", "http://localhost:8080"), tls=tls)
    options = [
        "--mode",
        "validate",
        "--disable-hot-restart",
        "-l",
        "critical",  # It tells as an error that nobody is there yet to ask for the keys of service accounts.
        "-c",
        str(tmp_path / "edge" / "envoy.yaml"),
    ]
    done = subprocess.run([str(envoy.installed()), *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "edge").glob("*.json")) == [
        "inside.json",
        "openapi.json",
        *["public.json"] * tls,
    ]
