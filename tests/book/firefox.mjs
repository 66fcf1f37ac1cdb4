// A stock Firefox, with the part of Playwright's page that the tests' steps use. (Playwright drives a Firefox of its own only: its WebDriver BiDi
// asks for commands that a released one does not have.)

import fs from "node:fs";
import puppeteer from "puppeteer-core";

const TIMEOUT = 240_000; // the machine may be busy
const ROLES = { button: "button", radio: "input[type=radio]", slider: "input[type=range]" };

/** Which of the elements of a selector can be seen and have a name: their numbers. Runs in the page. */
function matching(selector, name) {
  const nameOf = (element) => element.getAttribute("aria-label") ?? (element.labels?.length ? element.labels[0].textContent : element.textContent);
  const wanted = typeof name === "string"
    ? (text) => text.toLowerCase().includes(name.toLowerCase()) : (text) => !name || new RegExp(name.pattern).test(text);
  return [...document.querySelectorAll(selector)].flatMap((element, i) => (element.checkVisibility() && wanted(nameOf(element)) ? [i] : []));
}

/** Elements, looked up at every use. */
class Located {
  constructor(page, selector, name, index = 0) {
    Object.assign(this, { page, selector, name: name instanceof RegExp ? { pattern: name.source } : name, index });
  }

  first() { return this.nth(0); }
  nth(index) { return new Located(this.page, this.selector, this.name, index); }

  async all() {
    const numbers = await this.page.evaluate(matching, this.selector, this.name), handles = await this.page.$$(this.selector);
    return numbers.map((i) => handles[i]);
  }

  /** The element, as soon as it is there. */
  async one() {
    for (const end = Date.now() + TIMEOUT; Date.now() < end; await new Promise((next) => setTimeout(next, 50))) {
      const handle = (await this.all())[this.index];
      if (handle) return handle;
    }
    throw new Error(`there is no ${this.selector} ${this.name ?? ""}`);
  }

  async count() { return (await this.all()).length; }
  async waitFor() { await this.one(); }
  async focus() { await (await this.one()).focus(); }
  async click() { await (await this.one()).click(); }
  async check() { await this.click(); }
  async boundingBox() { return (await this.one()).boundingBox(); }
  async press(key) { await (await this.one()).press(key); }
  async evaluate(does, ...given) { return (await this.one()).evaluate(does, ...given); }
  async evaluateAll(does) { return this.page.$$eval(this.selector, does); }
  async getAttribute(key) { return this.evaluate((element, name) => element.getAttribute(name), key); }
  async innerText() { return this.evaluate((element) => element.innerText); }

  async fill(value) {
    await this.evaluate((element, text) => { element.value = text; element.dispatchEvent(new Event("input", { bubbles: true })); }, value);
  }
}

class Tab {
  constructor(page) {
    Object.assign(this, { page, keyboard: page.keyboard, mouse: page.mouse });
  }

  locator(selector) { return new Located(this.page, selector); }
  getByRole(role, { name } = {}) { return new Located(this.page, ROLES[role], name); }
  async evaluate(does, ...given) { return this.page.evaluate(does, ...given); }
  async click(selector) { await this.locator(selector).click(); }
  async setInputFiles(selector, file) { await (await this.page.waitForSelector(selector)).uploadFile(file); }
  async textContent(selector) { return this.locator(selector).evaluate((element) => element.textContent); }

  async waitForFunction(does, given, { timeout = TIMEOUT } = {}) {
    await this.page.waitForFunction(does, { timeout, polling: 50 }, given);
  }
}

/** A browser with one empty tab: the tab, puppeteer's page, which tells of errors and requests, and how to close it. */
export async function launch(profile, { width, calm }) {
  const browser = await puppeteer.launch({
    browser: "firefox",
    executablePath: process.env.FIREFOX ?? ["/usr/bin/firefox-esr", "/usr/bin/firefox"].find((path) => fs.existsSync(path)),
    headless: true,
    userDataDir: profile,
    protocolTimeout: TIMEOUT,
    timeout: TIMEOUT,
    extraPrefsFirefox: { "ui.prefersReducedMotion": calm ? 1 : 0 },
  });
  const page = await browser.newPage();
  await page.setViewport({ width, height: 900 });
  page.setDefaultTimeout(TIMEOUT);
  return { tab: new Tab(page), page, close: () => browser.close() };
}
