from pathlib import Path

import soundfile
from mine import boxcar

from shd_corpus import encode_recordings, synthesize
from shd_course.figures import plot_surrogate
from shd_helpers import SpikingNetwork, judge, load_events

RATE_HZ = 24_000  # of what `synthesize` returns
VOICES = {"anna": "en-us+f2", "bert": "en-us+m3", "carl": "en+m2", "dora": "en-gb-x-rp+f5"}
for word in ("yes", "no", "stop"):
    folder = Path("my_wavs") / word
    folder.mkdir(parents=True, exist_ok=True)
    for speaker, voice in VOICES.items():
        for take in range(3):
            wave = synthesize(word, voice, rate_wpm=150 + 20 * take, pitch=40 + 10 * take)
            soundfile.write(folder / f"{speaker}_{take}.wav", 0.5 * wave, RATE_HZ)

events = load_events(encode_recordings("my_wavs"))
print(len(events), "utterances,", events.n_units, "units x", events.n_steps, "steps")

plot_surrogate(boxcar).savefig("boxcar.png")


def with_boxcar(n_units, n_classes):
    return SpikingNetwork((n_units, 32, n_classes), spike_grad=boxcar)


result = judge(with_boxcar, events, epochs=2, speakers=(0, 1))
print(result)
print(result.accuracies)
