/* Near-perfect inversion in a worker: the generator is tuned to one photo, step by step. `tuning` is the forward and backward pass as a network
   (tools/tuning_graph.py), `drawing` the synthesis network with its weights as inputs; Adam is here. */
"use strict";

/* Adds commands to the worker of engine.js; its text is taken, so it may use nothing from outside. */
function ganinvTuner(self, { commands, sessions }) {
  let names, shapes, fixed, unmoved, original, tuned, ws, ws0, target, config, squares, means, step, seconds, running, history;
  const tensor = (data, dims) => new ort.Tensor("float32", data, dims);
  const dims = () => [1, config.num_ws, config.w_dim];

  /** A network's outputs as plain arrays, from plain arrays. */
  async function compute(name, feeds) {
    const found = await sessions.get(name).run(feeds);
    return Object.fromEntries(Object.entries(found).map(([key, value]) => [key, value.data]));
  }
  const weights = (values) => Object.fromEntries(names.map((name, i) => [name, tensor(values[i], shapes[i])]));
  const draw = async (code, values, shift = unmoved) =>
    (await compute("drawing", { ws: tensor(code, dims()), shift: tensor(shift, [1, shift.length]), ...weights(values), ...fixed })).image;
  const gradients = (code, image, recon, l2) => compute("tuning", {
    ws: tensor(code, dims()),
    target: tensor(image, [1, 3, config.resolution, config.resolution]),
    lambda_recon: tensor(Float32Array.of(recon), [1]),
    lambda_l2: tensor(Float32Array.of(l2), [1]),
    ...weights(tuned),
  });

  function normal(n) { // Box and Muller
    return Float32Array.from({ length: n }, () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));
  }

  /** One step of Adam on `values`, whose state is number k. */
  function adam(values, gradient, k, rate) {
    const { beta1, beta2 } = config, m = means[k], v = squares[k];
    const a = rate / (1 - beta1 ** (step + 1)), b = 1 / Math.sqrt(1 - beta2 ** (step + 1));
    for (let i = 0; i < values.length; i++) {
      const g = gradient[i];
      m[i] = beta1 * m[i] + (1 - beta1) * g;
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      values[i] -= (a * m[i]) / (b * Math.sqrt(v[i]) + 1e-8);
    }
  }

  /** 1 for the first steps, then down to 0 along a cosine. */
  function ramp(t) {
    const constant = 1 - config.lr_rampdown;
    return t <= constant ? 1 : 0.5 + 0.5 * Math.cos((Math.PI * (t - constant)) / (1 - constant));
  }

  async function move() {
    const here = await gradients(ws, target, config.lambda_recon, config.lambda_l2);
    if (!Number.isFinite(here.mse[0])) throw new Error("the run diverged");
    const row = { step, mse: here.mse[0], recon: here.recon[0], image: here.image };
    if (config.lambda_locality && step % config.global_interval === 0) { // a random face, held to what it was
      const { w } = await compute("mapping", { z: tensor(normal(config.z_dim), [1, config.z_dim]) });
      const code = new Float32Array(ws.length);
      for (let i = 0; i < config.num_ws; i++) code.set(w, i * config.w_dim);
      const there = await gradients(code, await draw(code, original), 0, config.global_interval * config.lambda_locality);
      row.locality = there.mse[0];
      for (const name of names) {
        const sum = here[`grad:${name}`], more = there[`grad:${name}`];
        for (let i = 0; i < sum.length; i++) sum[i] += more[i];
      }
    }
    const rate = ramp(step / config.steps);
    names.forEach((name, k) => adam(tuned[k], here[`grad:${name}`], k, rate * config.lr_G));
    if (config.lr_latent) adam(ws, here["grad:ws"], names.length, rate * config.lr_latent);
    step += 1;
    return row;
  }

  const channel = new MessageChannel(), pause = () => new Promise((resolve) => { // lets "tune-stop" come in
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(0);
  });

  async function run() {
    running = true;
    let shown = -Infinity;
    try {
      while (running && step < config.steps) {
        const began = performance.now(), row = await move();
        seconds += (performance.now() - began) / 1000;
        const { image, ...numbers } = row;
        history.push({ photo: 0, ...Object.fromEntries(Object.entries(numbers).map(([key, value]) => [{ recon: "loss_recon", locality: "loss_locality" }[key] ?? key, value])) });
        if (performance.now() - shown > config.show_ms || step === config.steps) {
          shown = performance.now();
          self.postMessage({ news: "tuning", answer: { ...row, steps: config.steps, seconds } });
        }
        await pause();
      }
      running = false;
      const image = await draw(ws, tuned);
      let mse = 0;
      for (let i = 0; i < image.length; i++) mse += (image[i] - target[i]) ** 2 / image.length;
      self.postMessage({ news: "tuning", answer: { step, steps: config.steps, seconds, mse, image, rested: true } });
    } catch (error) {
      running = false;
      self.postMessage({ news: "tuning", answer: { error: String(error?.message ?? error) } });
    }
  }

  Object.assign(commands, {
    "tune-begin"(told) {
      ({ names, shapes, config, target } = told);
      fixed = Object.fromEntries(Object.entries(told.fixed).map(([name, { data, dims }]) => [name, tensor(data, dims)]));
      unmoved = new Float32Array(told.styles);
      original = told.values;
      tuned = original.map((values) => values.slice());
      ws = told.ws.slice();
      ws0 = told.ws.slice();
      squares = [...tuned, ws].map(({ length }) => new Float32Array(length));
      means = squares.map(({ length }) => new Float32Array(length));
      [step, seconds, running, history] = [0, 0, false, []];
    },
    "tune-go"() { if (!running) run(); },
    "tune-stop"() { running = false; },
    "tune-draw": async ({ code, shift }) => ({ image: await draw(code, tuned, shift) }),
    "tune-result": () => ({ names, shapes, original, tuned, ws, ws0, history, seconds }),
  });
}
window.ganinvTuner = ganinvTuner;
