"""docs/access.md: which role may make which call, and how far it reaches."""

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto

from atoll.common.v1.access_pb2 import ROLE_PATIENT, SCOPE_CHAIN, SCOPE_SELF, Access, Audit, Role, access
from tools.docs.packages import SERVICES

CHAIN, SITES, SELF, DENIED = "chain", "sites", "self", ""
ROLES = [role for role in Role.values() if role]
HEAD = f"""# Who may call what

Generated from the protos by `make docs`; do not edit. `tests/integration/test_access_matrix.py` calls every RPC with a
token of every role and holds the services to this page.

What a caller may do whose token has that one role:

- **{CHAIN}**: call, and see every site of the chain.
- **{SITES}**: call, and see the sites that the token names for the role. A request that names another site is denied;
  rows of other sites do not exist.
- **{SELF}**: call as the patient whom the token names. A request that names another is denied; rows of others do not
  exist.
- An empty cell: nothing. It is denied (403, PERMISSION_DENIED, `ACCESS_DENIED`) before the request is looked at.

Without a token, or with one that does not pass, every call is refused (401, UNAUTHENTICATED). What belongs to another
chain is not found, just as what does not exist. A token of several roles may do what any of them may. Whoever broke the
glass of a record sees that record for as long as that lasts. What the audit trail keeps: `change` who changed what,
`phi read` who saw which patient.
"""


def page(image: FileDescriptorSet) -> str:
    return "".join([HEAD, *sections(image)])


def sections(image: FileDescriptorSet) -> Iterator[str]:
    for name in SERVICES:
        titles = " | ".join(_words(Role.Name(role), "ROLE_") for role in ROLES)
        yield f"\n## {name}\n\n| RPC | {titles} | Audit |\n|---|{'---|' * (len(ROLES) + 1)}\n"
        for file in image.file:
            if file.package == f"atoll.{name}.v1":
                yield from rows(file)


def rows(file: FileDescriptorProto) -> Iterator[str]:
    for service in file.service:
        for method in service.method:
            reaches = " | ".join(reach(method, role) for role in ROLES)
            kept = _words(Audit.Name(option(method).audit), "AUDIT_")
            yield f"| {service.name}.{method.name} | {reaches} | {kept} |\n"


def reach(method: MethodDescriptorProto, role: "Role.ValueType") -> str:
    """How far a token of one role reaches; see chassis.auth.Caller.permitted."""
    asked = option(method)
    if role not in asked.roles:
        return DENIED
    if role == ROLE_PATIENT:
        return SELF
    if asked.scope == SCOPE_SELF:
        return DENIED
    return CHAIN if asked.scope == SCOPE_CHAIN else SITES


def option(method: MethodDescriptorProto) -> Access:
    return method.options.Extensions[access]


def _words(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).replace("_", " ").lower()
