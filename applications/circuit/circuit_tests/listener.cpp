// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// A board: the listener, a model of a MEMS microphone with an I2S port, and a computer at the serial
// port, of which a bit lasts argv[1] cycles. Prints what the computer receives.
//
// The microphone is an INMP441 with L/R at ground (InvenSense DS-INMP441-00, rev. 1.1): it sees at
// rising edges of sck that ws has fallen, and then drives sd after falling edges with 24 bits in two's
// complement, the highest first. Else its output floats, here at random. stdin has a sample for each
// period of ws, 32 bits each. STUCK is a period in which the pin keeps its level, PRESSED one in which
// somebody presses the reset button.
//
// With EVENTS, stderr lists what the network is given, and when an answer is decided:
//   e channel, / for a step's end, . for an utterance's end, x if the utterance is forgotten
//   a cycles   an answer, that many cycles after the utterance's end
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "Vlistener.h"
#ifdef EVENTS
#include "Vlistener___024root.h"
#endif
#include "verilated.h"

static const int32_t STUCK = 1 << 30, PRESSED = STUCK + 1;
static int serial_bit; // cycles
static Vlistener top;

// What comes from the serial port, cycle by cycle.
static void receive(bool line) {
    static int cycle = -1; // since the start bit began
    static unsigned character;
    if (cycle < 0 && line)
        return;
    cycle++;
    if (cycle % serial_bit == serial_bit / 2)
        character = character >> 1 | line << 9;
    if (cycle < 10 * serial_bit - 2)
        return;
    std::putchar((character & 0x201) == 0x200 ? character >> 1 & 0xff : '?');
    cycle = -1;
}

static void print_events() {
#ifdef EVENTS
    static long cycles;
    static bool was_deciding;
    const auto &in = *top.rootp;
    cycles++;
    if (in.listener__DOT__forgets)
        std::fputs("x\n", stderr);
    else if (in.listener__DOT__event_valid && in.listener__DOT__event_ready)
        std::fprintf(stderr, "e %d\n", in.listener__DOT__event_channel);
    else if (in.listener__DOT__step_end && in.listener__DOT__step_ready)
        std::fputs("/\n", stderr);
    else if (in.listener__DOT__utterance_end && in.listener__DOT__step_ready) {
        std::fputs(".\n", stderr);
        cycles = 0;
    }
    if (was_deciding && !in.listener__DOT__deciding)
        std::fprintf(stderr, "a %ld\n", cycles);
    was_deciding = in.listener__DOT__deciding;
#endif
}

// A period of ws, after whose first half's 24 bits it ends.
static void send(int32_t sample) {
    static bool sck, is_right;
    top.rst_n = sample != PRESSED;
    bool is_sent = false;
    for (int n_left = 0, n_cycles = 0; !is_sent;) {
        top.clk = 0;
        top.eval();
        receive(top.tx);
        print_events();
        top.clk = 1;
        top.eval();
        if (sample == PRESSED) {
            is_sent = ++n_cycles == 1000; // there is no ws meanwhile
        } else if (!sck && top.mic_sck) {
            if (is_right && !top.mic_ws)
                n_left = 24;
            is_right = top.mic_ws;
        } else if (sck && !top.mic_sck && sample != STUCK) {
            top.mic_sd = n_left > 0 ? sample >> (n_left - 1) & 1 : std::rand() & 1;
            is_sent = n_left-- == 1;
        } else if (sck && !top.mic_sck) {
            is_sent = n_left-- == 1;
        }
        sck = top.mic_sck;
    }
}

int main(int n_arguments, char **arguments) {
    Verilated::commandArgs(n_arguments, arguments);
    Verilated::randReset(2);
    serial_bit = std::atoi(arguments[1]);
    top.rst_n = 1;
    int32_t sample;
    while (std::fread(&sample, sizeof sample, 1, stdin) == 1)
        send(sample);
}
