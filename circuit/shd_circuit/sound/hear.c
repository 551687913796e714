/* A recording to the spikes of its word.

   As a program: float samples of 48 kHz, mono, on standard input; on standard output the spikes as
   the network's reference.c reads them, "millisecond unit" a line. So sound becomes a digit:

       gcc -std=c99 -O3 hear.c -o hear -lm && gcc -std=c99 -O3 reference.c -o reference
       sox word.wav -t raw -e float -b 32 -r 48000 -c 1 - | ./hear | ./reference

   `./hear 10` encodes it ten times, to be timed. As WebAssembly: the functions at the end. */
#include "word.c"

/* That of numpy.random.SeedSequence(0), as Python draws the fibers of a word that was said. */
#define STATE 0xdb2cd7e7b0f478beu

#ifndef __wasm__
#include <stdio.h>

int main(int n_arguments, char **arguments) {
    int32_t n = fread(recording, sizeof(float), MAX_RECORDING, stdin);
    int found = 0, times = n_arguments > 1 ? atoi(arguments[1]) : 1;
    cochlea_start();
    for (int i = 0; i < times; i++)
        found = word_encode(n, STATE);
    if (!found) {
        fprintf(stderr, says, value);
        fprintf(stderr, "\n");
        return 1;
    }
    if (*says)
        fprintf(stderr, "%s\n", says);
    for (int32_t at = cochlea_next(0); at >= 0; at = cochlea_next(at + 1))
        printf("%ld %ld\n", (long)(at / CHANNELS / (RATE_HZ / 2000)), (long)(at % CHANNELS));
    printf("\n");
    return 0;
}
#else
#define WINDOW 8192 /* samples that are heard at a time, ... */
#define NEW 4096    /* ... and how many of them are new */

static int32_t n_heard;

/* The page writes samples to `samples()`, and calls go_on() while there are more, then encode(). */
#define FUNCTION(name) __attribute__((export_name(#name)))
FUNCTION(start) void start(void) { cochlea_start(); }
FUNCTION(samples) float *samples(void) { return recording; }
FUNCTION(begin) void begin(void) { cochlea_rest(); n_heard = 0; }
FUNCTION(go_on) int32_t go_on(int32_t n) {
    if (n < n_heard + WINDOW)
        return 0;
    n_heard += NEW;
    return cochlea_go_on(recording + n_heard - NEW, WINDOW, NEW, STATE);
}
FUNCTION(ended) int32_t ended(int32_t n) { return word_has_ended(n); }
FUNCTION(encode) int32_t encode(int32_t n) { return word_encode(n, STATE); }
FUNCTION(next) int32_t next(int32_t from) { return cochlea_next(from); }
FUNCTION(from) int32_t from(void) { return first - BEFORE; }
FUNCTION(to) int32_t to(void) { return stop + AFTER; }
FUNCTION(why) const char *why(void) { return says; } /* what is wrong, or a warning */
FUNCTION(number) double number(void) { return value; }
#endif
