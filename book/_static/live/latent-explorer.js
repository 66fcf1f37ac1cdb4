/* Latent explorer: two faces a and b, and what lies between them in Z, in W and, layer by layer, in W+; with the truncation trick. */
"use strict";

ganinvLive.register("latent-explorer", async (panel, { model: name, spaces = "Z W W+", say }) => {
  const { make, script } = ganinvLive;
  await Promise.all(["pictures.js", "codes.js", "controls.js"].map(script));
  const { button, calm, choice, slider, strip } = ganinvControls;
  const [engine, model] = await Promise.all([ganinvLive.engine(), ganinvLive.model(name)]);
  const G = await ganinvGenerator.of(engine, model);
  const n = G.resolution;

  const ends = {};
  for (const [i, key] of ["a", "b"].entries()) ends[key] = { z: Float32Array.from(model.z[i]), canvas: ganinvPictures.canvas(n, 112, "") };
  const result = ganinvPictures.canvas(n, 256, "");
  const offered = spaces.split(" ");
  const state = { space: offered[0], t: 0.5, psi: 0.7, layers: new Array(G.numWs).fill(0) };
  const percent = (t) => `${Math.round(100 * t)} %`;

  /** The code in the middle, not truncated. */
  async function code() {
    const { a, b } = ends;
    if (state.space === "Z") return G.ws(await G.w(ganinvLerp(a.z, b.z, state.t)));
    if (state.space === "W") return ganinvLerp(a.ws, b.ws, state.t);
    return ganinvLerp(a.ws, b.ws, state.layers, G.wDim);
  }

  function describe() {
    const fromB = state.layers.map((t, i) => (t > 0 ? `layer ${i + 1} ${percent(t)}` : "")).filter(Boolean);
    const where = state.space === "W+"
      ? `Face a with the styles of b in ${fromB.length ? fromB.join(", ") : "no layer"}`
      : `The face ${percent(state.t)} of the way from a to b, in ${state.space}`;
    return `${where}; truncation ${state.psi.toFixed(2)}.`;
  }

  let words = 0;
  const update = ganinvLatest(async () => {
    const image = await G.image(G.truncate(await code(), state.psi));
    ganinvPictures.draw(result, image);
    result.setAttribute("aria-label", describe());
    clearTimeout(words); // read out when the hand rests
    words = setTimeout(() => say(`${describe()} Drawn in ${engine.ms.toFixed(0)} ms.`), 400);
  });

  async function drawEnd(key) {
    const end = ends[key];
    end.ws = G.ws(await G.w(end.z));
    ganinvPictures.draw(end.canvas, await G.image(G.truncate(end.ws, state.psi)));
    end.canvas.setAttribute("aria-label", `Face ${key}, a random face with truncation ${state.psi.toFixed(2)}`);
  }
  const updateAll = ganinvLatest(async () => { await drawEnd("a"); await drawEnd("b"); await update(); });
  const another = (key) => { ends[key].z = G.z(); updateAll(); };

  const way = slider("From a to b", { min: 0, max: 1, step: 0.01, value: state.t, words: percent, input: (t) => { state.t = t; update(); } });
  const truncation = slider("Truncation ψ", { min: 0, max: 1.2, step: 0.05, value: state.psi, words: (x) => x.toFixed(2), input: (psi) => { state.psi = psi; updateAll(); } });
  const resolutionOf = (i) => model.layers[i][0].match(/\d+/)[0];
  const layers = state.layers.map((t, i) => slider(`${i + 1}`, {
    min: 0, max: 1, step: 0.01, value: t, vertical: true,
    words: (x) => `${Math.round(100 * x)}`, input: (x) => { state.layers[i] = x; update(); },
  }));
  layers.forEach((element, i) => {
    element.querySelector("input").setAttribute("aria-label", `Layer ${i + 1}, ${resolutionOf(i)} pixels: share of b in percent`);
  });
  const take = (from, to) => () => {
    layers.forEach((element, i) => { state.layers[i] = i >= from && i < to ? 1 : 0; element.set(state.layers[i]); });
    update();
  };
  const cuts = [Math.min(4, G.numWs), Math.min(6, G.numWs)]; // 4 and 8 pixels, 16 pixels, the rest
  const perLayer = make("div", {},
    make("p", {}, "Drag across the bars: how much of b's style each layer takes, from coarse (left) to fine (right)."),
    strip("Share of b, layer by layer", layers),
    make("div", { class: "live-buttons" },
      button("Coarse from b", take(0, cuts[0])), button("Middle from b", take(cuts[0], cuts[1])),
      button("Fine from b", take(cuts[1], G.numWs)), button("None from b", take(0, 0))));

  let walking = 0;
  const walk = button("Walk from a to b", () => {
    cancelAnimationFrame(walking);
    let began = 0;
    const step = (now) => {
      began ||= now;
      state.t = Math.min(1, (now - began) / 4000);
      way.set(state.t);
      update();
      if (state.t < 1) walking = requestAnimationFrame(step);
    };
    walking = requestAnimationFrame(step);
  });
  walk.hidden = calm(); // nothing moves by itself for who asked for that; the slider takes the same way

  const between = make("div", {}, way, make("div", { class: "live-buttons" }, walk));
  const show = (space) => {
    cancelAnimationFrame(walking);
    state.space = space;
    between.hidden = space === "W+";
    perLayer.hidden = space !== "W+";
    update();
  };
  const labels = { Z: "Z", W: "W", "W+": "W+" };
  panel.append(
    make("div", { class: "live-pictures" },
      make("div", {}, ends.a.canvas, button("Another face a", () => another("a"))),
      result,
      make("div", {}, ends.b.canvas, button("Another face b", () => another("b")))),
    ...(offered.length > 1 ? [choice("Walk in", Object.fromEntries(offered.map((key) => [key, labels[key]])), state.space, show)] : []),
    between, perLayer, truncation);
  show(state.space);
  await updateAll();
});
