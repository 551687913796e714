// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// A board: the listener without a reset, a model of a MEMS microphone (see microphone.v) that sends
// the samples of stdin (24 bits in 32 each), and a computer at the serial port. Prints what the
// computer receives.
#include <cstdint>
#include <cstdio>

#include "Vlistener.h"
#include "verilated.h"

static const int SERIAL_BIT = 8; // cycles
static Vlistener top;

// What comes from the serial port, cycle by cycle.
static void receive(bool line) {
    static int cycle = -1; // since the start bit began
    static unsigned character;
    if (cycle < 0 && line)
        return;
    cycle++;
    if (cycle % SERIAL_BIT == SERIAL_BIT / 2)
        character = character >> 1 | line << 9;
    if (cycle < 10 * SERIAL_BIT - 2)
        return;
    std::putchar((character & 0x201) == 0x200 ? character >> 1 & 0xff : '?');
    cycle = -1;
}

static void send(int32_t sample) {
    static bool sck, is_right;
    bool is_sent = false;
    for (int n_left = 0; !is_sent;) {
        top.clk = 0;
        top.eval();
        receive(top.tx);
        top.clk = 1;
        top.eval();
        if (!sck && top.mic_sck) {
            if (is_right && !top.mic_ws)
                n_left = 24;
            is_right = top.mic_ws;
        } else if (sck && !top.mic_sck && n_left > 0) {
            n_left--;
            top.mic_sd = sample >> n_left & 1;
            is_sent = n_left == 0;
        }
        sck = top.mic_sck;
    }
}

int main(int n_arguments, char **arguments) {
    Verilated::commandArgs(n_arguments, arguments);
    Verilated::randReset(2);
    top.rst_n = 1;
    int32_t sample;
    while (std::fread(&sample, sizeof sample, 1, stdin) == 1)
        send(sample);
}
