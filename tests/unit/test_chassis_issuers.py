"""Whose tokens are trusted: how an issuer's keys are found, and what its claims are read as."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey
from pydantic import ValidationError

from chassis import keys as keys_module
from chassis.auth import TokenRefused, Tokens
from chassis.errors import TryAgain
from chassis.ids import BadId, new_id, to_wire
from chassis.issuers import TrustedIssuer, WrongClaims
from chassis.keys import Keys
from chassis.settings import Settings

ISSUER = "https://login.example/realms/clinics"
CHAIN_ID, ABQ_ID, NYC_ID, PATIENT_ID = (new_id() for _ in range(4))
CHAIN, PATIENT = to_wire("chain", CHAIN_ID), to_wire("patient", PATIENT_ID)
ABQ, NYC = to_wire("site", ABQ_ID), to_wire("site", NYC_ID)

# Keys are found.


class Provider:
    """An OpenID provider behind https, and whatever else answers at its name."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", auto_kid=True)
        self.asked: list[str] = []
        self.jwks: Any = KeySet([self.key]).as_dict(private=False)
        self.pages: dict[str, Any] = {
            f"{ISSUER}/.well-known/openid-configuration": {"issuer": ISSUER, "jwks_uri": "https://keys.example/jwks"},
            "https://keys.example/jwks": self.jwks,
        }

    def answer(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        self.asked.append(url)
        page = self.pages.get(url)
        if isinstance(page, Exception):
            raise page
        if isinstance(page, httpx.Response):
            return page
        return httpx.Response(404) if page is None else httpx.Response(200, json=page)

    def keys(self, **changes: Any) -> Keys:
        issuer = TrustedIssuer.model_validate({"issuer": ISSUER} | changes)
        return Keys(issuer, httpx.MockTransport(self.answer))


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Provider:
    monkeypatch.setattr(keys_module, "KEYS_AGAIN_S", 0.0)
    return Provider()


async def test_keys_are_found_from_the_issuers_name_alone(provider: Provider) -> None:
    assert [key.kid for key in await provider.keys().current()] == [provider.key.kid]
    assert provider.asked == [f"{ISSUER}/.well-known/openid-configuration", "https://keys.example/jwks"]


async def test_an_address_of_keys_that_is_set_is_asked_at_once(provider: Provider) -> None:
    await provider.keys(jwks="https://keys.example/jwks").current()
    assert provider.asked == ["https://keys.example/jwks"]


async def test_an_oauth_server_without_openid_is_found_at_its_own_place(provider: Provider) -> None:
    found = provider.pages.pop(f"{ISSUER}/.well-known/openid-configuration")
    provider.pages["https://login.example/.well-known/oauth-authorization-server/realms/clinics"] = found
    await provider.keys().current()


async def test_an_issuer_may_move_its_keys(provider: Provider) -> None:
    keys, moved = provider.keys(), ECKey.generate_key("P-256", auto_kid=True)
    await keys.current()
    provider.pages[f"{ISSUER}/.well-known/openid-configuration"]["jwks_uri"] = "https://elsewhere.example/jwks"
    provider.pages["https://elsewhere.example/jwks"] = KeySet([moved]).as_dict(private=False)
    assert [key.kid for key in await keys.current(unknown_key=True)] == [moved.kid]


async def test_keys_for_which_nobody_asked_for_long_are_waited_for_by_all_who_ask(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "KEYS_FRESH_S", 0.05)
    monkeypatch.setattr(keys_module, "KEYS_LATE_S", 0.0)
    keys, other = provider.keys(jwks="https://keys.example/jwks"), ECKey.generate_key("P-256", auto_kid=True)
    await keys.current()
    provider.pages["https://keys.example/jwks"] = KeySet([other]).as_dict(private=False)
    await asyncio.sleep(0.06)
    both = await asyncio.gather(keys.current(), keys.current())
    assert [key.kid for keys in both for key in keys] == [other.kid, other.kid]
    assert len(provider.asked) == 2


async def test_keys_that_just_grew_old_are_read_while_they_go_on(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "KEYS_FRESH_S", 0.0)
    keys = provider.keys(jwks="https://keys.example/jwks")
    await keys.current()
    provider.pages["https://keys.example/jwks"] = KeySet([ECKey.generate_key("P-256")]).as_dict(private=False)
    assert [key.kid for key in await keys.current()] == [provider.key.kid]


def other_issuer(provider: Provider) -> None:
    provider.pages[f"{ISSUER}/.well-known/openid-configuration"]["issuer"] = "https://login.example/realms/Clinics"


def open_line(provider: Provider) -> None:
    provider.pages[f"{ISSUER}/.well-known/openid-configuration"]["jwks_uri"] = "http://keys.example/jwks"
    provider.pages["http://keys.example/jwks"] = provider.jwks


def file(provider: Provider) -> None:
    provider.pages[f"{ISSUER}/.well-known/openid-configuration"]["jwks_uri"] = "file:///etc/passwd"


def sent_on(provider: Provider) -> None:
    provider.pages["https://keys.example/jwks"] = httpx.Response(302, headers={"location": "https://evil.example/"})
    provider.pages["https://evil.example/"] = provider.jwks


def without_end(provider: Provider) -> None:
    provider.pages["https://keys.example/jwks"] = {"keys": provider.jwks["keys"], "filler": "x" * (1 << 20)}


def shared_key(provider: Provider) -> None:
    provider.pages["https://keys.example/jwks"] = {"keys": [OctKey.generate_key(256, auto_kid=True).as_dict()]}


def no_json(provider: Provider) -> None:
    provider.pages[f"{ISSUER}/.well-known/openid-configuration"] = httpx.Response(200, text="<html>")


def away(provider: Provider) -> None:
    provider.pages[f"{ISSUER}/.well-known/openid-configuration"] = httpx.ConnectTimeout("away")


def broken(provider: Provider) -> None:
    provider.pages[f"{ISSUER}/.well-known/openid-configuration"] = httpx.Response(503)


FAULTS = [other_issuer, open_line, file, sent_on, without_end, shared_key, no_json, away, broken]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_keys_that_are_not_the_issuers_own_word_are_not_taken(
    provider: Provider, fault: Callable[[Provider], None]
) -> None:
    fault(provider)
    with pytest.raises(TryAgain):
        await provider.keys().current()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_and_those_read_before_stay_good_meanwhile(
    provider: Provider, fault: Callable[[Provider], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = provider.keys()
    await keys.current()
    fault(provider)
    assert [key.kid for key in await keys.current(unknown_key=True)] == [provider.key.kid]
    monkeypatch.setattr(keys_module, "KEYS_FRESH_S", 0.0)
    monkeypatch.setattr(keys_module, "KEYS_LATE_S", 0.0)
    assert [key.kid for key in await keys.current()] == [provider.key.kid]


# Claims are read.


def trusted(**changes: Any) -> TrustedIssuer:
    return TrustedIssuer.model_validate({"issuer": ISSUER} | changes)


def test_atolls_own_claims_need_no_mapping() -> None:
    said = trusted().read({"sub": "jo", "chain": CHAIN, "grants": {"ROLE_NURSE": [ABQ]}, "patient": PATIENT})
    assert (said.subject, said.chain_id, said.patient_id) == ("jo", CHAIN_ID, PATIENT_ID)
    assert said.grants == {"ROLE_NURSE": frozenset({ABQ_ID})}


MAPPED: dict[str, Any] = {
    "claims": {
        "subject": "oid",
        "chain": "https://atoll.example/chain",
        "groups": ["realm_access", "roles"],
        "sites": "https://atoll.example/sites",
        "patient": ["profile", "patient"],
    },
    "groups": {
        "Reception": {"role": "front_desk"},
        "Doctors ABQ": {"role": "ROLE_CLINICIAN", "sites": [ABQ]},
        "Doctors NYC": {"role": "CLINICIAN", "sites": [NYC]},
        "Owners": {"role": "CHAIN_ADMIN", "sites": ["*"]},
    },
    "sites": {"albuquerque": ABQ},
}


def mapped(groups: Any, **claims: Any) -> dict[str, Any]:
    said = {"oid": "o-1", "https://atoll.example/chain": CHAIN, "realm_access": {"roles": groups}}
    return {**said, **claims}


def test_claims_may_be_nested_or_named_by_an_address_and_groups_are_mapped_to_roles_at_their_sites() -> None:
    said = trusted(**MAPPED).read(
        mapped(
            ["Reception", "Doctors ABQ", "Doctors NYC", "offline_access", "ROLE_CHAIN_ADMIN"],
            **{"https://atoll.example/sites": ["albuquerque", NYC], "profile": {"patient": PATIENT}},
        )
    )
    assert (said.subject, said.patient_id) == ("o-1", PATIENT_ID)
    both = frozenset({ABQ_ID, NYC_ID})
    assert said.grants == {"ROLE_FRONT_DESK": both, "ROLE_CLINICIAN": both}


def test_a_group_of_every_site_reaches_every_site() -> None:
    assert trusted(**MAPPED).read(mapped(["Owners", "Doctors ABQ"])).grants == {
        "ROLE_CHAIN_ADMIN": None,
        "ROLE_CLINICIAN": frozenset({ABQ_ID}),
    }


def test_names_may_stand_in_one_text() -> None:
    issuer = trusted(claims={"groups": "scope"}, groups={"desk": {"role": "FRONT_DESK"}})
    assert issuer.read({"sub": "jo", "chain": CHAIN, "scope": "openid desk"}).grants == {"ROLE_FRONT_DESK": None}


def test_without_its_claim_of_sites_a_token_is_of_no_site() -> None:
    assert trusted(**MAPPED).read(mapped(["Reception"])).grants == {"ROLE_FRONT_DESK": frozenset()}


def test_a_token_without_groups_may_do_nothing() -> None:
    assert trusted(**MAPPED).read({"oid": "o-1", "https://atoll.example/chain": CHAIN}).grants == {}


@pytest.mark.parametrize(
    "claims",
    [
        mapped({"Owners": True}),
        mapped([1]),
        mapped(["Reception"], **{"https://atoll.example/sites": [7]}),
        mapped(["Reception"], **{"https://atoll.example/sites": ["nowhere"]}),
        mapped(["Reception"], **{"https://atoll.example/chain": "*"}),
        mapped(["Reception"], profile={"patient": 7}),
    ],
    ids=["groups", "a group", "a site", "a site's name", "every chain", "a patient"],
)
def test_what_cannot_be_read_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises((WrongClaims, BadId)):
        trusted(**MAPPED).read(claims)


def test_an_issuer_of_one_chain_speaks_for_no_other_and_for_no_service() -> None:
    issuer = trusted(chain_id=CHAIN)
    other = to_wire("chain", new_id())
    assert issuer.read({"sub": "jo", "chain": other, "grants": {"ROLE_NURSE": ["*"]}}).chain_id == CHAIN_ID
    with pytest.raises(WrongClaims):
        issuer.read({"sub": "jo", "chain": "*", "grants": {"ROLE_SERVICE": ["*"]}})


def test_services_alone_are_of_every_chain() -> None:
    assert trusted().read({"sub": "billing", "chain": "*", "grants": {"ROLE_SERVICE": ["*"]}}).chain_id is None
    for grants in ({}, {"ROLE_NURSE": ["*"]}, {"ROLE_NURSE": ["*"], "ROLE_SERVICE": ["*"]}):
        with pytest.raises(WrongClaims):
            trusted().read({"sub": "billing", "chain": "*", "grants": grants})


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://login.example"},
        {"jwks": "http://login.example/jwks"},
        {"claims": {"groups": "groups"}},
        {"groups": {"desk": {"role": "FRONT_DESK"}}},
        {"claims": {"groups": "g"}, "groups": {"desk": {"role": "SERVICE"}}},
        {"claims": {"groups": "g"}, "groups": {"desk": {"role": "RECEPTION"}}},
        {"claims": {"groups": "g"}, "groups": {"desk": {"role": "NURSE", "sites": ["abq"]}}},
        {"sites": {"abq": "1"}},
        {"chain_id": "acme"},
        {"types": []},
        {"claims": {"role": "roles"}},
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant_are_refused_at_the_start(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        trusted(**changes)


# Several issuers, of any type.


class Published:
    """An issuer whose keys are a file."""

    def __init__(self, folder: Any, name: str, **changes: Any) -> None:
        self.name, self.key = name, ECKey.generate_key("P-256", auto_kid=True)
        path = folder / f"{self.key.kid}.json"
        path.write_text(json.dumps(KeySet([self.key]).as_dict(private=False)))
        self.trusted = TrustedIssuer.model_validate({"issuer": name, "jwks": str(path)} | changes)

    def token(self, kind: str = "at+jwt", /, **claims: Any) -> str:
        said = {"iss": self.name, "aud": "atoll", "sub": "jo", "exp": 1 << 40, "chain": CHAIN, "grants": {}}
        return f"Bearer {jwt.encode({'alg': 'ES256', 'typ': kind, 'kid': self.key.kid}, said | claims, self.key)}"


async def test_a_token_is_verified_by_the_keys_of_its_own_issuer_alone(tmp_path: Any) -> None:
    first, second = (Published(tmp_path, f"https://{name}.example") for name in ("one", "two"))
    tokens = Tokens([first.trusted, second.trusted])
    for issuer, other in ((first, second), (second, first)):
        assert (await tokens.caller(issuer.token())).id == "jo"
        with pytest.raises(TokenRefused):
            await tokens.caller(issuer.token(iss=other.name))


async def test_an_issuer_that_calls_all_its_tokens_jwt_is_taken_at_its_access_tokens(tmp_path: Any) -> None:
    issuer = Published(tmp_path, "https://one.example", types=["JWT"])
    tokens = Tokens([issuer.trusted])
    assert (await tokens.caller(issuer.token("JWT", typ="Bearer", scope="openid"))).id == "jo"
    identity = {"nonce": "n"}, {"at_hash": "h"}, {"typ": "ID"}, {"typ": "Refresh"}, {"token_use": "id"}, {"aud": "web"}
    for claims in identity:
        with pytest.raises(TokenRefused):
            await tokens.caller(issuer.token("JWT", **claims))
    with pytest.raises(TokenRefused):
        await tokens.caller(issuer.token("at+jwt"))


# As a service is told.


def test_a_service_is_told_of_its_issuers_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ATOLL_ISSUER": ISSUER,
        "ATOLL_TOKEN_TYPES": '["JWT"]',
        "ATOLL_CLAIMS": json.dumps(MAPPED["claims"]),
        "ATOLL_GROUPS": json.dumps(MAPPED["groups"]),
        "ATOLL_SITE_NAMES": json.dumps(MAPPED["sites"]),
        "ATOLL_ISSUERS": json.dumps([{"issuer": "https://api.example", "jwks": "/keys.json"}]),
        **dict.fromkeys(("ATOLL_DATABASE_URL", "ATOLL_RELAY_DATABASE_URL", "ATOLL_SEALER_DATABASE_URL"), "x"),
        "ATOLL_NATS_URL": "x",
        "ATOLL_TLS_ELSEWHERE": "true",
    }.items():
        monkeypatch.setenv(name, value)
    first, second = Settings().trusted
    assert first == trusted(**MAPPED, types=["JWT"])
    assert (second.issuer, second.jwks, second.types) == ("https://api.example", "/keys.json", ("at+jwt",))
    monkeypatch.setenv("ATOLL_ISSUERS", json.dumps([{"issuer": ISSUER}]))
    with pytest.raises(ValidationError, match="named twice"):
        Settings()


@pytest.mark.parametrize("name", ["http://127.0.0.1:8090", "https://issuer.atoll.test", "https://localhost"])
def test_no_issuer_of_developers_is_trusted_in_production(name: str) -> None:
    urls = dict.fromkeys(("database_url", "relay_database_url", "sealer_database_url", "nats_url"), "secret")
    given: dict[str, Any] = urls | {"issuer": name, "jwks": "/keys.json", "tls_elsewhere": True}
    Settings(**given, mode="development")
    with pytest.raises(ValidationError, match="no issuer for production") as caught:
        Settings(**given, mode="production")
    assert "secret" not in str(caught.value)
