"""The development issuer's login page, as a front end of this machine meets it. The API behind it is a stand-in."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from chassis.ids import new_id, to_wire
from deploy.local.home import Home
from deploy.local.login.__main__ import LoginPages
from deploy.local.login.people import People
from deploy.local.login.protocol import Codes, challenge_of
from deploy.local.pages import Pages, open_pages
from deploy.local.process import PYTHON, ROOT, free_port

CHAIN, SITE, PATIENT = to_wire("chain", new_id()), to_wire("site", new_id()), to_wire("patient", new_id())
BACK = "http://localhost:5173/callback"
VERIFIER = "a-verifier-that-nobody-else-has-seen-before"
ASKED = {
    "client_id": "booking-web",
    "redirect_uri": BACK,
    "response_type": "code",
    "scope": "openid",
    "state": "what the page was doing",
    "nonce": "n-1",
    "code_challenge": challenge_of(VERIFIER),
    "code_challenge_method": "S256",
}
BE_PATIENT = {"patient": PATIENT, "name": "Alfa Sample"}
FRONT_DESK = {"subject": "desk-1", "role": "ROLE_FRONT_DESK", "site": SITE}


class Api(Pages):
    """Finds one patient, whoever is looked for."""

    security = ""
    asked: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        card = {"patientId": PATIENT, "givenNames": ["Alfa"], "familyName": "<Sample>", "homeSiteId": SITE}
        self.answer_json({"cards": [card | {"birthDate": {"year": 1950, "month": 2, "day": 28}}]})


@dataclass
class Login:
    url: str
    home: Home
    http: httpx.Client
    people: People

    def authorize(self, form: Mapping[str, str], **changes: str) -> Mapping[str, str]:
        """What the browser takes back to the client."""
        answer = self.http.post("/authorize", params=ASKED | changes, data=dict(form))
        assert answer.status_code == 303, answer.text
        target = urlsplit(answer.headers["location"])
        assert answer.headers["location"].startswith(changes.get("redirect_uri", BACK))
        return {name: values[0] for name, values in parse_qs(target.query).items()}

    def exchange(self, code: str, **changes: str) -> httpx.Response:
        form = {"grant_type": "authorization_code", "code": code, "client_id": "booking-web", "redirect_uri": BACK}
        return self.http.post("/token", data=form | {"code_verifier": VERIFIER} | changes)

    def claims(self, token: str) -> tuple[str, dict[str, Any]]:
        """Type and claims, verified by the keys that the page publishes."""
        keys = KeySet.import_key_set(self.http.get("/jwks.json").json())
        decoded = jwt.decode(token, keys, algorithms=["ES256"])
        return decoded.header["typ"], decoded.claims


@pytest.fixture
def login(tmp_path: Path) -> Iterator[Login]:
    port, edge_port = free_port(), free_port()
    home, url = Home(tmp_path), f"http://127.0.0.1:{port}"
    home.issuer.serve_at(url)
    home.sites_file.write_text(json.dumps({"chain_id": CHAIN, "sites": {"abq": SITE}}))
    people = People(home.sites_file, f"http://127.0.0.1:{edge_port}", home.issuer)
    servers = open_pages(port, LoginPages, issuer=home.issuer, people=people, codes=Codes()), open_pages(edge_port, Api)
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    Api.asked.clear()
    with httpx.Client(base_url=url) as http:
        yield Login(url, home, http, people)
    for server in servers:
        server.shutdown()
        server.server_close()


def test_it_is_found_by_discovery(login: Login) -> None:
    found = login.http.get("/.well-known/openid-configuration").json()
    assert found["issuer"] == login.url == login.home.issuer.name
    assert found["code_challenge_methods_supported"] == ["S256"]
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        assert found[name].startswith(f"{login.url}/")


def test_a_patient_signs_in_and_the_client_gets_a_token_of_theirs(login: Login) -> None:
    back = login.authorize(BE_PATIENT)
    assert (back["state"], back["iss"]) == (ASKED["state"], login.url)
    answer = login.exchange(back["code"])
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    kind, claims = login.claims(answer.json()["access_token"])
    assert kind == "at+jwt"
    assert claims.pop("exp") - claims.pop("iat") == answer.json()["expires_in"] == 3600
    assert claims == {
        "iss": login.url,
        "aud": "atoll",
        "sub": PATIENT,
        "chain": CHAIN,
        "grants": {"ROLE_PATIENT": ["*"]},
        "patient": PATIENT,
    }
    kind, identity = login.claims(answer.json()["id_token"])
    said = kind, identity["aud"], identity["sub"], identity["name"], identity["nonce"]
    assert said == ("JWT", "booking-web", PATIENT, "Alfa Sample", "n-1")


@pytest.mark.parametrize(("sites", "granted"), [({"site": SITE}, [SITE]), ({}, ["*"])])
def test_staff_have_their_roles_at_the_sites_that_were_ticked_or_everywhere(
    login: Login, sites: dict[str, str], granted: list[str]
) -> None:
    code = login.authorize({"subject": "desk-1", "role": "ROLE_FRONT_DESK", **sites})["code"]
    _, claims = login.claims(login.exchange(code).json()["access_token"])
    assert (claims["sub"], claims["grants"]) == ("desk-1", {"ROLE_FRONT_DESK": granted})
    assert "patient" not in claims


def test_without_the_scope_openid_there_is_no_identity_token(login: Login) -> None:
    answer = login.exchange(login.authorize(BE_PATIENT, scope="")["code"])
    assert "access_token" in answer.json()
    assert "id_token" not in answer.json()


def test_the_page_offers_the_patients_that_the_api_finds(login: Login) -> None:
    page = login.http.get("/authorize", params=ASKED | {"find": "alf"}).text
    assert Api.asked == [{"name": "alf", "pageSize": 12}]
    assert f'value="{PATIENT}"' in page
    assert "Alfa &lt;Sample&gt;" in page
    assert "1950-02-28 · abq" in page
    assert "For development only" in page


def test_while_the_api_does_not_answer_staff_may_still_sign_in(login: Login) -> None:
    login.people.edge = "http://127.0.0.1:1"
    assert "The API does not answer" in login.http.get("/authorize", params=ASKED).text
    assert login.exchange(login.authorize(FRONT_DESK)["code"]).status_code == 200


def test_without_a_sample_the_chain_is_said(login: Login) -> None:
    login.home.sites_file.unlink()
    assert 'name="chain"' in login.http.get("/authorize", params=ASKED).text
    refused = login.http.post("/authorize", params=ASKED, data=FRONT_DESK)
    assert (refused.status_code, "Choose a patient" in refused.text) == (200, True)
    _, claims = login.claims(
        login.exchange(login.authorize(FRONT_DESK | {"chain": CHAIN})["code"]).json()["access_token"]
    )
    assert claims["chain"] == CHAIN


def test_who_has_no_front_end_gets_a_token_on_the_page(login: Login) -> None:
    page = login.http.post("/", data=FRONT_DESK).text
    token = page.partition('spellcheck="false">')[2].partition("<")[0]
    assert login.claims(token)[1]["grants"] == {"ROLE_FRONT_DESK": [SITE]}


@pytest.mark.parametrize("role", ["ROLE_SERVICE", "ROLE_PATIENT", "ROLE_UNSPECIFIED", "admin"])
def test_a_role_that_is_not_offered_is_not_given(login: Login, role: str) -> None:
    answer = login.http.post("/authorize", params=ASKED, data=FRONT_DESK | {"role": role})
    assert (answer.status_code, "location" in answer.headers) == (200, False)


# Codes.


@pytest.mark.parametrize(
    "change",
    [
        {"code_verifier": "another"},
        {"code_verifier": ""},
        {"client_id": "another"},
        {"redirect_uri": "http://localhost:5173/elsewhere"},
        {"code": "another"},
        {"grant_type": "password"},
    ],
    ids=str,
)
def test_a_code_is_exchanged_by_whom_it_was_made_for_alone(login: Login, change: dict[str, str]) -> None:
    answer = login.exchange(**{"code": login.authorize(BE_PATIENT)["code"]} | change)
    expected = "unsupported_grant_type" if "grant_type" in change else "invalid_grant"
    assert (answer.status_code, answer.json()["error"]) == (400, expected)


def test_a_code_is_exchanged_once(login: Login) -> None:
    code = login.authorize(BE_PATIENT)["code"]
    assert [login.exchange(code).status_code for _ in range(2)] == [200, 400]


def test_a_code_that_was_tried_with_another_verifier_is_spent(login: Login) -> None:
    code = login.authorize(BE_PATIENT)["code"]
    assert login.exchange(code, code_verifier="guess").status_code == 400
    assert login.exchange(code).status_code == 400


def test_a_code_is_good_for_a_minute(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    code, later = login.authorize(BE_PATIENT)["code"], time.monotonic() + 61
    monkeypatch.setattr("deploy.local.login.protocol.time.monotonic", lambda: later)
    assert login.exchange(code).json()["error"] == "invalid_grant"


# What is asked for.


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "http://localhost.evil.example/"},
        {"redirect_uri": "http://localhost:80@evil.example/"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": ""},
        {"client_id": ""},
        {"client_id": "<script>"},
    ],
    ids=str,
)
def test_nobody_is_sent_to_a_place_that_is_not_of_this_machine(login: Login, change: dict[str, str]) -> None:
    for answer in (
        login.http.get("/authorize", params=ASKED | change),
        login.http.post("/authorize", params=ASKED | change, data=BE_PATIENT),
    ):
        assert (answer.status_code, "location" in answer.headers) == (400, False)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_what_is_not_done_here_the_client_is_told(login: Login, change: dict[str, str], error: str) -> None:
    back = login.authorize(BE_PATIENT, **change)
    assert (back["error"], back["state"], "code" in back) == (error, ASKED["state"], False)


def test_who_goes_back_without_signing_in_has_denied_it(login: Login) -> None:
    assert login.authorize({"cancel": "1"})["error"] == "access_denied"


# Who may ask.


def test_pages_of_this_machine_may_exchange_a_code_and_others_may_not(login: Login) -> None:
    for origin, allowed in (("http://localhost:5173", True), ("https://evil.example", False)):
        for answer in (
            login.http.options("/token", headers={"origin": origin}),
            login.http.post("/token", data={}, headers={"origin": origin}),
            login.http.get("/.well-known/openid-configuration", headers={"origin": origin}),
        ):
            assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)


def test_a_name_of_elsewhere_that_leads_here_is_refused(login: Login) -> None:
    answer = login.http.get("/", headers={"host": "evil.example"})
    assert (answer.status_code, answer.text) == (403, "for this machine only")


def test_no_page_may_frame_it(login: Login) -> None:
    assert "frame-ancestors 'none'" in login.http.get("/").headers["content-security-policy"]


def test_it_does_not_start_in_production(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.local.login", str(tmp_path), str(free_port()), "http://127.0.0.1:1"]
    environment = {**os.environ, **PYTHON, "ATOLL_MODE": "production"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "the development issuer does not sign in production mode (ATOLL_MODE)\n"
