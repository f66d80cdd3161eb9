/** A card, entered by the patient, checked for slips, and handed to whoever sends it to the processor. */
import { useState } from "preact/hooks";

import { cardOf, faultsOf, spelledCode, spelledExpiry, spelledNumber, type Field } from "./card.ts";
import { useWords } from "./parts.tsx";
import type { CardEntry } from "./processor.ts";

export function CardForm({ amount, busy, onCard }: { amount: string; busy: string | undefined; onCard: (card: CardEntry) => void }) {
  const words = useWords();
  const [entered, setEntered] = useState<Record<Field, string>>({ number: "", expiry: "", code: "" });
  const [faults, setFaults] = useState<Field[]>([]);

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const found = faultsOf(entered);
    setFaults(found);
    const form = event.currentTarget as HTMLFormElement;
    if (found[0]) return (form.elements.namedItem(found[0]) as HTMLInputElement).focus();
    onCard(cardOf(entered));
  };

  const input = (field: Field, label: string, autocomplete: string, format: (text: string) => string) => (
    <label class={field}>
      {label}
      <input
        name={field}
        inputMode="numeric"
        autocomplete={autocomplete}
        value={entered[field]}
        aria-invalid={faults.includes(field)}
        aria-describedby={faults.includes(field) ? `${field}-fault` : undefined}
        onInput={(event) => setEntered({ ...entered, [field]: format(event.currentTarget.value) })}
      />
      {faults.includes(field) && (
        <small class="fault" id={`${field}-fault`}>
          {words.cardFaults[field]}
        </small>
      )}
    </label>
  );

  return (
    <form class="card cardform" onSubmit={submit} noValidate>
      <h2>{words.card}</h2>
      {input("number", words.cardNumber, "cc-number", spelledNumber)}
      <div class="pair">
        {input("expiry", words.cardExpiry, "cc-exp", spelledExpiry)}
        {input("code", words.cardCode, "cc-csc", spelledCode)}
      </div>
      <p class="faint">{words.cardHint}</p>
      <button class="main" aria-disabled={busy !== undefined}>
        {busy ?? words.pay(amount)}
      </button>
    </form>
  );
}
