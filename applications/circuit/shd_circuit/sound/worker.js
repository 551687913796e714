// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// In a thread of its own: turns samples into spikes, and an utterance's spikes into an answer.
const RATE_HZ = 48000;
const CHANNELS = 700;
const LONGEST_S = 15; // of a recording: the modules were compiled for it
const LONGEST = LONGEST_S * RATE_HZ;
const CHECK = RATE_HZ / 10; // samples from one check for the utterance's end to the next
const MOST_BUSY = 0.7; // share of the time that the preview may take
let cochlea, network, has_confidence, samples, n, is_open, busy_ms, checked;

// Run the network's program as a terminal would: text in, text out.
function run(text) {
  const input = new TextEncoder().encode(text);
  const decoder = new TextDecoder();
  let memory, at = 0, output = "";
  const view = () => new DataView(memory.buffer);
  // Give each buffer of a list to `use`, which returns how many bytes it took or left there.
  const each = (list, count, written, use) => {
    let total = 0;
    for (let i = 0; i < count; i++) {
      const address = view().getUint32(list + 8 * i, true), size = view().getUint32(list + 8 * i + 4, true);
      total += use(new Uint8Array(memory.buffer, address, size));
    }
    view().setUint32(written, total, true);
    return 0;
  };
  const wasi = {
    fd_read: (file, ...where) => each(...where, (part) => {
      const next = input.subarray(at, at + part.length);
      part.set(next);
      at += next.length;
      return next.length;
    }),
    fd_write: (file, ...where) => each(...where, (part) => {
      output += decoder.decode(part, { stream: true });
      return part.length;
    }),
    fd_fdstat_get: (file, status) => {
      new Uint8Array(memory.buffer, status, 24).fill(0)[0] = 4; // a file
      return 0;
    },
    fd_close: () => 0,
    fd_seek: () => 70, // a pipe
    proc_exit: (status) => {
      throw new Error(`the network's program ended with ${status}: ${output}`);
    },
  };
  const { exports } = new WebAssembly.Instance(network, { wasi_snapshot_preview1: wasi });
  memory = exports.memory;
  exports._start();
  return output;
}

// What `reference.c` prints with -DTRACE, as step, index, step, index, ... of each kind; of a
// membrane readout also the scores after each step.
function answer(text) {
  const found = { i: [], h: [], o: [] }, scores = [];
  const lines = run(text).trimEnd().split("\n");
  const [best, ...counts] = lines.pop().split(" ").map(Number);
  const is_accepted = has_confidence ? counts.pop() === 1 : true;
  const confidence = has_confidence ? counts.pop() / 1000 : null;
  for (const line of lines) {
    const [kind, step, ...which] = line.split(" ");
    if (kind === "v") scores.push(which.map((mem, k) => Number(mem) + (scores.at(-1)?.[k] ?? 0)));
    else if (kind !== "u") for (const index of which) found[kind].push(Number(step), Number(index));
  }
  return { best, counts, confidence, is_accepted, scores, events: found.i, hidden: found.h, output: found.o };
}

function spikes() { // as step * CHANNELS + unit
  const found = [];
  for (let at = cochlea.next(0); at >= 0; at = cochlea.next(at + 1)) found.push(at);
  return found;
}

function message() {
  const bytes = new Uint8Array(cochlea.memory.buffer, cochlea.why());
  const text = new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  return text.replace(/%\.(\d)f/, (_, digits) => cochlea.number().toFixed(digits));
}

function trouble(says) {
  postMessage({ kind: "trouble", says });
}

function finish(note = "") {
  const start = performance.now();
  is_open = false;
  const steps = cochlea.encode(n);
  if (!steps) return trouble(message() + note);
  const encoded = spikes(), per_ms = RATE_HZ / 2000;
  const lines = encoded.map((at) => `${Math.floor(Math.floor(at / CHANNELS) / per_ms)} ${at % CHANNELS}\n`);
  const from = Math.max(0, cochlea.from());
  const found = answer(lines.join("") + "\n");
  postMessage({
    kind: "utterance", spikes: encoded, before: from - cochlea.from(), warning: message() + note, ...found,
    sound: samples.slice(from, Math.min(n, cochlea.to())),
    took_ms: performance.now() - start, busy: busy_ms / (n / (RATE_HZ / 1000)),
  });
}

// Run an action, and count its time as part of the preview's.
function timed(action) {
  const start = performance.now(), result = action();
  busy_ms += performance.now() - start;
  return result;
}

function take(part) {
  if (!is_open) return;
  part = part.subarray(0, LONGEST - n);
  samples.set(part, n);
  n += part.length;
  const is_slow = () => busy_ms > MOST_BUSY * n / (RATE_HZ / 1000); // then the preview comes later
  for (let steps; !is_slow() && (steps = timed(() => cochlea.go_on(n))); )
    postMessage({ kind: "preview", steps, spikes: spikes() });
  if (n < LONGEST && n < checked + CHECK) return;
  checked = n;
  if (n === LONGEST || timed(() => cochlea.ended(n))) {
    postMessage({ kind: "ended" });
    finish(n === LONGEST ? ` The recording was ended after ${LONGEST_S} s.` : "");
  }
}

const actions = {
  async start(given) {
    has_confidence = given.has_confidence;
    const bytes = given.modules.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
    cochlea = (await WebAssembly.instantiate(bytes[0])).instance.exports;
    network = await WebAssembly.compile(bytes[1]);
    cochlea._initialize();
    cochlea.start();
    samples = new Float32Array(cochlea.memory.buffer, cochlea.samples(), LONGEST);
    for (let k = 0; k < 3; k++) { // the first utterances are slow: the browser compiles while they run
      n = samples.fill(0).length / 30;
      for (let i = n / 3; i < (2 * n) / 3; i++) samples[i] = 0.1 * Math.sin(i / 20);
      cochlea.encode(n);
      answer("0 300\n\n");
    }
    postMessage({ kind: "ready" });
  },
  begin() {
    n = busy_ms = checked = 0;
    is_open = true;
    cochlea.begin();
  },
  take: ({ part }) => take(part),
  whole({ part }) { // a file
    const seconds = (part.length / RATE_HZ).toFixed(1);
    if (part.length > LONGEST) return trouble(`The sound is ${seconds} s long, and at most ${LONGEST_S} s are taken. Cut out one digit.`);
    if (!part.length) return trouble("The sound is empty. Choose another file.");
    if (!part.every(Number.isFinite)) return trouble("The sound has samples that aren't finite numbers. Save it again.");
    n = part.length;
    busy_ms = 0;
    samples.set(part);
    finish();
  },
  finish: () => is_open && finish(),
};

// What to say about an error: without SIMD, the browser can't compile the modules.
function failure(error) {
  if (typeof WebAssembly === "undefined" || error instanceof WebAssembly.CompileError)
    return "This browser can't run the page. It needs WebAssembly with SIMD, which browsers have since 2023.";
  return `The page's program failed (${error.message}). Reload the page.`;
}

// Report every error to the page: a rejected promise leads to no `error` event of the worker.
onmessage = async ({ data }) => {
  try {
    await actions[data.kind](data);
  } catch (error) {
    postMessage({ kind: "failed", during: data.kind, says: failure(error) });
  }
};
