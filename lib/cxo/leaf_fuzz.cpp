// Leaves of other publishers' feeds: frames, gzip, telemetry.

#include "cxo/leaf.hpp"
#include "cxo/telemetry.hpp"

#include <cstdlib>

using namespace skywire;

namespace {

constexpr std::size_t kMax = 1'000'000;

void check(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteSpan leaf{reinterpret_cast<const std::byte*>(data), size};
    for (const auto& payload :
         {cxo::read_frame(leaf, kMax), cxo::read_gzip(leaf, kMax), cxo::read_leaf(leaf, kMax)}) {
        if (!payload) continue;
        check(payload->size() <= std::max(kMax, size));
        check(cxo::read_frame(cxo::write_frame(*payload).value(), kMax + size).value() == *payload);
    }
    if (const auto shard = cxo::read_shard(leaf)) {
        const auto again = cxo::read_shard(cxo::write_shard(*shard));
        check(again && again->rows.size() == shard->rows.size());
    }
    (void)cxo::read_current(as_text(leaf));
    if (const auto day = cxo::read_day(leaf)) check(cxo::write_day(*day).size() == size);
    return 0;
}
