// Writes signed client entries, one a line, each under a key of its own: what the load generator
// posts. bench_entries COUNT

#include "crypto/keys.hpp"
#include "dmsg/entry.hpp"

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
    using namespace skywire;
    const long count = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 0;
    if (count <= 0) {
        std::fputs("usage: bench_entries COUNT\n", stderr);
        return 2;
    }
    // The same entries in each run: figures of two runs differ by the machine alone.
    SeededRandom random(42);
    const crypto::PublicKey server = crypto::generate_key_pair(random).public_key;
    for (long i = 0; i < count; ++i) {
        const crypto::KeyPair keys = crypto::generate_key_pair(random);
        dmsg::Entry entry;
        entry.version = dmsg::kEntryVersion;
        entry.timestamp = 1'700'000'000'000'000'000 + i;
        entry.static_key = keys.public_key;
        entry.client = dmsg::ClientInfo{{{server}}};
        dmsg::sign_entry(entry, keys.secret_key);
        std::printf("%s\n", dmsg::to_json(entry).c_str());
    }
}
