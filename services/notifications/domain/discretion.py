"""Words that a message may not say. Pure."""

import re

HEALTH_WORDS = re.compile(
    r"\b(?:addict|adicc|anxi|ansiedad|clinic|cl[ií]nic|depres|diagn|doctor|dolor|dos[ei]|drug|enferm|health|hospital|"
    r"infus|inje[ck]|inyec|iv\b|ketamin|medic|m[eé]dic|mental|nurs[ei]|pacient|patient|pain\b|prescri|psic|psiq|psych|"
    r"ptsd|recet|salud|sa[nl]idad|s[ií]ntoma|spravato|symptom|tele|tept|terap|therap|trat[aó]|treat)\w*",
    re.IGNORECASE,
)
"""Words, by their beginnings, that tell what kind of appointment it is."""


def health_words(text: str) -> list[str]:
    return HEALTH_WORDS.findall(text)
