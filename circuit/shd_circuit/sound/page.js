// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// The page: a microphone or a file, what the worker finds in it, and pictures of that.
const parts = JSON.parse(document.getElementById("parts").textContent);
const RATE_HZ = 48000;
const CHANNELS = 700;
const PER_MS = RATE_HZ / 2000; // steps of the ear
const PREVIEW_MS = 2000; // that is shown while one speaks
const LARGEST_BYTES = 20e6;
const SENTENCES = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it (the sign beside the address), or choose a sound file.",
  NotFoundError: "No microphone was found. Plug one in, or choose a sound file.",
  NotReadableError: "The microphone can't be used: another program may hold it. Close that, or choose a sound file.",
};
const INSECURE = "Browsers lend the microphone only to files, and to pages of this machine (localhost) or of https. Choose a sound file instead.";
// an audio processor that hands on what it hears, a piece of 21 ms at a time
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  piece = new Float32Array(1024);
  n = 0;
  process([[channel]]) {
    if (!channel) return true;
    this.piece.set(channel, this.n);
    if ((this.n += channel.length) === this.piece.length) {
      this.port.postMessage(this.piece);
      this.n = 0;
    }
    return true;
  }
})`;

const at = (id) => document.getElementById(id);
const worker = new Worker(URL.createObjectURL(new Blob([parts.worker], { type: "text/javascript" })));
const step_ms = parts.pool_steps * parts.bin_ms;
const end_ms = parts.n_steps * step_ms;
let word = null; // what the worker found last
let preview = null; // while one speaks: spikes so far, and how long that is
let microphone = null; // its stream and its audio context

// ------------------------------------------------------------------ pictures

function canvas(id, says) {
  const element = at(id), scale = window.devicePixelRatio || 1;
  element.width = element.clientWidth * scale;
  element.height = element.clientHeight * scale;
  element.setAttribute("aria-label", says);
  const pen = element.getContext("2d");
  pen.clearRect(0, 0, element.width, element.height);
  return { pen, width: element.width, height: element.height, dot: scale };
}

// Dots of pairs (ms, row) until a time; rows from the top.
function dots(id, says, pairs, rows, from_ms, to_ms, until_ms, wide_ms, color) {
  const { pen, width, height, dot } = canvas(id, says);
  const wide = Math.max(dot, (wide_ms / (to_ms - from_ms)) * width), high = Math.max(dot, height / rows);
  pen.fillStyle = color;
  for (let i = 0; i < pairs.length; i += 2)
    if (pairs[i] >= from_ms && pairs[i] < until_ms)
      pen.fillRect(((pairs[i] - from_ms) / (to_ms - from_ms)) * width, (pairs[i + 1] / rows) * height, wide, high);
  if (until_ms < to_ms) {
    pen.fillStyle = "#d55e00";
    pen.fillRect(((until_ms - from_ms) / (to_ms - from_ms)) * width, 0, dot, height);
  }
  axis({ pen, width, height, dot }, from_ms, to_ms);
}

// Ticks of the time axis, at the lower edge.
function axis({ pen, width, height, dot }, from_ms, to_ms) {
  pen.font = `${10 * dot}px system-ui, sans-serif`;
  pen.textAlign = "center";
  for (let ms = Math.ceil(from_ms / 200) * 200; ms < to_ms; ms += 200) {
    const x = ((ms - from_ms) / (to_ms - from_ms)) * width;
    pen.fillStyle = "#666";
    pen.fillRect(x, height - 5 * dot, dot, 5 * dot);
    if (ms > from_ms) pen.fillText(`${ms} ms`, x, height - 7 * dot);
  }
}

const of_ear = (spikes, begin_ms = 0) =>
  spikes.flatMap((at) => [begin_ms + Math.floor(at / CHANNELS) / PER_MS, at % CHANNELS]);
const of_steps = (pairs) => pairs.map((value, i) => (i % 2 ? value : value * step_ms));
const count = (n, what) => `${n.toLocaleString("en")} ${what}`;

function draw_sound(until_ms) {
  const { pen, width, height, dot } = canvas("sound", "The word's sound");
  const most = word.sound.reduce((high, x) => Math.max(high, Math.abs(x)), 1e-9);
  pen.fillStyle = "#222";
  for (let x = 0; x < width; x++) { // the highest and the lowest sample of each column
    const place = (x) => Math.floor((x / width) * end_ms * (RATE_HZ / 1000)) - word.before;
    const piece = word.sound.subarray(Math.max(0, place(x)), Math.max(0, place(x + 1)));
    if (!piece.length || (x / width) * end_ms >= until_ms) continue;
    const high = piece.reduce((a, b) => Math.max(a, b)), low = piece.reduce((a, b) => Math.min(a, b));
    pen.fillRect(x, (height / 2) * (1 - high / most), 1, Math.max(dot, ((high - low) / most) * (height / 2)));
  }
  axis({ pen, width, height, dot }, 0, end_ms);
}

function draw_votes(counts) {
  const best = Math.max(...counts), lowest = Math.min(...counts, 0);
  const range = Math.max(best - lowest, 1); // sums of membranes may all be below 0
  at("votes").replaceChildren(...parts.words.map((name, k) => {
    const line = document.createElement("li"), label = document.createElement("span"), bar = document.createElement("i");
    label.textContent = `${name}: ${counts[k].toLocaleString("en")}`;
    bar.style.width = `${(100 * (counts[k] - lowest)) / range}%`;
    line.className = counts[k] === best && best !== 0 ? "ahead" : "";
    line.append(label, bar);
    return line;
  }));
}

function draw() {
  if (preview) {
    const to_ms = Math.max(PREVIEW_MS, preview.ms);
    const says = "Preview of the spikes, at a running level";
    return dots("spikes", says, preview.pairs, CHANNELS, to_ms - PREVIEW_MS, to_ms, to_ms, 1, "#777");
  }
  if (!word) return;
  const steps = Number(at("until").value), until_ms = steps * step_ms;
  const until = (pairs) => pairs.filter((_, i) => pairs[i - (i % 2)] < steps);
  const events = until(word.events.filter((_, i, all) => all[i | 1] < parts.n_units)); // those of no delay
  const hidden = until(word.hidden), output = until(word.output);
  const votes = parts.words.map((_, k) => output.filter((which, i) => i % 2 && which === k).length);
  const counts = parts.is_membrane && steps ? word.scores[Math.min(steps, word.scores.length) - 1] : votes;
  draw_sound(until_ms);
  const heard = of_ear(word.spikes), n_heard = heard.filter((ms, i) => i % 2 === 0 && ms < until_ms).length;
  const says = {
    spikes: count(n_heard, `spikes of ${CHANNELS} channels, high tones at the top`),
    events: count(events.length / 2, `events of ${parts.n_units} blocks of channels x ${parts.n_steps} steps: all that the network gets`),
    hidden: count(hidden.length / 2, `spikes of ${parts.n_hidden} hidden neurons`),
  };
  dots("spikes", says.spikes, heard, CHANNELS, 0, end_ms, until_ms, 1, "#222");
  dots("events", says.events, of_steps(events), parts.n_units, 0, end_ms, until_ms, step_ms, "#222");
  dots("hidden", says.hidden, of_steps(hidden), parts.n_hidden, 0, end_ms, until_ms, step_ms, "#0072b2");
  for (const [id, text] of Object.entries(says)) at(`${id}-says`).textContent = text;
  draw_votes(steps === parts.n_steps ? word.counts : counts);
  const ahead = counts.indexOf(Math.max(...counts)), most = counts[ahead];
  at("time").textContent = `${until_ms} ms`;
  at("until").setAttribute("aria-valuetext", `After ${until_ms} ms ${most ? `${parts.words[ahead]} is ahead with ${most} ${parts.is_membrane ? "(sum of its membrane)" : "votes"}` : "nobody has a vote"}`);
}

// -------------------------------------------------------------------- sounds

const tell = (text) => (at("status").textContent = text);
function buttons() {
  at("record").disabled = at("file").disabled = at("sample").disabled = false;
  at("record").textContent = microphone ? "Stop" : "Say a digit";
}

function stop() { // the microphone
  microphone?.stream.getTracks().forEach((track) => track.stop());
  microphone?.context.close();
  microphone = preview = null;
  buttons();
}

async function record() {
  if (!navigator.mediaDevices) return tell(INSECURE);
  at("record").disabled = true; // while the browser asks for permission
  let stream, context;
  try {
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
    context = new AudioContext({ sampleRate: RATE_HZ });
    await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(TAP)}`);
    const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    tap.port.onmessage = ({ data }) => worker.postMessage({ kind: "take", part: data });
    preview = { pairs: [], ms: 0 };
    worker.postMessage({ kind: "begin" });
    context.createMediaStreamSource(stream).connect(tap);
  } catch (error) {
    preview = null;
    stream?.getTracks().forEach((track) => track.stop());
    context?.close();
    tell(SENTENCES[error.name] ?? `The microphone can't be used (${error.message}). Choose a sound file instead.`);
    return buttons();
  }
  microphone = { stream, context };
  tell("Say a digit now. (What moves is a preview: a word's level is known at its end.)");
  at("spikes-says").textContent = `Preview: spikes of ${CHANNELS} channels at a running level, high tones at the top`;
  buttons();
}

// What to say of an answer: a network without a threshold has no confidence.
function verdict({ best, confidence, is_accepted }) {
  const answer = `The network answers ${parts.words[best]}.`;
  if (confidence === null) return answer;
  const share = `${(100 * confidence).toFixed(0)} %`;
  if (is_accepted) return `${answer} Its confidence is ${share}.`;
  return `${answer} But its confidence is only ${share}, so it rejects the sound: perhaps it is no digit.`;
}

async function load(file) {
  if (file.size > LARGEST_BYTES) return tell("The file is larger than 20 MB. Cut out one word.");
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, RATE_HZ).decodeAudioData(await file.arrayBuffer());
  } catch {
    return tell("That is no sound that the browser can read. Choose a wav or flac file.");
  }
  const part = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++)
    sound.getChannelData(channel).forEach((x, i) => (part[i] += x / sound.numberOfChannels));
  worker.postMessage({ kind: "whole", part });
}

const answers = {
  ready() {
    buttons();
    tell("Ready.");
  },
  preview({ steps, spikes }) {
    if (!preview) return;
    for (const value of of_ear(spikes, preview.ms)) preview.pairs.push(value);
    preview.ms += steps / PER_MS;
    requestAnimationFrame(draw);
  },
  ended: stop,
  trouble({ says }) {
    stop();
    tell(`${says}${word ? " (The pictures show the word before.)" : ""}`);
    draw();
  },
  word(found) {
    stop();
    word = found;
    at("until").disabled = false;
    at("until").value = parts.n_steps;
    draw();
    const took = `Encoded and answered in ${word.took_ms.toFixed(0)} ms`;
    at("took").textContent = `${took}${word.busy ? `; the preview took ${(100 * word.busy).toFixed(0)} % of the time` : ""}.`;
    tell(`${verdict(word)} ${word.warning}`.trimEnd());
  },
};
worker.onmessage = ({ data }) => answers[data.kind](data);
worker.onerror = () => tell("This browser can't run the page: it needs WebAssembly with SIMD, as browsers since 2023 have it.");

at("record").onclick = () => (microphone ? worker.postMessage({ kind: "finish" }) : record());
at("file").onclick = () => (at("file").value = ""); // so that the same file can be taken again
at("file").onchange = () => at("file").files.length && load(at("file").files[0]);
at("sample").onclick = () => load(new Blob([Uint8Array.from(atob(parts.sample), (c) => c.charCodeAt(0))]));
at("until").max = parts.n_steps;
at("until").value = parts.n_steps;
at("until").oninput = draw;
window.onresize = draw;
at("chances").textContent = parts.chances;
at("notice").innerHTML = parts.notice;
draw_votes(parts.words.map(() => 0));
worker.postMessage({ kind: "start", modules: parts.modules, accepts: parts.has_confidence });
