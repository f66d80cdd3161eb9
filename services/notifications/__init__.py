"""Owns messages to patients: which go out, when, in which words, and what became of each."""
