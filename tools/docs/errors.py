"""docs/errors.md: every reason that a service answers with, what it means and what to do about it."""

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.docs.packages import SERVICES
from tools.openapi.image import Image
from tools.openapi.reasons import COMMON, HTTP, Reason, Reasons

CURES = {
    "INVALID_ARGUMENT": "The request can never pass as it is. BadRequest, where it is there, names each field and the "
    "rule that it breaks. Change the request, and send it under a new `request_id`.",
    "UNAUTHENTICATED": "Get a new token, and send the same request again.",
    "PERMISSION_DENIED": "Another role or site is needed: [access.md](access.md) says which. The same request with the "
    "same token never passes.",
    "NOT_FOUND": "Check the id. What belongs to another chain, or to sites that are none of the caller's, is not found "
    "either.",
    "ABORTED": "Somebody else wrote first: read it again, decide again, and send the new etag under a new "
    "`request_id`.",
    "FAILED_PRECONDITION": "A rule forbids it as things stand. PreconditionFailure, where it is there, names what is "
    "in the way. With RetryInfo the same request may pass later: send it again then, under the same `request_id`. "
    "Without, change what is in the way first.",
    "RESOURCE_EXHAUSTED": "A bound is reached. With RetryInfo, send the same request again after it; without, ask for "
    "less.",
    "OUT_OF_RANGE": "Where the caller wants to go on from is not kept any more: begin anew.",
    "UNAVAILABLE": "Nothing was changed, or it is answered as if it had been sent once: send the same request again, "
    "under the same `request_id`, after RetryInfo.",
    "DEADLINE_EXCEEDED": "Whether the change was made is not known: send the same request again, under the same "
    "`request_id`.",
}
"""What to do, by code. Where there is more to do about a reason, its own words say so."""
HEAD = """# Errors

Generated from the protos by `make docs`; do not edit.

A refusal is a `google.rpc.Status`. Its ErrorInfo holds the `reason`, which never changes its meaning, with the domain
`atoll.health` and metadata of ids, limits and times; messages are for developers and may change. In JSON the status is
that of HTTP below, and the Status is the body. What the edge refuses by itself (no token, a body that is no JSON, a
call that nobody offers) has a code, and no reason.

What to do

| Code | HTTP | |
|---|---|---|
"""


def page(image: FileDescriptorSet) -> str:
    return "".join([HEAD, *_codes(), *_sections(Reasons(Image(image.SerializeToString())))])


def _codes() -> Iterator[str]:
    for code, status in HTTP.items():
        yield f"| {code} | {status} | {CURES[code]} |\n"


def _sections(reasons: Reasons) -> Iterator[str]:
    yield _section("Of every service", COMMON, reasons)
    for service in SERVICES:
        yield _section(service, f"atoll.{service}.v1", reasons)


def _section(title: str, package: str, reasons: Reasons) -> str:
    of_package = sorted((each for each in reasons.all.values() if each.package == package), key=lambda each: each.name)
    rows = "".join(f"| `{each.name}` | {each.code} | {_sentence(each)} |\n" for each in of_package)
    return f"\n## {title}\n\n| Reason | Code | Why |\n|---|---|---|\n{rows}"


def _sentence(reason: Reason) -> str:
    first, _, rest = reason.comment.partition(" ")
    capital = first if "_" in first else first[:1].upper() + first[1:]  # Names of fields stay as they are.
    return f"{capital} {rest}".replace("|", "\\|")
