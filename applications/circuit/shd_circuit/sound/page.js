// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// The page: gives sound to the C program, a sample at a time, and draws what the program finds.
const parts = JSON.parse(document.getElementById("parts").textContent);
const RATE_HZ = 15625; // of the filter bank
const FILE_HZ = 48000;
const STEP_MS = (1000 * parts.step_samples) / RATE_HZ;
const SHOWN = Math.round(3000 / STEP_MS); // steps
const MOST_ANSWERS = 10; // listed
const LONGEST_S = 60; // of a file
const LARGEST_BYTES = 20e6;
const OTHER = "other"; // the class of all other sounds
const [BEGINS, ENDS, IS_DROPPED] = [1, 3, 4]; // as in filter_bank.h
const NO_STEP = -1;
const MARGIN = { left: 44, right: 4, top: 4, bottom: 18 }; // of a plot, for its axes
const MESSAGES = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it (the sign beside the address), or choose a sound file.",
  NotFoundError: "No microphone was found. Plug one in, or choose a sound file.",
  NotReadableError: "The microphone can't be used, perhaps because another program uses it. Close that program, or choose a sound file.",
};
const INSECURE = "Browsers lend the microphone only to files, and to pages of this machine (localhost) or of https. Choose a sound file instead.";
// an audio processor that passes the microphone's samples on, some 10 ms at a time
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  piece = new Float32Array(512);
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
let program = null; // the C program
let steps = []; // the last ones: level, channels with an event, and whether an utterance has them
let utterance = []; // its steps so far, also in `steps`
let answers = []; // the newest first
let microphone = null; // its stream and its audio context

// -------------------------------------------------------------------- sounds

// Resample as `to_samples` in bank.py does, in blocks: a low pass with a Kaiser window (Kaiser 1974)
// that reaches ten samples of the slower rate.
class Resampler {
  constructor(rate) {
    const divisor = (a, b) => (b ? divisor(b, a % b) : a);
    this.up = RATE_HZ / divisor(RATE_HZ, rate);
    this.down = rate / divisor(RATE_HZ, rate);
    const slower = Math.max(this.up, this.down);
    this.half = 10 * slower;
    const bessel = (x) => {
      let sum = 1, term = 1;
      for (let k = 1; term > 1e-17 * sum; k++) sum += term *= (x * x) / (4 * k * k);
      return sum;
    };
    this.weights = Float64Array.from({ length: 2 * this.half + 1 }, (_, i) => {
      const place = i / this.half - 1, angle = (Math.PI * (i - this.half)) / slower;
      return (angle ? Math.sin(angle) / angle : 1) * bessel(5 * Math.sqrt(1 - place * place));
    });
    const scale = this.up / this.weights.reduce((sum, weight) => sum + weight);
    this.weights.forEach((weight, i) => (this.weights[i] = scale * weight));
    this.waiting = [];
    this.first = 0; // number of the first waiting sample
    this.next = 0; // number of the next sample that is returned
  }

  process(block) {
    for (const sample of block) this.waiting.push(sample);
    const samples = [];
    for (; ; this.next++) {
      const center = this.next * this.down;
      const from = Math.max(0, Math.ceil((center - this.half) / this.up));
      const to = Math.floor((center + this.half) / this.up);
      if (to >= this.first + this.waiting.length) {
        this.waiting.splice(0, from - this.first);
        this.first = Math.max(this.first, from);
        return samples;
      }
      let sum = 0;
      for (let k = from; k <= to; k++)
        sum += this.waiting[k - this.first] * this.weights[center - k * this.up + this.half];
      samples.push(Math.min(Math.max(Math.round(32768 * sum), -32768), 32767));
    }
  }
}

// A second of noise before and after a sound, as loud as its quietest 10 ms: then floors settle.
function surrounded(sound) {
  const frame = FILE_HZ / 100;
  let quietest = Infinity;
  for (let i = 0; i + frame <= sound.length; i += frame) {
    const piece = sound.subarray(i, i + frame), mean = piece.reduce((sum, x) => sum + x) / frame;
    quietest = Math.min(quietest, piece.reduce((sum, x) => sum + (x - mean) ** 2, 0) / frame);
  }
  const loudness = Math.sqrt(12 * quietest); // of numbers from -1/2 to 1/2
  const noise = () => Float32Array.from({ length: FILE_HZ }, () => loudness * (Math.random() - 0.5));
  return [noise(), sound, noise()];
}

const memory = (type, address, n) => new type(program.memory.buffer, address, n);

function answer() {
  const [best, confidence, is_accepted] = memory(Int32Array, program.found(), 3);
  const scores = [...memory(Int32Array, program.scores(), parts.classes.length)];
  answers.unshift({ best, confidence: confidence / 1000, is_accepted: Boolean(is_accepted), scores });
  answers.length = Math.min(answers.length, MOST_ANSWERS);
  show(answers[0]);
}

function take_step(status) {
  const events = memory(Uint8Array, program.events(), Math.ceil(parts.n_channels / 8));
  const channels = [...Array(parts.n_channels).keys()].filter((k) => (events[k >> 3] >> (k & 7)) & 1);
  const step = { level: Math.max(...memory(Uint8Array, program.levels(), parts.n_channels)), channels, belongs: false };
  steps.push(step);
  if (status === BEGINS) utterance = steps.slice(-parts.n_replayed);
  else if (utterance.length) utterance.push(step);
  for (const each of utterance) each.belongs = status !== IS_DROPPED;
  if (status === ENDS) answer();
  if (status === ENDS || status === IS_DROPPED) utterance = [];
  steps.splice(0, steps.length - SHOWN);
}

function take(samples) {
  for (const sample of samples) {
    const status = program.hear(sample);
    if (status !== NO_STEP) take_step(status);
  }
  requestAnimationFrame(draw);
}

function begin() {
  program.start();
  steps = [];
  utterance = [];
}

// --------------------------------------------------------------------- plots

// Clear a canvas and draw its axes; returns its pen, and where a step and a row are.
function plot(id, says, rows, title) {
  const element = at(id), scale = window.devicePixelRatio || 1;
  element.width = element.clientWidth * scale;
  element.height = element.clientHeight * scale;
  element.setAttribute("aria-label", says);
  const pen = element.getContext("2d");
  pen.scale(scale, scale);
  const width = element.clientWidth - MARGIN.left - MARGIN.right;
  const height = element.clientHeight - MARGIN.top - MARGIN.bottom;
  const x = (step) => MARGIN.left + (step / SHOWN) * width;
  const y = (row) => MARGIN.top + (row / rows) * height;
  pen.strokeStyle = "#bbb";
  pen.strokeRect(MARGIN.left - 0.5, MARGIN.top - 0.5, width + 1, height + 1);
  pen.fillStyle = "#555";
  pen.font = "11px system-ui, sans-serif";
  pen.textAlign = "center";
  for (let ms = 500; ms < SHOWN * STEP_MS - 50; ms += 500) pen.fillText(`${ms} ms`, x(ms / STEP_MS), y(rows) + 15);
  pen.translate(11, y(rows / 2));
  pen.rotate(-Math.PI / 2);
  pen.fillText(title, 0, 0);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  return { pen, x, y, wide: Math.max(1, x(1) - x(0)), high: Math.max(1, y(1) - y(0)) };
}

const color = ({ belongs }) => (belongs ? "#0072b2" : "#777");

function draw() {
  const n_events = steps.reduce((sum, { channels }) => sum + channels.length, 0);
  const events = plot("events", `${n_events} events of ${parts.n_channels} channels`, parts.n_channels, "channel");
  const level = plot("level", "Level of the sound", 255, "level");
  steps.forEach((step, i) => {
    events.pen.fillStyle = level.pen.fillStyle = color(step);
    for (const channel of step.channels) events.pen.fillRect(events.x(i), events.y(channel), events.wide, events.high);
    level.pen.fillRect(level.x(i), level.y(255 - step.level), level.wide, level.y(255) - level.y(255 - step.level));
  });
  if (utterance.length) draw_scores([...memory(Int32Array, program.scores(), parts.classes.length)]);
}

// A bar for each score, to the right of 0, or to the left of it if the score is negative.
function draw_scores(scores) {
  const highest = Math.max(...scores), lowest = Math.min(...scores, 0);
  const range = Math.max(Math.max(highest, 0) - lowest, 1);
  const percent_of = (score) => (100 * score) / range;
  at("scores").replaceChildren(...parts.classes.map((name, k) => {
    const [line, label, area, bar, zero, number] = ["li", "span", "span", "i", "b", "span"].map((tag) => document.createElement(tag));
    label.textContent = name;
    number.textContent = scores[k].toLocaleString("en");
    number.className = "number";
    area.className = "bar";
    bar.style.left = `${percent_of(Math.min(scores[k], 0) - lowest)}%`;
    bar.style.width = `${percent_of(Math.abs(scores[k]))}%`;
    zero.style.left = `${percent_of(-lowest)}%`;
    line.className = scores[k] === highest && highest !== lowest ? "highest" : "";
    area.append(bar, zero);
    line.append(label, area, number);
    return line;
  }));
}

const percent = (share) => (share > 0.999 ? "over 99.9 %" : `${(100 * share).toFixed(1)} %`);

// What to say about an answer. A network without a threshold never abstains.
function verdict({ best, confidence, is_accepted }) {
  const name = parts.classes[best];
  if (name === OTHER) return "The network abstains: the sound is none of these.";
  if (is_accepted) return `The network answers ${name}.`;
  return `The network abstains: perhaps the sound is none of these. Its best guess is ${name}, with a confidence of only ${percent(confidence)}.`;
}

function show(found) {
  tell(verdict(found), found.is_accepted ? "accepted" : "rejected");
  document.body.dataset.state = "answered";
  document.body.classList.toggle("abstains", !found.is_accepted);
  draw_scores(found.scores);
  at("confidence").hidden = !parts.has_confidence;
  const threshold = parts.threshold ?? 1;
  at("confidence-says").textContent = `Confidence: ${percent(found.confidence)}`;
  at("meter").setAttribute("aria-label", `Confidence ${percent(found.confidence)}, threshold ${percent(threshold)}`);
  at("meter").children[0].style.width = `${100 * found.confidence}%`;
  at("meter").children[1].style.left = `${100 * threshold}%`;
  at("threshold-says").textContent = `The line is the threshold, ${percent(threshold)}. The confidence is the highest score's share in the softmax of all scores.`;
  at("answers").textContent = answers.map(({ best, is_accepted }) => (is_accepted ? parts.classes[best] : "–")).join(", ");
}

// ------------------------------------------------------------------ controls

function tell(text, outcome = "") {
  at("status").textContent = text;
  at("status").dataset.outcome = outcome;
}

function buttons() {
  at("record").disabled = at("file").disabled = at("sample").disabled = false;
  at("record").textContent = microphone ? "Stop" : "Listen";
}

function stop() { // the microphone
  microphone?.stream.getTracks().forEach((track) => track.stop());
  microphone?.context.close();
  microphone = null;
  buttons();
}

async function record() {
  if (!navigator.mediaDevices) return tell(INSECURE, "trouble");
  at("record").disabled = true; // while the browser asks for permission
  let stream, context;
  try {
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
    context = new AudioContext();
    await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(TAP)}`);
    const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    const resampler = new Resampler(context.sampleRate);
    tap.port.onmessage = ({ data }) => take(resampler.process(data));
    context.createMediaStreamSource(stream).connect(tap);
  } catch (error) {
    stream?.getTracks().forEach((track) => track.stop());
    context?.close();
    tell(MESSAGES[error.name] ?? `The microphone can't be used (${error.message}). Choose a sound file instead.`, "trouble");
    return buttons();
  }
  microphone = { stream, context };
  begin();
  tell("Listening. Say one, make a pause, and say another one.");
  buttons();
}

async function load(file) {
  stop();
  if (!file.size) return tell("The file is empty. Choose another one.", "trouble");
  if (file.size > LARGEST_BYTES) return tell("The file is larger than 20 MB. Cut out one digit.", "trouble");
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, FILE_HZ).decodeAudioData(await file.arrayBuffer());
  } catch {
    return tell("The browser can't read that file as a sound. Choose a wav or flac file.", "trouble");
  }
  if (sound.duration > LONGEST_S) return tell(`The sound is ${sound.duration.toFixed(0)} s long, and at most ${LONGEST_S} s are taken. Cut out one digit.`, "trouble");
  const mono = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++)
    sound.getChannelData(channel).forEach((sample, i) => (mono[i] += sample / sound.numberOfChannels));
  if (mono.length < FILE_HZ / 100 || !mono.every(Number.isFinite)) return tell("The sound is shorter than 10 ms, or has samples that aren't finite numbers. Choose another one.", "trouble");
  begin();
  answers = [];
  const resampler = new Resampler(FILE_HZ);
  for (const part of surrounded(mono)) take(resampler.process(part));
  if (program.end() === ENDS) answer();
  if (!answers.length) tell("No utterance was found: nothing is louder than the background, or it doesn't end. Choose another file.", "trouble");
}

// Compile the C program, and tell if that fails.
async function start() {
  const bytes = Uint8Array.from(atob(parts.module), (c) => c.charCodeAt(0));
  try {
    program = (await WebAssembly.instantiate(bytes)).instance.exports;
    program._initialize();
  } catch (error) {
    return tell(`This browser can't run the page's program, which needs WebAssembly (${error.message}). Open the page in a newer browser.`, "trouble");
  }
  buttons();
  tell("Ready. No microphone? Try the recorded digit.");
  draw();
}

at("record").onclick = () => (microphone ? stop() : record());
at("file").onclick = () => (at("file").value = ""); // so that the same file can be chosen again
at("file").onchange = () => at("file").files.length && load(at("file").files[0]);
at("sample").onclick = () => load(new Blob([Uint8Array.from(atob(parts.sample), (c) => c.charCodeAt(0))]));
window.onresize = draw;
at("classes").textContent = parts.classes.filter((name) => name !== OTHER).join(", ");
at("accuracy").textContent = parts.accuracy;
at("notice").innerHTML = parts.notice;
start();
