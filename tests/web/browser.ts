/**
 * A real Chromium, headless: the one that ATOLL_CHROMIUM names, or the one that the package @sparticuz/chromium carries.
 *
 * The package unpacks into the temporary folder and takes what it finds there for its own, so it is given a folder below
 * node_modules/. Told that it is on a bare machine, it brings its own libraries and fonts as well; where those are it
 * says for /tmp only, and without any the browser dies at the first character, so that it is said anew.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { chromium, type Browser, type Page } from "playwright-core";

const MODULES = join(import.meta.dirname, "..", "..", "node_modules");
const UNPACKED = join(MODULES, ".cache", "chromium");
const FONTS = `<?xml version="1.0"?><fontconfig><dir prefix="relative">fonts</dir></fontconfig>`;
const SCREENSHOTS = join(import.meta.dirname, "screenshots");
const QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const PHONE = { width: 390, height: 844 };
export const DESKTOP = { width: 1280, height: 860 };

export async function launch(): Promise<Browser> {
  const named = process.env["ATOLL_CHROMIUM"];
  const executablePath = named || (await packaged());
  // Without a sandbox: root may have none, and the only pages it opens are ours.
  return chromium.launch({ executablePath, chromiumSandbox: false, args: QUIET, headless: true });
}

async function packaged(): Promise<string> {
  mkdirSync(UNPACKED, { recursive: true });
  const before = { TMPDIR: process.env["TMPDIR"], AWS_EXECUTION_ENV: process.env["AWS_EXECUTION_ENV"] };
  process.env["TMPDIR"] = UNPACKED;
  process.env["AWS_EXECUTION_ENV"] = "AWS_Lambda_nodejs24.x";
  const { default: carried } = await import("@sparticuz/chromium");
  carried.setGraphicsMode = false;
  const path = await carried.executablePath();
  process.env["FONTCONFIG_FILE"] = join(UNPACKED, "fonts.conf");
  writeFileSync(process.env["FONTCONFIG_FILE"], FONTS);
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  return path;
}

export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

/** What axe-core finds against WCAG 2.2 A and AA on the page as it is now: one line for each finding. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  await session.send("Page.setBypassCSP", { enabled: true });
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    interface Result {
      violations: { id: string; help: string; nodes: { html: string }[] }[];
    }
    const axe = (globalThis as unknown as { axe: { run(options: object): Promise<Result> } }).axe;
    const { violations } = await axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
    return violations.flatMap(({ id, help, nodes }) => nodes.map(({ html }) => `${id}: ${help}: ${html}`));
  });
}
