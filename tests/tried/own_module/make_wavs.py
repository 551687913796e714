from pathlib import Path

import soundfile

from shd_corpus import synthesize

RATE_HZ = 24_000  # of what `synthesize` returns
VOICES = {
    "Lena": "en-us+f4",
    "Jonas": "en-us+m1",
    "Mary-Ann": "en-gb-x-rp+f2",
    "Zoë": "en-us+f3",
    "Tim": "en+m7",
}
SPEEDS = (130, 165, 200)


def make(folder="my_wavs", name=lambda speaker, take: f"{speaker}_{take + 1}.wav"):
    for word in ("yes", "no", "stop"):
        sub = Path(folder) / word
        sub.mkdir(parents=True, exist_ok=True)
        for speaker, voice in VOICES.items():
            for take, speed in enumerate(SPEEDS):
                wave = synthesize(word, voice, rate_wpm=speed, pitch=35 + 12 * take)
                soundfile.write(sub / name(speaker, take), 0.5 * wave, RATE_HZ)
