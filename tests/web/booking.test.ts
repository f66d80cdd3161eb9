/** A patient books on the page, from signing in to the course; and what gets in the way. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import type { Browser } from "playwright-core";

import { DESKTOP, launch, PHONE } from "./browser.ts";
import { Patient, type Look } from "./patient.ts";
import { assessmentCode, choiceOf, courses, nameOf, newPatient, site, stack, takeAway, template } from "./stack.ts";

const LAYOUT_SHIFT_MAX = 0.1;
let browser: Browser;

before(async () => {
  browser = await launch();
});
after(() => browser.close());

/** A patient at the site of one of the sample's, new or the one who is cleared, who has looked at times. */
async function atTimes(look: Look, familyName: string, turn = 0): Promise<{ patient: Patient; id: string }> {
  const where = stack.cleared[turn]!;
  const { displayName } = await site(where.siteId);
  const { id, name } = await newPatient(familyName, where.siteId);
  const patient = await Patient.open(browser, look);
  await patient.signIn(name);
  await patient.choose(displayName, await choiceOf(where), false);
  await patient.seeTimes();
  return { patient, id };
}

for (const [device, viewport] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
  test(`a whole course is booked on a ${device}`, async () => {
    const turn = device === "phone" ? 0 : 1;
    const cleared = stack.cleared[turn]!;
    const { displayName } = await site(cleared.siteId);
    const had = (await courses.listCourses({ patientId: cleared.patientId })).courses.length;
    const patient = await Patient.open(browser, { viewport });
    await patient.button("Sign in").waitFor();
    await patient.look(`${device}-1-sign-in`);
    await patient.signIn(await nameOf(cleared.patientId));
    await patient.choose(displayName, await choiceOf(cleared), true);
    await patient.look(`${device}-2-clinic`);
    await patient.seeTimes();
    await patient.look(`${device}-3-times`);
    await patient.keepFirst();
    await patient.look(`${device}-4-deposit`);
    await patient.payAndBook();
    await patient.heading("You are booked").waitFor();
    await patient.page.getByText("Booked", { exact: false }).nth(1).waitFor();
    await patient.look(`${device}-5-booked`);

    const now = (await courses.listCourses({ patientId: cleared.patientId })).courses;
    assert.equal(now.length, had + 1);
    assert.equal(await patient.page.locator(".visits li").count(), now.at(-1)!.visits.length);
    assert.ok(now.at(-1)!.bookTime);
    assert.ok((await patient.layoutShift()) < LAYOUT_SHIFT_MAX, `layout shift ${await patient.layoutShift()}`);
    assert.deepEqual(patient.complaints, []);
    const traces = await patient.traces();
    for (const secret of [cleared.patientId, now.at(-1)!.id, displayName, "eyJ", "code="]) assert.ok(!traces.includes(secret), `${secret} in ${traces}`);
    await patient.close();
  });
}

test("somebody else takes the times first: the page says so and has new ones", async () => {
  const where = stack.cleared[0]!;
  const { patient, id } = await atTimes({ viewport: PHONE }, "Aftertaken");
  const shown = await patient.page.locator(".plan h2").first().textContent();
  const other = await newPatient("Fastertaken", where.siteId);
  const phaseCode = assessmentCode(await template(where.protocolVersionId));
  const day = (await patient.page.evaluate(() => Date.now())) + 3 * 86_400_000;
  const [earliestDate, latestDate] = [day, day + 28 * 86_400_000].map((at) => {
    const date = new Date(at);
    return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
  });
  const { plans } = await courses.planCourse({ ...where, patientId: id, phases: [{ phaseCode }], earliestDate: earliestDate!, latestDate: latestDate! });
  await takeAway(plans[0]!, where, other.id);
  await patient.button(/Keep these times/).first().click();
  await patient.alert().filter({ hasText: "Somebody else took one of these times" }).waitFor();
  await patient.button(/Keep these times/).first().waitFor();
  await patient.look("taken");
  await patient.keepFirst();
  assert.ok(shown);
  assert.equal((await courses.listCourses({ patientId: id })).courses.length, 1);
  await patient.close();
});

test("the time is up: nothing is booked, and there are times again", async () => {
  const { patient, id } = await atTimes({ viewport: PHONE }, "Timeisup", 1);
  await patient.page.clock.install();
  await patient.keepFirst();
  await patient.page.clock.fastForward("15:05");
  await patient.heading("The time is up").waitFor();
  await patient.look("time-is-up");
  await patient.button("Look for times again").click();
  await patient.heading(/Times at/).waitFor();
  const held = (await courses.listCourses({ patientId: id })).courses;
  assert.ok(held.every(({ bookTime }) => !bookTime));
  await patient.close();
});

test("the hold is gone at the clinic while the patient looks: back to times, in plain words", async () => {
  const { patient, id } = await atTimes({ viewport: PHONE }, "Heldnomore", 2);
  await patient.keepFirst();
  const [held] = (await courses.listCourses({ patientId: id })).courses;
  await courses.releaseHold({ courseId: held!.id });
  await patient.payAndBook();
  await patient.alert().filter({ hasText: /not kept any more|is not lost/ }).waitFor();
  await patient.button(/Keep these times/).first().waitFor({ timeout: 45_000 });
  await patient.close();
});

test("an answer that is lost, and then the network: nothing is done twice and nothing is lost", async () => {
  const { patient, id } = await atTimes({ viewport: PHONE }, "Networklost", 3);
  let lost = 0;
  await patient.page.route("**/atoll.scheduling.v1.CourseService/HoldCourse", async (route) => {
    await route.fetch();
    lost += 1;
    await (lost < 2 ? route.abort("connectionreset") : route.continue());
  });
  await patient.keepFirst();
  assert.ok(lost >= 2);
  assert.equal((await courses.listCourses({ patientId: id })).courses.length, 1);

  await patient.context.setOffline(true);
  await patient.payAndBook();
  await patient.alert().filter({ hasText: /no connection|does not answer/ }).waitFor({ timeout: 40_000 });
  await patient.look("no-connection");
  await patient.context.setOffline(false);
  await patient.button(/and book/).click();
  await patient.heading("You are booked").waitFor();
  assert.equal((await courses.listCourses({ patientId: id })).courses.length, 1);
  await patient.close();
});

test("a card is declined: nothing is booked, and another card books", async () => {
  const { patient, id } = await atTimes({ viewport: PHONE }, "Carddeclined", 4);
  await patient.keepFirst();
  await patient.page.getByLabel("Card number").fill("4242424242424241");
  await patient.button(/and book/).click();
  await patient.page.getByText("This is not a card number").waitFor();
  await patient.payAndBook("4000000000000002");
  await patient.alert().filter({ hasText: "declined" }).waitFor();
  await patient.look("declined");
  assert.ok((await courses.listCourses({ patientId: id })).courses.every(({ bookTime }) => !bookTime));
  await patient.payAndBook();
  await patient.heading("You are booked").waitFor();
  await patient.close();
});

test("a hold outlives a page that was closed, and is given up by whoever keeps it", async () => {
  const { patient } = await atTimes({ viewport: PHONE }, "Closedpage", 4);
  await patient.keepFirst();
  await patient.page.reload();
  await patient.button("Sign in").click();
  await patient.page.getByRole("searchbox").fill("Closedpage");
  await patient.page.getByRole("button", { name: "Find" }).click();
  await patient.page.getByRole("button", { name: "Web Closedpage" }).click();
  await patient.heading("Your times are kept").waitFor();
  await patient.button("Give these times up").click();
  await patient.heading(/Hello/).waitFor();
  await patient.close();
});

test("everything is done by keyboard, in Spanish and in the dark", async () => {
  const where = stack.cleared[1]!;
  const { name } = await newPatient("Teclado", where.siteId);
  const patient = await Patient.open(browser, { viewport: DESKTOP, locale: "es-MX", colorScheme: "dark" });
  const { keyboard } = patient.page;
  await patient.button("Iniciar sesión").waitFor();
  assert.equal(await patient.page.getAttribute("html", "lang"), "es");
  await patient.button("Iniciar sesión").press("Enter");
  await patient.page.getByRole("searchbox").fill("Teclado");
  await keyboard.press("Enter");
  await patient.page.getByRole("button", { name }).press("Enter");
  await patient.heading(/Hola/).waitFor();
  assert.match((await patient.page.evaluate(() => document.activeElement?.textContent)) ?? "", /Hola/);
  await patient.page.getByRole("radio", { name: (await site(where.siteId)).displayName }).press("Space");
  await patient.page.getByRole("group", { name: "¿Qué desea reservar?" }).waitFor();
  const route = patient.page.getByRole("radio", { name: (await choiceOf(where)).route, exact: true });
  if (await route.isVisible()) await route.press("Space");
  await patient.look("dark-spanish-1-clinic");
  await patient.button("Ver horarios").press("Enter");
  await patient.button(/Guardar estos horarios/).first().press("Enter", { timeout: 45_000 });
  await patient.heading("Sus horarios están guardados").waitFor();
  await patient.button(/y reservar/).waitFor();
  await patient.look("dark-spanish-2-deposit");
  await patient.close();
});

test("whoever does not sign in, or is no patient, is told so", async () => {
  const patient = await Patient.open(browser, { viewport: PHONE });
  await patient.button("Sign in").click();
  await patient.button("Go back without signing in").click();
  await patient.alert().filter({ hasText: "You did not sign in" }).waitFor();
  await patient.button("Sign in").click();
  await patient.page.getByRole("button", { name: "Sign in", exact: true }).click();
  await patient.alert().filter({ hasText: "This page is for patients" }).waitFor();
  await patient.look("not-a-patient");
  await patient.close();
});
