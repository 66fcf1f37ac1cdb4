/* Controls with labels, for keyboard, pointer and screen reader alike. */
"use strict";

const ganinvControls = (() => {
  const { make } = ganinvLive;
  let count = 0;

  /** A slider. `words(value)` is what is shown, and read out, for a value. */
  function slider(label, { min, max, step, value, words = String, input, vertical = false }) {
    const id = `live-${++count}`;
    const shown = make("output", { for: id });
    const range = make("input", { type: "range", id, min, max, step, value, class: vertical ? "live-vertical" : "" });
    const tell = () => {
      shown.textContent = words(Number(range.value));
      range.setAttribute("aria-valuetext", shown.textContent);
    };
    range.addEventListener("input", () => { tell(); input(Number(range.value)); });
    tell();
    const element = make("div", { class: vertical ? "live-slider live-upright" : "live-slider" }, make("label", { for: id }, label), range, shown);
    /** Set it without the reader's hand. */
    element.set = (number) => { range.value = number; tell(); };
    element.value = () => Number(range.value);
    return element;
  }

  /** One of several: radio buttons with a legend. `choices` is {value: label}. */
  function choice(legend, choices, value, change) {
    const name = `live-${++count}`;
    const options = Object.entries(choices).map(([key, label]) => {
      const radio = make("input", { type: "radio", name, value: key, checked: key === value, onchange: () => change(key) });
      return make("label", {}, radio, ` ${label}`);
    });
    return make("fieldset", { class: "live-choice" }, make("legend", {}, legend), ...options);
  }

  function button(label, press, attributes = {}) {
    return make("button", { type: "button", onclick: press, ...attributes }, label);
  }

  /** Upright sliders side by side, on which a pointer can be drawn from one to the next, as on an equaliser. */
  function strip(label, sliders) {
    const element = make("div", { class: "live-strip", role: "group", "aria-label": label }, ...sliders);
    const move = (event) => {
      const x = event.clientX;
      for (const one of sliders) {
        const range = one.querySelector("input"), box = range.getBoundingClientRect();
        if (x < box.left - 6 || x > box.right + 6) continue;
        const part = Math.min(1, Math.max(0, (box.bottom - event.clientY) / box.height));
        range.value = Number(range.min) + part * (range.max - range.min);
        range.dispatchEvent(new Event("input"));
      }
    };
    element.addEventListener("pointerdown", (event) => {
      if (!event.target.matches("input")) return;
      event.preventDefault(); // the slider's own way of following the pointer ends at its edge
      event.target.focus();
      element.setPointerCapture(event.pointerId);
      move(event);
    });
    element.addEventListener("pointermove", (event) => { if (element.hasPointerCapture(event.pointerId)) move(event); });
    return element;
  }

  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  return { button, calm, choice, slider, strip };
})();
window.ganinvControls = ganinvControls;
