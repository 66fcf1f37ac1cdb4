// Print a page as a PDF with an outline, page numbers, and tags for screen readers: node tools/print_page.mjs page.html book.pdf
// Fails on errors in the page, on requests that leave this machine, and on TeX that was not typeset.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [page, pdf] = process.argv.slice(2).map((name) => path.resolve(name));
const profile = fs.mkdtempSync(path.join(os.tmpdir(), "ganinv-chromium-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  viewport: { width: 1000, height: 1400 },
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
});
context.setDefaultTimeout(900_000); // a whole book, on a machine that may be busy
const tab = await context.newPage();
const problems = [];
tab.on("pageerror", (error) => problems.push(String(error)));
tab.on("request", (request) => /^(file|data|blob):/.test(request.url()) || problems.push(`leaves this machine: ${request.url()}`));
tab.on("requestfailed", (request) => problems.push(`missing: ${request.url()}`));
await tab.goto(pathToFileURL(page).href, { waitUntil: "load" });
await tab.evaluate(() => MathJax.startup.promise);
const left = await tab.locator("mjx-merror").count();
if (left) problems.push(`${left} equations could not be typeset`);
const raw = await tab.locator(".math:not(:has(mjx-container))").count();
if (raw) problems.push(`${raw} formulas are still TeX`);
const footer = '<div style="font-size: 8px; margin: 0 auto"><span class="pageNumber"></span></div>';
await tab.pdf({
  path: pdf, format: "A4", printBackground: true, outline: true, tagged: true, displayHeaderFooter: true, headerTemplate: "<span></span>", footerTemplate: footer,
  margin: { top: "18mm", bottom: "18mm", left: "18mm", right: "18mm" },
});
await context.close();
fs.rmSync(profile, { recursive: true, force: true });
for (const problem of problems) console.error(problem);
process.exit(problems.length ? 1 : 0);
