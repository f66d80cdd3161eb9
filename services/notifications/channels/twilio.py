"""Texts and calls by Twilio, by its own library. Knows nothing of who is a patient, and logs neither number nor text.

Twilio has no key by which it would drop a second request: what may have been taken is told as no answer.
Sources: twilio.com/docs/api/errors, /docs/messaging/api/message-resource, /docs/voice/api/call-resource.
"""

from collections.abc import Awaitable, Sequence
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape, quoteattr

import aiohttp
from twilio.base.exceptions import TwilioException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from services.notifications.domain.sending import Answer
from services.notifications.domain.texting import NEVER_REACHED, OPTED_OUT_AT_PROVIDER, Sent

CONNECT_S, ANSWER_S = 5.0, 15.0
"""To be connected with, and for the whole of a request."""
RING_S = 30
"""A call that nobody answers is given up then."""
CONNECTIONS_MAX = 20
TAKEN, NO_CONNECTION, NO_ANSWER = "TWILIO_TAKEN", "TWILIO_NO_CONNECTION", "TWILIO_NO_ANSWER"
FOR_GOOD = NEVER_REACHED | {OPTED_OUT_AT_PROVIDER, "21266", "21408", "21612", "30003", "30004"}
"""Codes by which Twilio refuses one text for good, whatever the status: besides those of the number these are to
itself, to a region that is not allowed, by a way that there is not, out of reach, blocked."""
OUR_TROUBLE = frozenset({"20003", "20429", "21212", "21606", "21659"})
"""Codes that are about the account or what it sends from: every text meets them, until somebody sees to it."""
VOICES = {"en": ("en-US", "Polly.Joanna"), "es": ("es-US", "Polly.Lupe")}
PAUSE_S = 1


class Twilio:
    """One account."""

    def __init__(self, account_sid: str, tokens: Sequence[str], api_url: str | None) -> None:
        """The first token asks; each of them may have signed what comes in."""
        self._account_sid, self._token, self._api_url = account_sid, tokens[0], api_url
        self._validators = [RequestValidator(token) for token in tokens]
        self._made: tuple[Any, aiohttp.ClientSession] | None = None

    async def text(self, sender: str, to: str, text: str, callback: str) -> Sent:
        """`sender` is a number, or a messaging service."""
        named = "messaging_service_sid" if sender.startswith("MG") else "from_"
        return await _asked(
            self._client().messages.create_async(to=to, body=text, status_callback=callback, **{named: sender})
        )

    async def call(self, sender: str, to: str, text: str, language: str, callback: str) -> Sent:
        """What it says it says twice: whoever answers is rarely ready to listen."""
        said = spoken(text, language)
        asked = self._client().calls.create_async(
            to=to, from_=sender, twiml=said, status_callback=callback, timeout=RING_S
        )
        return await _asked(asked)

    def verified(self, url: str, body: bytes, signature: str) -> bool:
        """Whether Twilio sent `body` to `url`, as it was asked to call it, to the letter."""
        fields = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        return any(validator.validate(url, fields, signature) for validator in self._validators)

    async def close(self) -> None:
        if self._made:
            await self._made[1].close()

    def _client(self) -> Any:
        """Made where a loop runs. A connection is used once: one that the other side is about to close would leave it
        open whether a text was taken."""
        if self._made is None:
            session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=CONNECTIONS_MAX))
            http = AsyncTwilioHttpClient(pool_connections=False)
            http.session = _Bounded(session)
            client = Client(self._account_sid, self._token, http_client=http)
            if self._api_url:
                client.api.base_url = self._api_url
            self._made = client, session
        return self._made[0]


class _Bounded:
    """The library hands on a timeout of None, which is none, whatever the session's own is."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=CONNECT_S)

    async def request(self, **asked: Any) -> aiohttp.ClientResponse:
        return await self._session.request(**asked | {"timeout": self._timeout})


def spoken(text: str, language: str) -> str:
    """TwiML. In English where there is no voice for the language."""
    tag, voice = VOICES.get(language.partition("-")[0], VOICES["en"])
    say = f"<Say language={quoteattr(tag)} voice={quoteattr(voice)}>{escape(text)}</Say>"
    return f'<Response>{say}<Pause length="{PAUSE_S}"/>{say}</Response>'


async def _asked(asking: Awaitable[Any]) -> Sent:
    try:
        return Sent(Answer.TAKEN, TAKEN, str((await asking).sid))
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        return Sent(Answer.NOT_NOW, NO_CONNECTION)
    except TwilioException as error:  # Its own text holds the number.
        status, code = int(getattr(error, "status", 0)), str(getattr(error, "code", "") or "")
        return Sent(meaning(status, code), f"TWILIO_{code or status}")
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return Sent(Answer.NONE, NO_ANSWER)


def meaning(status: int, code: str) -> Answer:
    """What a refusal means. A status of 5xx or 429 took nothing."""
    if code in FOR_GOOD:
        return Answer.NEVER
    if code in OUR_TROUBLE or status in (401, 403, 404, 408, 429) or status >= 500:
        return Answer.NOT_NOW
    return Answer.NEVER if 400 <= status < 500 else Answer.NONE
