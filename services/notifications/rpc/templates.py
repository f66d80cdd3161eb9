"""TemplateService: messages in, use case, store or wording, messages out."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from atoll.notifications.v1 import message_pb2
from atoll.notifications.v1 import template_service_pb2 as pb
from chassis.call import Call
from chassis.db import Database
from chassis.errors import Violation
from chassis.etags import from_etag, to_etag
from chassis.ids import from_wire, new_id, to_wire
from chassis.pages import BadPageToken, Page
from chassis.times import to_timestamp
from services.notifications.domain.kinds import Channel, MessageKind
from services.notifications.domain.segments import length_of
from services.notifications.domain.templates import (
    Content,
    LinkHosts,
    OwnTemplate,
    Spot,
    TemplateHead,
    TemplateRefused,
    channels_of,
)
from services.notifications.domain.variables import variables_of
from services.notifications.domain.visits import Site
from services.notifications.store import NotificationsStore
from services.notifications.use_cases import templates as use_cases
from services.notifications.wording import BrokenTemplate, Templates, Words, Written
from services.notifications.wording.samples import SAMPLE
from services.notifications.wording.templates import Source, write

NONE = UUID(int=0)


class TemplateServicer:
    def __init__(self, db: Database, templates: Templates) -> None:
        self._db, self._templates = db, templates

    async def CreateTemplateVersion(
        self, request: pb.CreateTemplateVersionRequest, call: Call
    ) -> pb.CreateTemplateVersionResponse:
        version = from_etag(request.etag) if request.etag else 0
        command = use_cases.SaveVersion(new_id(), _spot(request), version, _content(request.content))

        async def work(store: NotificationsStore) -> pb.CreateTemplateVersionResponse:
            head, saved = await use_cases.save_version(store, command)
            return pb.CreateTemplateVersionResponse(template=_template(head), version=_version(saved))

        return await self._db.once(call, request, pb.CreateTemplateVersionResponse, NotificationsStore, work)

    async def RetireTemplate(self, request: pb.RetireTemplateRequest, call: Call) -> pb.RetireTemplateResponse:
        template_id, version = from_wire("template", request.template_id), from_etag(request.etag)

        async def work(store: NotificationsStore) -> pb.RetireTemplateResponse:
            return pb.RetireTemplateResponse(template=_template(await use_cases.retire(store, template_id, version)))

        return await self._db.once(call, request, pb.RetireTemplateResponse, NotificationsStore, work)

    async def GetTemplate(self, request: pb.GetTemplateRequest, call: Call) -> pb.GetTemplateResponse:
        template_id = from_wire("template", request.template_id)

        async def work(store: NotificationsStore) -> tuple[TemplateHead, OwnTemplate]:
            head = await store.template(template_id)
            return head, await store.template_version(template_id, request.number or head.number)

        head, version = await self._db.read(call, request, NotificationsStore, work)
        return pb.GetTemplateResponse(template=_template(head), version=_version(version))

    async def ListTemplates(self, request: pb.ListTemplatesRequest, call: Call) -> pb.ListTemplatesResponse:
        page, site_id = Page.of(request, call), _site_id(request.site_id)
        kind = _kind(request.kind) if request.kind else None
        channel = _channel(request.channel) if request.channel else None
        found = await self._db.read(
            call,
            request,
            NotificationsStore,
            lambda store: store.templates(site_id, kind, channel, _after(page), page.limit),
        )
        shown, token = page.cut(found, key=lambda head: [str(head.id)])
        return pb.ListTemplatesResponse(templates=map(_template, shown), next_page_token=token)

    async def PreviewTemplate(self, request: pb.PreviewTemplateRequest, call: Call) -> pb.PreviewTemplateResponse:
        spot = _spot(request)
        given = _content(request.content) if request.HasField("content") else None

        async def work(store: NotificationsStore) -> tuple[Source, Site | None]:
            return await use_cases.to_preview(store, self._templates, spot, given)

        source, site = await self._db.read(call, request, NotificationsStore, work)
        words = replace(_sample(site), may_name_treatment=request.may_name_treatment)
        try:
            return _preview(spot.channel, source, write(spot.kind, spot.channel, words, source))
        except BrokenTemplate:
            raise TemplateRefused(Violation("content", "CANNOT_BE_FILLED_IN", "it fails with the sample")) from None

    async def GetTemplateVariables(
        self, request: pb.GetTemplateVariablesRequest, call: Call
    ) -> pb.GetTemplateVariablesResponse:
        kind = _kind(request.kind)
        return pb.GetTemplateVariablesResponse(
            variables=[
                pb.TemplateVariable(
                    name=each.name,
                    type=pb.TemplateVariableType.Value(f"TEMPLATE_VARIABLE_TYPE_{each.type}"),
                    discreet=each.discreet,
                    description=each.description,
                )
                for each in variables_of(kind)
            ],
            channels=sorted(message_pb2.Channel.Value(f"CHANNEL_{each}") for each in channels_of(kind)),
        )

    async def GetLinkHosts(self, request: pb.GetLinkHostsRequest, call: Call) -> pb.GetLinkHostsResponse:
        found = await self._db.read(call, request, NotificationsStore, lambda store: store.link_hosts())
        return pb.GetLinkHostsResponse(link_hosts=_hosts(found))

    async def SetLinkHosts(self, request: pb.SetLinkHostsRequest, call: Call) -> pb.SetLinkHostsResponse:
        told = request.link_hosts
        wanted = LinkHosts(tuple(told.hosts), from_etag(told.etag))

        async def work(store: NotificationsStore) -> pb.SetLinkHostsResponse:
            return pb.SetLinkHostsResponse(link_hosts=_hosts(await use_cases.set_link_hosts(store, wanted)))

        return await self._db.once(call, request, pb.SetLinkHostsResponse, NotificationsStore, work)


def _after(page: Page) -> UUID:
    if page.after is None:
        return NONE
    try:
        [id] = page.after
        return UUID(id)
    except ValueError:
        raise BadPageToken() from None


def _spot(request: Any) -> Spot:
    kind, channel = _kind(request.kind), _channel(request.channel)
    return Spot(kind, channel, request.language_code, _site_id(request.site_id))


def _kind(wire: message_pb2.MessageKind.ValueType) -> MessageKind:
    return MessageKind(message_pb2.MessageKind.Name(wire).removeprefix("MESSAGE_KIND_"))


def _channel(wire: message_pb2.Channel.ValueType) -> Channel:
    return Channel(message_pb2.Channel.Name(wire).removeprefix("CHANNEL_"))


def _site_id(wire: str) -> UUID | None:
    return from_wire("site", wire) if wire else None


def _content(told: pb.TemplateContent) -> Content:
    return Content(told.subject.strip(), told.text, told.html)


def _sample(site: Site | None) -> Words:
    if site is None:
        return SAMPLE
    start, end = (each.replace(tzinfo=site.zone) if each else None for each in (SAMPLE.start, SAMPLE.end))
    return replace(SAMPLE, site_name=site.discreet_name, address=site.address, phone=site.phone, start=start, end=end)


def _preview(channel: Channel, source: Source, written: Written) -> pb.PreviewTemplateResponse:
    ref, content = source.ref, source.content
    length = length_of(written.text)
    return pb.PreviewTemplateResponse(
        subject=written.subject,
        text=written.text,
        html=written.html or "",
        sms_length=pb.SmsLength(
            encoding=pb.SmsEncoding.Value(f"SMS_ENCODING_{length.encoding}"),
            characters=length.characters,
            segments=length.segments,
        )
        if channel is Channel.SMS
        else None,
        content=pb.TemplateContent(subject=content.subject, text=content.text, html=content.html),
        template=message_pb2.TemplateRef(code=ref.code, version=ref.version, language=ref.language)
        if ref.code
        else None,
    )


def _template(head: TemplateHead) -> pb.Template:
    return pb.Template(
        id=to_wire("template", head.id),
        kind=message_pb2.MessageKind.Value(f"MESSAGE_KIND_{head.spot.kind}"),
        channel=message_pb2.Channel.Value(f"CHANNEL_{head.spot.channel}"),
        language_code=head.spot.language,
        site_id=to_wire("site", head.spot.site_id) if head.spot.site_id else "",
        number=head.number,
        retire_time=to_timestamp(head.retired_at) if head.retired_at else None,
        retired_by=head.retired_by or "",
        etag=to_etag(head.version),
    )


def _version(version: OwnTemplate) -> pb.TemplateVersion:
    content = version.content
    return pb.TemplateVersion(
        number=version.number,
        content=pb.TemplateContent(subject=content.subject, text=content.text, html=content.html),
        create_time=to_timestamp(version.created_at),
        created_by=version.created_by,
    )


def _hosts(found: LinkHosts) -> pb.LinkHosts:
    return pb.LinkHosts(hosts=found.hosts, etag=to_etag(found.version))
