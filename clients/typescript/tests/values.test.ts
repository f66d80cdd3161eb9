/** Days and money between the wire and a program. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { dateOf, minorUnitsOf, moneyOf } from "../src/index.ts";

test("money is minor units of its own currency, both ways and below zero", () => {
  assert.equal(minorUnitsOf({ currencyCode: "USD", units: 12n, nanos: 500_000_000 }), 1_250);
  assert.equal(minorUnitsOf({ currencyCode: "USD", units: -12n, nanos: -10_000_000 }), -1_201);
  assert.equal(minorUnitsOf({ currencyCode: "JPY", units: 1_200n, nanos: 0 }), 1_200);
  assert.deepEqual(moneyOf(1_299, "USD"), { currencyCode: "USD", units: 12n, nanos: 990_000_000 });
  assert.deepEqual(moneyOf(-5, "USD"), { currencyCode: "USD", units: 0n, nanos: -50_000_000 });
});

test("a day is read without a zone, and nothing else is taken for one", () => {
  assert.deepEqual(dateOf("2026-11-26"), { year: 2026, month: 11, day: 26 });
  assert.throws(() => dateOf("11/26/2026"), TypeError);
});
