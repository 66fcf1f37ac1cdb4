/* The generator and its codes: z -> w -> ws -> image, with the words of the book. A code ws is a Float32Array of num_ws rows of w_dim numbers. */
"use strict";

class ganinvGenerator {
  /** Open the mapping and the synthesis network of a model. */
  static async of(engine, model) {
    await model.open(engine, "mapping");
    await model.open(engine, "synthesis");
    return new ganinvGenerator(engine, model);
  }

  constructor(engine, model) {
    this.engine = engine;
    Object.assign(this, { zDim: model.z_dim, wDim: model.w_dim, numWs: model.num_ws, resolution: model.resolution });
    this.wAvg = Float32Array.from(model.w_avg);
    this.styles = Object.values(model.styles).reduce((sum, size) => sum + size, 0); // numbers in S
    this.unmoved = new Float32Array(this.styles);
  }

  /** Standard normal numbers (Box and Muller). */
  z() {
    return Float32Array.from({ length: this.zDim }, () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));
  }

  async w(z) {
    return (await this.engine.run("mapping", { z: ganinvTensor(z, [1, this.zDim]) })).w.data;
  }

  /** The same w for every layer. */
  ws(w) {
    const ws = new Float32Array(this.numWs * this.wDim);
    for (let i = 0; i < this.numWs; i++) ws.set(w, i * this.wDim);
    return ws;
  }

  /** w_avg + psi (w - w_avg), row by row. */
  truncate(ws, psi) {
    return ws.map((value, i) => this.wAvg[i % this.wDim] + psi * (value - this.wAvg[i % this.wDim]));
  }

  /** What the networks take: the code, and how far the styles are moved besides (an edit in S). */
  feeds(ws, shift = this.unmoved) {
    return { ws: ganinvTensor(ws, [1, this.numWs, this.wDim]), shift: ganinvTensor(shift, [1, this.styles]) };
  }

  async image(ws, shift) {
    return (await this.engine.run("synthesis", this.feeds(ws, shift))).image;
  }
}

/** a + t (b - a), where t is a number or one for each row of `size` numbers. */
function ganinvLerp(a, b, t, size = a.length) {
  return a.map((value, i) => value + (typeof t === "number" ? t : t[Math.floor(i / size)]) * (b[i] - value));
}
window.ganinvGenerator = ganinvGenerator;
window.ganinvLerp = ganinvLerp;
