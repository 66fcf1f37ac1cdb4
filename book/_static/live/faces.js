/* Find a face in a photo and crop it as the training faces are framed: what ganinv.photos.detector and ganinv.photos.faces do, step by step.

   A raster is {data: Float32Array, width, height}, the three colours after one another (as in tensors), values 0 to 255. */
"use strict";

const ganinvFaces = (() => {
  // where the eyes, the nose and the corners of the mouth of the training faces lie, as fractions of the frame
  const FRAME = [[0.342, 0.468], [0.658, 0.468], [0.5, 0.664], [0.363, 0.835], [0.637, 0.835]];
  const SEARCH_SIZES = [640, 1600], SMALLEST_FACE = 40, MARGIN = 0.25, PYRAMID_STEP = 0.709, THRESHOLDS = [0.6, 0.7, 0.9];
  const WIDER = 1.5, LEVEL_SIZE = 192, LARGEST_CORRECTION = [0.1, 0.12, 15];
  const SECOND_LOOKS = [0.47, 0.53].flatMap((x) => [0.54, 0.6].flatMap((y) => [0.9, 1].map((s) => [x - s / 2, y - s / 2, x + s / 2, y + s / 2])));

  // -- rasters ----------------------------------------------------------------------------------------------------------

  const raster = (width, height) => ({ data: new Float32Array(3 * width * height), width, height });

  /** The pixels of a picture (an ImageBitmap, say), scaled so that its longer side is `longer` at most. */
  function fromPicture(picture, longer = Infinity) {
    const scale = Math.min(1, longer / Math.max(picture.width, picture.height));
    const width = Math.max(1, Math.round(picture.width * scale)), height = Math.max(1, Math.round(picture.height * scale));
    const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
    context.fillStyle = "white"; // behind what is transparent
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const result = raster(width, height), n = width * height;
    for (let p = 0; p < n; p++) for (let c = 0; c < 3; c++) result.data[c * n + p] = data[4 * p + c];
    return result;
  }

  /** For each of `count` outputs along an axis, the inputs it is made of and their weights: [[index, weight], …]. */
  function taps(size, count, start, end, kernel, reach) {
    const scale = (end - start) / count, wide = Math.max(1, scale);
    return Array.from({ length: count }, (_, i) => {
      const centre = start + (i + 0.5) * scale, found = [];
      let sum = 0;
      for (let k = Math.floor(centre - reach * wide); k <= Math.ceil(centre + reach * wide); k++) {
        const weight = k >= 0 && k < size ? kernel((k + 0.5 - centre) / wide) : 0;
        if (weight) { found.push([k, weight]); sum += weight; }
      }
      return found.map(([k, weight]) => [k, weight / sum]);
    });
  }

  const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
  const lanczos = (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0);
  const cubic = (x) => {
    const t = Math.abs(x);
    return t < 1 ? (1.5 * t - 2.5) * t * t + 1 : t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
  };

  /** Scale the box (left, top, right, bottom) to width x height pixels, with taps along both axes. */
  function resample(source, horizontal, vertical) {
    const width = horizontal.length, height = vertical.length, result = raster(width, height);
    const rows = new Float32Array(width * source.height), used = vertical.flatMap((taps) => [taps[0][0], taps.at(-1)[0]]);
    const first = used.reduce((a, b) => Math.min(a, b)), last = used.reduce((a, b) => Math.max(a, b));
    for (let c = 0; c < 3; c++) {
      for (let y = first; y <= last; y++) {
        const offset = (c * source.height + y) * source.width;
        for (let x = 0; x < width; x++) {
          let sum = 0;
          for (const [k, weight] of horizontal[x]) sum += weight * source.data[offset + k];
          rows[y * width + x] = sum;
        }
      }
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          let sum = 0;
          for (const [k, weight] of vertical[y]) sum += weight * rows[k * width + x];
          result.data[(c * height + y) * width + x] = sum;
        }
      }
    }
    return result;
  }

  const scaled = (source, width, height, kernel, reach, [left, top, right, bottom] = [0, 0, source.width, source.height]) =>
    resample(source, taps(source.width, width, left, right, kernel, reach), taps(source.height, height, top, bottom, kernel, reach));

  /** Averages over the pixels that each output covers, even in part: PyTorch's mode "area". */
  function areas(start, size, count) {
    return Array.from({ length: count }, (_, i) => {
      const from = Math.floor((i * size) / count), to = Math.ceil(((i + 1) * size) / count);
      return Array.from({ length: to - from }, (_, k) => [start + from + k, 1 / (to - from)]);
    });
  }
  const averaged = (source, width, height, [left, top, right, bottom] = [0, 0, source.width, source.height]) =>
    resample(source, areas(left, right - left, width), areas(top, bottom - top, height));

  /** Repeat the edge pixels all around. */
  function padded(source, margin) {
    const clamp = (start, size) => Array.from({ length: size + 2 * margin }, (_, i) => [[Math.min(size - 1, Math.max(0, start + i - margin)), 1]]);
    return resample(source, clamp(0, source.width), clamp(0, source.height));
  }

  // -- the detector -----------------------------------------------------------------------------------------------------

  const area = ([left, top, right, bottom]) => Math.max(0, right - left) * Math.max(0, bottom - top);

  /** Of boxes that overlap by more than `limit`, the best one: non-maximum suppression. */
  function best(found, limit) {
    const kept = [];
    for (const one of [...found].sort((a, b) => b.score - a.score)) {
      const overlaps = kept.some(({ box }) => {
        const shared = area([Math.max(box[0], one.box[0]), Math.max(box[1], one.box[1]), Math.min(box[2], one.box[2]), Math.min(box[3], one.box[3])]);
        return shared / (area(box) + area(one.box) - shared) > limit;
      });
      if (!overlaps) kept.push(one);
    }
    return kept;
  }

  function squared([left, top, right, bottom]) {
    const x = (left + right) / 2, y = (top + bottom) / 2, half = Math.max(right - left, bottom - top) / 2;
    return [x - half, y - half, x + half, y + half];
  }

  const moved = (box, move, extra) => box.map((side, k) => side + move[k] * (box[2 + (k % 2)] - box[k % 2] + extra));

  class Detector {
    static async of(engine, model) {
      for (const part of ["p_net", "r_net", "o_net"]) await model.open(engine, part);
      return new Detector(engine);
    }

    constructor(engine) {
      this.engine = engine;
    }

    async propose(picture) {
      let scale = 12 / SMALLEST_FACE; // P-net sees 12 x 12 pixels
      const all = [];
      while (Math.min(picture.width, picture.height) * scale >= 12) {
        const small = averaged(picture, Math.floor(picture.width * scale + 1), Math.floor(picture.height * scale + 1));
        const { score, move } = await this.engine.run("p_net", { picture: ganinvTensor(small.data, [1, 3, small.height, small.width]) });
        const [height, width] = score.dims.slice(-2), found = [];
        for (let p = 0; p < height * width; p++) {
          if (score.data[p] < THRESHOLDS[0]) continue;
          const x = 2 * (p % width), y = 2 * Math.floor(p / width);
          const box = [x + 1, y + 1, x + 12, y + 12].map((side) => Math.floor(side / scale));
          found.push({ box, score: score.data[p], move: [0, 1, 2, 3].map((k) => move.data[k * height * width + p]) });
        }
        all.push(...best(found, 0.5));
        scale *= PYRAMID_STEP;
      }
      return best(all, 0.7).map(({ box, move }) => squared(moved(box, move, 0)));
    }

    /** What R- or O-net says of boxes: [{box, score, move, points}]. */
    async look(net, picture, boxes, size) {
      if (!boxes.length) return [];
      const n = 3 * size * size, patches = new Float32Array(boxes.length * n);
      boxes.forEach((box, i) => {
        const [a, b, right, bottom] = box.map(Math.trunc);
        const left = Math.min(Math.max(a, 1), picture.width) - 1, top = Math.min(Math.max(b, 1), picture.height) - 1; // boxes count from 1
        const inside = [left, top, Math.min(picture.width, Math.max(right, left + 1)), Math.min(picture.height, Math.max(bottom, top + 1))];
        patches.set(averaged(picture, size, size, inside).data, i * n);
      });
      const { score, move, points } = await this.engine.run(net, { patches: ganinvTensor(patches, [boxes.length, 3, size, size]) });
      return boxes.map((box, i) => ({
        box,
        score: score.data[i],
        move: [...move.data.slice(4 * i, 4 * i + 4)],
        points: points && [0, 1, 2, 3, 4].map((k) => [
          box[0] + points.data[10 * i + k] * (box[2] - box[0] + 1) - 1,
          box[1] + points.data[10 * i + 5 + k] * (box[3] - box[1] + 1) - 1,
        ]),
      }));
    }

    /** All faces of a raster, the largest first: [{box, landmarks, score}]. */
    async detect(picture) {
      let found = await this.look("r_net", picture, await this.propose(picture), 24);
      found = best(found.filter(({ score }) => score > THRESHOLDS[1]), 0.7);
      found = await this.look("o_net", picture, found.map(({ box, move }) => squared(moved(box, move, 1))), 48);
      found = found.filter(({ score }) => score > THRESHOLDS[2]).map((one) => ({ box: moved(one.box, one.move, 1), landmarks: one.points, score: one.score }));
      return best(found, 0.4).sort((a, b) => area(b.box) - area(a.box));
    }

    /** Every face of a picture, in its own pixels; the search runs on a copy of a fixed size. */
    async find(photo) {
      const longer = Math.max(photo.width, photo.height);
      for (const size of SEARCH_SIZES) {
        const scale = size / longer, width = Math.max(1, Math.round(photo.width * scale)), height = Math.max(1, Math.round(photo.height * scale));
        const margin = Math.round(MARGIN * size);
        const faces = await this.detect(padded(scaled(photo, width, height, cubic, 2), margin));
        if (!faces.length && longer > size) continue;
        const back = ([x, y]) => [((x - margin) * photo.width) / width, ((y - margin) * photo.height) / height];
        return faces.map((face) => ({ ...face, landmarks: face.landmarks.map(back) }));
      }
      return [];
    }

    /** The landmarks in a raster LEVEL_SIZE pixels square, in whose middle a face's frame lies: the mean of several looks. */
    async landmarks(level) {
      const boxes = SECOND_LOOKS.map((box) => box.map((side) => ((side - 0.5) / WIDER + 0.5) * LEVEL_SIZE));
      const sum = FRAME.map(() => [0, 0]);
      for (const mirrored of [false, true]) {
        const seen = mirrored ? flipped(level) : level;
        for (const { points } of await this.look("o_net", seen, boxes, 48)) {
          const order = mirrored ? [1, 0, 2, 4, 3] : [0, 1, 2, 3, 4]; // left and right change places
          order.forEach((k, i) => {
            sum[i][0] += mirrored ? LEVEL_SIZE - 1 - points[k][0] : points[k][0];
            sum[i][1] += points[k][1];
          });
        }
      }
      const looks = 2 * boxes.length;
      return sum.map(([x, y]) => [x / looks + 0.5, y / looks + 0.5]); // the detector counts from a pixel's centre, crops from its corner
    }

    /** The frame around a face, looked at again while it is level. */
    async level(photo, face) {
      const first = frameOf(face.landmarks);
      let { x, y, size, roll } = first;
      for (let i = 0; i < 2; i++) {
        const seen = frameOf(await this.landmarks(crop(photo, { x, y, size: WIDER * size, roll }, LEVEL_SIZE)));
        const scale = (WIDER * size) / LEVEL_SIZE, u = (seen.x - LEVEL_SIZE / 2) * scale, v = (seen.y - LEVEL_SIZE / 2) * scale;
        x += u * Math.cos(roll) - v * Math.sin(roll);
        y += u * Math.sin(roll) + v * Math.cos(roll);
        size = seen.size * scale;
        roll += seen.roll;
      }
      const corrected = [Math.hypot(x - first.x, y - first.y) / first.size, Math.abs(Math.log(size / first.size)), (Math.abs(roll - first.roll) * 180) / Math.PI];
      return corrected.some((amount, i) => amount > LARGEST_CORRECTION[i]) ? first : { x, y, size, roll };
    }
  }

  // -- frames -----------------------------------------------------------------------------------------------------------

  function flipped(source) {
    return resample(source, Array.from({ length: source.width }, (_, i) => [[source.width - 1 - i, 1]]), Array.from({ length: source.height }, (_, i) => [[i, 1]]));
  }

  /** The similarity transform from FRAME to landmarks, by least squares: centre, side, and roll in radians. */
  function frameOf(landmarks) {
    const mean = (points) => [0, 1].map((k) => points.reduce((sum, point) => sum + point[k], 0) / points.length);
    const [fx, fy] = mean(FRAME), [lx, ly] = mean(landmarks);
    let re = 0, im = 0, norm = 0; // a = sum conj(f) l / sum |f|^2, points being complex numbers
    FRAME.forEach(([a, b], i) => {
      const u = a - fx, v = b - fy, p = landmarks[i][0] - lx, q = landmarks[i][1] - ly;
      re += u * p + v * q;
      im += u * q - v * p;
      norm += u * u + v * v;
    });
    re /= norm;
    im /= norm;
    return { x: lx + re * (0.5 - fx) - im * (0.5 - fy), y: ly + im * (0.5 - fx) + re * (0.5 - fy), size: Math.hypot(re, im), roll: Math.atan2(im, re) };
  }

  const reflected = (i, size) => {
    if (size === 1) return 0;
    const period = 2 * (size - 1), k = ((i % period) + period) % period;
    return k < size ? k : period - k;
  };

  /** Cut the square of a frame out and scale it to n pixels; beyond the picture lies its mirror image. */
  function crop(photo, { x, y, size, roll }, n) {
    const shrink = Math.max(1, Math.floor(size / (4 * n))); // a huge photo is averaged first
    const source = shrink > 1 ? averaged(photo, Math.ceil(photo.width / shrink), Math.ceil(photo.height / shrink)) : photo;
    const fx = source.width / photo.width, fy = source.height / photo.height;
    const fine = Math.max(1, Math.round(size / shrink / n)) * n, edge = Math.ceil((3 * fine) / n); // LANCZOS looks beyond the frame
    const level = raster(fine + 2 * edge, fine + 2 * edge), step = size / fine, side = level.width;
    const cos = Math.cos(roll) * step, sin = Math.sin(roll) * step;
    const many = source.width * source.height;
    for (let j = 0; j < side; j++) {
      for (let i = 0; i < side; i++) {
        const u = i + 0.5 - side / 2, v = j + 0.5 - side / 2;
        const px = (x + u * cos - v * sin) * fx - 0.5, py = (y + u * sin + v * cos) * fy - 0.5;
        const x0 = Math.floor(px), y0 = Math.floor(py), sum = [0, 0, 0];
        for (let b = -1; b <= 2; b++) {
          const wy = cubic(py - y0 - b), row = reflected(y0 + b, source.height) * source.width;
          for (let a = -1; a <= 2; a++) {
            const weight = wy * cubic(px - x0 - a), p = row + reflected(x0 + a, source.width);
            for (let c = 0; c < 3; c++) sum[c] += weight * source.data[c * many + p];
          }
        }
        for (let c = 0; c < 3; c++) level.data[(c * side + j) * side + i] = sum[c];
      }
    }
    return scaled(level, n, n, lanczos, 3, [edge, edge, edge + fine, edge + fine]);
  }

  /** A raster as an image [1, 3, n, n] in [-1, 1], rounded to bytes on the way, as a file would be. */
  const image = ({ data, width }) => ganinvTensor(data.map((value) => Math.round(Math.min(255, Math.max(0, value))) / 127.5 - 1), [1, 3, width, width]);

  return { Detector, crop, frameOf, fromPicture, image };
})();
window.ganinvFaces = ganinvFaces;
