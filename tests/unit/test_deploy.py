"""The containers of deploy/compose.yaml, as far as they can be looked at without a Docker engine."""

import re
import subprocess
from pathlib import Path

import pytest

from deploy.local import envoy
from deploy.local.home import Home
from deploy.local.process import ROOT
from deploy.local.services import PEERS, SERVICES
from deploy.prepare import configure_edge, make_certificates

COMPOSE = (ROOT / "deploy" / "compose.yaml").read_text()
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


@pytest.mark.parametrize("tls", [False, True])
def test_what_is_prepared_for_the_edge_envoy_finds_good(tmp_path: Path, tls: bool) -> None:
    home = Home(tmp_path)
    make_certificates(home)
    configure_edge(home, ADDRESSES, tls=tls)
    options = [
        "--mode",
        "validate",
        "--disable-hot-restart",
        "-l",
        "error",
        "-c",
        str(tmp_path / "edge" / "envoy.yaml"),
    ]
    done = subprocess.run([str(envoy.installed()), *options], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert sorted(path.name for path in (tmp_path / "edge").glob("*.json")) == [
        "inside.json",
        "openapi.json",
        *["public.json"] * tls,
    ]
