// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Plays samples from stdin (16 bits each) to the front end in Verilator, each as soon as it is ready.
// Prints what is seen, one thing in each line:
//   b channel   an event of a step    s status   the end of the step
//   e channel   the network takes an event, / a step's end, or . an utterance's end
//   x           the utterance is dropped; X: because the network was too slow
// listening [BUSY [RESET]]: the network is ready in one of four cycles, and not in BUSY cycles after
// each step. BUSY -1: it is ready for a step's end where the next step ends. After RESET samples, and
// some cycles, there is a reset.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "Vfront_end.h"
#include "verilated.h"

static Vfront_end top;
static long busy_cycles, busy, channel;

static void print_step() {
    if (top.bit_valid && top.bit_event)
        std::printf("b %ld\n", channel);
    channel += top.bit_valid;
    if (top.step_end) {
        std::printf("s %d\n", top.status);
        channel = 0;
    }
}

static void print_network() {
    if (top.out_abort) {
        std::puts(top.overrun ? "X" : "x");
    } else if (top.out_valid && top.out_ready) {
        std::printf("e %d\n", top.out_channel);
    } else if (top.out_step_end && top.out_step_ready) {
        std::puts("/");
        busy = busy_cycles > 0 ? busy_cycles : 0;
    } else if (top.out_utterance_end && top.out_step_ready) {
        std::puts(".");
    }
}

// One clock cycle; tells whether a sample was taken.
static bool tick() {
    top.clk = 0;
    top.out_ready = !busy && std::rand() % 4 == 0;
    top.out_step_ready = busy_cycles < 0 ? top.step_end : !busy && std::rand() % 4 == 0;
    busy -= busy > 0;
    top.eval();
    bool taken = top.sample_valid && top.sample_ready;
    if (!top.rst) {
        print_step();
        print_network();
    }
    top.clk = 1;
    top.eval();
    return taken;
}

static void reset() {
    top.rst = 1;
    tick();
    top.rst = 0;
    channel = 0;
}

int main(int n_arguments, char **arguments) {
    Verilated::commandArgs(n_arguments, arguments);
    busy_cycles = n_arguments > 1 ? std::atol(arguments[1]) : 0;
    long reset_after = n_arguments > 2 ? std::atol(arguments[2]) : -1;
    Verilated::randReset(2);
    int16_t sample;
    reset();
    for (long n = 1; std::fread(&sample, sizeof sample, 1, stdin) == 1; n++) {
        top.sample = sample;
        top.sample_valid = 1;
        while (!tick())
            ;
        top.sample_valid = 0;
        if (n != reset_after)
            continue;
        for (int i = 0; i < 100; i++)
            tick();
        std::puts("r");
        reset();
    }
    for (int i = 0; i < 100000; i++)
        tick();
}
