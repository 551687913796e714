/* SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
   SPDX-License-Identifier: MIT

   Find the utterance in a recording of 48 kHz, and encode it as spikes: as
   shd_helpers/data/microphone.py does, in C99.

   find_utterance() finds it. encode_utterance() cuts it out, with as much sound around it as in the
   training set, and encodes it. Both return 0 if the recording has no utterance, or more than one.
   Then `message` is a format that says what to do, and `message_number` is its number if it has one. If an
   utterance was found, `message` is a warning, or empty. */
#ifndef MAX_SAMPLES
#define MAX_SAMPLES 80000 /* of an utterance, with the sound around it: LONGEST and some */
#endif
#include "cochlea.c"

#include <float.h>
#include <stdlib.h>

#ifndef MAX_RECORDING
#define MAX_RECORDING (60 * RATE_HZ)
#endif
#define FRAME (RATE_HZ / 100)
#define SILENCE 1e-3
#define QUIETEST_DB 35.0   /* an utterance's quietest frame, below its loudest one */
#define ABOVE_NOISE_DB 8.0
#define STANDS_OUT_DB 12.0 /* the loudest frame of an utterance, at least */
/* In frames: a pause longer than GAP ends an utterance, which has at most LONGEST. Another sound
   counts as a second utterance if it is behind a PAUSE, is longer than a CLICK, and has more than
   SECOND_SHARE of the first one's energy. */
#define GAP 25
#define LONGEST 150
#define PAUSE 18
#define CLICK 15
#define SECOND_SHARE 0.1
#define ENDED 40 /* frames of silence, after which an utterance has ended */
/* in samples: the sound that is kept before and after an utterance */
#define BEFORE (RATE_HZ / 25)
#define AFTER (RATE_HZ * 11 / 100)
#define SHARP (RATE_HZ / 500) /* a click has half of its energy in it */
#define CLIPPED \
    "It is clipped, so the answer may be wrong: say it softer, or from further away."
#define SAY_ONE "Say one digit, with silence before and after it."

static float recording[MAX_RECORDING]; /* full scale 1, mono */
static int32_t first, stop;            /* the utterance's samples */
static int32_t n_quiet;                /* frames since something was loud */
static double stands_out;              /* the loudest sound, dB above the noise */
static const char *message;
static double message_number;
static double levels[MAX_RECORDING / FRAME], sorted[MAX_RECORDING / FRAME];
static real utterance[BEFORE + LONGEST * FRAME + AFTER];
/* an array of -1 elements, and so an error, if an utterance has more samples than the cochlea takes */
typedef char utterance_fits[sizeof(utterance) / sizeof(real) <= MAX_SAMPLES ? 1 : -1];

static int refuse(const char *why) {
    message = why;
    return 0;
}

static double mean_of(int32_t n) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += recording[i];
    return sum / n;
}

/* Compute the power of each frame in the band of speech, in decibels of full scale. */
static void find_levels(int32_t n, double mean) {
    /* scipy.signal.butter(4, (100, 8000), "band", fs=48000, output="sos") */
    static const double sections[4][5] = {
        {0.025045602471156187, 0.050091204942312374, 0.025045602471156187, -0.5751132340169384,
         0.1176922215328334},
        {1, 2, 1, -0.7586366389154972, 0.5100282965908813},
        {1, -2, 1, -1.9755440405788713, 0.9757200713363091},
        {1, -2, 1, -1.9900207448085119, 0.9901923453808045},
    };
    double state[4][2] = {{0}}, power = 0;
    for (int32_t i = 0; i < n; i++) {
        double x = recording[i] - mean;
        for (int s = 0; s < 4; s++) {
            const double *c = sections[s];
            double y = c[0] * x + state[s][0];
            state[s][0] = c[1] * x - c[3] * y + state[s][1];
            state[s][1] = c[2] * x - c[4] * y;
            x = y;
        }
        power += x * x;
        if (i % FRAME == FRAME - 1) {
            levels[i / FRAME] = 10 * log10(power / FRAME + 1e-12);
            power = 0;
        }
    }
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A sound between pauses. */
typedef struct {
    int32_t from;   /* its first frame */
    int32_t to;     /* the frame after its last one */
    int32_t n_loud; /* loud frames in it, ... */
    double energy;  /* ... and their energy */
} piece_t;

/* Find the piece after a piece; the first one, if that is all 0. Pieces are separated by more than
   `pause` frames that aren't loud. Returns 0 if there is no further piece. */
static int next_piece(int32_t n_frames, double loud, int32_t pause, piece_t *piece) {
    int32_t i = piece->to;
    while (i < n_frames && !(levels[i] >= loud))
        i++;
    if (i == n_frames)
        return 0;
    piece->from = i;
    piece->n_loud = 0;
    piece->energy = 0;
    for (int32_t last_loud = i; i < n_frames && i - last_loud <= pause; i++) {
        if (levels[i] >= loud) {
            last_loud = i;
            piece->n_loud++;
            piece->energy += pow(10, levels[i] / 10);
            piece->to = last_loud + 1;
        }
    }
    return 1;
}

/* Find the piece with the most energy. */
static piece_t loudest_piece(int32_t n_frames, double loud, int32_t pause) {
    piece_t piece = {0}, loudest = {0};
    while (next_piece(n_frames, loud, pause, &piece)) {
        if (piece.energy > loudest.energy)
            loudest = piece;
    }
    return loudest;
}

/* Count the pieces that are utterances: not much quieter than the loudest one, and no clicks. */
static int32_t count_utterances(int32_t n_frames, double loud) {
    double most = loudest_piece(n_frames, loud, PAUSE).energy;
    piece_t piece = {0};
    int32_t n_utterances = 0;
    while (next_piece(n_frames, loud, PAUSE, &piece))
        n_utterances += piece.energy > SECOND_SHARE * most && piece.n_loud > CLICK;
    return n_utterances;
}

/* Compute the highest level over 50 ms, to which a click adds little. */
static double loudest_level(int32_t n_frames) {
    double loudest = 0;
    for (int32_t i = 0; i < n_frames + 4; i++) {
        double power = 0;
        for (int32_t k = i < 4 ? 0 : i - 4; k <= i && k < n_frames; k++)
            power += 0.2 * pow(10, levels[k] / 10);
        loudest = fmax(loudest, power);
    }
    return 10 * log10(loudest);
}

/* Compute the level of the noise: the tenth percentile of all levels, which are sorted for that. */
static double noise_level(int32_t n_frames) {
    double position = 0.1 * (n_frames - 1);
    int32_t below = position;
    memcpy(sorted, levels, n_frames * sizeof(double));
    qsort(sorted, n_frames, sizeof(double), ascending);
    return sorted[below] + (position - below) * (sorted[below + 1] - sorted[below]);
}

/* Count the frames at the end of the recording that aren't loud. */
static int32_t count_quiet(int32_t n_frames, double loud) {
    int32_t n = 0;
    while (n < n_frames && levels[n_frames - 1 - n] < loud)
        n++;
    return n;
}

/* Whether half of the utterance's energy is within SHARP samples. */
static int is_click(double mean) {
    double energy = 0, in_window = 0, most_in_window = 0;
    for (int32_t i = first; i < stop; i++) {
        double new = recording[i] - mean;
        double old = i < first + SHARP ? 0 : recording[i - SHARP] - mean;
        energy += new * new;
        in_window += new * new - old * old;
        most_in_window = fmax(most_in_window, in_window);
    }
    return most_in_window > 0.5 * energy;
}

static int is_clipped(void) {
    int32_t n_clipped = 0;
    for (int32_t i = first; i < stop; i++)
        n_clipped += fabs(recording[i]) >= 0.99;
    return n_clipped > 1e-3 * (stop - first);
}

static int is_silent(int32_t n, double mean) {
    double loudest = 0;
    for (int32_t i = 0; i < n; i++)
        loudest = fmax(loudest, fabs(recording[i] - mean));
    return !(loudest >= SILENCE && loudest <= FLT_MAX);
}

/* Find the utterance in a recording of n samples: sets `first` and `stop`. */
static int find_utterance(int32_t n) {
    int32_t n_frames = n / FRAME;
    double mean = mean_of(n);
    n_quiet = 0;
    stands_out = 0;
    if (n < 2 * FRAME)
        return refuse("Nothing was recorded. " SAY_ONE);
    if (is_silent(n, mean))
        return refuse("Silence: is the microphone muted, or another one chosen?");

    find_levels(n, mean);
    double loudest = loudest_level(n_frames);
    double noise = noise_level(n_frames);
    stands_out = loudest - noise;
    if (n_frames > LONGEST && stands_out < STANDS_OUT_DB) /* a shorter one may have no noise */
        return refuse("No utterance is louder than the noise, or it doesn't end. " SAY_ONE);
    double loud = fmax(loudest - QUIETEST_DB, noise + ABOVE_NOISE_DB);
    if (loud > sorted[n_frames - 1]) /* it fills the recording, and is equally loud throughout */
        loud = sorted[0];
    n_quiet = count_quiet(n_frames, loud);

    piece_t piece = loudest_piece(n_frames, loud, GAP);
    message_number = (piece.to - piece.from) / 100.0;
    if (piece.to - piece.from > LONGEST)
        return refuse("The sound is %.1f s long, too long for a digit. " SAY_ONE);
    first = piece.from * FRAME;
    stop = piece.to * FRAME;
    message_number = count_utterances(n_frames, loud);
    if (message_number > 1)
        return refuse("There are %.0f utterances. " SAY_ONE);
    if (is_click(mean))
        return refuse("The sound is only a click. " SAY_ONE);
    message = is_clipped() ? CLIPPED : "";
    return 1;
}

/* Whether an utterance has ended, or what was said is refused, so that recording can end. */
static int utterance_has_ended(int32_t n) {
    int is_found = find_utterance(n);
    return n_quiet >= ENDED && stands_out >= STANDS_OUT_DB && (is_found || strchr(message, '%'));
}

/* Encode the utterance in a recording of n samples. Returns its number of steps; cochlea_next()
   lists its spikes. `state` is that of a SplitMix64 generator. */
static int32_t encode_utterance(int32_t n, uint64_t state) {
    if (!find_utterance(n))
        return 0;
    double mean = mean_of(n), quietest = DBL_MAX;
    for (int32_t i = 0; i < n / FRAME; i++)
        quietest = fmin(quietest, levels[i]);
    /* the level counts the band of speech alone, and white noise has power at all frequencies */
    double noise = sqrt(pow(10, quietest / 10) * RATE_HZ / 2 / (8000 - 100));
    int32_t begin = first - BEFORE;
    int32_t length = stop + AFTER - begin;
    for (int32_t i = 0; i < length; i++) {
        if (begin + i >= 0 && begin + i < n) {
            utterance[i] = recording[begin + i] - mean;
        } else { /* beyond the recording: noise as loud as its quietest frame (Box, Muller 1958) */
            double u = UNIFORM(mixed(~state + 2 * i * GOLDEN));
            double v = UNIFORM(mixed(~state + (2 * i + 1) * GOLDEN));
            utterance[i] = noise * sqrt(-2 * log(1 - u)) * cos(2 * PI * v);
        }
    }
    return cochlea_encode(utterance, length, state);
}
