/** What a patient reads: refusals in plain words, and times on the clock of the clinic. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { timestampOf } from "@atoll/client";

import { Clock, countdown, daysAfter, money, phone } from "../src/format.ts";
import { WORDS, wordsFor, wordsForDecline } from "../src/words.ts";

test("both languages have words for the same refusals, and neither shows a code", () => {
  assert.deepEqual(Object.keys(WORDS.es.reasons), Object.keys(WORDS.en.reasons));
  for (const text of [...Object.values(WORDS.en.reasons), ...Object.values(WORDS.es.reasons)]) assert.doesNotMatch(text, /[A-Z]{2,}/);
  assert.equal(wordsForDecline("lost_card", WORDS.en), WORDS.en.declined.other);
  assert.match(wordsFor(new Error("a fault of the page's own"), WORDS.es), /PAGE/);
});

test("a time is the clinic's, also where clocks are put back that night", () => {
  const clock = new Clock("en", "America/Denver");
  assert.equal(clock.day(timestampOf(new Date("2026-11-01T06:30:00Z"))), "Sunday, November 1");
  assert.match(clock.time(timestampOf(new Date("2026-11-01T06:30:00Z"))), /^12:30\sAM$/);
  assert.match(clock.time(timestampOf(new Date("2026-11-01T15:30:00Z"))), /^8:30\sAM$/);
  assert.equal(clock.zone(), "Mountain Time");
  assert.equal(new Clock("es", "America/Denver").day(timestampOf(new Date("2026-11-02T18:00:00Z"))), "Lunes, 2 de noviembre");
});

test("tomorrow is the next day of the site's calendar, also where a day has 23 or 25 hours", (context) => {
  const clock = new Clock("en", "America/Denver");
  context.mock.timers.enable({ apis: ["Date"], now: new Date("2027-03-14T06:30:00Z") });
  assert.deepEqual([clock.isoDay(0), clock.isoDay(1), clock.isoDay(28)], ["2027-03-13", "2027-03-14", "2027-04-10"]);
  context.mock.timers.setTime(Date.parse("2027-11-07T06:30:00Z"));
  assert.deepEqual([clock.isoDay(0), clock.isoDay(1)], ["2027-11-07", "2027-11-08"]);
});

test("money, days, phones and what is left of a hold are written as people write them", () => {
  assert.equal(money({ currencyCode: "USD", units: 1234n, nanos: 500_000_000 }, "en"), "$1,234.50");
  assert.equal(daysAfter("2026-10-31", 28), "2026-11-28");
  assert.equal(phone("+13125550140"), "(312) 555-0140");
  assert.equal(phone("+34911234567"), "+34911234567");
  assert.equal(countdown(899_001), "15:00");
  assert.equal(countdown(59_000), "0:59");
  assert.equal(countdown(-5), "0:00");
});
