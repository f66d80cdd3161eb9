"""The guards of the edge."""

from tests.mutants.mutant import Mutant

FIELDS, LIMITS, TLS = (f"tests/e2e/test_stack_edge_{name}.py" for name in ("fields", "limits", "tls"))
STACK = "tests/e2e/test_stack_edge.py"
OPENAPI = "tests/unit/test_openapi.py"
TEMPLATE = "deploy/envoy/envoy.yaml.j2"

EDGE = [
    Mutant(TEMPLATE, "rate_limited_as_resource_exhausted: true", "rate_limited_as_resource_exhausted: false", LIMITS, "grpc_caller"),
    Mutant(TEMPLATE, "value: {{ limited_bin }}", "value: CAg=", LIMITS, "grpc_caller"),
    Mutant(TEMPLATE, "path: [{ key: token }, { key: {{ claim }} }]", "path: [{ key: token }, { key: aud }]", LIMITS, "another_caller"),
    Mutant(TEMPLATE, "{% for claim in (\"iss\", \"chain\", \"sub\") %}", "{% for claim in (\"iss\", \"sub\") %}", LIMITS, "asks_too_often"),
    Mutant(TEMPLATE, "- actions: [{ remote_address: {} }]", "- actions: [{ generic_key: { descriptor_value: all } }]", LIMITS, "an_address"),
    Mutant(TEMPLATE, "max_active_downstream_connections: {{ edge.limits.connections }}", "max_active_downstream_connections: 10000", LIMITS, "connections"),
    Mutant(TEMPLATE, "min_content_length: {{ compressed_min }}", "min_content_length: 1", LIMITS, "short_answer"),
    Mutant(TEMPLATE, "audiences: [{{ issuer.audience | tojson }}]", "audiences: [atoll, another]", STACK, "further_issuers"),
    Mutant("deploy/envoy/config.py", "edge.audience), *edge.others]", "edge.audience)]", STACK, "further_issuers"),
    Mutant(TEMPLATE, "value: no-transform", "value: no-cache", LIMITS, "lines_of_a_stream"),
    Mutant(TEMPLATE, "tls_params: { tls_minimum_protocol_version: TLSv1_2 }", "tls_params: { tls_minimum_protocol_version: TLSv1_0 }", TLS, "old_versions"),
    Mutant(TEMPLATE, "alpn_protocols: [h2, http/1.1]", "alpn_protocols: [http/1.1]", TLS, "agree"),
    Mutant(TEMPLATE, "key: strict-transport-security", "key: x-nothing", TLS, "browsers"),
    Mutant(TEMPLATE, "- { san_type: DNS, matcher: { exact: {{ service.certified_as | tojson }} } }", "- { san_type: DNS, matcher: { prefix: a } }\n            - { san_type: DNS, matcher: { prefix: s } }", TLS, "not_who_it_should_be"),
    Mutant("deploy/envoy/config.py", '"public": edge.certificate, "inside": inside', '"public": edge.certificate, "inside": edge.certificate', TLS, "shown_who_the_edge_is"),
    Mutant("deploy/envoy/fields.lua", "      if child == nil then noted(faults, steps, depth, name) end", "", FIELDS, "by_its_name"),
    Mutant("deploy/envoy/fields.lua", "    name = unescaped(name)\n", "", FIELDS, "both_names"),
    Mutant("deploy/envoy/fields.lua", "<= #text then error(\"more than one value\")", "< 0 then error(\"more than one value\")", FIELDS, "not_json"),
    Mutant("deploy/envoy/fields.lua", "  if #faults >= FAULTS_MAX then return end", "", FIELDS, "short_whatever"),
    Mutant("deploy/envoy/fields.lua", '  if depth > DEPTH_MAX then error("too deep") end\n', "", FIELDS, "not_json"),
    Mutant("deploy/envoy/fields.py", "for name in (field.name, field.json_name)", "for name in (field.json_name,)", FIELDS, "both_names"),
    Mutant("tools/openapi/operations.py", 'if body not in ("", "*"):', 'if False:', OPENAPI, "part_of_the_request"),
    Mutant("tools/openapi/operations.py", "            elif field.is_list:\n", "            elif False:\n", OPENAPI, "list_of_messages"),
    Mutant("tools/openapi/schemas.py", '    raise Inexpressible(f"a field of type {FieldDescriptorProto.Type.Name(kind)}")', '    return {"type": "number"}', OPENAPI, "would_round"),
    Mutant("tools/openapi/examples.py", '        raise Inexpressible(f"no example for {message.name}.{field.name}, {rules.string.pattern}")', '        return ""', OPENAPI, "which_no_example"),
]  # fmt: skip
