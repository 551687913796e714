// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Drives slow_top, simulated, in real time: S, then each spike as an address event in its
// millisecond, E after the window. Reads spikes as reference.c does, and prints the answers as it
// does; at the end, on stderr, the cycles of the slow clock, and of them those in which the clock
// that stops has run. BIT is the slow cycles of a bit of the UART, MS those of a millisecond.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#define CXXRTL_ASSERT(x) // an address beyond a memory may be looked up; what it gives isn't used
#include "network.h"
#include "top.cpp"

static cxxrtl_design::p_slow__top top;
static unsigned long long cycles, awake;
static std::vector<uint8_t> received;

static void receive() {
    static unsigned wait, bits;
    bool tx = top.p_tx.get<bool>();
    if (!wait) {
        if (!tx)
            wait = 10 * BIT - BIT / 2, bits = 0;
    } else if (--wait % BIT == 0) { // in the middle of a bit
        bits = bits >> 1 | tx << 9;
        if (!wait)
            received.push_back(bits >> 1);
    }
}

// One cycle of the slow clock, which is two of clk.
static void tick() {
    for (int i = 0; i < 2; i++) {
        top.p_clk.set<bool>(false);
        top.step();
        top.p_clk.set<bool>(true);
        top.step();
    }
    cycles++;
    awake += top.p_gate.get<bool>();
    receive();
}

static void send(char byte) {
    unsigned bits = 0x200 | byte << 1;
    for (int i = 0; i < 10 * BIT; i++) {
        top.p_rx.set<bool>(bits >> i / BIT & 1);
        tick();
    }
}

static void give_event(unsigned unit) {
    top.p_aer__unit.set<unsigned>(unit);
    for (bool low : {false, true}) {
        top.p_aer__req__n.set<bool>(low);
        while (top.p_aer__ack__n.get<bool>() != low)
            tick();
    }
}

static void answer() {
    const size_t length = 1 + 4 * N_CLASSES + 2;
    received.clear();
    send('E');
    while (received.size() < length)
        tick();
    std::printf("%d", received[length - 2]);
    for (int i = 0; i < N_CLASSES; i++) {
        int32_t score;
        std::memcpy(&score, &received[1 + 4 * i], 4);
        std::printf(" %d", score);
    }
    std::printf("\n");
    if (received[length - 1])
        std::fprintf(stderr, "flags %d\n", received[length - 1]);
}

int main() {
    char line[64];
    unsigned ms, unit;
    bool is_open = false;
    unsigned long long start = 0;
    const unsigned long long window = N_STEPS * POOL_STEPS * BIN_MS;
    top.p_rst__n.set<bool>(true);
    top.p_rx.set<bool>(true);
    top.p_aer__req__n.set<bool>(true);
    for (int i = 0; i < 2000; i++)
        tick();
    cycles = awake = 0;
    while (std::fgets(line, sizeof line, stdin)) {
        bool is_spike = std::sscanf(line, "%u %u", &ms, &unit) == 2;
        if (!is_open) {
            send('S');
            start = cycles;
            is_open = true;
        }
        unsigned long long at = is_spike && ms < window ? ms : window;
        while (cycles < start + at * MS + MS / 10)
            tick();
        if (!is_spike) {
            answer();
            is_open = false;
        } else if (ms < window)
            give_event(unit);
    }
    std::fprintf(stderr, "%llu %llu\n", cycles, awake);
}
