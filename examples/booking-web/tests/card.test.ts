/** Slips in a card are found before it goes anywhere. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { cardOf, faultsOf, passesLuhn, spelledExpiry, spelledNumber } from "../src/card.ts";

test("one wrong digit, two that changed places and a number that is too short are found", () => {
  assert.ok(passesLuhn("4242424242424242"));
  assert.ok(passesLuhn("378282246310005"));
  assert.ok(!passesLuhn("4242424242424241"));
  assert.ok(!passesLuhn("2424242424242424".replace("24", "42")));
  assert.ok(!passesLuhn("00"));
});

test("a month and a year are spelled one way, however they are typed", () => {
  for (const typed of ["0429", "04/29", "4/29", "04 / 29", "04/2029"]) assert.equal(spelledExpiry(typed), "04 / 29", typed);
  assert.equal(spelledExpiry("0"), "0");
  assert.equal(spelledNumber("42424242 4242"), "4242 4242 4242");
});

test("each fault is named, and what has none is a card", () => {
  assert.deepEqual(faultsOf({ number: "", expiry: "13 / 29", code: "12" }), ["number", "expiry", "code"]);
  const entered = { number: "4242 4242 4242 4242", expiry: "04 / 29", code: "123" };
  assert.deepEqual(faultsOf(entered), []);
  assert.deepEqual(cardOf(entered), { number: "4242424242424242", month: "04", year: "2029", code: "123" });
});
