"""What every estimate has to tell its patient (45 CFR 149.610(c)(1)(vi) to (x)), in our own words, by version.

A version that an estimate carries never changes: a better text is the next one.
"""

from dataclasses import dataclass

LATEST = 1


@dataclass(frozen=True, slots=True)
class Disclaimer:
    title: str
    text: str


DISCLAIMERS: dict[int, tuple[Disclaimer, ...]] = {
    1: (
        Disclaimer(
            "Other services may be recommended",
            "Your provider may recommend other items or services as part of your care. They have to be scheduled or "
            "requested separately, and are not part of this estimate. You may ask for an estimate of them, too.",
        ),
        Disclaimer(
            "This is only an estimate",
            "It shows what we reasonably expect your care to cost, from what was known on the day it was made. What "
            "you are charged may differ, for example if there are complications or your treatment changes.",
        ),
        Disclaimer(
            "You have the right to dispute a bill",
            "If a provider or facility bills you $400 or more above its total on this estimate, you may start a "
            "patient-provider dispute resolution through the U.S. Department of Health and Human Services (HHS), "
            "within 120 calendar days of the date of the first bill that is so much higher. HHS charges a small fee; "
            "the reviewing company decides whether you pay the estimate or the bill. You may also ask us to correct "
            "the bill, to discuss it, or whether there is financial help.",
        ),
        Disclaimer(
            "A dispute does not affect your care",
            "Starting a dispute will not harm the quality of the health care that you receive from us.",
        ),
        Disclaimer(
            "How to start a dispute, and where to learn more",
            "Visit www.cms.gov/nosurprises/consumers, write to FederalPPDRQuestions@cms.hhs.gov, or call "
            "1-800-985-3059. You will need this estimate and the bill: keep a copy of both.",
        ),
        Disclaimer(
            "This is not a contract",
            "It does not oblige you to receive these items or services from any provider or facility named here.",
        ),
    ),
}
