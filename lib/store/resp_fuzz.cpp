// Bytes of a server, in pieces: the first byte says how large. Whole replies must come out the same
// however the bytes are cut.

#include "store/resp.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using namespace skywire;

void append(std::string& out, const store::Reply& reply) {
    out += std::to_string(static_cast<int>(reply.kind)) + ":" + std::to_string(reply.integer) +
           ":" + std::to_string(reply.text.size()) + ":" + reply.text + "[";
    for (const auto& element : reply.elements)
        append(out, element);
    out += "]";
}

std::string read(ByteSpan bytes, std::size_t piece) {
    // The bound is not reached: where exactly it strikes depends on the pieces.
    store::ReplyReader reader(bytes.size() + 1);
    std::string out;
    while (!bytes.empty()) {
        const std::size_t size = std::min(piece, bytes.size());
        reader.feed(bytes.first(size));
        bytes = bytes.subspan(size);
        for (;;) {
            const auto reply = reader.next();
            if (!reply) return out + "error";
            const auto& whole = *reply;
            if (!whole) break;
            append(out, *whole);
        }
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const ByteSpan bytes = std::as_bytes(std::span(data, size));
    const std::size_t piece = 1 + std::to_integer<std::size_t>(bytes[0]) % 16;
    const ByteSpan wire = bytes.subspan(1);
    if (read(wire, piece) != read(wire, wire.size())) std::abort();

    // A small bound must end the reader, not break it.
    store::ReplyReader bounded(16);
    bounded.feed(wire);
    for (auto reply = bounded.next(); reply && *reply; reply = bounded.next()) {
    }
    return 0;
}
