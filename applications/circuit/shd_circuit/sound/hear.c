/* SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
   SPDX-License-Identifier: MIT

   Find the utterance in a recording, and encode it as spikes.

   The program reads mono samples of 48 kHz, as 32-bit floats, from standard input. It prints one
   spike in a line, "millisecond unit", which is what the network's reference.c reads. Together they
   classify a sound:

       gcc -std=c99 -O3 hear.c -o hear -lm && gcc -std=c99 -O3 reference.c -o reference
       sox digit.wav -t raw -e float -b 32 -r 48000 -c 1 - | ./hear | ./reference

   If the input is no such recording, a message on stderr says why, and the exit status is 1. Each
   of these has a message of its own: an empty input, a WAV file with its header, 16-bit integers,
   samples that are NaN or infinite, and more than 60 s.

   The exit status is 1, too, if the spikes can't be written. `./hear 10` encodes the utterance ten
   times, so that it can be timed. Compiled to WebAssembly, the functions at the end are exported. */
#include "utterance.c"

/* The first state of numpy.random.SeedSequence(0), which Python uses for recorded utterances. */
#define STATE 0xdb2cd7e7b0f478beu

#ifndef __wasm__
#include <stdio.h>

#define CONVERT "Convert it: sox digit.wav -t raw -e float -b 32 -r 48000 -c 1 -"

/* A WAV file's numbers begin with the lowest byte. */
static uint32_t number_at(const unsigned char *bytes) {
    return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Read the recording; returns its number of samples, or 0: then `message` says why. */
static int32_t read_recording(void) {
    unsigned char *bytes = (unsigned char *)recording, more;
    size_t n_bytes = fread(bytes, 1, sizeof(recording), stdin);
    int32_t n = n_bytes / sizeof(float), n_odd = 0;
    if (n_bytes == 0)
        return refuse("Nothing came in: is the file empty?");
    if (n_bytes >= 28 && memcmp(bytes, "RIFF", 4) == 0) {
        message_number = number_at(bytes + 24);
        return refuse("This is a WAV file of %.0f Hz, not 32-bit floats of 48000 Hz without a header. " CONVERT);
    }
    if (n_bytes % sizeof(float) != 0)
        return refuse("The last sample isn't complete: these aren't 32-bit floats. " CONVERT);
    if (n_bytes == sizeof(recording) && fread(&more, 1, 1, stdin) == 1) {
        message_number = (double)MAX_RECORDING / RATE_HZ;
        return refuse("The recording is longer than %.0f s: cut it to the digit.");
    }
    for (int32_t i = 0; i < n; i++) { /* two integers, read as a float, are hardly ever near 1 */
        double size = fabs(recording[i]);
        n_odd += (size > 1e4 && size <= FLT_MAX) || (size > 0 && size < 1e-12);
    }
    if (n_odd > n / 10)
        return refuse("The samples look like integers that are read as floats. " CONVERT);
    for (int32_t i = 0; i < n; i++)
        if (!(fabs(recording[i]) <= FLT_MAX)) {
            message_number = i;
            return refuse("Sample %.0f is NaN or infinite. Record it again.");
        }
    return n;
}

int main(int n_arguments, char **arguments) {
    int found = 0;
    char *end = "";
    long times = n_arguments > 1 ? strtol(arguments[1], &end, 10) : 1;
    if (times < 1 || *end) {
        fprintf(stderr, "%s: must be how often the utterance is encoded, a whole number from 1\n", arguments[1]);
        return 1;
    }
    int32_t n = read_recording();
    if (n > 0 && find_utterance(n)) { /* the tables take time, so only if they are needed */
        cochlea_start();
        for (long i = 0; i < times; i++)
            found = encode_utterance(n, STATE);
    }
    if (!found) {
        fprintf(stderr, message, message_number);
        fprintf(stderr, "\n");
        return 1;
    }
    if (*message)
        fprintf(stderr, "%s\n", message);
    for (int32_t at = cochlea_next(0); at >= 0; at = cochlea_next(at + 1))
        printf("%ld %ld\n", (long)(at / CHANNELS / (RATE_HZ / 2000)), (long)(at % CHANNELS));
    printf("\n");
    int is_broken = ferror(stdin);
    if (fflush(stdout) || ferror(stdout) || is_broken) {
        fprintf(stderr, "%s\n", is_broken ? "The recording can't be read to its end." : "The spikes can't be written.");
        return 1;
    }
    return 0;
}
#else
#define WINDOW 8192 /* samples that the preview encodes at a time, ... */
#define NEW 4096    /* ... and how many of them are new */

static int32_t n_encoded;

/* The page writes samples to `samples()`, and calls go_on() while there are more, then encode(). */
#define FUNCTION(name) __attribute__((export_name(#name)))
FUNCTION(start) void start(void) { cochlea_start(); }
FUNCTION(samples) float *samples(void) { return recording; }
FUNCTION(begin) void begin(void) { cochlea_rest(); n_encoded = 0; }
FUNCTION(go_on) int32_t go_on(int32_t n) {
    if (n < n_encoded + WINDOW)
        return 0;
    n_encoded += NEW;
    return cochlea_go_on(recording + n_encoded - NEW, WINDOW, NEW, STATE);
}
FUNCTION(ended) int32_t ended(int32_t n) { return utterance_has_ended(n); }
FUNCTION(encode) int32_t encode(int32_t n) { return encode_utterance(n, STATE); }
FUNCTION(next) int32_t next(int32_t from) { return cochlea_next(from); }
FUNCTION(from) int32_t from(void) { return first - BEFORE; }
FUNCTION(to) int32_t to(void) { return stop + AFTER; }
FUNCTION(why) const char *why(void) { return message; } /* why there is no utterance, or a warning */
FUNCTION(number) double number(void) { return message_number; }
#endif
