/** Instants, days and money as a patient reads them: in the language of the page and on the clock of the site. */
import { instantOf, minorUnitsOf } from "@atoll/client";
import type { Language } from "./words.ts";

type Timestamp = Parameters<typeof instantOf>[0];
type Money = Parameters<typeof minorUnitsOf>[0];

const LOCALES: Record<Language, string> = { en: "en-US", es: "es-US" };

export class Clock {
  readonly #day: Intl.DateTimeFormat;
  readonly #time: Intl.DateTimeFormat;
  readonly #short: Intl.DateTimeFormat;
  readonly #isoDay: Intl.DateTimeFormat;
  readonly #zone: Intl.DateTimeFormat;

  /** `timeZone` is the site's: a visit is where it is, wherever the patient looks at it. */
  constructor(language: Language, timeZone: string) {
    const locale = LOCALES[language];
    this.#day = new Intl.DateTimeFormat(locale, { timeZone, weekday: "long", month: "long", day: "numeric" });
    this.#short = new Intl.DateTimeFormat(locale, { timeZone, weekday: "short", month: "short", day: "numeric" });
    this.#time = new Intl.DateTimeFormat(locale, { timeZone, hour: "numeric", minute: "2-digit" });
    this.#isoDay = new Intl.DateTimeFormat("en-CA", { timeZone });
    this.#zone = new Intl.DateTimeFormat(locale, { timeZone, timeZoneName: "longGeneric" });
  }

  day = (at: Timestamp): string => capitalised(this.#day.format(instantOf(at)));
  shortDay = (at: Timestamp): string => capitalised(this.#short.format(instantOf(at)));
  time = (at: Timestamp): string => this.#time.format(instantOf(at));
  times = (from: Timestamp, to: Timestamp): string => this.#time.formatRange(instantOf(from), instantOf(to));
  /** "Mountain Time" */
  zone = (): string => this.#zone.formatToParts(0).find(({ type }) => type === "timeZoneName")?.value ?? "";
  /** Today at the site, or so many days after it: "2026-11-26". */
  isoDay = (daysAhead: number): string => daysAfter(this.#isoDay.format(Date.now()), daysAhead);
}

export function money(amount: Money, language: Language): string {
  const format = new Intl.NumberFormat(LOCALES[language], { style: "currency", currency: amount.currencyCode });
  return format.format(minorUnitsOf(amount) / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}

/** "+13125550140" as people in its country write it; any other as it is. */
export function phone(number: string): string {
  return number.replace(/^\+1(\d{3})(\d{3})(\d{4})$/, "($1) $2-$3");
}

/** "4:09" */
export function countdown(milliseconds: number): string {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export function daysAfter(isoDay: string, days: number): string {
  return new Date(Date.parse(`${isoDay}T12:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

const capitalised = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
