"""The edge: one public port for gRPC, gRPC-Web and JSON, by Envoy."""
