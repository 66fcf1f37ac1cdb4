/* A clone as a file that `ganinv` loads: a zip of clone.safetensors (what changed) and clone.json (what is to be known of it). */
"use strict";

const ganinvCloneFile = (() => {
  const utf8 = (text) => new TextEncoder().encode(text);
  const joined = (parts) => {
    const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) { all.set(part, at); at += part.length; }
    return all;
  };
  const bytes = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);

  // -- numbers of two bytes ---------------------------------------------------------------------------------------------

  const float = new Float32Array(1), bits = new Uint32Array(float.buffer);

  /** The float16 nearest to a number, ties to even, as its 16 bits. */
  function half(value) {
    float[0] = value;
    const sign = (bits[0] >>> 16) & 0x8000, size = Math.abs(float[0]);
    if (Number.isNaN(size)) return 0x7e00;
    if (size >= 65520) return sign | 0x7c00;
    const guess = Math.floor(Math.log2(size)); // may have been rounded up
    const power = Math.max(-14, size < 2 ** guess ? guess - 1 : guess);
    const scaled = size / 2 ** (power - 10); // 1024 to 2048, or less where it is subnormal
    const floor = Math.floor(scaled), rest = scaled - floor;
    const whole = floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
    return sign | (size < 2 ** -14 ? whole : ((power + 14) << 10) + whole);
  }

  /** The numbers of 16-bit patterns. */
  function unhalf(patterns) {
    return Float32Array.from(patterns, (pattern) => {
      const sign = pattern & 0x8000 ? -1 : 1, exponent = (pattern >> 10) & 31, fraction = pattern & 1023;
      if (exponent === 31) return fraction ? NaN : sign * Infinity;
      return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
    });
  }

  // -- files ------------------------------------------------------------------------------------------------------------

  /** {name: {type: "F32" or "F16", shape, data}} as a .safetensors file. */
  function safetensors(tensors) {
    const header = {}, parts = [];
    let at = 0;
    for (const [name, { type, shape, data }] of Object.entries(tensors)) {
      header[name] = { dtype: type, shape, data_offsets: [at, at + data.byteLength] };
      parts.push(bytes(data));
      at += data.byteLength;
    }
    let text = utf8(JSON.stringify(header));
    text = joined([text, new Uint8Array((8 - (text.length % 8)) % 8).fill(32)]);
    const length = new Uint8Array(8);
    new DataView(length.buffer).setUint32(0, text.length, true);
    return joined([length, text, ...parts]);
  }

  /** SHA-256 in hexadecimal. (The browser's own is only there on https and from disks.) */
  function sha256(message) {
    const primes = [], root = (n, k) => { const x = n ** (1 / k); return Math.floor((x - Math.floor(x)) * 2 ** 32); };
    for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
    const K = primes.map((p) => root(p, 3)), H = Int32Array.from(primes.slice(0, 8), (p) => root(p, 2));
    const blocks = Math.ceil((message.length + 9) / 64), padded = new Uint8Array(64 * blocks), view = new DataView(padded.buffer);
    padded.set(message);
    padded[message.length] = 0x80;
    view.setUint32(padded.length - 8, Math.floor(message.length / 2 ** 29));
    view.setUint32(padded.length - 4, (message.length << 3) >>> 0);
    const w = new Int32Array(64), turn = (x, n) => (x >>> n) | (x << (32 - n));
    for (let block = 0; block < blocks; block++) {
      for (let i = 0; i < 16; i++) w[i] = view.getInt32(64 * block + 4 * i);
      for (let i = 16; i < 64; i++) {
        const a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
      }
      let [a, b, c, d, e, f, g, h] = H;
      for (let i = 0; i < 64; i++) {
        const s = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
        const t = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        [h, g, f, e, d, c, b, a] = [g, f, e, (d + s) | 0, c, b, a, (s + t) | 0];
      }
      [a, b, c, d, e, f, g, h].forEach((value, i) => { H[i] += value; });
    }
    return Array.from(H, (value) => (value >>> 0).toString(16).padStart(8, "0")).join("");
  }

  function crc32(data) {
    let crc = -1;
    for (const byte of data) {
      crc ^= byte;
      for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return (crc ^ -1) >>> 0;
  }

  /** {name: bytes} as a zip file, not compressed. */
  function zip(files) {
    const parts = [], index = [];
    let at = 0;
    for (const [name, data] of Object.entries(files)) {
      const title = utf8(name), common = new Uint8Array(26), view = new DataView(common.buffer);
      view.setUint16(0, 20, true); // the version of the format
      view.setUint16(8, 0x21, true); // 1 January 1980
      view.setUint32(10, crc32(data), true);
      view.setUint32(14, data.length, true);
      view.setUint32(18, data.length, true);
      view.setUint16(22, title.length, true);
      const entry = joined([utf8("PK\x03\x04"), common, title, data]), tail = new Uint8Array(14);
      new DataView(tail.buffer).setUint32(10, at, true);
      index.push(joined([utf8("PK\x01\x02"), Uint8Array.of(20, 0), common, tail, title]));
      parts.push(entry);
      at += entry.length;
    }
    const listing = joined(index), end = new Uint8Array(18), view = new DataView(end.buffer);
    view.setUint16(4, index.length, true);
    view.setUint16(6, index.length, true);
    view.setUint32(8, listing.length, true);
    view.setUint32(12, at, true);
    return joined([...parts, listing, utf8("PK\x05\x06"), end]);
  }

  /** The clone: what the tuner found (`result`) of a photo (`target`), for the model of a manifest. */
  function clone(result, target, initial, model) {
    const shape = [1, model.num_ws, model.w_dim], image = [1, 3, model.resolution, model.resolution];
    const tensors = {
      ws: { type: "F32", shape, data: result.ws },
      target: { type: "F32", shape: image, data: target },
      initial: { type: "F32", shape: image, data: initial },
      initial_ws: { type: "F32", shape, data: result.ws0 },
    };
    result.names.forEach((name, k) => {
      const delta = Uint16Array.from(result.tuned[k], (value, i) => half(Math.fround(value - result.original[k][i])));
      tensors[`weights/${name}`] = { type: "F16", shape: [1, ...result.shapes[k]], data: delta };
    });
    const file = safetensors(tensors);
    const facts = {
      method: "near-perfect", seconds: result.seconds, config: model.tuning, history: result.history, scores: {}, warnings: [""],
      model: model.name, model_sha256: model.sha256, photos: 1, format: model.clone_format, sha256: sha256(file),
    };
    return zip({ "clone/clone.safetensors": file, "clone/clone.json": utf8(`${JSON.stringify(facts, null, 1)}\n`) });
  }

  return { clone, crc32, half, safetensors, sha256, unhalf, zip };
})();
window.ganinvCloneFile = ganinvCloneFile;
