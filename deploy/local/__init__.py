"""The local stack: real PostgreSQL, NATS and Envoy out of wheels, and the four services, without Docker or root."""
