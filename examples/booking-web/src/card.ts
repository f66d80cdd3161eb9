/** A card as it is typed: spelled while it is entered, and checked for slips before it goes anywhere. */
import type { CardEntry } from "./processor.ts";

export type Field = "number" | "expiry" | "code";
type Entered = Record<Field, string>;

/** Of what has no faults. */
export function cardOf({ number, expiry, code }: Entered): CardEntry {
  const [month = "", year = ""] = expiry.split(" / ");
  return { number: digits(number, 19), month, year: `20${year}`, code };
}

export function faultsOf(entered: Entered): Field[] {
  const faults: Field[] = [];
  if (!passesLuhn(entered.number.replace(/\D/g, ""))) faults.push("number");
  if (!/^(0[1-9]|1[0-2]) \/ \d{2}$/.test(entered.expiry)) faults.push("expiry");
  if (!/^\d{3,4}$/.test(entered.code)) faults.push("code");
  return faults;
}

/** ISO/IEC 7812-1, annex B: finds any one wrong digit. */
export function passesLuhn(number: string): boolean {
  const sum = [...number].reverse().reduce((total, digit, at) => {
    const value = Number(digit) * (at % 2 === 1 ? 2 : 1);
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return number.length >= 12 && sum % 10 === 0;
}

/** "1129", "11/29" and "11 / 29" alike; a month may be written with one digit before the slash. */
export function spelledExpiry(text: string): string {
  const padded = /^\d\s*\//.test(text) ? `0${text}` : text;
  const all = digits(padded.replace(/20(\d\d)$/, "$1"), 4);
  return all.length > 2 ? `${all.slice(0, 2)} / ${all.slice(2)}` : all;
}

export const spelledNumber = (text: string) => digits(text, 19).replace(/(\d{4})(?=\d)/g, "$1 ");
export const spelledCode = (text: string) => digits(text, 4);

const digits = (text: string, most: number) => text.replace(/\D/g, "").slice(0, most);
