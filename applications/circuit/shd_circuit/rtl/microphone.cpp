// Drives a listener's cells with an I2S microphone that sends the samples of stdin, and prints what
// comes from the serial port (`rtl.toggles`).
#include <cstdio>

#define CXXRTL_ASSERT(x)
#include "core.cpp"
#include "toggles.h"

static const int SERIAL_BIT = 104; // cycles
static cxxrtl_design::p_listener listener;

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
    std::putchar(character >> 1 & 0xff);
    cycle = -1;
}

// Sends the 24 bits of a sample, the highest first, from the second bit after ws falls.
static void send(long sample) {
    static bool was_high, was_right;
    int n_left = 0;
    for (bool is_sent = false; !is_sent;) {
        listener.p_clk.set<bool>(false);
        listener.step();
        listener.p_clk.set<bool>(true);
        listener.step();
        count_toggles(listener);
        receive(listener.p_tx.get<bool>());
        bool is_high = listener.p_mic__sck.get<bool>();
        if (!was_high && is_high) {
            bool is_right = listener.p_mic__ws.get<bool>();
            if (was_right && !is_right)
                n_left = 24;
            was_right = is_right;
        } else if (was_high && !is_high && n_left > 0) {
            n_left--;
            listener.p_mic__sd.set<bool>(sample >> n_left & 1);
            is_sent = n_left == 0;
        }
        was_high = is_high;
    }
}

int main() {
    long sample;
    listener.p_rst__n.set<bool>(true);
    while (std::scanf("%ld", &sample) == 1)
        send(16 * sample); // the listener divides by 16
    write_toggles();
}
