// Handshakes, both roles of every pattern. The first byte chooses the pattern, the role, and
// whether the messages come from the input alone, or from a real peer and the input damages one.

#include "base/random.hpp"
#include "noise/handshake.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

using namespace skywire;
using namespace skywire::noise;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

struct Keys {
    crypto::KeyPair initiator = crypto::deterministic_key_pair("initiator");
    crypto::KeyPair responder = crypto::deterministic_key_pair("responder");
};

Handshake make(Pattern pattern, Role role) {
    static const Keys keys;
    const bool initiator = role == Role::initiator;
    std::optional<crypto::PublicKey> remote;
    if (pattern == Pattern::kk || (pattern == Pattern::xk && initiator)) {
        remote = (initiator ? keys.responder : keys.initiator).public_key;
    }
    return Handshake::make(pattern, role, initiator ? keys.initiator : keys.responder, remote)
        .value();
}

/// The next bytes: a length (two bytes, the high one cut) and as much as there is.
ByteSpan take(ByteSpan& input) {
    if (input.size() < 2) return std::exchange(input, {});
    const std::size_t size =
        std::to_integer<std::size_t>(input[0]) % 8 * 256 + std::to_integer<std::size_t>(input[1]);
    input = input.subspan(2);
    const ByteSpan taken = input.first(std::min(size, input.size()));
    input = input.subspan(taken.size());
    return taken;
}

void stranger(Pattern pattern, Role role, ByteSpan input) {
    SeededRandom random(1);
    Handshake ours = make(pattern, role);
    const bool known = !ours.remote().is_null();
    for (int turns = 0; turns < 4; ++turns) {
        const bool writes = ours.writes_next();
        const auto result =
            writes ? ours.write_message(random, take(input)) : ours.read_message(take(input));
        if (ours.finished()) break;
        if (!result) {
            check(ours.remote().is_null() != known);
            check(!ours.writes_next());
            check(!ours.read_message(input));
            check(!ours.write_message(random));
            break;
        }
    }
}

void damaged(Pattern pattern, ByteSpan input) {
    SeededRandom random(2);
    Handshake initiator = make(pattern, Role::initiator);
    Handshake responder = make(pattern, Role::responder);
    std::array<std::size_t, 4> patch{};
    for (std::size_t i = 0; i < patch.size() && i < input.size(); ++i)
        patch[i] = std::to_integer<std::size_t>(input[i]);
    input = input.subspan(std::min(input.size(), patch.size()));
    bool touched = false;
    for (std::size_t i = 0; !initiator.finished() || !responder.finished(); ++i) {
        Handshake& writer = i % 2 == 0 ? initiator : responder;
        Handshake& reader = i % 2 == 0 ? responder : initiator;
        const ByteSpan payload = take(input);
        auto message = writer.write_message(random, payload);
        check(message.has_value());
        if (patch[0] % 4 == i && patch[3] != 0) {
            const std::size_t at = (patch[1] * 256 + patch[2]) % message->size();
            (*message)[at] ^= static_cast<std::byte>(patch[3]);
            touched = true;
        }
        const auto read = reader.read_message(*message);
        if (!read) {
            check(touched);
            return;
        }
        if (!touched) check(std::equal(read->begin(), read->end(), payload.begin(), payload.end()));
    }
    check(!touched);
    check(initiator.keys().send.bytes() == responder.keys().receive.bytes());
    check(initiator.hash() == responder.hash());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    constexpr std::array kPatterns{Pattern::xk, Pattern::kk, Pattern::xx};
    const Pattern pattern = kPatterns[data[0] % 3];
    const ByteSpan input = std::as_bytes(std::span(data + 1, size - 1));
    switch (data[0] / 3 % 3) {
        case 0:
            stranger(pattern, Role::initiator, input);
            break;
        case 1:
            stranger(pattern, Role::responder, input);
            break;
        default:
            damaged(pattern, input);
    }
    return 0;
}
