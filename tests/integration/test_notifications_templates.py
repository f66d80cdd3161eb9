"""TemplateService through its door: what is saved, refused, retired, shown, and whose text goes first."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest
import pytest_asyncio

from atoll.notifications.v1 import message_pb2 as messages
from atoll.notifications.v1 import template_service_pb2 as pb
from atoll.notifications.v1.template_service_pb2_grpc import TemplateServiceStub
from chassis.ids import from_wire, new_id, to_wire
from chassis.times import to_timestamp
from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.templates import OwnTemplate
from services.notifications.store import NotificationsStore
from tests.support.notifications import Office, open_office
from tests.support.service import NOW, refusal

EMAIL, SMS, VOICE = messages.CHANNEL_EMAIL, messages.CHANNEL_SMS, messages.CHANNEL_VOICE
REMINDER = messages.MESSAGE_KIND_VISIT_REMINDER
TEXT = "{{ site_name }}: see you {{ day }}, {{ hour }}. {{ phone }}"
READERS = ["CHAIN_ADMIN", "SITE_MANAGER", "FRONT_DESK", "CLINICIAN", "NURSE", "BILLING", "AUDITOR"]
METHODS = {
    "CreateTemplateVersion": pb.CreateTemplateVersionRequest,
    "RetireTemplate": pb.RetireTemplateRequest,
    "GetTemplate": pb.GetTemplateRequest,
    "ListTemplates": pb.ListTemplatesRequest,
    "PreviewTemplate": pb.PreviewTemplateRequest,
    "GetTemplateVariables": pb.GetTemplateVariablesRequest,
    "GetLinkHosts": pb.GetLinkHostsRequest,
    "SetLinkHosts": pb.SetLinkHostsRequest,
}


@pytest_asyncio.fixture
async def office(postgres_url: str, issuer_folder: Path) -> AsyncIterator[Office]:
    async with open_office(postgres_url, issuer_folder) as office:
        yield office


async def ask(office: Office, request: Any, token: str | None = None) -> Any:
    method = type(request).__name__.removesuffix("Request")
    return await office.svc.call(getattr(office.svc.stub(TemplateServiceStub), method), request, token)


def version(text: str = TEXT, **given: Any) -> pb.CreateTemplateVersionRequest:
    """Of the chain's English text that reminds, unless `given` otherwise."""
    fields: dict[str, Any] = {"kind": REMINDER, "channel": SMS, "language_code": "en", "request_id": str(uuid4())}
    return pb.CreateTemplateVersionRequest(content=pb.TemplateContent(text=text), **{**fields, **given})


async def save(office: Office, text: str = TEXT, token: str | None = None, **given: Any) -> pb.Template:
    template: pb.Template = (await ask(office, version(text, **given), token)).template
    return template


def retirement(template: pb.Template) -> pb.RetireTemplateRequest:
    return pb.RetireTemplateRequest(request_id=str(uuid4()), template_id=template.id, etag=template.etag)


async def own(
    office: Office, language: str, site_id: UUID | None, kind: MessageKind = MessageKind.VISIT_REMINDER
) -> str | None:
    """The text that goes before the shipped one."""
    call = office.svc.inside("sender")
    found: OwnTemplate | None = await office.svc.db.job(
        call, NotificationsStore, lambda store: store.own_template(kind, Channel.SMS, language, site_id)
    )
    return found.content.text if found else None


async def until_awaited(office: Office, statements: int) -> None:
    """Returns once so many statements wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(500):
        if await office.svc.admin.fetchval(waiting) >= statements:
            return
        await asyncio.sleep(0.01)
    pytest.fail("nobody waits")


async def test_versions_are_counted_and_each_stays_as_it_was_saved(office: Office) -> None:
    first = await ask(office, version())
    assert first.template == pb.Template(
        id=first.template.id, kind=REMINDER, channel=SMS, language_code="en", number=1, etag='"1"'
    )
    assert first.version == pb.TemplateVersion(
        number=1, content=pb.TemplateContent(text=TEXT), create_time=to_timestamp(NOW), created_by="user"
    )
    second = await ask(office, version(TEXT + " Bye.", etag=first.template.etag))
    assert (second.template.id, second.template.number) == (first.template.id, 2)
    for number, text in ((0, TEXT + " Bye."), (1, TEXT), (2, TEXT + " Bye.")):
        shown = await ask(office, pb.GetTemplateRequest(template_id=first.template.id, number=number))
        assert shown.template == second.template
        assert shown.version.content.text == text
    assert await office.svc.count("template_version") == 2


async def test_the_same_request_is_answered_again_and_saves_nothing(office: Office) -> None:
    request = version()
    assert await ask(office, request) == await ask(office, request)
    assert await office.svc.count("template_version") == 1


@pytest.mark.parametrize("etag", ["", '"1"', '"3"', "x"])
async def test_a_version_follows_the_one_that_was_read(office: Office, etag: str) -> None:
    first = await save(office)
    await save(office, etag=first.etag)
    refused = await refusal(ask(office, version("{{ site_name }} {{ phone }}", etag=etag)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "STALE_ETAG")
    assert await own(office, "en", None) == TEXT
    assert await office.svc.count("template_version") == 2


async def test_a_first_version_follows_none(office: Office) -> None:
    refused = await refusal(ask(office, version(etag='"1"')))
    assert refused.reason == "STALE_ETAG"


async def test_of_two_who_save_at_once_one_is_told(office: Office) -> None:
    """Both have read the template before either saved: the second waits for the row, and finds it changed."""
    first = await save(office)
    async with office.svc.admin.transaction():
        await office.svc.admin.execute("SELECT FROM template FOR UPDATE")
        racing = [asyncio.create_task(ask(office, version(text, etag=first.etag))) for text in (TEXT + "a", TEXT + "b")]
        await until_awaited(office, 2)
    ends = await asyncio.gather(*racing, return_exceptions=True)
    assert sorted(isinstance(end, grpc.aio.AioRpcError) for end in ends) == [False, True]
    [lost] = [end for end in ends if isinstance(end, grpc.aio.AioRpcError)]
    assert lost.code() == grpc.StatusCode.ABORTED
    assert await office.svc.count("template_version") == 2


async def test_of_two_who_begin_at_once_one_is_told(office: Office) -> None:
    begun = await save(office)
    await office.svc.admin.execute("DELETE FROM template_version")
    await office.svc.admin.execute("DELETE FROM template")
    async with office.svc.admin.transaction():
        await office.svc.admin.execute(
            "INSERT INTO template VALUES ($1, $2, NULL, 'VISIT_REMINDER', 'SMS', 'en', 1, 1, NULL, NULL)",
            office.svc.chain_id,
            from_wire("template", begun.id),
        )
        late = asyncio.create_task(ask(office, version()))
        await until_awaited(office, 1)
    refused = await refusal(late)
    assert refused.reason == "STALE_ETAG"
    assert await office.svc.count("template_version") == 0


async def test_a_version_never_changes(office: Office) -> None:
    await save(office)
    async with office.svc.db.transaction(office.svc.inside("anything")) as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("UPDATE template_version SET text = 'x'")


async def test_a_refusal_names_each_fault_with_its_field_its_rule_and_its_place(office: Office) -> None:
    content = pb.TemplateContent(subject="{{ given_name }}", text="Hello\n{{ family_name }}", html="<img>")
    refused = await refusal(ask(office, _with(content)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TEMPLATE_REFUSED")
    assert refused.faults == [
        ("subject", "VARIABLE_NOT_DISCREET"),
        ("text", "VARIABLE_UNKNOWN"),
        ("html", "HTML_NOT_ALLOWED"),
    ]
    assert await office.svc.count("template") == 0


async def test_a_refusal_of_many_faults_still_reaches_its_reader(office: Office) -> None:
    content = pb.TemplateContent(subject="x", text="x", html="<img>" * 2000)
    refused = await refusal(ask(office, _with(content)))
    assert refused.faults == [("html", "HTML_NOT_ALLOWED")] * 20


def _with(content: pb.TemplateContent) -> pb.CreateTemplateVersionRequest:
    request = version(channel=EMAIL)
    request.content.CopyFrom(content)
    return request


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (TEXT + " Your ketamine visit.", "HEALTH_WORD"),
        (TEXT + " Su terapia.", "HEALTH_WORD"),
        (TEXT + " Reply CANCEL.", "REPLY_WORD_OPTS_OUT"),
        ("See you. {{ phone }}", "SITE_NOT_NAMED"),
        ("{{ site_name }}", "CONTACT_NOT_NAMED"),
        (TEXT + " https://example.com/", "LINK_HOST_NOT_ALLOWED"),
        (TEXT + " " + "a" * 100, "TOO_LONG"),
        (TEXT + "{{ given_name }}", "VARIABLE_NOT_DISCREET"),
        (TEXT + "{{ site_name.upper() }}", "NOT_ALLOWED"),
        (TEXT + "{{", "SYNTAX_ERROR"),
    ],
)
async def test_a_text_that_breaks_a_rule_is_not_saved(office: Office, text: str, rule: str) -> None:
    refused = await refusal(ask(office, version(text)))
    assert (refused.reason, refused.faults) == ("TEMPLATE_REFUSED", [("text", rule)])
    assert await office.svc.count("template") == 0


async def test_the_text_that_goes_first_is_in_the_language_then_of_the_site_then_of_the_chain(office: Office) -> None:
    site_id, other = to_wire("site", office.site_id), new_id()
    await office.svc.deliver(office.site_registered(other))
    await save(office, TEXT + "chain")
    await save(office, TEXT + "site", site_id=site_id)
    await save(office, TEXT + "vi", language_code="vi")
    await save(office, TEXT + "mx", language_code="es-MX")
    await save(office, TEXT + "other kind", kind=messages.MESSAGE_KIND_VISIT_MOVED)
    for language, of, text in (
        ("en", office.site_id, "site"),
        ("en-US", office.site_id, "site"),
        ("en", other, "chain"),
        ("en", None, "chain"),
        ("vi", office.site_id, "vi"),
        ("zh", office.site_id, "site"),
        ("es-MX", office.site_id, "mx"),
    ):
        assert await own(office, language, of) == TEXT + text, (language, of)
    assert await own(office, "es", office.site_id) is None  # The shipped Spanish one goes before an English one.
    assert await own(office, "en", office.site_id, MessageKind.VISIT_CANCELLED) is None


async def test_a_retired_template_leaves_its_place_to_the_next_and_can_come_back(office: Office) -> None:
    chain = await save(office, TEXT + "chain")
    site = await save(office, TEXT + "site", site_id=to_wire("site", office.site_id))
    retired = (await ask(office, retirement(site))).template
    assert (retired.number, retired.retire_time, retired.retired_by) == (1, to_timestamp(NOW), "user")
    assert await own(office, "en", office.site_id) == TEXT + "chain"
    await ask(office, retirement(chain))
    assert await own(office, "en", office.site_id) is None
    again = await save(office, TEXT + "again", site_id=to_wire("site", office.site_id), etag=retired.etag)
    assert (again.id, again.number, again.HasField("retire_time")) == (site.id, 2, False)
    assert await own(office, "en", office.site_id) == TEXT + "again"


async def test_a_template_is_retired_once_and_as_it_was_read(office: Office) -> None:
    template = await save(office)
    changed = await save(office, etag=template.etag)
    assert (await refusal(ask(office, retirement(template)))).reason == "STALE_ETAG"
    assert await own(office, "en", None) == TEXT
    retired = (await ask(office, retirement(changed))).template
    refused = await refusal(ask(office, retirement(retired)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TEMPLATE_RETIRED")


async def test_who_has_one_site_writes_for_that_site_only_and_reads_what_is_for_every_site(office: Office) -> None:
    other, site_id = new_id(), to_wire("site", office.site_id)
    await office.svc.deliver(office.site_registered(other))
    token = office.svc.token("ROLE_SITE_MANAGER", sites=[office.site_id])
    chain = await save(office, TEXT + "chain")
    elsewhere = await save(office, TEXT + "other", site_id=to_wire("site", other))
    mine = await save(office, TEXT + "site", token, site_id=site_id)
    for denied in (
        version(etag=chain.etag),
        version(language_code="es"),
        version(site_id=to_wire("site", other)),
        retirement(chain),
    ):
        refused = await refusal(ask(office, denied, token))
        assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    for request in (retirement(elsewhere), pb.GetTemplateRequest(template_id=elsewhere.id)):
        refused = await refusal(ask(office, request, token))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "TEMPLATE_NOT_FOUND")
    listed = (await ask(office, pb.ListTemplatesRequest(), token)).templates
    assert [each.id for each in listed] == [chain.id, mine.id]
    assert (await ask(office, retirement(mine), token)).template.HasField("retire_time")
    assert await office.svc.count("template_version") == 3


async def test_the_database_itself_keeps_what_is_for_every_site_from_who_has_one(office: Office) -> None:
    await save(office)
    narrow = office.svc.inside("anything", sites=frozenset({office.site_id}))
    async with office.svc.db.transaction(narrow) as conn:
        assert await conn.execute("UPDATE template SET number = 9") == "UPDATE 0"
        assert await conn.execute("DELETE FROM template") == "DELETE 0"
    for insert in (
        "INSERT INTO template SELECT chain_id, gen_random_uuid(), NULL, kind, 'EMAIL', language, 1, 1 FROM template",
        "INSERT INTO template_version SELECT chain_id, template_id, 2, NULL, '', '', '', created_at, ''"
        " FROM template_version",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with office.svc.db.transaction(narrow) as conn:
                await conn.execute(insert)


async def test_another_chain_sees_nothing_of_it(office: Office) -> None:
    template = await save(office)
    token = office.svc.token(chain_id=new_id())
    refused = await refusal(ask(office, pb.GetTemplateRequest(template_id=template.id), token))
    assert refused.reason == "TEMPLATE_NOT_FOUND"
    assert (await ask(office, pb.ListTemplatesRequest(), token)).templates == []


async def test_a_template_or_a_version_that_is_none_is_not_found(office: Office) -> None:
    template = await save(office)
    for request in (
        pb.GetTemplateRequest(template_id=to_wire("template", new_id())),
        pb.GetTemplateRequest(template_id=template.id, number=2),
        pb.RetireTemplateRequest(
            request_id=str(uuid4()), template_id=to_wire("template", new_id()), etag=template.etag
        ),
    ):
        assert (await refusal(ask(office, request))).reason == "TEMPLATE_NOT_FOUND"


async def test_a_site_that_is_not_known_yet_is_waited_for(office: Office) -> None:
    unknown = to_wire("site", new_id())
    preview = pb.PreviewTemplateRequest(kind=REMINDER, channel=SMS, language_code="en", site_id=unknown)
    for request in (version(site_id=unknown), preview):
        refused = await refusal(ask(office, request))
        assert (refused.reason, refused.retry) == ("NOT_YET_KNOWN", True)


async def test_a_list_comes_in_pages_and_can_be_of_a_site_a_kind_and_a_channel(office: Office) -> None:
    site_id = to_wire("site", office.site_id)
    made = [
        await save(office),
        await save(office, language_code="es"),
        await save(office, "See you.", channel=VOICE),
        await save(office, site_id=site_id),
        await save(office, kind=messages.MESSAGE_KIND_VISIT_MOVED),
    ]
    seen, token = list[str](), ""
    while token or not seen:
        answer = await ask(office, pb.ListTemplatesRequest(page_size=2, page_token=token))
        seen += [each.id for each in answer.templates]
        assert len(answer.templates) <= 2
        token = answer.next_page_token
    assert seen == [each.id for each in made]
    for about, places in (
        ({"site_id": site_id}, [3]),
        ({"kind": REMINDER}, [0, 1, 2, 3]),
        ({"channel": VOICE}, [2]),
        ({"kind": messages.MESSAGE_KIND_VISIT_MOVED, "channel": VOICE}, []),
    ):
        listed = (await ask(office, pb.ListTemplatesRequest(**about))).templates
        assert [each.id for each in listed] == [made[place].id for place in places]
    bad = pb.ListTemplatesRequest(page_token="x")
    assert (await refusal(ask(office, bad))).reason == "BAD_PAGE_TOKEN"


def preview(channel: Any, **given: Any) -> pb.PreviewTemplateRequest:
    return pb.PreviewTemplateRequest(kind=REMINDER, channel=channel, language_code="en", **given)


async def test_a_preview_shows_what_is_used_now_and_what_it_is_written_from(office: Office) -> None:
    shipped = await ask(office, preview(EMAIL))
    assert shipped.subject == "Reminder: Harbor Lane, Monday, March 15, 2027, 2:05 PM MDT"
    assert shipped.text.startswith("Hello Alex,\n\nThis is a reminder")
    assert shipped.html.startswith("<!DOCTYPE html>")
    assert not shipped.HasField("sms_length")
    assert "{{ given_name }}" in shipped.content.text
    assert (shipped.template.code, shipped.template.language) == ("visit_reminder", "en")
    template = await save(office)
    mine = await ask(office, preview(SMS))
    assert mine.text == "Harbor Lane: see you Mon, Mar 15, 2:05 PM MDT. 505-555-0100"
    assert mine.sms_length == pb.SmsLength(encoding=pb.SMS_ENCODING_GSM_7, characters=59, segments=1)
    assert mine.template == messages.TemplateRef(code=template.id, version="1", language="en")
    assert mine.content.text == TEXT


async def test_a_preview_shows_a_text_that_is_not_saved_and_saves_nothing(office: Office) -> None:
    content = pb.TemplateContent(text="{{ site_name }} – {{ phone }} ✓")  # noqa: RUF001
    shown = await ask(office, preview(SMS, content=content))
    assert shown.text == "Harbor Lane - 505-555-0100 ✓"
    assert shown.sms_length == pb.SmsLength(encoding=pb.SMS_ENCODING_UCS_2, characters=28, segments=1)
    assert not shown.HasField("template")
    assert await office.svc.count("template") == 0
    refused = await refusal(ask(office, preview(SMS, content=pb.TemplateContent(text="x"))))
    assert [rule for _, rule in refused.faults] == ["SITE_NOT_NAMED", "CONTACT_NOT_NAMED"]


async def test_a_preview_speaks_of_the_site_and_of_treatment_as_asked(office: Office) -> None:
    site = site_named(office, "Quiet Harbor", "America/Los_Angeles")
    await office.svc.deliver(site)
    text = "{{ site_name }} {{ hour }}{% if may_name_treatment %} infusion{% endif %}"
    content = pb.TemplateContent(subject="x", text=text)
    shown = await ask(office, preview(EMAIL, content=content, site_id=site.site_id, may_name_treatment=True))
    assert shown.text == "Quiet Harbor 2:05 PM PDT infusion\n"
    assert (await ask(office, preview(EMAIL, content=content))).text == "Harbor Lane 2:05 PM MDT\n"


def site_named(office: Office, name: str, zone: str) -> Any:
    site = office.site_registered(new_id())
    site.discreet_name, site.time_zone = name, zone
    return site


async def test_a_preview_of_a_channel_that_a_kind_has_not_is_refused(office: Office) -> None:
    request = preview(EMAIL)
    request.kind = messages.MESSAGE_KIND_HELP
    assert (await refusal(ask(office, request))).faults == [("channel", "CHANNEL_NOT_OF_KIND")]


async def test_the_variables_of_each_kind_are_told_and_may_be_used(office: Office) -> None:
    for kind in messages.MessageKind.values()[1:]:
        answer = await ask(office, pb.GetTemplateVariablesRequest(kind=kind))
        assert {each.name for each in answer.variables} >= {"site_name", "phone"}
        assert all(each.description for each in answer.variables)
        texts = [each.name for each in answer.variables if each.type == pb.TEMPLATE_VARIABLE_TYPE_TEXT]
        channel = EMAIL if EMAIL in answer.channels else SMS
        content = pb.TemplateContent(
            subject="x" if channel == EMAIL else "", text=" ".join(f"{{{{ {name} }}}}" for name in texts)
        )
        request = pb.PreviewTemplateRequest(kind=kind, channel=channel, language_code="en", content=content)
        assert "Harbor Lane" in (await ask(office, request)).text


async def test_texts_link_to_the_hosts_of_the_chains_list_only(office: Office) -> None:
    none = (await ask(office, pb.GetLinkHostsRequest())).link_hosts
    assert none == pb.LinkHosts(etag='"0"')
    linking = "{{ site_name }} {{ phone }} https://pay.example.org/x"
    assert (await refusal(ask(office, version(linking)))).faults == [("text", "LINK_HOST_NOT_ALLOWED")]
    hosts = pb.LinkHosts(hosts=["pay.example.org"], etag=none.etag)
    kept = (await ask(office, pb.SetLinkHostsRequest(request_id=str(uuid4()), link_hosts=hosts))).link_hosts
    assert kept == pb.LinkHosts(hosts=["pay.example.org"], etag='"1"')
    assert (await ask(office, pb.GetLinkHostsRequest())).link_hosts == kept
    await save(office, linking)
    elsewhere = (await ask(office, pb.GetLinkHostsRequest(), office.svc.token(chain_id=new_id()))).link_hosts
    assert elsewhere == none


async def test_a_list_of_hosts_replaces_the_one_that_was_read(office: Office) -> None:
    def request(etag: str, *hosts: str) -> pb.SetLinkHostsRequest:
        return pb.SetLinkHostsRequest(request_id=str(uuid4()), link_hosts=pb.LinkHosts(hosts=hosts, etag=etag))

    assert (await refusal(ask(office, request('"1"')))).reason == "STALE_ETAG"
    await ask(office, request('"0"', "a.example.org"))
    for etag in ('"0"', '"2"', "x"):
        refused = await refusal(ask(office, request(etag, "b.example.org")))
        assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "STALE_ETAG")
    missed = await refusal(ask(office, request("", "b.example.org")))
    assert (missed.reason, missed.faults) == ("BAD_REQUEST", [("link_hosts.etag", "string.min_len")])
    assert (await ask(office, request('"1"'))).link_hosts == pb.LinkHosts(etag='"2"')
    refused = await refusal(ask(office, request('"2"', "ok.example.org", "ketamine-pay.example.org")))
    assert (refused.reason, refused.faults) == ("LINK_HOSTS_REFUSED", [("link_hosts.hosts[1]", "HEALTH_WORD")])
    for host in ("Example.org", "example", "example.org:8080", "https://example.org", "*.example.org", "1.2.3.4"):
        refused = await refusal(ask(office, request('"2"', host)))
        assert refused.reason == "BAD_REQUEST", host
    assert (await ask(office, pb.GetLinkHostsRequest())).link_hosts.hosts == []


async def is_denied(answer: Awaitable[object]) -> bool:
    try:
        await answer
    except grpc.aio.AioRpcError as error:
        return error.code() == grpc.StatusCode.PERMISSION_DENIED
    return False


async def test_of_two_who_replace_the_hosts_at_once_one_is_told(office: Office) -> None:
    def request(etag: str) -> pb.SetLinkHostsRequest:
        return pb.SetLinkHostsRequest(request_id=str(uuid4()), link_hosts=pb.LinkHosts(etag=etag))

    await ask(office, request('"0"'))
    async with office.svc.admin.transaction():
        await office.svc.admin.execute("SELECT FROM link_hosts FOR UPDATE")
        racing = [asyncio.create_task(ask(office, request('"1"'))) for _ in range(2)]
        await until_awaited(office, 2)
    ends = await asyncio.gather(*racing, return_exceptions=True)
    assert sorted(isinstance(end, grpc.aio.AioRpcError) for end in ends) == [False, True]
    assert (await ask(office, pb.GetLinkHostsRequest())).link_hosts.etag == '"2"'


@pytest.mark.parametrize("method", METHODS)
async def test_staff_read_and_those_in_charge_write(office: Office, method: str) -> None:
    requests = {
        "CreateTemplateVersion": version(site_id=to_wire("site", office.site_id)),
        "RetireTemplate": retirement(pb.Template(id=to_wire("template", new_id()), etag='"1"')),
        "GetTemplate": pb.GetTemplateRequest(template_id=to_wire("template", new_id())),
        "PreviewTemplate": preview(SMS),
        "GetTemplateVariables": pb.GetTemplateVariablesRequest(kind=REMINDER),
        "SetLinkHosts": pb.SetLinkHostsRequest(request_id=str(uuid4()), link_hosts=pb.LinkHosts(etag='"0"')),
    }
    request = requests.get(method) or METHODS[method]()
    writers = ["CHAIN_ADMIN"] if method == "SetLinkHosts" else ["CHAIN_ADMIN", "SITE_MANAGER"]
    may = writers if method in ("CreateTemplateVersion", "RetireTemplate", "SetLinkHosts") else READERS
    everybody = [*READERS, "INTEGRATION", "PATIENT", "SERVICE"]
    denied = {role for role in everybody if await is_denied(ask(office, request, office.svc.token(f"ROLE_{role}")))}
    assert denied == set(everybody) - set(may)


async def test_every_change_leaves_an_audit_row(office: Office) -> None:
    template = await save(office)
    await ask(office, retirement(template))
    await ask(office, pb.SetLinkHostsRequest(request_id=str(uuid4()), link_hosts=pb.LinkHosts(etag='"0"')))
    rows = await office.svc.admin.fetch("SELECT method, kind, ids FROM audit ORDER BY position")
    assert [(row["method"].rpartition(".")[2], row["kind"]) for row in rows] == [
        ("CreateTemplateVersion", "AUDIT_CHANGE"),
        ("RetireTemplate", "AUDIT_CHANGE"),
        ("SetLinkHosts", "AUDIT_CHANGE"),
    ]
    assert template.id in rows[0]["ids"]
