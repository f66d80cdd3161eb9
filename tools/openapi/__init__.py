"""The public API as an OpenAPI 3.1 document, written from the descriptor image alone; `python -m tools.openapi`."""
