/** Instants, days and money between the wire and a program. */
import { type Timestamp } from "@bufbuild/protobuf/wkt";
import type { Date as Day } from "../gen/google/type/date_pb.js";
import type { Money } from "../gen/google/type/money_pb.js";
export declare const instantOf: (timestamp: Timestamp) => Date;
export declare const timestampOf: (instant: Date) => Timestamp;
/** "2026-11-26" as a day without a zone. */
export declare function dateOf(text: string): Pick<Day, "year" | "month" | "day">;
/** Cents of 12.50 USD: 1250. Fraction digits are the currency's own. */
export declare function minorUnitsOf(money: Pick<Money, "currencyCode" | "units" | "nanos">): number;
export declare function moneyOf(minorUnits: number, currencyCode: string): Pick<Money, "currencyCode" | "units" | "nanos">;
