/* Near-perfect inversion, live: the generator is tuned in this page until it draws the reader's photo; then the photo can be edited, and the
   clone downloaded. */
"use strict";

ganinvLive.register("near-perfect", async (panel, { model: name, say }) => {
  const { make, script } = ganinvLive;
  await Promise.all(["engine.js", "pictures.js", "codes.js", "controls.js", "faces.js", "photo-input.js", "edits.js", "tuner.js", "clone-file.js"].map(script));
  const { button, calm } = ganinvControls;
  const [engine, model] = await Promise.all([ganinvLive.engine(ganinvTuner), ganinvLive.model(name)]);
  for (const part of ["mapping", "drawing", "tuning"]) await model.open(engine, part);
  const weights = await model.weights();
  const n = model.resolution, config = model.tuning;

  // the generator with the weights that the tuner has at the moment
  const G = new ganinvGenerator(engine, model);
  G.image = async (code, shift = G.unmoved) => ({ data: (await engine.ask("tune-draw", { code, shift })).image, dims: [1, 3, n, n] });

  const photoShown = ganinvPictures.canvas(n, 144, "Your photo: none yet");
  const startShown = ganinvPictures.canvas(n, 144, "The start: none yet");
  const shown = ganinvPictures.canvas(n, 256, "What the clone draws: nothing yet");
  const SVG = "http://www.w3.org/2000/svg";
  const curve = document.createElementNS(SVG, "svg"), line = document.createElementNS(SVG, "polyline");
  for (const [key, value] of Object.entries({ viewBox: "0 0 400 120", preserveAspectRatio: "none", class: "live-curve", role: "img" })) curve.setAttribute(key, value);
  curve.append(line);
  let photo = null, initial = null, points = [], state = "empty", last = null, spoken = 0;

  /** The squared error over the steps, on a logarithmic scale from 1 down to 0.00001. */
  function plot() {
    const y = (mse) => 5 + 110 * Math.min(1, Math.max(0, -Math.log10(mse) / 5));
    line.setAttribute("points", points.map(({ step, mse }) => `${((400 * step) / config.steps).toFixed(1)},${y(mse).toFixed(1)}`).join(" "));
    const words = points.length ? `from ${points[0].mse.toPrecision(2)} to ${points.at(-1).mse.toPrecision(2)} after ${points.at(-1).step} steps` : "nothing yet";
    curve.setAttribute("aria-label", `Mean squared error, on a logarithmic scale: ${words}`);
  }

  const set = (next) => {
    state = next;
    go.disabled = state === "empty" || state === "done";
    go.textContent = state === "running" ? "Stop" : state === "stopped" ? "Go on" : "Tune the generator";
    save.disabled = state !== "stopped" && state !== "done";
    edits.hidden = save.disabled;
  };
  const go = button("Tune the generator", async () => {
    if (state === "running") return engine.ask("tune-stop");
    edits.reset();
    set("running");
    await engine.ask("tune-go");
  });
  const save = button("Download the clone", async () => {
    const result = await engine.ask("tune-result");
    const file = ganinvCloneFile.clone(result, photo.data, initial.data, model);
    const link = make("a", { href: URL.createObjectURL(new Blob([file], { type: "application/zip" })), download: "clone.zip" });
    link.click();
    URL.revokeObjectURL(link.href);
    say('Unpack clone.zip: ganinv.Inversion.load("clone", gan) reads the folder in it.');
  });

  let resting = 0;
  const redraw = ganinvLatest(async () => {
    const image = await G.image(edits.code(), edits.shift());
    ganinvPictures.draw(shown, image);
    shown.setAttribute("aria-label", edits.describe());
    clearTimeout(resting);
    resting = setTimeout(() => say(edits.describe()), 500);
  });
  const edits = await ganinvEdits(G, model, redraw);

  engine.on("tuning", async (news) => {
    if (news.error) {
      set("stopped");
      return say(`The tuning stopped: ${news.error}.`);
    }
    last = news;
    points.push({ step: news.step, mse: news.mse });
    plot();
    ganinvPictures.draw(shown, { data: news.image });
    const words = `Step ${news.step} of ${news.steps}, ${news.seconds.toFixed(0)} s: mean squared error ${news.mse.toPrecision(3)}`;
    shown.setAttribute("aria-label", `What the clone draws. ${words}`);
    if (news.rested || performance.now() - spoken > 5000) { // not more often, for who listens
      spoken = performance.now();
      say(`${words}.`);
    }
    if (news.rested) {
      edits.begin((await engine.ask("tune-result")).ws);
      set(news.step >= news.steps ? "done" : "stopped");
    }
  });

  /** Where the tuning starts: the encoder's estimate, or the mean code where there is no encoder. */
  async function estimate() {
    let ws = G.ws(G.wAvg), image = (await engine.run("drawing", { ...G.feeds(ws), ...weights.feeds })).image;
    const encoder = model.encoders[config.encoder];
    if (!encoder) return [ws, image];
    await model.open(engine, `encoder-${config.encoder}`);
    for (let i = 0; i < (encoder.in_channels === 6 ? 3 : 1); i++) {
      const images = encoder.in_channels === 6 ? ganinvTensor([...photo.data, ...image.data], [1, 6, n, n]) : photo;
      const { offsets } = await engine.run(`encoder-${config.encoder}`, { images });
      ws = ws.map((value, k) => value + offsets.data[k]);
      image = (await engine.run("drawing", { ...G.feeds(ws), ...weights.feeds })).image;
    }
    return [ws, image];
  }

  const input = await ganinvPhotoInput(engine, model, say, async (found) => {
    if (state === "running") await engine.ask("tune-stop");
    photo = found;
    ganinvPictures.draw(photoShown, photo);
    photoShown.setAttribute("aria-label", "Your photo, framed");
    let ws;
    [ws, initial] = await estimate();
    ganinvPictures.draw(startShown, initial);
    startShown.setAttribute("aria-label", "The estimate that the tuning starts from");
    ganinvPictures.draw(shown, initial);
    points = [{ step: 0, mse: ganinvPictures.meanSquare(photo, initial) }];
    plot();
    const { z_dim, w_dim, num_ws, resolution } = model;
    const { names, shapes, values, fixed } = weights;
    const told = { ...config, z_dim, w_dim, num_ws, resolution, show_ms: calm() ? 4000 : 250 };
    await engine.ask("tune-begin", { names, shapes, values, fixed, styles: G.styles, ws, target: photo.data, config: told });
    set("ready");
    say("Ready to tune.");
    go.focus();
  });

  panel.append(
    make("p", {}, "The photo is read, framed and inverted in this page; it is sent nowhere, and forgotten when you leave."),
    input,
    make("div", { class: "live-pictures" },
      make("div", {}, photoShown, make("span", {}, "photo")), make("div", {}, startShown, make("span", {}, "start")),
      make("div", {}, shown, make("span", {}, "clone"))),
    make("div", { class: "live-buttons" }, go, save), curve, edits);
  plot();
  set("empty");
  say("Choose a photo of a face.");
});
