/**
 * The card processor, as the patient's browser speaks to it. Card data go there and nowhere else: Atoll never sees them.
 *
 * In production this is Stripe.js, whose script and fields are Stripe's own; the local stack's stand-in takes the same
 * call that Stripe.js makes.
 */
import { PROCESSOR_KEY, PROCESSOR_URL } from "./settings.ts";

export interface CardEntry {
  number: string;
  month: string;
  year: string;
  code: string;
}

export type Confirmation = { kind: "taken" } | { kind: "declined"; why: string } | { kind: "unreachable" };

/** Pays what `clientSecret` was made for. Asked again for the same, it charges once. */
export async function confirm(clientSecret: string, card: CardEntry): Promise<Confirmation> {
  const intent = clientSecret.split("_secret_")[0] ?? "";
  const body = new URLSearchParams({
    key: PROCESSOR_KEY,
    client_secret: clientSecret,
    "payment_method_data[type]": "card",
    "payment_method_data[card][number]": card.number,
    "payment_method_data[card][exp_month]": card.month,
    "payment_method_data[card][exp_year]": card.year,
    "payment_method_data[card][cvc]": card.code,
  });
  let response: Response;
  try {
    response = await fetch(`${PROCESSOR_URL}/v1/payment_intents/${encodeURIComponent(intent)}/confirm`, { method: "POST", body, credentials: "omit" });
  } catch {
    return { kind: "unreachable" };
  }
  if (response.ok) return { kind: "taken" };
  const { error } = (await response.json().catch(() => ({}))) as { error?: { code?: string; decline_code?: string } };
  return response.status >= 500 ? { kind: "unreachable" } : { kind: "declined", why: error?.decline_code ?? error?.code ?? "" };
}
