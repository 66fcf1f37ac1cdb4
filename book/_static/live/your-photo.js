/* Your photo: a face, found and framed in the page, inverted by the model's encoders step by step, then edited. The photo stays in the page. */
"use strict";

ganinvLive.register("your-photo", async (panel, { model: name, say }) => {
  const { make, script } = ganinvLive;
  await Promise.all(["pictures.js", "codes.js", "controls.js", "faces.js", "photo-input.js", "edits.js"].map(script));
  const { choice } = ganinvControls;
  const [engine, model] = await Promise.all([ganinvLive.engine(), ganinvLive.model(name)]);
  if (!Object.keys(model.encoders).length) throw new Error(`the generator ${name} has no encoder yet`);
  const G = await ganinvGenerator.of(engine, model);
  const n = G.resolution, STEPS = 3, opened = new Set();
  let photo = null, encoder = Object.keys(model.encoders)[0], error = NaN, turn = 0;

  const frame = ganinvPictures.canvas(n, 144, "Your photo, framed: none yet");
  const passes = make("div", { class: "live-pictures" });
  const edited = ganinvPictures.canvas(n, 256, "The edited face: none yet");

  const edits = await ganinvEdits(G, model, (words) => draw(words));
  edits.hidden = true;
  let shown = 0;
  const draw = ganinvLatest(async () => {
    const image = await G.image(edits.code(), edits.shift());
    ganinvPictures.draw(edited, image);
    edited.setAttribute("aria-label", edits.describe());
    clearTimeout(shown); // read out when the hand rests
    shown = setTimeout(() => say(`${edits.describe()} Mean squared error of the reconstruction by ${encoder}: ${error.toFixed(4)}.`), 500);
  });

  /** One pass of pSp or e4e, several of ReStyle, which sees its own reconstruction beside the photo. */
  async function invert() {
    const mine = ++turn, late = () => mine !== turn; // another photo or encoder was chosen meanwhile
    const part = `encoder-${encoder}`, { in_channels: channels } = model.encoders[encoder];
    if (!opened.has(part)) {
      say(`Loading ${encoder} …`);
      await model.open(engine, part);
      opened.add(part);
    }
    let ws = G.ws(G.wAvg), image = await G.image(ws);
    if (late()) return;
    passes.replaceChildren();
    const show = (title) => {
      error = ganinvPictures.meanSquare(photo, image);
      const canvas = ganinvPictures.canvas(n, 112, `${title}: mean squared error ${error.toFixed(4)}`);
      ganinvPictures.draw(canvas, image);
      passes.append(make("div", {}, canvas, make("span", {}, title), make("span", {}, error.toFixed(4))));
    };
    show("mean face");
    for (let step = 1; step <= (channels === 6 ? STEPS : 1); step++) {
      const images = channels === 6 ? ganinvTensor([...photo.data, ...image.data], [1, 6, n, n]) : photo;
      const { offsets } = await engine.run(part, { images });
      ws = ws.map((value, i) => value + offsets.data[i]);
      image = await G.image(ws);
      if (late()) return;
      show(channels === 6 ? `pass ${step}` : encoder);
    }
    edits.begin(ws);
    edits.hidden = false;
    await draw();
  }

  const input = await ganinvPhotoInput(engine, model, say, async (found) => {
    photo = found;
    ganinvPictures.draw(frame, photo);
    frame.setAttribute("aria-label", "Your photo, found and framed as the training faces are");
    await invert();
  });
  const encoders = Object.fromEntries(Object.entries(model.encoders).map(([key, { in_channels: channels }]) => [key, channels === 6 ? `${key} (${STEPS} passes)` : key]));
  panel.append(
    make("p", {}, "The photo is read, framed and inverted in this page; it is sent nowhere, and forgotten when you leave."),
    input,
    choice("Encoder", encoders, encoder, (key) => { encoder = key; if (photo) invert().catch((problem) => say(problem.message)); }),
    make("div", { class: "live-pictures" }, make("div", {}, frame, make("span", {}, "photo")), edited), passes, edits);
  say("Choose a photo of a face.");
});
