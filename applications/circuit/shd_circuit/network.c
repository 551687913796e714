/* SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
   SPDX-License-Identifier: MIT

   The network in C99, bit for bit: the events of an utterance to a score for each class, with
   integers only. reference.c and listen.c include this file.

   Call begin_utterance(), then run_step() for each of N_STEPS steps. The event of block b is bit
   b % 8 of byte b / 8. Then `score` has the scores of all classes. With -DACCEPT, confidence()
   and is_accepted() say how confident the answer is: confidence.h has the threshold. */
#include <stdint.h>
#include <string.h>

#include "network.h"
#ifdef ACCEPT
#include "confidence.h"
#ifndef CONFIDENCE_OTHER
#define CONFIDENCE_OTHER -1 /* no class is for sounds that are no digit */
#endif
#endif

#define SLOTS (MAX_DELAY + 1) /* steps whose events are still needed */
#define MEM_LOW (-MEM_HIGH - 1)
#define BLOCK_BYTES ((N_UNITS + 7) / 8)

static int32_t mem1[N_HIDDEN], mem2[N_CLASSES]; /* membranes */
static uint8_t history[SLOTS][BLOCK_BYTES];     /* events of the last steps, a bit for each block */
static int32_t score[N_CLASSES];
static int32_t inputs[N_INPUTS], hidden[N_HIDDEN], output[N_CLASSES]; /* spikes of this step, ... */
static int32_t n_inputs, n_hidden, n_output;                          /* ... and how many */
static int32_t step;
static unsigned long long n_accumulates; /* of all utterances */

/* v >> n, rounded down: C leaves open what >> does with negative numbers. */
static int32_t shifted(int32_t v, int n) {
    return v < 0 ? ~(~v >> n) : v >> n;
}

static int32_t leaked(int32_t u, int32_t leak) {
    if (LEAK_SHIFT)
        return u - shifted(u, leak);
    return shifted(u * leak, FACTOR_BITS);
}

static void add(int32_t *mem, const weight_t *row, int32_t n, int32_t factor) {
    for (int32_t i = 0; i < n; i++)
        mem[i] += row[i] * factor;
    n_accumulates += n;
}

/* Add an input's weights to the neurons of all windows that contain its block. */
static void add_input(int32_t input) {
    int32_t delay_index = input / N_UNITS;
    int32_t block = input % N_UNITS;
    for (int32_t w = 0; w < N_WINDOWS; w++) {
        int32_t in_window = block - w * STRIDE;
        if (in_window >= 0 && in_window < KERNEL)
            add(mem1 + w * NEURONS_PER_WINDOW, weight1[delay_index * KERNEL + in_window],
                NEURONS_PER_WINDOW, 1 << SHIFT1);
    }
}

/* One step of a layer of n neurons; returns how many spike, and lists them. */
static int32_t run_layer(int32_t n, int32_t *mem, const int32_t *bias, const int32_t *threshold,
                         const int32_t *leak, const int32_t *active, int32_t n_in,
                         int32_t *spikes) {
    int32_t found = 0;
    for (int32_t i = 0; i < n; i++) { /* reset, one step late; leak; bias */
        int32_t spiked = mem[i] > threshold[i];
        mem[i] = leaked(mem[i], leak[i]) + bias[i];
        if (spiked)
            mem[i] -= threshold[i];
    }
    for (int32_t k = 0; k < n_in; k++) {
        if (mem == mem1)
            add_input(active[k]);
        else
            add(mem2, weight2[active[k]], N_CLASSES, 1 << SHIFT2);
    }
    for (int32_t i = 0; i < n; i++) { /* saturate once, then compare */
        mem[i] = mem[i] > MEM_HIGH ? MEM_HIGH : mem[i] < MEM_LOW ? MEM_LOW : mem[i];
        if (mem[i] > threshold[i])
            spikes[found++] = i;
    }
    return found;
}

static void begin_utterance(void) {
    step = 0;
    memset(mem1, 0, sizeof mem1);
    memset(mem2, 0, sizeof mem2);
    memset(score, 0, sizeof score);
}

static void run_step(const uint8_t *events) {
    memcpy(history[step % SLOTS], events, BLOCK_BYTES);
    n_inputs = 0;
    for (int32_t k = 0; k < N_DELAYS && delay[k] <= step; k++) {
        const uint8_t *late = history[(step - delay[k]) % SLOTS];
        for (int32_t b = 0; b < N_UNITS; b++)
            if (late[b / 8] >> b % 8 & 1)
                inputs[n_inputs++] = k * N_UNITS + b;
    }
    n_hidden = run_layer(N_HIDDEN, mem1, bias1, threshold1, leak1, inputs, n_inputs, hidden);
    n_output = run_layer(N_CLASSES, mem2, bias2, threshold2, leak2, hidden, n_hidden, output);
    for (int32_t i = 0; IS_MEMBRANE && i < N_CLASSES; i++)
        score[i] += mem2[i];
    for (int32_t i = 0; i < n_output; i++)
        score[output[i]]++;
    step++;
}

static int32_t best_class(void) {
    int32_t best = 0;
    for (int32_t i = 1; i < N_CLASSES; i++)
        if (score[i] > score[best]) /* strictly: of several, the lowest class */
            best = i;
    return best;
}

#ifdef ACCEPT
/* 2^15 e^-x, where x is by how much a score is below the best. */
static uint32_t share(uint32_t below) {
    uint64_t x = (uint64_t)below * CONFIDENCE_FACTOR >> 24; /* in 256ths */
    return x >> 8 < 16 ? coarse[x >> 8] * fine[x & 255] >> 15 : 0;
}

static uint32_t sum_of_shares(void) {
    uint32_t sum = 0, best = (uint32_t)score[best_class()];
    for (int32_t i = 0; i < N_CLASSES; i++)
        sum += share(best - (uint32_t)score[i]);
    return sum;
}

static int32_t confidence(void) { /* in thousandths */
    return (int32_t)(1000 * 32768L / sum_of_shares());
}

static int32_t is_accepted(void) {
    return best_class() != CONFIDENCE_OTHER && sum_of_shares() <= CONFIDENCE_LIMIT;
}
#endif
