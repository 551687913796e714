// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Drives the simulated core with the spikes that reference.c reads, and prints what it prints; at
// the end, on stderr, the clock cycles, and of them those from in_end, which comes at once after the
// last spike, to out_valid: of an utterance, the fewest and the most. -DTRACE=n prints the steps as
// well, as reference.c does (without i, the events, which the core doesn't show).
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#define CXXRTL_ASSERT(x) // an address beyond a memory may be looked up; what it gives isn't used
#include "core.cpp"
#include "network.h"

#ifdef TOGGLES // counts how often a netlist's nets change
#include "toggles.h"
#endif
#ifndef LANES
#define LANES 1
#endif

static cxxrtl_design::p_core core;
static unsigned long long cycles, fewest = -1, most;
static long step, n_utterances;
static std::string spikes[2], membranes[2];

#ifdef TRACE
// Bit i of a wide output of the core.
template <class Port> static long bit_of(const Port &port, long i) {
    return port.data[i / 32] >> i % 32 & 1;
}

static long membrane_of(long lane) {
    long n_bits = core.p_mon__mem.bits / LANES;
    long membrane = 0;
    for (long i = 0; i < n_bits; i++)
        membrane |= bit_of(core.p_mon__mem, lane * n_bits + i) << i;
    if (membrane > MEM_HIGH) // two's complement
        membrane -= 2L * MEM_HIGH + 2;
    return membrane;
}

static void print_step() {
    for (int layer : {0, 1})
        std::printf("%c %ld%s\n", "ho"[layer], step, spikes[layer].c_str());
    for (int layer : {0, 1}) {
        if (n_utterances < TRACE)
            std::printf("%c %ld%s\n", "uv"[layer], step, membranes[layer].c_str());
    }
}

// Collect what a group of neurons does; print the step after its last group.
static void trace_group() {
    if (!core.p_mon__valid.get<bool>())
        return;
    long neuron = core.p_mon__neuron.get<long>(); // classes follow the hidden neurons
    int layer = neuron >= N_HIDDEN;
    long first_of_layer = layer ? N_HIDDEN : 0;
    long end_of_layer = layer ? N_HIDDEN + N_CLASSES : N_HIDDEN;
    for (long lane = 0; lane < LANES && neuron < end_of_layer; lane++) {
        membranes[layer] += " " + std::to_string(membrane_of(lane));
        if (bit_of(core.p_mon__spike, lane))
            spikes[layer] += " " + std::to_string(neuron - first_of_layer);
        neuron++;
    }
    if (neuron < N_HIDDEN + N_CLASSES)
        return;
    print_step();
    for (int i : {0, 1}) {
        spikes[i].clear();
        membranes[i].clear();
    }
    step++;
}
#endif

// One clock cycle; tells whether the transfer at the rising edge takes place.
static bool tick() {
    core.p_clk.set<bool>(false);
    core.step();
    bool taken = core.p_in__ready.get<bool>();
#ifdef TRACE
    trace_group();
#endif
    core.p_clk.set<bool>(true);
    core.step();
    cycles++;
#ifdef TOGGLES
    count_toggles(core);
#endif
    return taken;
}

static void send(unsigned ms, unsigned unit, bool is_end) {
    core.p_in__valid.set<bool>(true);
    core.p_in__end.set<bool>(is_end);
    core.p_in__ms.set<unsigned>(ms);
    core.p_in__unit.set<unsigned>(unit);
    while (!tick())
        ;
    core.p_in__valid.set<bool>(false);
}

static void end_utterance() {
    unsigned long long before = cycles;
    send(0, 0, true);
    std::vector<int32_t> scores;
    core.p_out__ready.set<bool>(true);
    bool is_last = false;
    while (!is_last) {
        core.p_clk.set<bool>(false);
        core.step();
        if (core.p_out__valid.get<bool>()) {
            if (scores.empty()) {
                fewest = std::min(fewest, cycles - before);
                most = std::max(most, cycles - before);
            }
            scores.push_back(core.p_out__score.get<int32_t>());
            is_last = core.p_out__last.get<bool>();
            if (is_last)
                std::printf("%u", core.p_out__answer.get<unsigned>());
        }
        tick();
    }
    core.p_out__ready.set<bool>(false);
    for (int32_t score : scores)
        std::printf(" %d", score);
    std::printf("\n");
    step = 0;
    n_utterances++;
}

int main() {
    char line[64];
    char other;
    unsigned ms;
    unsigned unit;
    bool is_open = false; // an utterance has begun
    core.p_rst.set<bool>(true);
    tick();
    core.p_rst.set<bool>(false);
    cycles = 0;
    for (int i = 0; i < N_UNITS; i++) // pooling is cleared
        tick();
    while (std::fgets(line, sizeof line, stdin)) {
        if (std::sscanf(line, "%u %u %c", &ms, &unit, &other) == 2) {
            send(ms > 0xffff ? 0xffff : ms, unit, false);
            is_open = true;
        } else if (std::sscanf(line, " %c", &other) != 1) {
            end_utterance();
            is_open = false;
        } else {
            std::fprintf(stderr, "not \"millisecond unit\": %s", line);
            return 1;
        }
    }
    if (is_open)
        end_utterance();
    std::fprintf(stderr, "%ld utterances, %llu cycles; from in_end to out_valid %llu to %llu\n",
                 n_utterances, cycles, n_utterances ? fewest : 0, most);
#ifdef TOGGLES
    write_toggles();
#endif
}
