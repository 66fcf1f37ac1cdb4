// Chromium, by Playwright.

import { chromium } from "playwright-core";

/** A browser with one empty tab: the tab, and how to close it. */
export async function launch(profile, { width, calm }) {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    viewport: { width, height: 900 },
    reducedMotion: calm ? "reduce" : "no-preference",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
  });
  context.setDefaultTimeout(240_000); // the machine may be busy
  const tab = await context.newPage();
  return { tab, page: tab, close: () => context.close() };
}
