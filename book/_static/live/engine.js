/* Networks in a worker, so that the page stays responsive while they compute.

     const engine = await ganinvLive.engine();
     await engine.open("mapping", bytes);                                   // an ONNX file
     const { ws } = await engine.run("mapping", { z: ganinvTensor(z, [1, 128]) });

   A tensor is {data: Float32Array, dims: [...]}. */
"use strict";

const ganinvTensor = (data, dims) => ({ data: data instanceof Float32Array ? data : Float32Array.from(data), dims });

/* What runs in the worker. Its text is taken, so it may use nothing from outside, besides `ort`, which is put before it. */
function ganinvWorker(self) {
  const sessions = new Map();
  const commands = {
    start({ glue, wasm }) {
      ort.env.wasm.numThreads = 1;
      ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([glue], { type: "text/javascript" })) };
      ort.env.wasm.wasmBinary = wasm;
    },
    async open({ name, bytes }) {
      sessions.set(name, await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 3 }));
    },
    async run({ name, feeds }) {
      const began = performance.now();
      const tensors = {};
      for (const [key, { data, dims }] of Object.entries(feeds)) tensors[key] = new ort.Tensor("float32", data, dims);
      const found = await sessions.get(name).run(tensors);
      const result = {};
      for (const [key, tensor] of Object.entries(found)) result[key] = { data: tensor.data, dims: [...tensor.dims] };
      return { result, ms: performance.now() - began };
    },
    async close({ name }) {
      await sessions.get(name)?.release();
      sessions.delete(name);
    },
  };
  let last = Promise.resolve(); // one after the other: a session cannot run twice at once
  self.addEventListener("message", ({ data: { id, command, ...told } }) => {
    last = last.then(async () => {
      try {
        self.postMessage({ id, answer: await commands[command](told) });
      } catch (error) {
        self.postMessage({ id, error: String(error?.message ?? error) });
      }
    });
  });
  return { commands, sessions };
}

class ganinvEngine {
  constructor(ort, glue, wasm, extras) {
    const worker = `const ganinv = (${ganinvWorker})(self);\n${extras.map((extra) => `(${extra})(self, ganinv);`).join("\n")}`;
    const address = URL.createObjectURL(new Blob([ort, ";\n", worker], { type: "text/javascript" }));
    this.worker = new Worker(address);
    this.waiting = new Map();
    this.listeners = new Map();
    this.count = 0;
    this.worker.addEventListener("message", ({ data: { id, answer, error, news } }) => {
      if (news) return this.listeners.get(news)?.(answer);
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      error === undefined ? resolve(answer) : reject(new Error(error));
    });
    this.worker.addEventListener("error", (event) => {
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || "the worker did not start"));
      this.waiting.clear();
    });
    this.ask("start", { glue, wasm });
  }

  /** Ask the worker for something: a promise of its answer. */
  ask(command, told = {}, transfer = []) {
    const id = ++this.count;
    this.worker.postMessage({ id, command, ...told }, transfer);
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  /** What to do with news that the worker sends unasked. */
  on(news, listener) {
    this.listeners.set(news, listener);
  }

  /** Get a network ready. */
  open(name, bytes) {
    return this.ask("open", { name, bytes });
  }

  /** Run one: {output: tensor} from {input: tensor}; `ms` is how long the last run took. */
  async run(name, feeds) {
    const { result, ms } = await this.ask("run", { name, feeds });
    this.ms = ms;
    return result;
  }

  close(name) {
    return this.ask("close", { name });
  }

  stop() {
    this.worker.terminate();
  }
}
window.ganinvEngine = ganinvEngine;
window.ganinvTensor = ganinvTensor;
