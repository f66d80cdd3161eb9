"""The guards of the edge."""

from tests.mutants.mutant import Mutant

LIMITS = "tests/e2e/test_stack_edge_limits.py"
TEMPLATE = "deploy/envoy/envoy.yaml.j2"

EDGE = [
    Mutant(TEMPLATE, "rate_limited_as_resource_exhausted: true", "rate_limited_as_resource_exhausted: false", LIMITS, "grpc_caller"),
    Mutant(TEMPLATE, "value: {{ limited_bin }}", "value: CAg=", LIMITS, "grpc_caller"),
    Mutant(TEMPLATE, "path: [{ key: token }, { key: {{ claim }} }]", "path: [{ key: token }, { key: aud }]", LIMITS, "another_caller"),
    Mutant(TEMPLATE, "{% for claim in (\"iss\", \"chain\", \"sub\") %}", "{% for claim in (\"iss\", \"sub\") %}", LIMITS, "asks_too_often"),
    Mutant(TEMPLATE, "- actions: [{ remote_address: {} }]", "- actions: [{ generic_key: { descriptor_value: all } }]", LIMITS, "an_address"),
    Mutant(TEMPLATE, "max_active_downstream_connections: {{ edge.limits.connections }}", "max_active_downstream_connections: 10000", LIMITS, "connections"),
    Mutant(TEMPLATE, "min_content_length: {{ compressed_min }}", "min_content_length: 1", LIMITS, "short_answer"),
    Mutant(TEMPLATE, "value: no-transform", "value: no-cache", LIMITS, "lines_of_a_stream"),
]  # fmt: skip
