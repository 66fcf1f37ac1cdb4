// Open every built page in headless Chromium, wide and narrow, and report what a reader would stumble over.
//
//   node tools/check_pages.mjs [folder of html files] [folder for screenshots] [only pages whose path contains this]
//
// Fails on: console errors, uncaught exceptions, any request that leaves this machine, HTTP failures, links to missing pages
// or anchors, images without alt text, TeX that was not typeset, pages wider than a phone, serious axe violations.

import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const html = path.resolve(process.argv[2] ?? "build/html");
const shots = path.resolve(process.argv[3] ?? "build/screenshots");
const only = process.argv[4] ?? "";
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const SIZES = [{ width: 1280, height: 900 }, { width: 390, height: 844 }];
const SERIOUS = new Set(["serious", "critical"]);
const SKIPPED = new Set(["genindex.html", "prf-prf.html", "search.html", "print.html"]); // Sphinx's own indexes, and all pages on one

const MIME = {
  ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".json": "application/json",
  ".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".gif": "image/gif", ".ico": "image/x-icon",
  ".woff": "font/woff", ".woff2": "font/woff2", ".wasm": "application/wasm", ".txt": "text/plain", ".ipynb": "application/json",
};

function fileOf(url) {
  const relative = decodeURIComponent(new URL(url, "http://localhost").pathname);
  const file = path.join(html, relative.endsWith("/") ? relative + "index.html" : relative);
  return file.startsWith(html) && fs.existsSync(file) && fs.statSync(file).isFile() ? file : null;
}

function serve() {
  const server = http.createServer((request, response) => {
    const file = fileOf(request.url);
    response.writeHead(file ? 200 : 404, { "Content-Type": MIME[path.extname(file ?? "")] ?? "application/octet-stream" });
    file ? fs.createReadStream(file).pipe(response) : response.end("not found");
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

function pagesUnder(folder) {
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) return entry.name.startsWith("_") ? [] : pagesUnder(full);
    if (!entry.name.endsWith(".html") || SKIPPED.has(entry.name)) return [];
    const redirect = fs.readFileSync(full, "utf8").slice(0, 2000).match(/http-equiv="refresh"[^>]*url=([^"]+)"/i);
    if (redirect && !fs.existsSync(path.resolve(folder, redirect[1]))) throw new Error(`${full} redirects to a missing page: ${redirect[1]}`);
    return redirect ? [] : [path.relative(html, full)];
  });
}

// Runs in the page: what is wrong with its content.
function inspect() {
  const found = [];
  for (const image of document.querySelectorAll("img")) {
    const name = (image.getAttribute("src") ?? "").slice(0, 80);
    const decorative = image.getAttribute("role") === "presentation" || image.getAttribute("aria-hidden") === "true";
    if (!image.hasAttribute("alt") || (!decorative && !image.alt.trim())) found.push(`image without alt text: ${name}`);
    else if (/^(.*\/)?[\w-]+\.(png|jpe?g|svg|gif)$/i.test(image.alt.trim())) found.push(`alt text is a file name: ${image.alt}`);
    if (image.complete && !image.naturalWidth) found.push(`image does not load: ${name}`);
  }
  for (const math of document.querySelectorAll(".math")) {
    if (!math.querySelector("mjx-container")) found.push(`not typeset: ${math.textContent.trim().slice(0, 80)}`);
  }
  for (const error of document.querySelectorAll("mjx-merror, [data-mjx-error]")) {
    found.push(`TeX error: ${error.getAttribute("data-mjx-error") ?? error.textContent.slice(0, 80)}`);
  }
  const walker = document.createTreeWalker(document.querySelector("article, main") ?? document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (parentElement.closest("pre, code, script, style, mjx-container")) continue;
    if (/\\\(|\\\[|\$\$|\$\\|\{(math|cite|ref|numref|eq|glue)[:}]/.test(data)) found.push(`raw markup in the text: ${data.trim().slice(0, 80)}`);
  }
  const overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (overflow > 1) {
    const wide = [...document.querySelectorAll("article *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1);
    const names = wide.slice(0, 3).map((e) => `${e.tagName.toLowerCase()}.${e.className}`.slice(0, 60));
    found.push(`wider than the window by ${overflow} px: ${names.join(", ")}`);
  }
  return found;
}

async function visit(context, address, page, size, axe) {
  const found = [];
  const tab = await context.newPage();
  await tab.setViewportSize(size);
  tab.on("console", (message) => message.type() === "error" && found.push(`console: ${message.text().slice(0, 200)}`));
  tab.on("pageerror", (error) => found.push(`exception: ${String(error).slice(0, 200)}`));
  tab.on("request", (request) => {
    if (/^(https?|wss?):/.test(request.url()) && !request.url().startsWith(address)) found.push(`external request: ${request.url()}`);
  });
  tab.on("requestfailed", (request) => found.push(`request failed: ${request.url()} ${request.failure()?.errorText}`));
  tab.on("response", (response) => response.status() >= 400 && found.push(`HTTP ${response.status()}: ${response.url()}`));

  await tab.goto(`${address}/${page}`, { waitUntil: "load" });
  await tab.evaluate(() => window.MathJax?.startup?.promise);
  await tab.evaluate(async () => { // lazy images and widgets come when they are scrolled to
    for (let y = 0; y < document.body.scrollHeight; y += innerHeight) {
      scrollTo(0, y);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    scrollTo(0, 0);
  });
  await tab.waitForTimeout(400);

  found.push(...(await tab.evaluate(inspect)));
  await tab.evaluate(axe);
  for (const theme of size.width > 600 ? ["light", "dark"] : ["light"]) {
    await tab.evaluate((name) => { document.documentElement.dataset.theme = name; }, theme);
    await tab.waitForTimeout(350); // colours fade from one theme to the other
    const { violations } = await tab.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }));
    for (const { id, impact, nodes } of violations.filter((violation) => SERIOUS.has(violation.impact))) {
      const where = nodes.slice(0, 3).map((node) => `${node.target.join(" ")} ${node.any[0]?.data?.contrastRatio ?? ""}`.trim());
      found.push(`${theme}: ${impact} ${id} (${nodes.length}): ${where.join(" | ")}`);
    }
    const name = `${page.replace(/\.html$/, "").replaceAll("/", "-")}-${size.width}${theme === "dark" ? "-dark" : ""}.png`;
    await tab.screenshot({ path: path.join(shots, name), fullPage: true });
  }
  const targets = await tab.evaluate(() => ({
    links: [...document.querySelectorAll("a[href]")].map((a) => a.href),
    anchors: [...document.querySelectorAll("[id], [name]")].flatMap((e) => [e.id, e.getAttribute("name")]),
  }));
  await tab.close();
  return { found, ...targets };
}

function brokenLinks(address, visited) {
  const broken = [];
  for (const [page, { links }] of visited) {
    for (const link of new Set(links.filter((href) => href.startsWith(`${address}/`)))) {
      const url = new URL(link);
      const target = url.pathname.slice(1);
      if (!fileOf(link)) broken.push(`${page}: link to a missing file: ${target}`);
      else if (url.hash.length > 1 && visited.has(target) && !visited.get(target).anchors.includes(decodeURIComponent(url.hash.slice(1))))
        broken.push(`${page}: link to a missing anchor: ${target}${url.hash}`);
    }
  }
  return broken;
}

if (!fs.existsSync(path.join(html, "index.html"))) {
  console.error(`${html} has no index.html: build the book first with \`make book\``);
  process.exit(2);
}
if (!fs.existsSync(executablePath)) {
  console.error(`No browser at ${executablePath}: install Chromium, or name another with CHROMIUM=/path/to/chrome`);
  process.exit(2);
}

fs.rmSync(shots, { recursive: true, force: true });
fs.mkdirSync(shots, { recursive: true });
const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const profile = fs.mkdtempSync(path.join(os.tmpdir(), "ganinv-chromium-"));
const server = await serve();
const address = `http://127.0.0.1:${server.address().port}`;
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
});

context.setDefaultTimeout(120_000); // a page is quick; the machine may be busy

const problems = [];
const visited = new Map();
const pages = pagesUnder(html).filter((page) => page.includes(only)).sort();
for (const page of pages) {
  const seen = new Set();
  for (const size of SIZES) {
    const result = await visit(context, address, page, size, axe);
    if (size === SIZES[0]) visited.set(page, result);
    for (const problem of new Set(result.found)) {
      if (!seen.has(problem)) problems.push(`${page} at ${size.width} px: ${problem}`);
      seen.add(problem);
    }
  }
}
problems.push(...brokenLinks(address, visited));
await context.close();
server.close();
fs.rmSync(profile, { recursive: true, force: true });

for (const problem of problems) console.error(problem);
console.log(`${pages.length} pages at ${SIZES.map((size) => size.width).join(" and ")} px: ${problems.length || "no"} problem(s); screenshots in ${path.relative(".", shots)}`);
process.exit(problems.length ? 1 : 0);
