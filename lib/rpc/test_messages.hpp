#pragma once

#include "base/test.hpp"
#include "rpc/message.hpp"

#include <string_view>
#include <utility>
#include <vector>

/// Recorded connections of vectors/visor/gob_rpc.json, and what a core makes of bytes.
namespace skywire::rpc::test {

inline json::value recordings() {
    return skywire::test::vectors("visor/gob_rpc.json");
}

constexpr std::string_view kCalls = "client->server";
constexpr std::string_view kAnswers = "server->client";

/// One direction of a recorded connection, write by write.
inline std::vector<Bytes> writes(const json::value& recording, std::string_view direction) {
    const json::value& all = recording.is_array() ? recording : recording.at("writes");
    std::vector<Bytes> found;
    found.reserve(all.as_array().size());
    for (const json::value& write : all.as_array()) {
        if (skywire::test::text(write, "dir") == direction)
            found.push_back(skywire::test::hex(skywire::test::text(write, "hex")));
    }
    return found;
}

inline Bytes joined(const std::vector<Bytes>& pieces) {
    Bytes all;
    for (const Bytes& piece : pieces)
        all.insert(all.end(), piece.begin(), piece.end());
    return all;
}

/// What reading came to: headers in order, and the error at the end.
template <class Header>
struct Seen {
    std::vector<Header> headers;
    ErrorCode error;
};

/// Feeds the bytes `step` at a time.
template <class Header>
Seen<Header> read_in_steps(ByteSpan bytes, std::size_t step) {
    Incoming<Header> incoming;
    Seen<Header> seen;
    Bytes held;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
        const ByteSpan piece = bytes.subspan(at, std::min(step, bytes.size() - at));
        held.insert(held.end(), piece.begin(), piece.end());
        ByteSpan input = held;
        while (true) {
            const auto next = incoming.next(input);
            if (!next) {
                seen.error = next.error().code();
                return seen;
            }
            const auto& message = *next;
            if (!message) break;
            seen.headers.push_back(message->header);
        }
        held = Bytes(input.begin(), input.end());
    }
    return seen;
}

}  // namespace skywire::rpc::test
