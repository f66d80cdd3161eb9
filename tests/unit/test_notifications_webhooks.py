"""Rules of webhooks: where they go, when again, when an endpoint is given up, who signs."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from chassis.ids import new_id
from services.notifications.domain.webhooks import (
    ATTEMPTS_MAX,
    GIVEN_UP_AFTER,
    TEST_TYPE,
    Delivered,
    DisableReason,
    End,
    EventTypeUnknown,
    GivenUp,
    Taken,
    TryAgainLater,
    WebhookKeysMissing,
    WebhookUrlRefused,
    after_attempt,
    check_types,
    check_url,
    may_be_reached,
    why_disabled,
)
from services.notifications.webhooks import WebhookSettings
from services.notifications.webhooks.secrets import SecretKeeper, new_secret, signed

NOW = datetime.now(UTC).replace(microsecond=0)
NAMED = {"type": "scheduling.v1.visit.confirmed"}


def taken(attempts: int, type: str = "scheduling.v1.visit.confirmed") -> Taken:
    return Taken(new_id(), new_id(), new_id(), type, "{}", attempts, "https://x.example", ("",), NOW)


def seconds(end: End) -> float:
    assert isinstance(end, TryAgainLater)
    return end.after.total_seconds()


def test_attempts_come_after_the_delays_that_the_convention_suggests() -> None:
    delays = [seconds(after_attempt(taken(n), "HTTP_500", 500, 0.0)) for n in range(1, ATTEMPTS_MAX)]
    minute, hour = 60, 3600
    assert delays == [5, 5 * minute, 30 * minute, 2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour]
    assert ATTEMPTS_MAX == 10
    assert after_attempt(taken(10), "HTTP_500", 500, 0.0) == GivenUp("HTTP_500")


def test_chance_makes_a_delay_longer_by_a_tenth_at_most() -> None:
    assert seconds(after_attempt(taken(2), "TIMEOUT", None, 1.0)) == pytest.approx(330)
    assert seconds(after_attempt(taken(2), "TIMEOUT", None, 0.5)) == pytest.approx(315)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_delivered(status: int) -> None:
    assert after_attempt(taken(1), "HTTP", status, 0.0) == Delivered("HTTP")


@pytest.mark.parametrize("status", [None, 100, 199, 300, 302, 308, 400, 404, 409, 429, 500, 503])
def test_nothing_else_is(status: int | None) -> None:
    assert isinstance(after_attempt(taken(1), "HTTP", status, 0.0), TryAgainLater)


def test_gone_is_the_end_of_a_delivery_and_of_its_endpoint() -> None:
    end = after_attempt(taken(1), "HTTP_410", 410, 0.0)
    assert end == GivenUp("HTTP_410", gone=True)
    assert why_disabled(end, NOW, NOW) is DisableReason.GONE


def test_a_test_is_tried_once() -> None:
    assert after_attempt(taken(1, TEST_TYPE), "HTTP_500", 500, 0.0) == GivenUp("HTTP_500")


def test_an_endpoint_is_given_up_after_five_days_of_nothing_but_failures() -> None:
    end = TryAgainLater(timedelta(), "HTTP_500")
    assert timedelta(days=5) == GIVEN_UP_AFTER
    assert why_disabled(end, NOW - GIVEN_UP_AFTER + timedelta(seconds=1), NOW) is None
    assert why_disabled(end, NOW - GIVEN_UP_AFTER, NOW) is DisableReason.FAILING


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org",
        "https://hooks.example.org/a/b?c=d&e=%20",
        "https://hooks.example.org:443/",
        "https://hooks.example.org:8443/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "HTTPS://Hooks.Example.Org/",
    ],
)
def test_a_url_of_a_public_host_may_be_sent_to(url: str) -> None:
    check_url(url, "url", loopback=False)


REFUSED = {
    "http://hooks.example.org/": "URL_NOT_HTTPS",
    "ftp://hooks.example.org/": "URL_NOT_HTTPS",
    "hooks.example.org": "URL_MALFORMED",
    "https:///path": "URL_MALFORMED",
    "https://": "URL_MALFORMED",
    "https://hooks.example.org:99999/": "URL_MALFORMED",
    "https://hooks.example.org:x/": "URL_MALFORMED",
    "https://[::1/": "URL_MALFORMED",
    "https://[fe80::1%25eth0]/": "URL_MALFORMED",
    "https://hooks.example.org/a b": "URL_MALFORMED",
    "https://hooks.example.org/\r\nX: y": "URL_MALFORMED",
    "https://hooks.example.org\\@10.0.0.1/": "URL_MALFORMED",
    "https://höoks.example.org/": "URL_MALFORMED",
    "https://hooks.example.org/" + "a" * 2000: "URL_MALFORMED",
    "https://user@hooks.example.org/": "URL_USER_INFO",
    "https://user:word@hooks.example.org/": "URL_USER_INFO",
    "https://@hooks.example.org/": "URL_USER_INFO",
    "https://hooks.example.org/#part": "URL_FRAGMENT",
    "https://hooks.example.org:22/": "URL_PORT",
    "https://hooks.example.org:80/": "URL_PORT",
    "https://hooks.example.org:0/": "URL_PORT",
    "https://hooks.example.org:5432/": "URL_PORT",
    "https://localhost/": "URL_ADDRESS",
    "https://db.localhost/": "URL_ADDRESS",
    "https://127.0.0.1/": "URL_ADDRESS",
    "https://10.1.2.3/": "URL_ADDRESS",
    "https://169.254.169.254/latest/meta-data": "URL_ADDRESS",
    "https://[::1]/": "URL_ADDRESS",
    "https://[::ffff:8.8.8.8]/": "URL_ADDRESS",
}


@pytest.mark.parametrize(("url", "rule"), REFUSED.items())
def test_any_other_url_is_refused_with_the_rule_that_it_breaks(url: str, rule: str) -> None:
    with pytest.raises(WebhookUrlRefused) as refused:
        check_url(url, "webhook_endpoint.url", loopback=False)
    assert [(each.field, each.rule) for each in refused.value.violations] == [("webhook_endpoint.url", rule)]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://localhost:8080/x", "https://[::1]:1/"])
def test_development_may_send_to_this_machine(url: str) -> None:
    check_url(url, "url", loopback=True)
    with pytest.raises(WebhookUrlRefused):
        check_url(url, "url", loopback=False)


@pytest.mark.parametrize("url", ["http://hooks.example.org/", "https://10.0.0.1/", "https://hooks.example.org:9/"])
def test_and_nowhere_else_that_production_may_not(url: str) -> None:
    with pytest.raises(WebhookUrlRefused):
        check_url(url, "url", loopback=True)


PRIVATE = [
    "0.0.0.1", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9", "169.254.0.1",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.0.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::8.8.8.8", "64:ff9b::808:808", "64:ff9b:1::1", "100::1",
    "2001::1", "2001:db8::1", "2002:808:808::1", "3fff::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1", "5f00::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_no_address_of_a_private_network_is_reached(address: str) -> None:
    assert not may_be_reached(address, loopback=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reached(address: str) -> None:
    assert may_be_reached(address, loopback=False)


def test_with_loopback_only_loopback_is_reached_besides() -> None:
    besides = [address for address in PRIVATE if may_be_reached(address, loopback=True)]
    assert besides == ["127.0.0.1", "127.9.9.9", "::1"]


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_outside_of_global_unicast_is_never_reached(address: object) -> None:
    if not str(address).startswith(("2", "3")):
        assert not may_be_reached(str(address), loopback=False)


def test_event_types_that_no_event_has_are_named_each() -> None:
    known = frozenset({"a.v1.b.c"})
    with pytest.raises(EventTypeUnknown) as refused:
        check_types(["a.v1.b.c", "a.v1.b.d", "*"], known, "event_types")
    assert [each.field for each in refused.value.violations] == ["event_types[1]", "event_types[2]"]
    check_types(["a.v1.b.c"], known, "event_types")


def test_a_secret_is_what_the_convention_says() -> None:
    secret = new_secret()
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert new_secret() != secret


def test_each_secret_signs_and_the_standards_own_library_agrees() -> None:
    new, old, other, body = new_secret(), new_secret(), new_secret(), json.dumps(NAMED)
    headers = signed([new, old], "webhookdelivery_1", datetime.now(UTC), body)
    assert Webhook(new).verify(body, headers) == NAMED
    assert Webhook(old).verify(body, headers) == NAMED
    for secret, said in ((other, body), (new, body + " ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(said, headers)


def keeper(folder: Path, current: str, **keys: bytes) -> SecretKeeper:
    path = folder / f"{new_id()}.json"
    encoded = {name: base64.b64encode(key).decode() for name, key in keys.items()}
    path.write_text(json.dumps({"current": current, "keys": encoded}))
    return SecretKeeper(path)


def test_a_secret_opens_as_its_endpoints_only_and_with_its_key_only(tmp_path: Path) -> None:
    endpoint_id, one, two = new_id(), b"1" * 32, b"2" * 32
    first = keeper(tmp_path, "a", a=one)
    sealed = first.seal("whsec_x", endpoint_id)
    assert "whsec_x" not in sealed
    assert first.seal("whsec_x", endpoint_id) != sealed
    assert first.open(sealed, endpoint_id) == "whsec_x"
    assert keeper(tmp_path, "b", a=one, b=two).open(sealed, endpoint_id) == "whsec_x"
    for lacking, id in (
        (first, new_id()),
        (keeper(tmp_path, "a", a=two), endpoint_id),
        (keeper(tmp_path, "b", b=two), endpoint_id),
        (SecretKeeper(None), endpoint_id),
        (SecretKeeper(tmp_path / "none"), endpoint_id),
    ):
        with pytest.raises(WebhookKeysMissing):
            lacking.open(sealed, id)


@pytest.mark.parametrize("text", ["", "[]", '{"current": "a", "keys": {}}', '{"current": "a", "keys": {"a": "eA=="}}'])
def test_a_broken_file_of_keys_keeps_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(WebhookKeysMissing):
        SecretKeeper(path).seal("whsec_x", new_id())


def test_production_refuses_to_send_to_its_own_machine() -> None:
    assert WebhookSettings(mode="development", webhook_allow_loopback=True).webhook_allow_loopback
    with pytest.raises(ValidationError):
        WebhookSettings(mode="production", webhook_allow_loopback=True)
    with pytest.raises(ValidationError):
        WebhookSettings(webhook_allow_loopback=True)
