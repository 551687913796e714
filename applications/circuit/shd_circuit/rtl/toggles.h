// Counts how often the nets of a netlist change: those named n and a number (`rtl.toggles`), once a
// clock cycle, when all has settled; what flickers in between isn't seen.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

struct Net {
    std::string name;
    const uint32_t *now;
    uint32_t before;
    unsigned long long changes, high;
};
static std::vector<Net> nets;
static unsigned long long looked;

template <class Module> static void count_toggles(Module &module) {
    if (nets.empty()) {
        cxxrtl::debug_items items;
        module.debug_info(&items, nullptr, "");
        for (auto &item : items.table)
            if (item.first.find_first_not_of("0123456789", 1) == std::string::npos
                && item.first[0] == 'n' && item.second[0].curr)
                nets.push_back({item.first, item.second[0].curr, *item.second[0].curr, 0, 0});
    }
    looked++;
    for (Net &net : nets) {
        net.changes += *net.now != net.before;
        net.high += *net.now;
        net.before = *net.now;
    }
}

static void write_toggles() {
    std::FILE *file = std::fopen("toggles.txt", "w");
    std::fprintf(file, "cycles 0 %llu\n", looked);
    for (Net &net : nets)
        std::fprintf(file, "%s %llu %llu\n", net.name.c_str(), net.changes, net.high);
    std::fclose(file);
}
