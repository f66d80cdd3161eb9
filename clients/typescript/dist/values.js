/** Instants, days and money between the wire and a program. */
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
const NANOS = 1_000_000_000;
export const instantOf = (timestamp) => timestampDate(timestamp);
export const timestampOf = (instant) => timestampFromDate(instant);
/** "2026-11-26" as a day without a zone. */
export function dateOf(text) {
    const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
    if (!match)
        throw new TypeError(`${text} is not a day like 2026-11-26`);
    return { year: Number(match[1]), month: Number(match[2]), day: Number(match[3]) };
}
/** Cents of 12.50 USD: 1250. Fraction digits are the currency's own. */
export function minorUnitsOf(money) {
    const scale = 10 ** fractionDigits(money.currencyCode);
    return Number(money.units) * scale + Math.round(money.nanos / (NANOS / scale));
}
export function moneyOf(minorUnits, currencyCode) {
    const scale = 10 ** fractionDigits(currencyCode);
    const units = Math.trunc(minorUnits / scale);
    return { currencyCode, units: BigInt(units), nanos: (minorUnits - units * scale) * (NANOS / scale) };
}
function fractionDigits(currencyCode) {
    const { maximumFractionDigits } = new Intl.NumberFormat("en", { style: "currency", currency: currencyCode }).resolvedOptions();
    return maximumFractionDigits ?? 2;
}
