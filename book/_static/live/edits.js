/* Edits of a code: how far it is pulled to the mean face, styles of another face, and the named directions, where the model brings any along. */
"use strict";

/** Controls for edits; `begin(ws)` sets the code, `code()` gives the edited one (`code(ws)` that of another), `shift()` how far it moves the styles
    besides, `describe()` says it in words; `changed` is called on a change. */
async function ganinvEdits(G, model, changed) {
  const { make } = ganinvLive;
  const { button, slider } = ganinvControls;
  const directions = await model.read("directions"); // {label, ws or shift: one standard deviation}
  const state = { psi: 1, mix: 0, strengths: directions.map(() => 0) };
  let ws = G.ws(G.wAvg), other = G.ws(await G.w(G.z()));
  const first = Math.min(6, G.numWs - 1); // the layers from here on are the fine ones: colours

  const sliders = directions.map(({ label }, i) => slider(label, {
    min: -3, max: 3, step: 0.1, value: 0, words: (t) => `${t > 0 ? "+" : ""}${t.toFixed(1)} σ`, input: (t) => { state.strengths[i] = t; changed(); },
  }));
  const psi = slider("Towards the mean", { min: 0, max: 1, step: 0.05, value: 0, words: (t) => `${Math.round(100 * t)} %`, input: (t) => { state.psi = 1 - t; changed(); } });
  const mix = slider("Another's colours", { min: 0, max: 1, step: 0.05, value: 0, words: (t) => `${Math.round(100 * t)} %`, input: (t) => { state.mix = t; changed(); } });
  const reset = () => {
    Object.assign(state, { psi: 1, mix: 0, strengths: directions.map(() => 0) });
    [...sliders, psi, mix].forEach((one) => one.set(0));
  };
  const element = make("div", {}, ...sliders, psi, mix, make("div", { class: "live-buttons" },
    button("Another other face", async () => { other = G.ws(await G.w(G.z())); changed(); }),
    button("Undo the edits", () => { reset(); changed(); })));

  element.reset = reset;
  element.begin = (code) => { ws = code; reset(); };
  /** A code, or a shift of the styles, moved along the directions of that kind: `key` is "ws" or "shift". */
  const along = (start, key) => {
    const moved = start.slice();
    directions.forEach(({ [key]: step }, k) => {
      if (step && state.strengths[k]) for (let i = 0; i < moved.length; i++) moved[i] += state.strengths[k] * step[i];
    });
    return moved;
  };
  element.code = (code = ws) => {
    const share = Array.from({ length: G.numWs }, (_, i) => (i >= first ? state.mix : 0));
    return G.truncate(ganinvLerp(along(code, "ws"), other, share, G.wDim), state.psi);
  };
  element.shift = () => along(G.unmoved, "shift");
  element.describe = () => {
    const parts = directions.map(({ label }, i) => (state.strengths[i] ? `${label} ${state.strengths[i].toFixed(1)} σ` : ""));
    if (state.psi !== 1) parts.push(`${Math.round(100 - 100 * state.psi)} % of the way to the mean face`);
    if (state.mix) parts.push(`${Math.round(100 * state.mix)} % of another face's colours`);
    const said = parts.filter(Boolean).join(", ");
    return said ? `The face with ${said}.` : "The face, not edited.";
  };
  return element;
}
window.ganinvEdits = ganinvEdits;
