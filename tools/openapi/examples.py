"""Examples of requests and answers: the same in each run, and such as keep the rules of their fields."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from atoll.common.v1.rules_pb2 import typeid
from tools.openapi.image import OURS, Field, Image, Inexpressible, Message
from tools.openapi.rules import camel, is_needed, portable

DEPTH_MAX = 6
PAGE_SIZE = 50
SUFFIX = "01h455vb4pex5vsknk084sn02q"
UUID = "0190163d-8694-739b-aea5-966c26f8ad91"
TEXTS: dict[str, Any] = {
    "google.protobuf.Timestamp": "2026-03-02T16:30:00Z",
    "google.protobuf.Duration": "1s",
    "google.protobuf.Value": "Roe",
    "google.type.Date": {"year": 2026, "month": 3, "day": 2},
    "google.type.TimeOfDay": {"hours": 9, "minutes": 30, "seconds": 0, "nanos": 0},
    "google.type.Money": {"currencyCode": "USD", "units": "125", "nanos": 0},
    "google.type.Interval": {"startTime": "2026-03-02T16:30:00Z", "endTime": "2026-03-02T17:30:00Z"},
    "google.type.PostalAddress": {
        "revision": 0,
        "regionCode": "US",
        "languageCode": "en",
        "postalCode": "87102",
        "sortingCode": "",
        "administrativeArea": "NM",
        "locality": "Albuquerque",
        "sublocality": "",
        "addressLines": ["100 Sample Street NW"],
        "recipients": [],
        "organization": "",
    },
}
WORDS = {
    "given_name": "Jane",
    "given_names": "Jane",
    "preferred_name": "Janie",
    "family_name": "Roe",
    "signer_name": "Jane Roe",
    "witness_name": "Sam Sample",
    "email": "jane.roe@example.com",
    "phone": "+15055550100",
    "language": "en",
    "language_code": "en-US",
    "time_zone": "America/Denver",
    "state_code": "NM",
    "state": "NM",
    "states": "NM",
    "currency_code": "USD",
    "url": "https://example.com/webhooks",
    "event_type": "scheduling.v1.visit.confirmed",
    "event_types": "scheduling.v1.visit.confirmed",
    "hosts": "example.com",
    "npi": "1234567893",
    "tax_id": "12-3456789",
    "invoice_prefix": "ABQ",
    "diagnosis_codes": "F33.1",
    "service_codes": "99213",
    "modifiers": "25",
    "mrn": "A-1001",
    "etag": "7",
    "actor": "user-17",
    "system": "https://example.com/ids",
    "token": "x" * 43,
    "card_token": "pm_card_visa",
    "icalendar": "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:sample\r\nEND:VCALENDAR\r\n",
    "address": "100 Sample Street NW\nAlbuquerque NM 87102",
}
"""By the names of fields, where these say what is in them."""
BY_PATTERN = ("sample", "Sample", "SAMPLE", "S1", "en", "99213", "F33.1", "25", "USD", "example.com", "x" * 43, "")
"""The first that a pattern takes, where the name does not help."""
UNSAID = frozenset({"page_token", "resume_token"})
"""What a first request does not have."""
UNCHOSEN = {
    "atoll.billing.v1.CreateInvoiceDraftRequest": {"charge_ids"},
    "atoll.billing.v1.CreatePriceBookRequest.Item": {"code", "visit_type_codes", "fee"},
    "atoll.billing.v1.IssueInvoiceRequest": {"charge_ids", "invoice_draft_id", "etag"},
    "atoll.billing.v1.ListInvoicesRequest": {"patient_id", "course_id"},
    "atoll.billing.v1.ListPaymentsRequest": {"patient_id"},
    "atoll.billing.v1.ListRefundsRequest": {"patient_id"},
    "atoll.billing.v1.ListUninvoicedChargesRequest": {"patient_id"},
    "atoll.billing.v1.RecordPaymentRequest": {"terminal_reference", "check_number"},
    "atoll.notifications.v1.CreatePauseRequest": {"kind"},
    "atoll.scheduling.v1.FindOpeningsRequest": {"visit_type_code"},
}
"""Of messages with rules that several fields share: fields that an example without them keeps."""
LATER: dict[str, Any] = {
    "google.protobuf.Timestamp": "2026-03-02T17:30:00Z",
    "google.type.Date": {"year": 2026, "month": 3, "day": 31},
    "google.type.TimeOfDay": {"hours": 17, "minutes": 30, "seconds": 0, "nanos": 0},
}
ENDS = re.compile(r"(end|expire|until|before|last|latest)_(time|date)")
"""Fields whose instant or day is the later one of two."""


class Examples:
    def __init__(self, image: Image) -> None:
        self._image = image

    def request(self, message: Message, bound: Iterable[str] = ()) -> dict[str, Any]:
        """As it is sent: what is needed and what may be told, but for what only the service sets. `bound` is told."""
        found = self._message(message, True, 0)
        for path in bound:
            inner, at = found, message
            *above, last = path.split(".")
            for name in above:
                inner, at = inner[camel(name)], self._image.messages[_field(at, name).type_name]
            inner[camel(last)] = self._value(at, _field(at, last), True, 0)
        return found

    def answer(self, message: Message) -> dict[str, Any]:
        return self._message(message, False, 0)

    def _message(self, message: Message, asked: bool, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field in _chosen(message, asked):
            too_deep = depth >= DEPTH_MAX and _is_ours(field) and not is_needed(field)
            if entry := self._image.entry_of(field):
                key, value = (self._value(entry, each, asked, depth) for each in entry.fields)
                found[field.json_name] = {key: value}
            elif too_deep and field.is_list:
                found[field.json_name] = []
            elif not too_deep:
                value = self._value(message, field, asked, depth)
                found[field.json_name] = self._some(field, value) if field.is_list else value
        return found

    def _some(self, field: Field, value: Any) -> list[Any]:
        return [value] * max(1, field.rules.repeated.min_items)

    def _value(self, message: Message, field: Field, asked: bool, depth: int) -> Any:
        rules = field.rules.repeated.items if field.is_list else field.rules
        match field.proto.type:
            case FieldDescriptorProto.TYPE_MESSAGE if field.type_name == "google.protobuf.FieldMask":
                return camel(next(iter(getattr(rules.field_mask, "in")), "name"))
            case FieldDescriptorProto.TYPE_MESSAGE:
                if field.type_name in TEXTS:
                    return (LATER if ENDS.fullmatch(field.name) else TEXTS).get(field.type_name, TEXTS[field.type_name])
                return self._message(self._image.messages[field.type_name], asked, depth + 1)
            case FieldDescriptorProto.TYPE_ENUM:
                values = [each.proto for each in self._image.enums[field.type_name].values]
                only = set(getattr(rules.enum, "in")) or {each.number for each in values if each.number}
                return next(each.name for each in values if each.number in only - set(rules.enum.not_in))
            case FieldDescriptorProto.TYPE_STRING:
                return self._text(message, field, rules)
            case FieldDescriptorProto.TYPE_BOOL:
                return False
            case FieldDescriptorProto.TYPE_INT64:
                return str(max(1, rules.int64.gte))
            case FieldDescriptorProto.TYPE_DOUBLE:
                return 1.5
            case FieldDescriptorProto.TYPE_BYTES:
                return "JVBERi0="
        return PAGE_SIZE if field.name == "page_size" else _number(rules)

    def _text(self, message: Message, field: Field, rules: Any) -> str:
        if rules.string.uuid or field.name in ("request_id", "event_id"):
            return UUID
        kind = rules.string.Extensions[typeid] or ("" if rules.string.pattern else _kind(message, field))
        if kind:
            return f"{kind}_{SUFFIX}"
        pattern, most = portable(rules.string.pattern), rules.string.max_len or rules.string.len
        for text in (WORDS.get(field.name), *BY_PATTERN):
            if text is not None and re.search(pattern, text) and not 0 < most < len(text):
                return text.ljust(rules.string.min_len or rules.string.len, "x")
        raise Inexpressible(f"no example for {message.name}.{field.name}, {rules.string.pattern}")


def _number(rules: Any) -> int:
    only: list[int] = list(getattr(rules.int32, "in"))
    least: int = rules.int32.gte if rules.int32.HasField("gte") else rules.int32.gt + 1
    most: int = rules.int32.lte if rules.int32.HasField("lte") else 30
    return only[0] if only else min(max(1, least), most)


def _chosen(message: Message, asked: bool) -> Iterator[Field]:
    """Of several of which one is set, the first; of a request, what a caller tells."""
    set_already: set[str] = set()
    for field in message.fields:
        untold = field.name in UNSAID or field.comment.startswith("Output only")
        if field.oneof in set_already or field.name in UNCHOSEN.get(message.name, ()):
            continue
        if asked and untold and not is_needed(field):
            continue
        if field.oneof:
            set_already.add(field.oneof)
        yield field


def _field(message: Message, name: str) -> Field:
    return next(each for each in message.fields if each.name == name)


def _is_ours(field: Field) -> bool:
    return field.proto.type == FieldDescriptorProto.TYPE_MESSAGE and field.type_name.startswith(OURS)


def _kind(message: Message, field: Field) -> str:
    """Of an id that no rule speaks of: `visit_id` and `visit_ids` name visits, `id` what the message is."""
    if field.name == "id":
        return message.name.rpartition(".")[2].lower()
    found = re.fullmatch(r"(?:.*_)?([a-z]+)_ids?", field.name)
    return found[1] if found else ""
