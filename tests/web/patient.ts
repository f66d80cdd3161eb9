/** What a patient does on the page, and what a test looks at while they do. */
import assert from "node:assert/strict";

import type { Browser, BrowserContext, Page } from "playwright-core";

import { accessibilityFaults, screenshot } from "./browser.ts";
import { PAGE_URL } from "./stack.ts";

const PLANNING_MS = 45_000;
const ANSWER_MS = 45_000;

export interface Look {
  viewport: { width: number; height: number };
  locale?: string;
  colorScheme?: "light" | "dark";
}

export class Patient {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What the browser complained of: errors of the page, and what its policy forbade. */
  readonly complaints: string[] = [];

  private constructor(context: BrowserContext, page: Page) {
    this.context = context;
    this.page = page;
    page.setDefaultTimeout(ANSWER_MS);
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.on("console", (line) => line.type() === "error" && this.complaints.push(line.text()));
  }

  static async open(browser: Browser, look: Look): Promise<Patient> {
    const context = await browser.newContext({ locale: "en-US", timezoneId: "America/New_York", ...look });
    await context.addInitScript(() => {
      const shifts: number[] = ((globalThis as unknown as { shifts: number[] }).shifts = []);
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]) {
          if (!entry.hadRecentInput) shifts.push(entry.value);
        }
      }).observe({ type: "layout-shift", buffered: true });
    });
    const patient = new Patient(context, await context.newPage());
    await patient.page.goto(PAGE_URL);
    return patient;
  }

  button = (name: string | RegExp) => this.page.getByRole("button", { name });
  heading = (name: string | RegExp) => this.page.getByRole("heading", { name, level: 1 });
  alert = () => this.page.getByRole("alert");

  /** By the development issuer's login page. */
  async signIn(name: string): Promise<void> {
    await this.button("Sign in").click();
    await this.page.getByRole("searchbox").fill(name.split(" ").at(-1)!);
    await this.page.getByRole("button", { name: "Find" }).click();
    await this.page.getByRole("button", { name }).click();
    await this.heading(/Hello/).waitFor();
  }

  /** Fills in the first step; a choice that is the only one is made already. */
  async choose(site: string, { programme, route }: { programme: string; route: string }, whole: boolean): Promise<void> {
    await this.page.getByRole("radio", { name: site }).check();
    await this.page.getByRole("radio", { name: programme }).check();
    const given = this.page.getByRole("radio", { name: route, exact: true });
    const extent = this.page.getByRole("radio", { name: whole ? /whole course/ : /first visit/ });
    await extent.waitFor();
    if (await given.isVisible()) await given.check();
    await extent.check();
    assert.ok(await this.button("See times").isEnabled());
  }

  async seeTimes(): Promise<void> {
    await this.button("See times").click();
    await this.button(/Keep these times/).first().waitFor({ timeout: PLANNING_MS });
  }

  async keepFirst(): Promise<void> {
    await this.button(/Keep these times/).first().click();
    await this.heading("Your times are kept").waitFor();
    await this.button(/and book/).waitFor();
  }

  /** The card is one of Stripe's for tests: https://docs.stripe.com/testing. */
  async payAndBook(cardNumber = "4242424242424242"): Promise<void> {
    await this.page.getByLabel("Card number").fill(cardNumber);
    await this.page.getByLabel(/Expires/).fill("1231");
    await this.page.getByLabel("Security code").fill("123");
    await this.button(/and book/).click();
  }

  /** Nobody is left out, whatever they see or read by. */
  async look(name: string): Promise<void> {
    await screenshot(this.page, name);
    assert.deepEqual(await accessibilityFaults(this.page), [], name);
  }

  /** Of the page as it is open now; 0.1 is what web.dev calls good. */
  layoutShift(): Promise<number> {
    return this.page.evaluate(() => (globalThis as unknown as { shifts: number[] }).shifts.reduce((sum, each) => sum + each, 0));
  }

  /** Whatever the browser keeps of the page once it is closed. */
  traces(): Promise<string> {
    return this.page.evaluate(() => JSON.stringify([location.href, { ...localStorage }, { ...sessionStorage }, document.cookie, document.title]));
  }

  async close(): Promise<void> {
    await this.context.close();
  }
}
