/* Edit explorer: the named directions as sliders on two clones of a portrait, near-perfect by weights and with tuned noise maps, side by side. */
"use strict";

ganinvLive.register("edit-explorer", async (panel, { model: name, say }) => {
  const { make, script } = ganinvLive;
  await Promise.all(["engine.js", "pictures.js", "codes.js", "controls.js", "edits.js", "photo-input.js", "clones.js"].map(script));
  const { choice } = ganinvControls;
  const [engine, model] = await Promise.all([ganinvLive.engine(ganinvCloneWorker), ganinvLive.model(name)]);
  for (const part of ["mapping", "drawing"]) await model.open(engine, part);
  const weights = await model.weights(), n = model.resolution, G = new ganinvGenerator(engine, model);
  const kinds = { weights: "near-perfect, by weights", noise: "near-perfect, with tuned noise" };
  const shown = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, ganinvPictures.canvas(n, 208, "")]));
  const errors = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, make("span", {})]));
  const photo = ganinvPictures.canvas(n, 128, "");
  const known = new Map(); // portrait -> its clones
  let portrait = Object.keys(model.portraits)[0];

  let words = 0;
  const draw = ganinvLatest(async () => {
    const clones = known.get(portrait);
    let ms = 0;
    for (const kind of Object.keys(kinds)) {
      const drawn = await engine.ask("clone-draw", {
        name: `${portrait} ${kind}`,
        ws: ganinvTensor(edits.code(clones[kind].ws), [1, G.numWs, G.wDim]),
        shift: ganinvTensor(edits.shift(), [1, G.styles]),
      });
      ms += drawn.ms;
      ganinvPictures.draw(shown[kind], drawn.image);
      shown[kind].setAttribute("aria-label", `${ganinvPortraitName(portrait)}, ${kinds[kind]}. ${edits.describe()}`);
    }
    clearTimeout(words); // read out when the hand rests
    words = setTimeout(() => say(`${ganinvPortraitName(portrait)}. ${edits.describe()} Both drawn in ${ms.toFixed(0)} ms.`), 400);
  });
  const edits = await ganinvEdits(G, model, draw);

  async function show(key) {
    if (!known.has(key)) {
      say(`Loading the clones of ${ganinvPortraitName(key)} …`);
      const clones = await ganinvClones(model, key, weights);
      for (const [kind, { feeds }] of Object.entries(clones)) await engine.ask("clone-keep", { name: `${key} ${kind}`, feeds });
      known.set(key, clones);
    }
    portrait = key; // the edits stay: the same ones, on another face
    ganinvPictures.draw(photo, ganinvPortrait(model, key));
    photo.setAttribute("aria-label", `The photo of ${ganinvPortraitName(key)}`);
    for (const [kind, span] of Object.entries(errors)) span.textContent = `squared error ${known.get(key)[kind].mse.toPrecision(2)}`;
    await draw();
  }

  const portraits = Object.fromEntries(Object.keys(model.portraits).map((key) => [key, ganinvPortraitName(key)]));
  const below = (canvas, ...lines) => make("div", {}, canvas, ...lines.map((line) => (typeof line === "string" ? make("span", {}, line) : line)));
  panel.append(
    choice("Portrait", portraits, portrait, (key) => show(key).catch((problem) => say(`That did not work: ${problem.message}.`))),
    make("div", { class: "live-pictures" },
      below(photo, "photo"), ...Object.keys(kinds).map((kind) => below(shown[kind], kinds[kind], errors[kind]))),
    edits);
  await show(portrait);
});
