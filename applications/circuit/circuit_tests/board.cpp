// The board, simulated, for the computer at the other end of its serial line: the pseudo terminal
// whose descriptor is the argument. -DDIVIDER=n says how many clock cycles a bit takes. It is ended
// from outside, at the latest by its own alarm. SIGUSR1 pulls rst_n low for some cycles.
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

#define CXXRTL_ASSERT(x) // an address beyond a memory may be looked up; what it gives isn't used
#include "top.cpp"

static volatile std::sig_atomic_t reset_left;

static void reset(int) {
    reset_left = 100;
}

int main(int, char **arguments) {
    cxxrtl_design::p_shd__top top;
    int port = std::atoi(arguments[1]);
    unsigned sent = 1, sending = 0, got = 0, getting = 0; // bits, and cycles that they still take
    unsigned char byte;
    std::signal(SIGUSR1, reset);
    top.p_aer__req__n.set<bool>(true);
    alarm(600);
    fcntl(port, F_SETFL, O_NONBLOCK);
    for (unsigned long quiet = 1;; quiet++) { // the first byte comes 15 cycles later: after the reset
        if (!sending && quiet % 16 == 0 && read(port, &byte, 1) == 1)
            sent = 0x200 | byte << 1, sending = 10 * DIVIDER, quiet = 0;
        if (quiet > 3000000 && quiet % 1024 == 0)
            usleep(1000); // nobody speaks: leave the machine to others
        unsigned bit = sending ? (10 * DIVIDER - sending) / DIVIDER : 9;
        top.p_rx.set<bool>(!sending || sent >> bit & 1);
        sending -= sending > 0;
        top.p_rst__n.set<bool>(!reset_left);
        if (reset_left)
            reset_left = reset_left - 1;
        top.p_clk.set<bool>(false);
        top.step();
        top.p_clk.set<bool>(true);
        top.step();
        bool tx = top.p_tx.get<bool>();
        if (!getting && !tx)
            getting = 10 * DIVIDER - DIVIDER / 2, got = 0;
        else if (getting && --getting % DIVIDER == 0) {
            got = got >> 1 | tx << 9; // in the middle of a bit
            if (!getting) {
                byte = got >> 1;
                quiet = 0;
                while (write(port, &byte, 1) != 1)
                    usleep(1000);
            }
        }
    }
}
