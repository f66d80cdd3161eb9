"""The document as a whole."""

from typing import Any

from tools.openapi.image import Image, Service
from tools.openapi.operations import Operations
from tools.openapi.schemas import Schemas

VERSION = "v1"
ABOUT = """Practice management for chains of self-pay clinics: patients, scheduling, billing, notifications.

Written from the protos, whose comments these are. They name fields as the protos do: `page_token` is `pageToken` in
JSON.

- **Token.** `Authorization: Bearer …` in every call. It names the chain, and the sites that each role holds for.
- **JSON** is protobuf's. A field that is left out, is null or is its zero (`""`, `0`, `false`, `[]`, the value of an
  enum that ends in `_UNSPECIFIED`) is the same; one that the call does not have is refused. An answer has every field
  that is not a message, an optional one or one of several. 64-bit integers are strings. Instants are RFC 3339 with a
  zone.
- **Errors** are `google.rpc.Status`; the reason is in its ErrorInfo. What the edge itself refuses has no details.
- **Changes** take a `requestId`, a UUID: the same id with the same request gets the first answer again, for 7 days.
- **Lists** hold 50 unless `pageSize` says otherwise, and 200 at most; `nextPageToken` is empty on the last page.
- **Time.** A call has 30 seconds. 503 may be sent again, after RetryInfo; 504 with the same `requestId`.
"""
STATUS = {
    "google.rpc.Status": {
        "type": "object",
        "description": "Why a call was refused.",
        "properties": {
            "code": {"type": "integer", "description": "Of google.rpc.Code."},
            "message": {"type": "string", "description": "For developers; says nothing that `details` does not."},
            "details": {"type": "array", "items": {"$ref": "#/components/schemas/google.protobuf.Any"}},
        },
        "required": ["code", "message", "details"],
        "example": {
            "code": 5,
            "message": "there is no such course",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "COURSE_NOT_FOUND",
                    "domain": "atoll.health",
                    "metadata": {},
                }
            ],
        },
    },
    "google.protobuf.Any": {
        "type": "object",
        "description": "ErrorInfo with the reason; BadRequest and PreconditionFailure with each field and its rule; "
        "RetryInfo with when to ask again; or a message of the service's own.",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
    },
}


def document(image: bytes) -> dict[str, Any]:
    """OpenAPI 3.1.0, from the content of gen/image.binpb."""
    read = Image(image)
    schemas = Schemas(read)
    paths = Operations(read, schemas).paths()
    components = {**schemas.components, **STATUS}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Atoll", "version": VERSION, "description": ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [_tag(service) for service in read.services],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _tag(service: Service) -> dict[str, str]:
    return {"name": service.tag, "description": service.comment}
