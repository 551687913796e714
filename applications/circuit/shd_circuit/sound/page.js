// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// The page: records or loads a sound, lets the worker classify it, and draws what the worker found.
const parts = JSON.parse(document.getElementById("parts").textContent);
const RATE_HZ = 48000;
const CHANNELS = 700;
const STEPS_PER_MS = RATE_HZ / 2000; // of the cochlea
const PREVIEW_MS = 2000; // shown during a recording
const LARGEST_BYTES = 20e6;
const OTHER = "other"; // the class of sounds that are no digit
const MARGIN = { left: 44, right: 4, top: 4, bottom: 18 }; // of a plot, for its axes
const MESSAGES = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it (the sign beside the address), or choose a sound file.",
  NotFoundError: "No microphone was found. Plug one in, or choose a sound file.",
  NotReadableError: "The microphone can't be used, perhaps because another program uses it. Close that program, or choose a sound file.",
};
const INSECURE = "Browsers lend the microphone only to files, and to pages of this machine (localhost) or of https. Choose a sound file instead.";
// an audio processor that passes the microphone's samples on, 21 ms at a time
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
let utterance = null; // what the worker found last
let preview = null; // during a recording: spikes so far, and how long that is
let microphone = null; // its stream and its audio context

// --------------------------------------------------------------------- plots

// Clear a canvas and draw its axes; returns its pen, and where a time and a row are.
function plot(id, says, { from_ms = 0, to_ms = end_ms, rows = 0, title }) {
  const element = at(id), scale = window.devicePixelRatio || 1;
  element.width = element.clientWidth * scale;
  element.height = element.clientHeight * scale;
  element.setAttribute("aria-label", says);
  const pen = element.getContext("2d");
  pen.scale(scale, scale);
  const width = element.clientWidth - MARGIN.left - MARGIN.right;
  const height = element.clientHeight - MARGIN.top - MARGIN.bottom;
  const x = (ms) => MARGIN.left + ((ms - from_ms) / (to_ms - from_ms)) * width;
  const y = (row) => MARGIN.top + (rows ? row / rows : row) * height;
  pen.strokeStyle = "#bbb";
  pen.strokeRect(MARGIN.left - 0.5, MARGIN.top - 0.5, width + 1, height + 1);
  pen.fillStyle = "#555";
  pen.font = "11px system-ui, sans-serif";
  pen.textAlign = "center";
  for (let ms = Math.ceil(from_ms / 200) * 200; ms <= to_ms - 50; ms += 200) {
    pen.fillRect(x(ms), y(rows || 1), 1, 4);
    pen.fillText(ms ? `${ms} ms` : "0", x(ms), y(rows || 1) + 15);
  }
  pen.textAlign = "right";
  const apart = rows > 400 ? 200 : rows > 200 ? 100 : 50;
  for (let row = 0; row < rows; row += apart) {
    pen.fillRect(MARGIN.left - 5, y(row), 4, 1);
    pen.fillText(row, MARGIN.left - 7, y(row) + (row ? 4 : 8));
  }
  pen.save();
  pen.translate(11, y((rows || 1) / 2));
  pen.rotate(-Math.PI / 2);
  pen.textAlign = "center";
  pen.fillText(title, 0, 0);
  pen.restore();
  return { pen, x, y, width };
}

// The time that is chosen, as a line.
function draw_time({ pen, x, y }, until_ms, rows) {
  pen.fillStyle = "#d55e00";
  if (until_ms < end_ms) pen.fillRect(x(until_ms), y(0), 1, y(rows) - y(0));
}

// Dots of pairs (ms, row) until a time; row 0 is at the top.
function dots(id, says, pairs, until_ms, wide_ms, color, axes) {
  const drawn = plot(id, says, axes), { pen, x, y } = drawn;
  const from_ms = axes.from_ms ?? 0;
  const wide = Math.max(1, x(wide_ms) - x(0)), high = Math.max(1, y(1) - y(0));
  pen.fillStyle = color;
  for (let i = 0; i < pairs.length; i += 2)
    if (pairs[i] >= from_ms && pairs[i] < until_ms)
      pen.fillRect(x(pairs[i]), y(pairs[i + 1]), wide, high);
  if (axes.to_ms === undefined) draw_time(drawn, until_ms, axes.rows);
}

const of_cochlea = (spikes, begin_ms = 0) =>
  spikes.flatMap((spike) => [begin_ms + Math.floor(spike / CHANNELS) / STEPS_PER_MS, spike % CHANNELS]);
const of_steps = (pairs) => pairs.map((value, i) => (i % 2 ? value : value * step_ms));
const count = (n, what) => `${n.toLocaleString("en")} ${what}`;
const percent = (share) => (share > 0.999 ? "over 99.9 %" : `${(100 * share).toFixed(1)} %`);

function draw_sound(until_ms) {
  const drawn = plot("sound", "The sound of the utterance", { title: "amplitude" }), { pen, y, width } = drawn;
  const largest = utterance.sound.reduce((high, sample) => Math.max(high, Math.abs(sample)), 1e-9);
  const sample_at = (column) => Math.floor((column / width) * end_ms * (RATE_HZ / 1000)) - utterance.before;
  pen.fillStyle = "#222";
  for (let column = 0; column < width; column++) { // from its highest to its lowest sample
    const piece = utterance.sound.subarray(Math.max(0, sample_at(column)), Math.max(0, sample_at(column + 1)));
    if (!piece.length || (column / width) * end_ms >= until_ms) continue;
    const high = y(0.5 - Math.max(...piece) / largest / 2), low = y(0.5 - Math.min(...piece) / largest / 2);
    pen.fillRect(MARGIN.left + column, high, 1, Math.max(1, low - high));
  }
  draw_time(drawn, until_ms, 1);
}

// A bar for each score, to the right of 0, or to the left of it if the score is negative.
function draw_scores(scores) {
  const highest = Math.max(...scores), lowest = Math.min(...scores, 0);
  const range = Math.max(Math.max(highest, 0) - lowest, 1);
  const percent_of = (score) => (100 * score) / range;
  at("scores").replaceChildren(...parts.digits.map((name, k) => {
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

function draw_confidence({ best, confidence, is_accepted }) {
  at("confidence").hidden = confidence === null; // a network without a threshold has none
  document.body.classList.toggle("abstains", !is_accepted);
  if (confidence === null) return;
  const compared = is_accepted ? "reaches it, so the network answers" : "is below it, so the network abstains";
  const outcome = parts.digits[best] === OTHER ? "is that of other sounds, so the network abstains" : compared;
  const threshold = parts.threshold ?? 1;
  at("confidence-says").textContent = `Confidence: ${percent(confidence)}`;
  at("threshold-says").textContent = `The line is the threshold, ${percent(threshold)}. The confidence ${outcome}. It is the highest score's share in the softmax of all scores.`;
  at("meter").setAttribute("aria-label", `Confidence ${percent(confidence)}, threshold ${percent(threshold)}`);
  at("meter").children[0].style.width = `${100 * confidence}%`;
  at("meter").children[1].style.left = `${100 * threshold}%`;
}

function draw_preview() {
  const to_ms = Math.max(PREVIEW_MS, preview.ms);
  const axes = { from_ms: to_ms - PREVIEW_MS, to_ms, rows: CHANNELS, title: "channel" };
  dots("spikes", "Preview of the spikes", preview.pairs, to_ms, 1, "#777", axes);
}

function draw() {
  document.body.dataset.state = preview ? "preview" : utterance ? "answered" : "start";
  if (preview) return draw_preview();
  if (!utterance) return;
  const steps = Number(at("until").value), until_ms = steps * step_ms;
  const until = (pairs) => pairs.filter((_, i) => pairs[i - (i % 2)] < steps);
  const events = until(utterance.events.filter((_, i, all) => all[i | 1] < parts.n_units)); // those of no delay
  const hidden = until(utterance.hidden), output = until(utterance.output);
  const n_output = parts.digits.map((_, k) => output.filter((which, i) => i % 2 && which === k).length);
  const sums = parts.is_membrane && steps ? utterance.scores[Math.min(steps, utterance.scores.length) - 1] : n_output;
  const scores = steps === parts.n_steps ? utterance.counts : sums;
  draw_scores(scores);
  draw_sound(until_ms);
  const spikes = of_cochlea(utterance.spikes), n_spikes = spikes.filter((ms, i) => i % 2 === 0 && ms < until_ms).length;
  const says = {
    spikes: count(n_spikes, `spikes of the model of the inner ear. Channel 0 of ${CHANNELS} has the highest tones.`),
    events: count(events.length / 2, `events: the network's input, ${parts.n_units} blocks of channels in ${parts.n_steps} steps`),
    hidden: count(hidden.length / 2, `spikes of ${parts.n_hidden} hidden neurons`),
  };
  dots("spikes", says.spikes, spikes, until_ms, 1, "#222", { rows: CHANNELS, title: "channel" });
  dots("events", says.events, of_steps(events), until_ms, step_ms, "#222", { rows: parts.n_units, title: "block" });
  dots("hidden", says.hidden, of_steps(hidden), until_ms, step_ms, "#0072b2", { rows: parts.n_hidden, title: "neuron" });
  for (const [id, text] of Object.entries(says)) at(`${id}-says`).textContent = text;
  const highest = scores.indexOf(Math.max(...scores));
  const leader = scores[highest] ? `${parts.digits[highest]} has the highest score` : "all scores are 0";
  at("time").textContent = steps === parts.n_steps ? "" : `after ${until_ms} ms`;
  at("until").setAttribute("aria-valuetext", `After ${until_ms} ms ${leader}`);
}

// -------------------------------------------------------------------- sounds

function tell(text, outcome = "") {
  at("status").textContent = text;
  at("status").dataset.outcome = outcome;
}

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
  if (!navigator.mediaDevices) return tell(INSECURE, "trouble");
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
    tell(MESSAGES[error.name] ?? `The microphone can't be used (${error.message}). Choose a sound file instead.`, "trouble");
    return buttons();
  }
  microphone = { stream, context };
  tell("Say a digit now.");
  at("spikes-says").textContent = "Preview of the spikes. They are computed again after the digit, when its loudness is known.";
  draw();
  buttons();
}

// What to say about an answer. A network without a threshold never abstains.
function verdict({ best, confidence, is_accepted }) {
  const digit = parts.digits[best];
  if (digit === OTHER) return "The network abstains: the sound is no digit.";
  if (is_accepted) return `The network answers ${digit}.`;
  return `The network abstains: perhaps the sound is no digit. Its best guess is ${digit}, with a confidence of only ${percent(confidence)}.`;
}

async function load(file) {
  if (!file.size) return tell("The file is empty. Choose another one.", "trouble");
  if (file.size > LARGEST_BYTES) return tell("The file is larger than 20 MB. Cut out one digit.", "trouble");
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, RATE_HZ).decodeAudioData(await file.arrayBuffer());
  } catch {
    return tell("The browser can't read that file as a sound. Choose a wav or flac file.", "trouble");
  }
  const part = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++)
    sound.getChannelData(channel).forEach((sample, i) => (part[i] += sample / sound.numberOfChannels));
  worker.postMessage({ kind: "whole", part });
}

const answers = {
  ready() {
    buttons();
    tell("Ready. No microphone? Try the recorded digit.");
  },
  preview({ steps, spikes }) {
    if (!preview) return;
    for (const value of of_cochlea(spikes, preview.ms)) preview.pairs.push(value);
    preview.ms += steps / STEPS_PER_MS;
    requestAnimationFrame(draw);
  },
  ended: stop,
  failed({ during, says }) {
    if (during !== "start") stop(); // otherwise the buttons stay disabled
    tell(says, "trouble");
  },
  trouble({ says }) {
    stop();
    tell(`${says}${utterance ? " (The pictures show the last utterance.)" : ""}`, "trouble");
    draw();
  },
  utterance(found) {
    stop();
    utterance = found;
    at("until").disabled = false;
    at("until").value = parts.n_steps;
    draw_confidence(utterance);
    draw();
    const took = `Encoding and classification took ${count(Math.round(utterance.took_ms), "ms")}`;
    at("took").textContent = `${took}${utterance.busy ? `, and the preview ${(100 * utterance.busy).toFixed(0)} % of the recording's time` : ""}.`;
    tell(`${verdict(utterance)} ${utterance.warning}`.trimEnd(), utterance.is_accepted ? "accepted" : "rejected");
  },
};
worker.onmessage = ({ data }) => answers[data.kind](data);
worker.onerror = ({ message }) => tell(`The page's program can't run${message ? ` (${message})` : ""}. Reload the page, or open it in a newer browser.`, "trouble");

at("record").onclick = () => (microphone ? worker.postMessage({ kind: "finish" }) : record());
at("file").onclick = () => (at("file").value = ""); // so that the same file can be chosen again
at("file").onchange = () => at("file").files.length && load(at("file").files[0]);
at("sample").onclick = () => load(new Blob([Uint8Array.from(atob(parts.sample), (c) => c.charCodeAt(0))]));
at("until").max = parts.n_steps;
at("until").value = parts.n_steps;
at("until").oninput = draw;
window.onresize = draw;
at("scores-says").textContent = `A digit's score is ${parts.is_membrane ? "the sum of its output neuron's membrane potential over all steps" : "the number of spikes of its output neuron"}. The highest score is the answer.`;
at("accuracy").textContent = parts.accuracy;
at("notice").innerHTML = parts.notice;
worker.postMessage({ kind: "start", modules: parts.modules, has_confidence: parts.has_confidence });
