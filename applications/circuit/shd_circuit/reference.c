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

#include "network.c"

#define N_CELLS (N_UNITS * POOL_UNITS)
#define UNREADABLE 3

static int32_t last_bin[N_CELLS]; /* in which each unit had a spike */
static int32_t n_active[N_UNITS]; /* active cells of each block, this step */
static long n_utterances;
static unsigned long long n_spikes, n_events, n_hidden_spikes;

#ifdef TRACE
static void trace(char what, const int32_t *values, int32_t n) {
    printf("%c %ld", what, (long)(step - 1));
    for (int32_t i = 0; i < n; i++)
        printf(" %ld", (long)values[i]);
    printf("\n");
}
#endif

/* Close the step: its blocks become events, and both layers take one step. */
static void close_step(void) {
    uint8_t events[BLOCK_BYTES] = {0};
    for (int32_t b = 0; b < N_UNITS; b++) {
        int32_t is_event = n_active[b] >= POOL_THRESHOLD;
        events[b / 8] |= is_event << b % 8;
        n_events += is_event;
        n_active[b] = 0;
    }
    run_step(events);
    n_hidden_spikes += n_hidden;
#ifdef TRACE
    trace('i', inputs, n_inputs);
    trace('h', hidden, n_hidden);
    trace('o', output, n_output);
    if (n_utterances < TRACE) {
        trace('u', mem1, N_HIDDEN);
        trace('v', mem2, N_CLASSES);
    }
#endif
}

static void begin(void) {
    begin_utterance();
    for (int32_t i = 0; i < N_CELLS; i++)
        last_bin[i] = -1;
}

static void take_event(int32_t ms, int32_t unit) {
    int32_t bin = ms / BIN_MS;
    n_spikes++;
    while (step < N_STEPS && step < bin / POOL_STEPS)
        close_step();
    unit -= FIRST_UNIT;
    if (step == N_STEPS || unit < 0 || unit >= N_CELLS || last_bin[unit] == bin)
        return;
    last_bin[unit] = bin;
    n_active[unit / POOL_UNITS]++;
}

static void end(void) {
    while (step < N_STEPS)
        close_step();
    printf("%ld", (long)best_class());
    for (int32_t i = 0; i < N_CLASSES; i++)
        printf(" %ld", (long)score[i]);
#ifdef ACCEPT
    printf(" %ld %ld", (long)confidence(), (long)is_accepted());
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
        return "has a unit that is no channel";
    if (event[0] < last_ms)
        return "is earlier than the line before; sort an utterance's spikes by millisecond";
    return NULL;
}

int main(void) {
    int32_t event[2];
    int32_t last_ms = 0;
    int is_open = 0; /* an utterance has begun */
    long line = 1;
    begin();
    for (int n = read_line(event); n >= 0; n = read_line(event)) {
        if (n == 0) {
            end();
            begin();
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
        end();
#ifdef COUNT
    fprintf(stderr,
            "%ld utterances, %llu spikes, %llu events, %llu hidden spikes, "
            "%llu accumulates, %lu neuron updates\n",
            n_utterances, n_spikes, n_events, n_hidden_spikes, n_accumulates,
            (unsigned long)n_utterances * N_STEPS * (N_HIDDEN + N_CLASSES));
#endif
    return ferror(stdin) || fflush(stdout) ? 1 : 0;
}
