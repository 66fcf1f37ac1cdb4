/* Images between tensors [1, 3, n, n] in [-1, 1] and canvases. */
"use strict";

const ganinvPictures = {
  /** A canvas for images of n pixels a side, shown `shown` pixels wide, with hard pixels. */
  canvas(n, shown, label) {
    const style = `width: ${shown}px`;
    return ganinvLive.make("canvas", { width: n, height: n, class: "pixels live-canvas", role: "img", "aria-label": label, style });
  },

  /** Draw an image, values beyond [-1, 1] being cut off. */
  draw(canvas, { data }) {
    const n = canvas.width;
    const image = new ImageData(n, n);
    for (let p = 0; p < n * n; p++) {
      for (let c = 0; c < 3; c++) image.data[4 * p + c] = Math.round(127.5 * (data[c * n * n + p] + 1)); // the array clamps
      image.data[4 * p + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  },

  /** The pixels of a canvas as an image. */
  read(canvas) {
    const n = canvas.width;
    const { data } = canvas.getContext("2d").getImageData(0, 0, n, n);
    const image = new Float32Array(3 * n * n);
    for (let p = 0; p < n * n; p++) for (let c = 0; c < 3; c++) image[c * n * n + p] = data[4 * p + c] / 127.5 - 1;
    return ganinvTensor(image, [1, 3, n, n]);
  },

  meanSquare(a, b) {
    let sum = 0;
    for (let i = 0; i < a.data.length; i++) sum += (a.data[i] - b.data[i]) ** 2;
    return sum / a.data.length;
  },
};

/** Call `draw` as often as it manages, always for the newest state; returns the function to call after every change. */
function ganinvLatest(draw) {
  let busy = false, again = false;
  return async function update() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      do { again = false; await draw(); } while (again);
    } finally {
      busy = false;
    }
  };
}
window.ganinvPictures = ganinvPictures;
window.ganinvLatest = ganinvLatest;
