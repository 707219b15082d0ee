// Headers and bodies of both directions: the same messages and the same end whether the bytes come
// at once or in two pieces. The first byte says where they are cut.

#include "gob/reader.hpp"
#include "rpc/error.hpp"
#include "rpc/message.hpp"

#include <cstdlib>
#include <string>
#include <vector>

using namespace skywire;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

struct Outcome {
    std::vector<std::string> methods;
    ErrorCode error;

    bool operator==(const Outcome&) const = default;
};

template <class Header>
bool drain(rpc::Incoming<Header>& incoming, ByteSpan& input, Outcome& outcome) {
    while (true) {
        const auto next = incoming.next(input);
        if (!next) {
            outcome.error = next.error().code();
            return false;
        }
        const auto& message = *next;
        if (!message) return true;
        check(message->header.method.size() <= rpc::kMethodBytesMax);
        outcome.methods.push_back(message->header.method);
        std::uint64_t number = 0;
        (void)gob::read(message->body, number).has_value();
    }
}

template <class Header>
void run(ByteSpan bytes, std::size_t cut) {
    gob::Limits limits;
    limits.message_bytes = 4096;
    limits.types = 32;
    rpc::Incoming<Header> whole(limits);
    Outcome at_once;
    ByteSpan all = bytes;
    drain(whole, all, at_once);

    rpc::Incoming<Header> in_pieces(limits);
    Outcome twice;
    ByteSpan first = bytes.first(cut);
    if (drain(in_pieces, first, twice)) {
        ByteSpan rest = bytes.subspan(cut - first.size());
        drain(in_pieces, rest, twice);
    }
    check(at_once == twice);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const ByteSpan bytes = std::as_bytes(std::span(data + 1, size - 1));
    const std::size_t cut = data[0] % (bytes.size() + 1);
    run<rpc::Request>(bytes, cut);
    run<rpc::Response>(bytes, cut);
    return 0;
}
