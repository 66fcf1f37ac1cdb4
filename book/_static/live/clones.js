/* Clones that come with a model, drawn in a worker by one network whose weights and noise maps are inputs. */
"use strict";

/* Adds commands to the worker of engine.js; its text is taken, so it may use nothing from outside. */
function ganinvCloneWorker(self, { commands, sessions }) {
  const clones = new Map(); // name -> the network's inputs besides ws and shift
  Object.assign(commands, {
    "clone-keep"({ name, feeds }) {
      clones.set(name, Object.fromEntries(Object.entries(feeds).map(([key, { data, dims }]) => [key, new ort.Tensor("float32", data, dims)])));
    },
    async "clone-draw"({ name, ws, shift }) {
      const inputs = { ws: new ort.Tensor("float32", ws.data, ws.dims), shift: new ort.Tensor("float32", shift.data, shift.dims) };
      const began = performance.now();
      const { image } = await sessions.get("drawing").run({ ...inputs, ...clones.get(name) });
      return { image: { data: image.data, dims: [...image.dims] }, ms: performance.now() - began };
    },
  });
}

/** The clones of a portrait: {kind: {mse, ws, feeds}}, by what tools/shipped_clones.py wrote; `weights` are the model's own. */
async function ganinvClones(model, portrait, weights) {
  const { "clones.json": facts, ...numbers } = await model.files(model.clones[portrait]);
  const kinds = JSON.parse(new TextDecoder().decode(facts));
  for (const [kind, clone] of Object.entries(kinds)) {
    const rows = ({ dims }) => dims[0] ?? 1, parts = Object.entries(weights.feeds), { buffer } = numbers[`${kind}.bin`];
    const units = new Float32Array(buffer, 0, parts.reduce((sum, [, part]) => sum + rows(part), 0)), steps = new Int8Array(buffer, units.byteLength);
    let unit = 0, step = 0;
    clone.ws = Float32Array.from(clone.ws);
    clone.feeds = Object.fromEntries(parts.map(([name, part]) => {
      const length = part.data.length / rows(part), from = unit, at = step;
      unit += rows(part);
      step += part.data.length;
      const data = part.data.map((value, i) => value + units[from + Math.floor(i / length)] * steps[at + i]);
      return [name, { data, dims: part.dims }];
    }));
  }
  return kinds;
}
window.ganinvCloneWorker = ganinvCloneWorker;
window.ganinvClones = ganinvClones;
