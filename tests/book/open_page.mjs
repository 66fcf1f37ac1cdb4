// Open a page in headless Chromium and print, as JSON, a result, and what went wrong on the way.
//
//   node tests/book/open_page.mjs <address> [--steps steps.mjs] [--shot picture.png] [--width 1000]
//
// The result is what the steps (`export default async (tab) => …`) return, or what the page's promise `window.result` gives.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { steps: { type: "string" }, shot: { type: "string" }, width: { type: "string", default: "1000" }, calm: { type: "boolean", default: false } },
});
const [address] = positionals;
const profile = fs.mkdtempSync(path.join(os.tmpdir(), "ganinv-chromium-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  viewport: { width: Number(values.width), height: 900 },
  reducedMotion: values.calm ? "reduce" : "no-preference",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
});
context.setDefaultTimeout(240_000); // the machine may be busy

/** Processor milliseconds that the browser has used so far (Linux; a tick is 10 ms). */
function cpu() {
  let ticks = 0;
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (!fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(profile)) continue;
      const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch { /* it has ended */ }
  }
  return 10 * ticks;
}

const tab = await context.newPage();
await tab.exposeFunction("cpuMilliseconds", cpu);
const errors = [], requests = [];
tab.on("console", (message) => message.type() === "error" && errors.push(message.text()));
tab.on("pageerror", (error) => errors.push(String(error)));
tab.on("request", (request) => requests.push(request.url()));
tab.on("requestfailed", (request) => errors.push(`${request.url()} ${request.failure()?.errorText}`));
await tab.goto(address, { waitUntil: "load" });
const before = [...requests];
let result = null;
try {
  result = values.steps
    ? await (await import(pathToFileURL(path.resolve(values.steps)).href)).default(tab, { cpu })
    : await tab.evaluate(() => window.result);
} catch (error) {
  errors.push(String(error));
}
if (values.shot) await tab.screenshot({ path: values.shot, fullPage: true });
await context.close();
fs.rmSync(profile, { recursive: true, force: true });
const own = (url) => /^(data|blob|file):/.test(url) || new URL(url).host === new URL(address).host;
console.log(JSON.stringify({ result, errors, before, external: requests.filter((url) => !own(url)) }));
