"""What docs/webhooks.md tells integrators: its snippet verifies what is signed here, its tables are true."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import services.notifications.webhooks.posting as posting_module
from services.notifications.domain.webhooks import ATTEMPTS_MAX, ENDPOINTS_MAX, GIVEN_UP_AFTER, OVERLAP, SCHEDULE
from services.notifications.tables.webhooks import DELIVERIES_KEPT
from services.notifications.webhooks.secrets import new_secret, signed

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
BODY = json.dumps({"type": "scheduling.v1.visit.confirmed", "timestamp": "2027-03-01T16:00:00Z", "data": {"a": 1}})


def snippet(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def test_the_python_snippet_takes_what_is_signed_once_and_nothing_else() -> None:
    queued = list[tuple[str, Any]]()
    there: dict[str, Any] = {"enqueue": lambda type, data: queued.append((type, data))}
    exec(snippet("python"), there)  # noqa: S102  # It is what the page tells others to run.
    there["SECRET"] = secret = new_secret()
    receive, now = there["receive"], datetime.now(UTC)
    good = signed([new_secret(), secret], "webhookdelivery_1", now, BODY)
    assert [receive(good, BODY.encode()) for _ in range(2)] == [204, 204]
    assert queued == [("scheduling.v1.visit.confirmed", {"a": 1})]
    old = signed([secret], "webhookdelivery_2", now - timedelta(minutes=6), BODY)
    others = signed([new_secret()], "webhookdelivery_3", now, BODY)
    assert [receive(headers, BODY.encode()) for headers in (old, others)] == [401, 401]
    assert receive(good | {"webhook-id": "webhookdelivery_4"}, BODY.encode()) == 401
    assert len(queued) == 1


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    hours = [int(delay.total_seconds() // 3600) for delay in SCHEDULE[4:]]
    assert f"5 seconds, 5 minutes, 30 minutes, {', '.join(map(str, hours[:-1]))} and {hours[-1]} hours" in PAGE
    assert [delay.total_seconds() for delay in SCHEDULE[:4]] == [0, 5, 300, 1800]
    assert (ATTEMPTS_MAX, GIVEN_UP_AFTER.days, OVERLAP, DELIVERIES_KEPT.days) == (10, 5, timedelta(hours=24), 30)
    assert f"up to {ENDPOINTS_MAX}" in PAGE
    assert f"within {posting_module.TIMEOUT_S:.0f} seconds" in PAGE


def test_every_code_that_an_attempt_may_end_with_is_explained() -> None:
    source = Path(str(posting_module.__file__)).read_text()
    codes = set(re.findall(r'"([A-Z]+_[A-Z_]+|TIMEOUT)"', source))
    assert codes >= {"TIMEOUT", "ADDRESS_REFUSED", "TLS_FAILED"}
    assert {code for code in codes if f"| `{code}` |" not in PAGE} == set()
