"""How Atoll is run: on one machine without Docker (local), in containers, and the edge before it."""
