"""What somebody means who answers a text, and which receipt tells most."""

from datetime import timedelta
from itertools import permutations
from uuid import UUID

import pytest

from services.notifications.domain.replies import (
    AnswerKind,
    AnswerRefused,
    LastTexted,
    Meaning,
    Understood,
    check_answer,
    judge,
    understand,
)
from services.notifications.domain.texting import Receipt, SuppressionKind, furthest, suppression_after
from tests.support.service import NOW

ANA, BEN, SITE, VISIT, OTHER = (UUID(int=n) for n in range(1, 6))


@pytest.mark.parametrize("word", ["stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe", "stopall"])
@pytest.mark.parametrize("written", ["{}", "{}.", " {} ", "*{}!!*\n"])
def test_the_laws_words_are_opt_outs_however_they_are_written(word: str, written: str) -> None:
    for text in (word, word.upper(), word.title(), "-".join(word), " ".join(word)):
        assert understand(written.format(text)) == Understood(Meaning.OPT_OUT, "en")


@pytest.mark.parametrize(
    "word", ["alto", "parar", "Cancelar", "BAJA", "salir", "Detener", "fin", "darme de baja", "párar"]
)
def test_so_are_spanish_ones(word: str) -> None:
    assert understand(f"¡{word}!") == Understood(Meaning.OPT_OUT, "es")


@pytest.mark.parametrize(
    ("text", "meaning", "language"),
    [
        ("START", Meaning.OPT_IN, "en"),
        ("un-stop", Meaning.OPT_IN, "en"),
        ("Alta", Meaning.OPT_IN, "es"),
        ("help", Meaning.HELP, "en"),
        ("¿Ayuda?", Meaning.HELP, "es"),
        ("c", Meaning.CONFIRM, None),
        (" C. ", Meaning.CONFIRM, None),
        ("Confirmo", Meaning.CONFIRM, "es"),
        ("R", Meaning.MOVE, None),
        ("(r)", Meaning.MOVE, None),
        ("reschedule", Meaning.MOVE, "en"),
        ("Reprogramar", Meaning.MOVE, "es"),
    ],
)
def test_words_that_are_known_are_told_apart(text: str, meaning: Meaning, language: str | None) -> None:
    assert understand(text) == Understood(meaning, language)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Please stop texting me", "en"),
        ("stop it!!", "en"),
        ("STOP. I mean it", "en"),
        ("I'd like to unsubscribe from this", "en"),
        ("I want to opt-out", "en"),
        ("take me off your list", "en"),
        ("Remove my number", "en"),
        ("Don't text me again", "en"),
        ("do not ever contact this phone", "en"),
        ("No more messages please", "en"),
        ("I don't want any more texts", "en"),
        ("You have the wrong number", "en"),
        ("cancel these messages", "en"),
        ("STOP at once please", "en"),
        ("stop in future texting", "en"),
        ("stop in the future", "en"),
        ("stop!! by god", "en"),
        ("Stop, off with it", "en"),
        ("End please", "en"),
        ("please quit", "en"),
        ("quit it", "en"),
        ("no more", "en"),
        ("opt me out", "en"),
        ("take my number off", "en"),
        ("do not call me", "en"),
        ("Don't call this number again", "en"),
        ("no más", "es"),
        ("No me llamen", "es"),
        ("no me manden más mensajes", "es"),
        ("Dejen de enviarme textos", "es"),
        ("No quiero recibir esto", "es"),
        ("quiero darme de baja", "es"),
        ("Número equivocado", "es"),
        ("ya no más mensajes", "es"),
    ],
)
def test_words_of_their_own_that_read_like_an_opt_out_are_taken_for_one(text: str, language: str) -> None:
    assert understand(text) == Understood(Meaning.OPT_OUT_LIKELY, language)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "🙂",
        "yes",
        "Thanks!",
        "Can I stop by at 3?",
        "I need to cancel my appointment",
        "At the end of the month",
        "I quit smoking",
        "what time does it start",
        "¿A qué hora es la cita?",
        "La presión está baja",
        "can you call me",
        "do not call before noon",
        "do not call me before noon",
        "I'll stop in tomorrow",
        "can we stop in?",
        "may I stop at the desk first",
        "I could stop off at 5",
        "cancel please",
        "the end please tell me when",
        "no me llamen antes de las 12",
        "no más tarde de las 3",
        "CR",
    ],
)
def test_everything_else_is_for_a_person(text: str) -> None:
    assert understand(text) == Understood(Meaning.OTHER, None)


def texted(patient_id: UUID = ANA, visit_id: UUID | None = VISIT, *, companion: bool = False) -> LastTexted:
    return LastTexted(patient_id, SITE, "en", companion, visit_id, visit_id)


def test_a_c_and_an_r_are_about_the_one_visit_that_is_open() -> None:
    for meaning, kind in ((Meaning.CONFIRM, AnswerKind.CONFIRM_RECEIVED), (Meaning.MOVE, AnswerKind.MOVE_RECEIVED)):
        for known in ([texted()], [texted(BEN, None), texted()], [texted(), texted()]):
            verdict = judge(meaning, known)
            assert (verdict.answer, verdict.visit_id, verdict.closed) == (kind, VISIT, True)


@pytest.mark.parametrize(
    "known",
    [[], [texted(visit_id=None)], [texted(), texted(BEN, OTHER)], [texted(companion=True)]],
    ids=["nobody", "no visit", "mother and child", "a companion"],
)
def test_where_it_is_not_plain_which_a_person_asks(known: list[LastTexted]) -> None:
    for meaning in (Meaning.CONFIRM, Meaning.MOVE):
        verdict = judge(meaning, known)
        assert (verdict.answer, verdict.visit_id, verdict.closed) == (AnswerKind.REPLY_RECEIVED, None, False)


def test_an_opt_out_in_words_of_their_own_is_looked_at_by_a_person() -> None:
    assert judge(Meaning.OPT_OUT, []).closed
    assert not judge(Meaning.OPT_OUT_LIKELY, []).closed


def test_staff_say_no_more_than_a_text_carries_and_no_health_word() -> None:
    check_answer("x" * 320)
    with pytest.raises(AnswerRefused) as refused:
        check_answer("Your ketamine " + "x" * 320)
    assert [each.rule for each in refused.value.violations] == ["TOO_LONG", "HEALTH_WORD"]


def receipt(status: str, minute: int = 0) -> Receipt:
    return Receipt("main", "SM1", status, None, "", NOW + timedelta(minutes=minute))


def test_the_receipt_that_tells_most_is_found_in_whatever_order_they_came() -> None:
    for end in ("delivered", "undelivered", "failed", "read"):
        for order in permutations(["queued", "sent", "sending", end]):
            found = furthest(receipt(status, minute) for minute, status in enumerate(order))
            assert found
            assert found.status == end
    for pair in (("undelivered", "delivered"), ("delivered", "failed")):
        found = furthest(receipt(status, minute) for minute, status in enumerate(pair))
        assert found
        assert found.status == "delivered"
    assert furthest([]) is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("TWILIO_21211", SuppressionKind.UNREACHABLE),
        ("30005", SuppressionKind.UNREACHABLE),
        ("30006", SuppressionKind.UNREACHABLE),
        ("TWILIO_21610", SuppressionKind.OPT_OUT),
        ("30003", None),
        ("30004", None),
        ("30007", None),
        ("TWILIO_500", None),
        ("", None),
    ],
)
def test_what_may_pass_does_not_suppress_a_number(code: str, kind: SuppressionKind | None) -> None:
    assert suppression_after(code) is kind
