// A gob stream: the same values and the same end whether its bytes come at once or in two pieces,
// and every value walked to its leaves. The first byte says where the bytes are cut.

#include "gob/decoder.hpp"
#include "gob/reader.hpp"

#include <cstdlib>

using namespace skywire;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

/// How many leaves a value has.
std::size_t walk(const gob::Value& value) {
    std::size_t leaves = 0;
    switch (value.kind()) {
        case gob::Kind::boolean:
            return value.as_bool() ? 1 : 0;
        case gob::Kind::integer:
            return value.as_int() ? 1 : 0;
        case gob::Kind::unsigned_integer:
            return value.as_uint() ? 1 : 0;
        case gob::Kind::floating:
            return value.as_float() ? 1 : 0;
        case gob::Kind::bytes:
            return value.as_bytes() ? 1 : 0;
        case gob::Kind::text:
            return value.as_text() ? 1 : 0;
        case gob::Kind::opaque:
            return value.as_opaque() ? 1 : 0;
        case gob::Kind::complex:
            return 1;
        case gob::Kind::interface:
            std::abort();
        case gob::Kind::array:
        case gob::Kind::slice: {
            auto elements = *value.elements();
            while (const auto element = elements.next())
                leaves += walk(*element);
            return leaves;
        }
        case gob::Kind::map: {
            auto entries = *value.entries();
            while (const auto entry = entries.next())
                leaves += walk(entry->key) + walk(entry->element);
            return leaves;
        }
        case gob::Kind::structure: {
            auto members = *value.members();
            while (const auto member = members.next())
                leaves += walk(member->value);
            return leaves;
        }
    }
    return leaves;
}

struct Outcome {
    std::size_t values = 0;
    std::size_t leaves = 0;
    std::size_t types_errors = 0;
    ErrorCode error;

    bool operator==(const Outcome&) const = default;
};

/// Takes what is there; false once the stream has failed.
bool drain(gob::Decoder& decoder, ByteSpan& input, Outcome& outcome) {
    while (true) {
        const auto value = decoder.next(input);
        if (!value) {
            outcome.error = value.error().code();
            check(outcome.error.category() == gob::gob_category());
            return false;
        }
        const auto& whole = *value;
        if (!whole) return true;
        ++outcome.values;
        outcome.leaves += walk(*whole);
        std::vector<std::uint64_t> numbers;
        if (!gob::read(*whole, numbers)) ++outcome.types_errors;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const ByteSpan bytes = std::as_bytes(std::span(data + 1, size - 1));
    const gob::Limits limits{
        .message_bytes = 4096,
        .nesting = 8,
        .values = 2048,
        .types = 16,
        .fields = 64,
        .name_bytes = 64,
    };
    gob::Decoder decoder(limits);
    Outcome at_once;
    ByteSpan all = bytes;
    drain(decoder, all, at_once);

    gob::Decoder in_pieces(limits);
    Outcome twice;
    ByteSpan first = bytes.first(bytes.empty() ? 0 : data[0] % (bytes.size() + 1));
    const std::size_t offered = first.size();
    if (drain(in_pieces, first, twice)) {
        ByteSpan rest = bytes.subspan(offered - first.size());
        drain(in_pieces, rest, twice);
    }
    check(at_once == twice);
    return 0;
}
