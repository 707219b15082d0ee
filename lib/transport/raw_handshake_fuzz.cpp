// Any bytes, whole and byte by byte: both come to the same, and nobody is accepted who did not
// sign.

#include "base/assert.hpp"
#include "transport/raw_handshake.hpp"

#include <cstdint>

using namespace skywire;
using namespace skywire::transport;

namespace {

RawAcceptor acceptor() {
    return {RawNonce{}, [](const RawHello&) { return Result<>(); }};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteSpan bytes(reinterpret_cast<const std::byte*>(data), size);
    if (const auto hello = RawHello::parse(as_text(bytes))) {
        const auto again = RawHello::parse(hello->line());
        SKY_ASSERT(again && again->line() == hello->line());
    }
    RawAcceptor whole = acceptor();
    RawAcceptor pieces = acceptor();
    SKY_ASSERT(whole.on_bytes(as_bytes(RawDialer::kFirst)));
    SKY_ASSERT(pieces.on_bytes(as_bytes(RawDialer::kFirst)));
    const auto at_once = whole.on_bytes(bytes);
    bool done = false;
    for (std::size_t i = 0; i < size; ++i) {
        const auto step = pieces.on_bytes(bytes.subspan(i, 1));
        if (!step) break;
        done = done || step->done;
    }
    if (at_once && at_once->done) SKY_ASSERT(done);
    RawDialer dialer(crypto::deterministic_key_pair("fuzz"), 1, {});
    (void)dialer.on_bytes(bytes);
    return 0;
}
