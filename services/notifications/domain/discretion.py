"""Words that a message may not say where others may see or hear it. Pure.

They are looked for by their beginnings and in both languages at once, whatever the text is written in. The list is wide
on purpose: a text that is refused is written another way, one that is sent cannot be taken back.
"""

import re

_CARE = (
    "addict|adicc|anesth|anest[eé]s|blood|clinic|cl[ií]nic|counsel|consejer[ií]a|cura[rs]?\\b|detox|discharge|doctor|"
    "drip\\b|drug|enferm|fasting|ayun|health|hospital|illness|infus|inje[ck]|inyec|iv\\b|i\\.v\\.|intraven|lozenge|"
    "medic|m[eé]dic|nasal|nurs[ei]|pacient|patient|pharm|farmac|prescri|procedure|procedimiento|recet|rehab|"
    "salud|sa[nl]idad|sedat|sedaci|surg|cirug|s[ií]ntoma|symptom|tele(?!ph|f)|terap|therap|tms\\b|trat[aó]|treat|"
    "vitals"
)
_CONDITIONS = (
    "adhd|tdah|aids\\b|sida\\b|alcohol|anxi|ansied|bipolar|borderline|cancer|c[aá]ncer|crisis|depres|diagn|disorder|"
    "trastorno|dolor|fibromyalg|fibromialg|hiv\\b|vih\\b|insomni|mental|migra[ñi]|mood|neur|obsess|obsesi|ocd\\b|toc\\b|"
    "overdos|sobredos|pain\\b|panic|p[aá]nico|phobi|fobia|phq|gad-?7|pcl-?5|psych|psic|psiq|ptsd|tept|schizo|esquizo|"
    "substance|suicid|trauma"
)
_DRUGS = (
    "adderall|alprazolam|antidepres|ativan|benzo|buprenorph|buprenorfin|bupropion|bupropi[oó]n|clonaz|cocain|cymbalta|dextrometh|"
    "diazepam|dos[ei]|duloxetin|effexor|escitalopram|citalopram|esket|fentan|fluoxetin|gabapentin|hydrox[iy]z|"
    "ketamin|ketalar|klonopin|lamictal|lamotrigin|lexapro|lithium|litio|lorazepam|lsd\\b|lyrica|mdma|methadon|metadona|"
    "midazolam|naltrex|narcan|naloxon|nmda|ondansetron|opioid|opi[aá]ce|opiate|paroxetin|paxil|p[ií]ldora|pastilla|pill\\b|"
    "pills\\b|prozac|psiloc|quetiapin|seroquel|sertralin|spravato|ssri|isrs|suboxon|tablet|valium|venlafaxin|versed|"
    "wellbutrin|xanax|zofran|zoloft"
)
HEALTH_WORDS = re.compile(rf"\b(?:{_CARE}|{_CONDITIONS}|{_DRUGS})\w*", re.IGNORECASE)
"""Words that tell what kind of appointment it is: of care, of conditions, of drugs."""
NO_REPLY_WORD = re.compile(r"\bcancel(?:ar|e|a)?\b", re.IGNORECASE)
"""A text that asks for this as an answer would have the recipient opt out: networks take it for STOP."""


def health_words(text: str) -> list[str]:
    return HEALTH_WORDS.findall(text)
