"""Pages of docs/ that are written from the protos: a module for each."""
