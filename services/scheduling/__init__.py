"""Owns chains, sites, their resources, protocols, courses and visits, and who and what is taken when."""
