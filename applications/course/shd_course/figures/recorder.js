// Record a digit, or load a file; hand its samples to the kernel as 48 kHz mono.
const RATE_HZ = 48000;
const LONGEST_MS = 10000; // then it stops by itself
const LARGEST_BYTES = 20e6;

const SENTENCES = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it (the sign beside the address), or load a file.",
  NotFoundError: "No microphone was found. Plug one in, or load a file.",
  NotReadableError: "The microphone can't be used: another program may hold it. Close that, or load a file.",
};
const INSECURE = "Browsers lend the microphone only to pages of this machine (localhost) or of https. Load a file instead.";

function render({ model, el }) {
  const button = document.createElement("button");
  const label = document.createElement("label");
  const file = document.createElement("input");
  const audio = document.createElement("audio");
  button.className = "jupyter-button widget-button";
  file.type = "file";
  file.accept = "audio/*,.wav,.flac";
  label.append("or load a sound file: ", file);
  audio.controls = true;
  el.style.cssText = "display: flex; flex-flow: row wrap; gap: 1em; align-items: center";
  el.append(button, label, audio);

  let recorder = null;
  let address = null;
  const name = () => (button.textContent = recorder ? "Stop" : "Record a digit");
  name();

  const tell = (sentence) => {
    model.set({ sound: new DataView(new ArrayBuffer(0)), trouble: sentence, number: model.get("number") + 1 });
    model.save_changes();
  };

  const hand = async (blob) => {
    if (blob.size > LARGEST_BYTES) return tell("The file is larger than 20 MB. Cut out one word.");
    if (address) URL.revokeObjectURL(address);
    audio.src = address = URL.createObjectURL(blob);
    let sound;
    try {
      sound = await new OfflineAudioContext(1, 1, RATE_HZ).decodeAudioData(await blob.arrayBuffer());
    } catch {
      return tell("That is no sound that the browser can read. Load a wav or flac file.");
    }
    const wave = new Float32Array(sound.length);
    for (let channel = 0; channel < sound.numberOfChannels; channel++)
      sound.getChannelData(channel).forEach((x, i) => (wave[i] += x / sound.numberOfChannels));
    model.set({ sound: new DataView(wave.buffer), trouble: "", number: model.get("number") + 1 });
    model.save_changes();
  };

  const record = async () => {
    if (!navigator.mediaDevices) return tell(INSECURE);
    let stream;
    button.disabled = true; // while the browser asks for permission
    try {
      const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
    } catch (error) {
      return tell(SENTENCES[error.name] ?? `The microphone can't be used (${error.message}). Load a file instead.`);
    } finally {
      button.disabled = false;
    }
    const parts = [];
    recorder = new MediaRecorder(stream, { audioBitsPerSecond: 256000 });
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      const kind = recorder.mimeType;
      recorder = null;
      name();
      hand(new Blob(parts, { type: kind }));
    };
    recorder.start();
    name();
    setTimeout(stop, LONGEST_MS, recorder);
  };
  const stop = (which) => which.state === "recording" && which.stop();

  button.onclick = () => (recorder ? stop(recorder) : record());
  file.onclick = () => (file.value = ""); // so that the same file can be taken again
  file.onchange = () => file.files.length && hand(file.files[0]);
  return () => {
    if (recorder) stop(recorder);
    if (address) URL.revokeObjectURL(address);
  };
}

export default { render };
