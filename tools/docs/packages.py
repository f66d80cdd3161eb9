"""The packages of the public API, in the order in which pages tell of them."""

SERVICES = ("patients", "scheduling", "billing", "notifications")
