/* SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
   SPDX-License-Identifier: MIT

   The filter bank in C99, bit for bit that of Python. The docstring of bank.py defines it.

   filter_bank_sample() takes a sample of 15,625 Hz. It returns NO_STEP within a step, and otherwise
   what the step that has ended is to an utterance:

   IDLE        It belongs to none.
   BEGINS      One was found. Its steps so far are the last REPLAYED ones, this one among them.
   GOES_ON     The step belongs to it.
   ENDS        The step is its last one.
   IS_DROPPED  It was none: forget what it had so far.

   filter_bank_events() has a step's events: channel k is bit k % 8 of byte k / 8. Age 0 is the step
   that has just ended, and REPLAYED - 1 the oldest. At the end of the sound, filter_bank_flush()
   returns ENDS if it ends in an utterance, and else IDLE. */
#include "filter_bank.h"

#include <string.h>

/* Round a product towards zero, so that silence becomes zero. */
static int32_t truncated(int64_t product) {
    return (int32_t)(product / 32768);
}

/* Turn and shrink the state (u, v) of a resonator, and add its input. */
static void resonate(int32_t *u, int32_t *v, int k, int64_t input) {
    int64_t c = cosines[k], s = sines[k], u_before = *u, v_before = *v;
    *u = truncated(c * u_before - s * v_before + input);
    *v = truncated(s * u_before + c * v_before);
}

static uint32_t magnitude(int32_t v) {
    return (uint32_t)(v < 0 ? -v : v);
}

static void filter(filter_bank *bank, int16_t sample) {
    int32_t difference = ((int32_t)sample - bank->previous) * 64;
    bank->previous = sample;
    for (int k = 0; k < N_CHANNELS; k++) {
        resonate(&bank->u1[k], &bank->v1[k], k, (int64_t)first_gains[k] * difference);
        resonate(&bank->u2[k], &bank->v2[k], k, (int64_t)second_gains[k] * bank->u1[k]);
        uint32_t u = magnitude(bank->u2[k]), v = magnitude(bank->v2[k]);
        uint32_t larger = u > v ? u : v;
        bank->sum[k] += larger + (u + v - larger) / 2;
    }
}

/* 16 times the logarithm to base 2: the place of the leading one, and the four bits behind it. */
static int32_t logarithm(uint32_t sum) {
    int place = 0;
    if (sum == 0)
        return 0;
    while (sum >> place > 1)
        place++;
    return 16 * place + (int32_t)(((uint64_t)sum << 4 >> place) & 15);
}

static int32_t limited(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

/* v / 2^n, rounded down: C leaves open what >> does with negative numbers. */
static int32_t shifted(int32_t v, int n) {
    return v < 0 ? ~(~v >> n) : v >> n;
}

/* Encode the step that ends. Returns by how much the channels exceed their floors, in all. */
static int32_t encode(filter_bank *bank) {
    int32_t loudest = 0, excess = 0, below_peak = bank->peak / 16 - SPAN;
    uint8_t *events = bank->events[bank->newest = (bank->newest + 1) % REPLAYED];
    memset(events, 0, EVENT_BYTES);
    bank->floors = 0;
    for (int k = 0; k < N_CHANNELS; k++) {
        int32_t level = limited(logarithm(bank->sum[k]) - offsets[k], 0, 255);
        int32_t above_floor = level - bank->floor[k] / 16 - MARGIN;
        int32_t above_peak = level - below_peak;
        bank->sum[k] = 0;
        bank->level[k] = (uint8_t)level;
        loudest = level > loudest ? level : loudest;
        int32_t distance = 16 * level - bank->floor[k];
        if (bank->settling) {
            distance = shifted(distance, 1);
        } else {
            excess += limited(above_floor, 0, 255);
            int32_t drive = above_floor < above_peak ? above_floor : above_peak;
            int32_t potential = limited(bank->potential[k] + limited(drive, 0, 255), 0, 2 * THRESHOLD - 1);
            if (potential >= THRESHOLD) {
                potential -= THRESHOLD;
                events[k / 8] |= 1 << k % 8;
            }
            bank->potential[k] = (uint8_t)potential;
            distance = distance < 0 ? shifted(distance, FALL_SHIFT) : limited(distance, 0, RISE);
        }
        bank->floor[k] = (uint16_t)(bank->floor[k] + distance);
        bank->floors += bank->floor[k];
    }
    int32_t distance = 16 * loudest - bank->peak;
    bank->peak = (uint16_t)(bank->peak + (bank->settling ? distance : limited(distance, -DECAY, ATTACK)));
    return excess;
}

static int is_long(const filter_bank *bank) {
    return bank->length - bank->n_quiet >= SHORTEST_STEPS; /* without the pause behind it */
}

static filter_bank_status detect(filter_bank *bank, int32_t excess) {
    if (bank->settling) {
        bank->settling--;
        return IDLE;
    }
    if (!bank->in_utterance) {
        bank->n_loud = excess >= ON ? bank->n_loud + 1 : 0;
        if (bank->n_loud <= 1)
            bank->floors_before = bank->floors;
        if (bank->n_loud < START_STEPS)
            return IDLE;
        bank->in_utterance = 1;
        bank->length = START_STEPS;
        bank->n_loud = bank->n_quiet = 0;
        return BEGINS;
    }
    bank->length++;
    bank->n_quiet = excess >= OFF ? 0 : bank->n_quiet + 1;
    int is_over = bank->n_quiet == HOLD_STEPS;
    if (!is_over && bank->length < LONGEST_STEPS)
        return GOES_ON;
    bank->in_utterance = 0;
    if (!is_over)
        bank->settling = SETTLING_STEPS;
    int is_gone = bank->floors - bank->floors_before <= MOST_RISEN;
    return is_over && is_gone && is_long(bank) ? ENDS : IS_DROPPED;
}

void filter_bank_start(filter_bank *bank) {
    memset(bank, 0, sizeof *bank);
    bank->settling = SETTLING_STEPS;
}

filter_bank_status filter_bank_sample(filter_bank *bank, int16_t sample) {
    filter(bank, sample);
    if (++bank->n_samples < STEP_SAMPLES)
        return NO_STEP;
    bank->n_samples = 0;
    return detect(bank, encode(bank));
}

filter_bank_status filter_bank_flush(filter_bank *bank) {
    int is_found = bank->in_utterance && is_long(bank);
    bank->in_utterance = 0;
    return is_found ? ENDS : IDLE;
}

const uint8_t *filter_bank_events(const filter_bank *bank, int age) {
    return bank->events[(bank->newest + REPLAYED - age) % REPLAYED];
}
