// Open a page in a headless browser and print, as JSON, a result, and what went wrong on the way.
//
//   node tests/book/open_page.mjs <address> [--steps steps.mjs] [--shot picture.png] [--width 1000] [--calm] [--browser firefox]
//
// The result is what the steps (`export default async (tab) => …`) return, or what the page's promise `window.result` gives.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: "string" }, shot: { type: "string" }, width: { type: "string", default: "1000" }, calm: { type: "boolean", default: false },
    browser: { type: "string", default: "chromium" },
  },
});
const [address] = positionals;
const profile = fs.mkdtempSync(path.join(os.tmpdir(), `ganinv-${values.browser}-`));
const { launch } = await import(`./${values.browser}.mjs`);
const { tab, page, close } = await launch(profile, { width: Number(values.width), calm: values.calm });

/** Processor milliseconds that the browser has used so far (Linux; a tick is 10 ms). */
function cpu() {
  let ticks = 0;
  const family = new Set(), pids = fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  for (const one of pids.sort((a, b) => a - b)) { // parents first
    try {
      const fields = fs.readFileSync(`/proc/${one}/stat`, "utf8").split(") ")[1].split(" ");
      if (!family.has(fields[1]) && !fs.readFileSync(`/proc/${one}/cmdline`, "utf8").includes(profile)) continue;
      family.add(one);
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch { /* it has ended */ }
  }
  return 10 * ticks;
}

await page.exposeFunction("cpuMilliseconds", cpu);
const errors = [], requests = [];
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
page.on("pageerror", (error) => errors.push(String(error)));
page.on("request", (request) => requests.push(request.url()));
page.on("requestfailed", (request) => errors.push(`${request.url()} ${request.failure()?.errorText}`));
await page.goto(address, { waitUntil: "load" });
const before = [...requests];
let result = null;
try {
  result = values.steps
    ? await (await import(pathToFileURL(path.resolve(values.steps)).href)).default(tab, { cpu })
    : await tab.evaluate(() => window.result);
} catch (error) {
  errors.push(String(error));
}
if (values.shot) await page.screenshot({ path: values.shot, fullPage: true });
await close();
fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
const own = (url) => /^(data|blob|file):/.test(url) || new URL(url).host === new URL(address).host;
console.log(JSON.stringify({ result, errors, before, requests, external: requests.filter((url) => !own(url)) }));
