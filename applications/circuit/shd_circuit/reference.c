/* SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
   SPDX-License-Identifier: MIT

   The circuit in C99, bit for bit: an utterance's spikes to a score for each class, with integers
   only.

   Reads spikes from standard input, a line each: "millisecond unit", whole numbers from 0,
   milliseconds ascending within an utterance. An empty line ends an utterance; so does the end of
   the input. Prints a line for each utterance: its class, then the scores of all classes.
   A line that can't be used ends the program: it is named on stderr, and the exit status is 1.

   -DTRACE=n also prints what happens in every step: i, h, o: step, and which inputs, hidden and
   output neurons spike; of the first n utterances u, v: step, and membranes of hidden and output
   layer.
   -DACCEPT also prints, behind the scores, how confident the answer is, in thousandths, and 1 if that
   is enough and the class is a digit, else 0: the sound may be no digit. confidence.h has the
   threshold.
   -DCOUNT also prints, on stderr at the end, what all utterances took together. */
#include <stdint.h>
#include <stdio.h>

#include "network.h"
#ifdef ACCEPT
#include "confidence.h"
#ifndef CONFIDENCE_OTHER
#define CONFIDENCE_OTHER -1 /* no class is for sounds that are no digit */
#endif
#endif

#define SLOTS (MAX_DELAY + 1) /* steps whose events are still needed */
#define N_CELLS (N_UNITS * POOL_UNITS)
#define MEM_LOW (-MEM_HIGH - 1)
#define UNREADABLE 3

static int32_t mem1[N_HIDDEN], mem2[N_CLASSES]; /* membranes */
static int32_t last_bin[N_CELLS];               /* in which each unit had a spike */
static int32_t n_active[N_UNITS];               /* active cells of each block, this step */
static int32_t history[SLOTS][N_UNITS];         /* events of the last steps, ... */
static int32_t n_history[SLOTS];                /* ... and how many */
static int32_t score[N_CLASSES];
static int32_t inputs[N_INPUTS], hidden[N_HIDDEN], output[N_CLASSES]; /* spikes of this step */
static int32_t step;
static long n_utterances;
static unsigned long long n_events, n_inputs, n_spikes, n_accumulates;

#ifdef TRACE
static void trace(char what, const int32_t *values, int32_t n) {
    printf("%c %ld", what, (long)step);
    for (int32_t i = 0; i < n; i++)
        printf(" %ld", (long)values[i]);
    printf("\n");
}
#endif

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

/* Close the step: its blocks become events, and both layers take one step. */
static void run_step(void) {
    int32_t slot = step % SLOTS;
    int32_t n_in = 0;
    n_history[slot] = 0;
    for (int32_t b = 0; b < N_UNITS; b++) {
        if (n_active[b] >= POOL_THRESHOLD)
            history[slot][n_history[slot]++] = b;
        n_active[b] = 0;
    }
    for (int32_t k = 0; k < N_DELAYS && delay[k] <= step; k++) {
        int32_t from = (step - delay[k]) % SLOTS;
        for (int32_t e = 0; e < n_history[from]; e++)
            inputs[n_in++] = k * N_UNITS + history[from][e];
    }
    int32_t n_hid = run_layer(N_HIDDEN, mem1, bias1, threshold1, leak1, inputs, n_in, hidden);
    int32_t n_out =
        run_layer(N_CLASSES, mem2, bias2, threshold2, leak2, hidden, n_hid, output);
    for (int32_t i = 0; IS_MEMBRANE && i < N_CLASSES; i++)
        score[i] += mem2[i];
    for (int32_t i = 0; i < n_out; i++)
        score[output[i]]++;
#ifdef TRACE
    trace('i', inputs, n_in);
    trace('h', hidden, n_hid);
    trace('o', output, n_out);
    if (n_utterances < TRACE) {
        trace('u', mem1, N_HIDDEN);
        trace('v', mem2, N_CLASSES);
    }
#endif
    n_inputs += n_history[slot];
    n_spikes += n_hid;
    step++;
}

static void begin_utterance(void) {
    step = 0;
    for (int32_t i = 0; i < N_HIDDEN; i++)
        mem1[i] = 0;
    for (int32_t i = 0; i < N_CLASSES; i++) {
        mem2[i] = 0;
        score[i] = 0;
    }
    for (int32_t i = 0; i < N_CELLS; i++)
        last_bin[i] = -1;
}

static void take_event(int32_t ms, int32_t unit) {
    int32_t bin = ms / BIN_MS;
    n_events++;
    while (step < N_STEPS && step < bin / POOL_STEPS)
        run_step();
    unit -= FIRST_UNIT;
    if (step == N_STEPS || unit < 0 || unit >= N_CELLS || last_bin[unit] == bin)
        return;
    last_bin[unit] = bin;
    n_active[unit / POOL_UNITS]++;
}

#ifdef ACCEPT
/* 2^15 e^-x, where x is by how much a score is below the best. */
static uint32_t share(uint32_t below) {
    uint64_t x = (uint64_t)below * CONFIDENCE_FACTOR >> 24; /* in 256ths */
    return x >> 8 < 16 ? coarse[x >> 8] * fine[x & 255] >> 15 : 0;
}

static void print_confidence(int32_t best) {
    uint32_t total = 0;
    for (int32_t i = 0; i < N_CLASSES; i++)
        total += share((uint32_t)score[best] - (uint32_t)score[i]);
    printf(" %ld %d", (long)(1000 * 32768L / total),
           best != CONFIDENCE_OTHER && total <= CONFIDENCE_LIMIT);
}
#endif

static void end_utterance(void) {
    int32_t best = 0;
    while (step < N_STEPS)
        run_step();
    for (int32_t i = 1; i < N_CLASSES; i++)
        if (score[i] > score[best]) /* strictly: of several, the lowest class */
            best = i;
    printf("%ld", (long)best);
    for (int32_t i = 0; i < N_CLASSES; i++)
        printf(" %ld", (long)score[i]);
#ifdef ACCEPT
    print_confidence(best);
#endif
    printf("\n");
    n_utterances++;
}

/* Returns how many numbers the next line has; -1 at the end of the input. UNREADABLE: it has more
   than two, or something else. */
static int read_line(int32_t value[2]) {
    int c = getchar();
    int n = 0;
    int is_in_number = 0;
    if (c == EOF)
        return -1;
    for (; c != '\n' && c != EOF; c = getchar()) {
        int is_digit = c >= '0' && c <= '9';
        int is_blank = c == ' ' || c == '\t' || c == '\r';
        int begins_number = is_digit && !is_in_number;
        is_in_number = is_digit;
        if (n == UNREADABLE || is_blank)
            continue;
        if (!is_digit || (begins_number && n == 2)) {
            n = UNREADABLE;
            continue;
        }
        if (begins_number) {
            value[n] = 0;
            n++;
        }
        if (value[n - 1] < 100000000) /* larger ones stay too large */
            value[n - 1] = 10 * value[n - 1] + c - '0';
    }
    return n;
}

/* Returns what is wrong with a line that isn't empty, or NULL. */
static const char *refusal(int n_numbers, const int32_t event[2], int32_t last_ms) {
    if (n_numbers != 2)
        return "is not \"millisecond unit\", two whole numbers from 0";
    if (event[1] >= N_CHANNELS)
        return "has a unit that is no channel of the cochlea";
    if (event[0] < last_ms)
        return "is earlier than the line before; sort an utterance's spikes by millisecond";
    return NULL;
}

int main(void) {
    int32_t event[2];
    int32_t last_ms = 0;
    int is_open = 0; /* an utterance has begun */
    long line = 1;
    begin_utterance();
    for (int n = read_line(event); n >= 0; n = read_line(event)) {
        if (n == 0) {
            end_utterance();
            begin_utterance();
            last_ms = 0;
            is_open = 0;
        } else {
            const char *wrong = refusal(n, event, last_ms);
            if (wrong) {
                fprintf(stderr, "line %ld %s\n", line, wrong);
                return 1;
            }
            take_event(event[0], event[1]);
            last_ms = event[0];
            is_open = 1;
        }
        line++;
    }
    if (is_open)
        end_utterance();
#ifdef COUNT
    fprintf(stderr,
            "%ld utterances, %llu spikes, %llu events, %llu hidden spikes, "
            "%llu accumulates, %lu neuron updates\n",
            n_utterances, n_events, n_inputs, n_spikes, n_accumulates,
            (unsigned long)n_utterances * N_STEPS * (N_HIDDEN + N_CLASSES));
#endif
    return ferror(stdin) || fflush(stdout) ? 1 : 0;
}
