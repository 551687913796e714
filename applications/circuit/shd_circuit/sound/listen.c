/* SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
   SPDX-License-Identifier: MIT

   Listen in C99: samples to answers, one sample at a time, with integers only. The filter bank finds
   an utterance and turns it into events, and the network classifies them:

       gcc -std=c99 -O3 -DACCEPT listen.c filter_bank.c -o listen
       sox digit.wav -t raw -e signed -b 16 -r 15625 -c 1 - pad 0.5 0.5 | ./listen

   The program reads mono samples of 15,625 Hz from standard input, as 16-bit integers. It prints a
   line for each utterance when that has ended: its class, then the scores of all classes. -DACCEPT
   is as for reference.c.

   listen_to() takes a sample, and returns what filter_bank_sample() does: see filter_bank.c. The
   network takes each step of an utterance as it comes. When ENDS is returned, `score` and `answer`
   are those of the utterance. Compiled to WebAssembly, the functions at the end are exported. */
#include "filter_bank.h"
#include "network.c"

static filter_bank bank;
static struct {
    int32_t digit;       /* class */
    int32_t confidence;  /* in thousandths; 0 without -DACCEPT */
    int32_t is_accepted; /* 1 without -DACCEPT */
} answer;

/* Events after the network's last step are ignored, as in integer.py. */
static void take_step(const uint8_t *events) {
    if (step < N_STEPS)
        run_step(events);
}

static void end_utterance(void) {
    static const uint8_t nothing[BLOCK_BYTES];
    while (step < N_STEPS)
        run_step(nothing);
    answer.digit = best_class();
#ifdef ACCEPT
    answer.confidence = confidence();
    answer.is_accepted = is_accepted();
#else
    answer.is_accepted = 1;
#endif
}

static filter_bank_status listen_to(int16_t sample) {
    filter_bank_status status = filter_bank_sample(&bank, sample);
    int is_first = status == BEGINS;
    if (is_first)
        begin_utterance();
    if (is_first || status == GOES_ON || status == ENDS)
        for (int age = is_first ? REPLAYED - 1 : 0; age >= 0; age--)
            take_step(filter_bank_events(&bank, age));
    if (status == ENDS)
        end_utterance();
    return status;
}

/* At the end of the sound: returns ENDS if it ends in an utterance. */
static filter_bank_status flush(void) {
    filter_bank_status status = filter_bank_flush(&bank);
    if (status == ENDS)
        end_utterance();
    return status;
}

#ifdef __wasm__
#define FUNCTION(name) __attribute__((export_name(#name)))
FUNCTION(start) void start(void) { filter_bank_start(&bank); }
FUNCTION(hear) int32_t hear(int32_t sample) { return listen_to((int16_t)sample); }
FUNCTION(end) int32_t end(void) { return flush(); }
FUNCTION(levels) const uint8_t *levels(void) { return bank.level; } /* of the last step */
FUNCTION(events) const uint8_t *events(void) { return filter_bank_events(&bank, 0); }
FUNCTION(scores) const int32_t *scores(void) { return score; } /* of the utterance so far */
FUNCTION(found) const int32_t *found(void) { return &answer.digit; } /* all three numbers */
#else
#include <stdio.h>

static void print_answer(void) {
    printf("%ld", (long)answer.digit);
    for (int32_t i = 0; i < N_CLASSES; i++)
        printf(" %ld", (long)score[i]);
#ifdef ACCEPT
    printf(" %ld %ld", (long)answer.confidence, (long)answer.is_accepted);
#endif
    printf("\n");
    fflush(stdout); /* somebody may be waiting for it */
}

int main(void) {
    int16_t block[128]; /* 8 ms */
    filter_bank_start(&bank);
    for (size_t n; (n = fread(block, sizeof *block, 128, stdin)) > 0;)
        for (size_t i = 0; i < n; i++)
            if (listen_to(block[i]) == ENDS)
                print_answer();
    if (flush() == ENDS)
        print_answer();
    return ferror(stdin) || ferror(stdout) ? 1 : 0;
}
#endif
