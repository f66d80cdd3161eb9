"""A patient's whole booking, as a page of their clinic would make it: JSON through the edge, and a test card."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest_asyncio
from rich.progress import Progress

from chassis.times import utc_now
from cli.client import open_channel
from cli.sample.load import Sample, westernmost_day
from deploy.local.stack import Options, Stack

HEARD_S = 60
DECLINED, PAYS = "4000000000009995", "4242424242424242"
PERSON = {"givenNames": ["Zia"], "familyName": "Sample", "birthDate": {"year": 1988, "month": 4, "day": 12}}


@dataclass
class Clinic:
    stack: Stack
    sample: Sample

    def caller(self, role: str, patient_id: str = "") -> httpx.AsyncClient:
        issuer, chain = self.stack.home.issuer, self.sample.chain_id
        token = issuer.token(patient_id or role.lower(), chain, {role: ["*"]}, patient=patient_id or None)
        return httpx.AsyncClient(
            base_url=self.stack.info.edge_url, headers={"authorization": f"Bearer {token}"}, timeout=30
        )


@pytest_asyncio.fixture(scope="module")
async def clinic(tmp_path_factory: Any) -> AsyncIterator[Clinic]:
    home: Path = tmp_path_factory.mktemp("booking")
    async with Stack(Options.anywhere(home)) as stack, open_channel(stack.info.edge_url) as channel:
        sample = Sample(stack.home, stack.info, channel, westernmost_day(utc_now()), 1)
        await sample.load(None, Progress(disable=True))
        yield Clinic(stack, sample)


async def registered(clinic: Clinic) -> str:
    """At the front desk, some day before."""
    async with clinic.caller("ROLE_FRONT_DESK") as desk:
        person = PERSON | {"homeSiteId": clinic.sample.chain.sites[0].id}
        body = {"requestId": str(uuid4()), "patient": person}
        return str((await said(desk.post("/v1/patients", json=body)))["patient"]["id"])


async def said(answer: Awaitable[httpx.Response]) -> Any:
    response = await answer
    assert response.status_code == 200, response.text
    return response.json()


async def until(ask: Callable[[], Awaitable[httpx.Response]], there: Callable[[Any], bool]) -> Any:
    """What one service does is known to another a little later."""
    for _ in range(HEARD_S * 4):
        response = await ask()
        if response.status_code == 200 and there(response.json()):
            return response.json()
        await asyncio.sleep(0.25)
    raise AssertionError(response.text)


def day(ahead: int) -> dict[str, int]:
    date = (utc_now() + timedelta(days=ahead)).date()
    return {"year": date.year, "month": date.month, "day": date.day}


async def entered(client: httpx.AsyncClient, config: Any, intent: Any, number: str) -> httpx.Response:
    """What the page sends to the card processor, and to nobody else."""
    card = {"number": number, "exp_month": "12", "exp_year": "2099", "cvc": "123"}
    form = {f"payment_method_data[card][{name}]": value for name, value in card.items()}
    secret = intent["clientSecret"]
    form |= {"payment_method_data[type]": "card", "client_secret": secret, "key": config["publishable_key"]}
    url = f"{config['api_url']}/v1/payment_intents/{secret.partition('_secret')[0]}/confirm"
    return await client.post(url, data=form, headers={"Origin": "http://localhost:5173"})


async def test_a_patient_books_pays_and_sees_a_course_by_themselves(clinic: Clinic) -> None:
    me, stranger = await registered(clinic), await registered(clinic)
    async with clinic.caller("ROLE_PATIENT", me) as page, httpx.AsyncClient() as browser:
        site = (await said(page.get("/v1/sites")))["sites"][0]
        offered = (await said(page.get(f"/v1/sites/{site['id']}/adoptions")))["adoptions"][0]
        version_id = offered["protocolVersionId"]
        template = (await said(page.get(f"/v1/protocolVersions/{version_id}")))["protocolVersion"]["template"]
        phase = next(each for each in template["phases"] if not each.get("needsClearance"))
        asked = {
            "siteId": site["id"],
            "patientId": me,
            "protocolVersionId": version_id,
            "routeCode": template["routes"][0]["code"],
        }
        wish = {"phases": [{"phaseCode": phase["code"]}], "earliestDate": day(3), "latestDate": day(24)}
        plan = (await said(page.post("/v1/courses:plan", json=asked | wish)))["plans"][0]
        visits = [{name: each[name] for name in ("phaseCode", "startTime", "resources")} for each in plan["visits"]]
        holding = asked | {"requestId": str(uuid4()), "visits": visits}
        held = (await until(lambda: page.post("/v1/courses:hold", json=holding), lambda told: True))["course"]
        assert {each["status"] for each in held["visits"]} == {"VISIT_STATUS_HELD"}

        course = f"/v1/courses/{held['id']}"
        account = await until(
            lambda: page.get(f"{course}/account"), lambda told: bool(told["courseAccount"].get("depositDue"))
        )
        deposit = account["courseAccount"]["depositDue"]
        estimates = await said(page.get("/v1/estimates", params={"courseId": held["id"]}))
        assert [each["courseId"] for each in estimates["estimates"]] == [held["id"]]

        paying = {"requestId": str(uuid4()), "siteId": site["id"], "patientId": me, "courseId": held["id"]}
        intent = await said(page.post("/v1/cardCharges:createPaymentIntent", json=paying | {"amount": deposit}))
        config = await said(browser.get(f"{clinic.stack.info.cards_url}/config.json"))
        declined = await entered(browser, config, intent, DECLINED)
        assert (declined.status_code, declined.json()["error"]["decline_code"]) == (402, "insufficient_funds")
        assert (await entered(browser, config, intent, PAYS)).json()["status"] == "succeeded"

        charge = f"/v1/cardCharges/{intent['cardCharge']['id']}"
        paid = await until(
            lambda: page.get(charge), lambda told: told["cardCharge"]["state"] == "CARD_CHARGE_STATE_SUCCEEDED"
        )
        booked = (await said(page.post(f"{course}:bookHold", json={"requestId": str(uuid4())})))["course"]
        assert {each["status"] for each in booked["visits"]} == {"VISIT_STATUS_BOOKED"}
        seen = await said(page.get("/v1/courses"))
        assert [each["id"] for each in seen["courses"]] == [held["id"]]
        covered = (await said(page.get(f"{course}/account")))["courseAccount"]
        assert covered["depositCovered"] is True
        balance = (await said(page.get(f"/v1/patients/{me}/account")))["account"]
        assert paid["cardCharge"]["paymentId"] in {each["id"] for each in balance["documents"]}
    async with clinic.caller("ROLE_PATIENT", stranger) as page:
        assert (await page.get(course)).status_code == 404
        assert (await page.get(charge)).status_code == 404
        assert (await page.get(f"/v1/patients/{me}/account")).status_code == 403
        assert (await said(page.get("/v1/courses"))).get("courses", []) == []
