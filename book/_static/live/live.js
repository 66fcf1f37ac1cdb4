/* The live figures: networks of this book that run in the reader's browser. Nothing is loaded before the reader asks for it, all of it lies
   beside this page, and what the reader puts in (photos, codes) never leaves the page.

   This file is all that a page with a live figure loads at first. It finds the figures, and fetches what they ask for. Everything is a plain
   script, since a page that was opened from a disk (file://) may load nothing else; see tools/pack.py. */
"use strict";

const ganinvLive = (() => {
  const here = document.currentScript.src; // …/_static/live/live.js
  const scripts = new Map(); // address -> promise of its being loaded
  const delivered = new Map(); // name of a packed file -> {file: base64 of gzip}
  const figures = new Map(); // kind of figure -> async (element, options) => …

  /** Load a script, once. `file` is relative to this one. */
  function script(file) {
    const address = new URL(file, here).href;
    if (!scripts.has(address)) {
      scripts.set(address, new Promise((resolve, reject) => {
        const element = document.createElement("script");
        element.src = address;
        element.onload = resolve;
        element.onerror = () => {
          scripts.delete(address); // so that it can be tried again
          reject(new Error(`${file} is missing beside this page`));
        };
        document.head.append(element);
      }));
    }
    return scripts.get(address);
  }

  /** What a packed file calls. */
  function deliver(name, files) {
    delivered.set(name, files);
  }

  /** The files of a packed file: {name: Uint8Array}. */
  async function files(name, file) {
    await script(file);
    const result = {};
    for (const [key, base64] of Object.entries(delivered.get(name))) {
      const gzip = await fetch(`data:application/gzip;base64,${base64}`); // no request: the address is the content
      const stream = gzip.body.pipeThrough(new DecompressionStream("gzip"));
      result[key] = new Uint8Array(await new Response(stream).arrayBuffer());
    }
    return result;
  }

  const text = (bytes) => new TextDecoder().decode(bytes);

  /** The runtime of the networks, onnxruntime-web, in a worker of its own; `extras` are functions that add commands to it (see engine.js). */
  async function engine(...extras) {
    await script("engine.js");
    const runtime = await files("onnxruntime", "../vendor/onnxruntime/runtime.js");
    return new ganinvEngine(text(runtime["ort.js"]), text(runtime["glue.mjs"]), runtime["ort.wasm"], extras);
  }

  /** What the build exported of a model: its facts (manifest.json), and `open(engine, name)` for a network of it. */
  async function model(name) {
    const read = async (part) => files(`${name}/${part}`, `networks/${name}/${part}.js`);
    const manifest = JSON.parse(text((await read("manifest"))["manifest.json"]));
    manifest.open = async (engine, part) => engine.open(part, (await read(part))["network.onnx"]);
    manifest.weights = async () => {
      await script("clone-file.js");
      const { "weights.json": names, "weights.bin": bytes } = await read("weights");
      const listed = JSON.parse(text(names)), all = ganinvCloneFile.unhalf(new Uint16Array(bytes.buffer)), feeds = {};
      let at = 0;
      for (const [key, dims] of listed) {
        const count = dims.reduce((product, size) => product * size, 1);
        feeds[key] = { data: all.slice(at, at + count), dims };
        at += count;
      }
      const tuned = listed.filter(([, , fixed]) => !fixed), fixed = listed.filter(([, , fixed]) => fixed).map(([key]) => [key, feeds[key]]);
      return { // `fixed` are the noise maps, which tuning leaves alone
        names: tuned.map(([key]) => key), shapes: tuned.map(([, dims]) => dims), values: tuned.map(([key]) => feeds[key].data),
        fixed: Object.fromEntries(fixed), feeds,
      };
    };
    manifest.files = read;
    manifest.read = async (part) => JSON.parse(text((await read(part))[`${part}.json`]));
    return manifest;
  }

  /** How a kind of figure announces itself, from its own script. */
  function register(kind, start) {
    figures.set(kind, start);
  }

  /** An element with attributes (`on…` are listeners) and children. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (typeof value === "boolean") element.toggleAttribute(name, value);
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  /** Put the button into a figure that a page has, and start it when it is pressed. */
  function prepare(element) {
    const { live: kind, button: label } = element.dataset;
    const status = make("p", { role: "status", class: "live-status" });
    const say = (words) => { status.textContent = words; };
    const button = make("button", { type: "button", class: "live-button", onclick: start }, label);
    async function start() {
      button.disabled = true;
      say("Loading …");
      const began = performance.now();
      try {
        await script(`${kind}.js`);
        const panel = make("div", { class: "live-panel", role: "group", "aria-label": element.dataset.name });
        await figures.get(kind)(panel, { ...element.dataset, say });
        button.replaceWith(panel);
        element.closest(".live")?.classList.add("live-running");
        element.dataset.readyMs = Math.round(performance.now() - began);
        panel.querySelector("button, input, select")?.focus({ preventScroll: true });
      } catch (error) {
        button.disabled = false;
        say(`It could not start: ${error.message}. The picture shows a still of it.`);
        throw error; // for the console
      }
    }
    element.append(button, status);
    element.hidden = false;
  }

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-live]").forEach(prepare));
  return { deliver, engine, files, make, model, register, script };
})();
window.ganinvLive = ganinvLive;
