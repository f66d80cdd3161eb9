"""What messages say: the shipped templates, the chain's own, and how both are filled in and checked."""

from services.notifications.wording.templates import Templates
from services.notifications.wording.words import BrokenTemplate, Words, Written, said_once, words_of

__all__ = ["BrokenTemplate", "Templates", "Words", "Written", "said_once", "words_of"]
