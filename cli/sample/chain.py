"""The sample chain: five sites, one for each clinic programme, with prices that real clinics publish and the tax of the
one whose state has it.

The data stand beside this file: `protocols/` as the API takes them, `sites/` and `questionnaires/` in a shorter form
that is spelt out here.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.type.date_pb2 import Date
from google.type.dayofweek_pb2 import DayOfWeek
from google.type.timeofday_pb2 import TimeOfDay

from atoll.billing.v1.price_book_service_pb2 import CreatePriceBookRequest, PublishPriceBookRequest
from atoll.billing.v1.price_book_service_pb2_grpc import PriceBookServiceStub
from atoll.billing.v1.tax_service_pb2 import SetTaxRuleRequest
from atoll.billing.v1.tax_service_pb2_grpc import TaxServiceStub
from atoll.patients.v1.questionnaire_pb2 import QuestionnaireContent
from atoll.patients.v1.questionnaire_service_pb2 import (
    AssignQuestionnaireRequest,
    CreateQuestionnaireRequest,
    PublishQuestionnaireVersionRequest,
)
from atoll.patients.v1.questionnaire_service_pb2_grpc import QuestionnaireServiceStub
from atoll.scheduling.v1.capability_service_pb2 import CreateCapabilityRequest
from atoll.scheduling.v1.capability_service_pb2_grpc import CapabilityServiceStub
from atoll.scheduling.v1.chain_service_pb2 import CreateChainRequest
from atoll.scheduling.v1.chain_service_pb2_grpc import ChainServiceStub
from atoll.scheduling.v1.hours_pb2 import DayHours
from atoll.scheduling.v1.legal_entity_service_pb2 import CreateLegalEntityRequest
from atoll.scheduling.v1.legal_entity_service_pb2_grpc import LegalEntityServiceStub
from atoll.scheduling.v1.protocol_pb2 import ProtocolTemplate
from atoll.scheduling.v1.protocol_service_pb2 import (
    AdoptProtocolVersionRequest,
    CreateProtocolRequest,
    PublishProtocolVersionRequest,
)
from atoll.scheduling.v1.protocol_service_pb2_grpc import ProtocolServiceStub
from atoll.scheduling.v1.resource_service_pb2 import CreateResourceRequest
from atoll.scheduling.v1.resource_service_pb2_grpc import ResourceServiceStub
from atoll.scheduling.v1.site_service_pb2 import CreateSiteRequest
from atoll.scheduling.v1.site_service_pb2_grpc import SiteServiceStub
from chassis.money import Money
from chassis.money import to_wire as money_to_wire
from cli.client import Client, request_id_for
from cli.codes import loaded, read_services

FOLDER = Path(__file__).parent
CHAIN_NAME = "Atoll Sample Clinics"
AMOUNTS = ("unitPrice", "fixed")
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


@dataclass(frozen=True, slots=True)
class SampleProtocol:
    id: str
    version_id: str
    code: str
    template: ProtocolTemplate
    questionnaire: "SampleQuestionnaire"


@dataclass(frozen=True, slots=True)
class SampleQuestionnaire:
    version_id: str
    content: QuestionnaireContent


@dataclass(frozen=True, slots=True)
class SampleSite:
    id: str
    code: str
    legal_entity_id: str
    time_zone: str
    courses: Sequence[Mapping[str, Any]]  # Which courses its patients get, in turn.
    resources: Mapping[str, str]  # Id → display name.


@dataclass(frozen=True, slots=True)
class SampleChain:
    id: str
    protocols: Mapping[str, SampleProtocol]
    sites: Sequence[SampleSite]


def site_files() -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("sites/*.json"))}


def protocol_files() -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("protocols/*.json"))}


def questionnaire_files() -> dict[str, Any]:
    """Each with its questions and rules, which are kept once for all."""
    files = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("questionnaires/*.json"))}
    bank = files.pop("bank")
    questions = {each["code"]: each for each in bank["questions"]}
    rules = {each["reasonCode"]: each for each in bank["rules"]}
    for file in files.values():
        file["content"] = {
            "questions": [questions[code] for code in file.pop("questions")],
            "rules": [rules[code] for code in file.pop("rules")],
        }
    return files


def capability_codes(sites: Iterable[Any], protocols: Iterable[Any]) -> list[str]:
    """What the sites' resources can do, and the protocols ask for."""
    codes = {code for site in sites for resource in site["resources"] for code in resource.get("capabilities", ())}
    types = (each for protocol in protocols for each in protocol["template"]["visitTypes"])
    codes |= {wanted.get("capability", "") for each in types for wanted in each.get("requirements", ())}
    return sorted(codes - {""})


async def load_chain(client: Client, today: date) -> SampleChain:
    """Loads the chain through the public API. Run again it changes nothing and answers the same.

    `today` is the first day on which prices and taxes hold, and must be the same when it is run again.
    """
    return await _Load(client, today).chain()


class _Load:
    def __init__(self, client: Client, today: date) -> None:
        self._client, self._today = client, today

    async def chain(self) -> SampleChain:
        await self._client.call(
            ChainServiceStub, "CreateChain", CreateChainRequest(request_id=self._key("chain"), display_name=CHAIN_NAME)
        )
        files = site_files()
        for code in capability_codes(files.values(), protocol_files().values()):
            await self._capability(code)
        names = sorted({file["legal_entity"] for file in files.values()})
        entities = dict(zip(names, [await self._legal_entity(name) for name in names], strict=True))
        questionnaires = {file["code"]: await self._questionnaire(file) for file in questionnaire_files().values()}
        uses = {code: file["code"] for file in questionnaire_files().values() for code in file["protocols"]}
        protocols = {
            code: await self._protocol(file, *questionnaires[uses[code]]) for code, file in protocol_files().items()
        }
        sites = await asyncio.gather(*(self._site(code, file, entities, protocols) for code, file in files.items()))
        await loaded(self._client, read_services(FOLDER / "codes.csv"))
        return SampleChain(self._client.chain_id, protocols, sites)

    async def _capability(self, code: str) -> None:
        display_name = code.replace("_", " ").capitalize()
        request = CreateCapabilityRequest(
            request_id=self._key("capability", code), code=code, display_name=display_name
        )
        await self._client.call(CapabilityServiceStub, "CreateCapability", request)

    async def _legal_entity(self, name: str) -> str:
        request = CreateLegalEntityRequest(request_id=self._key("legal entity", name), display_name=name)
        answer = await self._client.call(LegalEntityServiceStub, "CreateLegalEntity", request)
        entity_id: str = answer.legal_entity.id
        return entity_id

    async def _questionnaire(self, file: dict[str, Any]) -> tuple[str, SampleQuestionnaire]:
        code = file["code"]
        request = CreateQuestionnaireRequest(
            request_id=self._key("questionnaire", code), code=code, display_name=file["displayName"]
        )
        created = await self._client.call(QuestionnaireServiceStub, "CreateQuestionnaire", request)
        publish = PublishQuestionnaireVersionRequest(
            request_id=self._key("questionnaire version", code), questionnaire_id=created.questionnaire.id
        )
        ParseDict(file["content"], publish.content)
        published = await self._client.call(QuestionnaireServiceStub, "PublishQuestionnaireVersion", publish)
        version = published.questionnaire_version
        return created.questionnaire.id, SampleQuestionnaire(version.id, version.content)

    async def _protocol(
        self, file: dict[str, Any], questionnaire_id: str, questionnaire: SampleQuestionnaire
    ) -> SampleProtocol:
        code = file["code"]
        created = await self._client.call(
            ProtocolServiceStub,
            "CreateProtocol",
            CreateProtocolRequest(request_id=self._key("protocol", code), code=code, display_name=file["displayName"]),
        )
        request = PublishProtocolVersionRequest(
            request_id=self._key("protocol version", code), protocol_id=created.protocol.id
        )
        ParseDict(file["template"], request.template)
        published = await self._client.call(ProtocolServiceStub, "PublishProtocolVersion", request)
        assign = AssignQuestionnaireRequest(
            request_id=self._key("questionnaire of protocol", code),
            questionnaire_id=questionnaire_id,
            protocol_id=created.protocol.id,
        )
        await self._client.call(QuestionnaireServiceStub, "AssignQuestionnaire", assign)
        return SampleProtocol(created.protocol.id, published.protocol_version.id, code, request.template, questionnaire)

    async def _site(
        self, code: str, file: dict[str, Any], entities: Mapping[str, str], protocols: Mapping[str, SampleProtocol]
    ) -> SampleSite:
        request = CreateSiteRequest(
            request_id=self._key("site", code),
            legal_entity_id=entities[file["legal_entity"]],
            code=code,
            opening_hours=day_hours(file["hours"]),
        )
        created = await self._client.call(SiteServiceStub, "CreateSite", ParseDict(file["site"], request))
        site = created.site
        resources = {}
        for number, resource in enumerate(file["resources"]):
            resources[await self._resource(site.id, number, resource)] = resource["displayName"]
        for protocol in file["protocols"]:
            adoption = AdoptProtocolVersionRequest(
                request_id=self._key("adoption", code, protocol),
                site_id=site.id,
                protocol_version_id=protocols[protocol].version_id,
            )
            await self._client.call(ProtocolServiceStub, "AdoptProtocolVersion", adoption)
        for tax in file.get("taxes", ()):
            await self._tax(site.id, code, tax["rule"])
        await self._price_book(site.id, code, file["price_book"])
        return SampleSite(site.id, code, site.legal_entity_id, site.time_zone, file["courses"], resources)

    async def _resource(self, site_id: str, number: int, file: dict[str, Any]) -> str:
        request = CreateResourceRequest(request_id=self._key("resource", site_id, str(number)), site_id=site_id)
        created = await self._client.call(ResourceServiceStub, "CreateResource", ParseDict(file, request))
        resource_id: str = created.resource.id
        return resource_id

    async def _tax(self, site_id: str, code: str, rule: dict[str, Any]) -> None:
        request = SetTaxRuleRequest(
            request_id=self._key("tax", code, rule["name"]), site_id=site_id, effective_date=self._first_day
        )
        await self._client.call(TaxServiceStub, "SetTaxRule", ParseDict(rule, request))

    async def _price_book(self, site_id: str, code: str, file: dict[str, Any]) -> None:
        request = CreatePriceBookRequest(
            request_id=self._key("price book", code),
            site_id=site_id,
            currency_code="USD",
            effective_date=self._first_day,
            deposit=dollars(file["deposit"]),
        )
        for item in file["items"]:
            ParseDict(with_money(item), request.items.add())
        draft = await self._client.call(PriceBookServiceStub, "CreatePriceBook", request)
        publish = PublishPriceBookRequest(
            request_id=self._key("price book published", code), price_book_id=draft.price_book.id
        )
        await self._client.call(PriceBookServiceStub, "PublishPriceBook", publish)

    @property
    def _first_day(self) -> Date:
        """Of prices and taxes."""
        return Date(year=self._today.year, month=self._today.month, day=self._today.day)

    def _key(self, *names: str) -> str:
        return request_id_for(self._client.chain_id, *names)


def dollars(text: str) -> Any:
    """google.type.Money of "590.00"."""
    return money_to_wire(Money(int(Decimal(text) * 100)))


def with_money(told: Any) -> Any:
    """With each amount that is written as "590.00" as the API takes it."""
    if isinstance(told, dict):
        return {
            key: MessageToDict(dollars(value)) if key in AMOUNTS and isinstance(value, str) else with_money(value)
            for key, value in told.items()
        }
    return [with_money(each) for each in told] if isinstance(told, list) else told


def day_hours(lines: Sequence[str]) -> Iterator[DayHours]:
    """`MON-FRI 08:00-18:00` is five days."""
    for line in lines:
        days, _, hours = line.partition(" ")
        first, _, last = days.partition("-")
        start, end = (time.fromisoformat(text) for text in hours.split("-"))
        for number in range(DAYS.index(first), DAYS.index(last or first) + 1):
            yield DayHours(
                day=DayOfWeek.ValueType(number + 1),
                start_time=TimeOfDay(hours=start.hour, minutes=start.minute),
                end_time=TimeOfDay(hours=end.hour, minutes=end.minute),
            )
