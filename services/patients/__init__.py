"""Owns who the chain's patients are, what they answered when screened, and what clinicians cleared them for."""
