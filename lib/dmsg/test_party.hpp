#pragma once

#include "base/test.hpp"
#include "dmsg/session.hpp"
#include "dmsg/test_rig.hpp"

#include <deque>
#include <optional>

/// For tests of sessions and streams: the two ends of a session, and what they are told.
namespace skywire::dmsg::test {

/// One end of a session.
class Party final : private Session::Owner {
 public:
    Party(World& world, Handshaken handshaken, const Session::Options& options)
        : keys(handshaken.keys),
          session(world.context, std::move(handshaken), options, *this),
          world_(world) {}
    ~Party() override { world_.loop.run(session.mux().close()); }

    /// The next stream that the peer opened.
    std::unique_ptr<mux::Stream> accept() {
        world_.loop.run_until([&] { return !opened.empty() || ended; });
        if (opened.empty()) throw std::runtime_error("no stream came: " + ended->message());
        auto stream = std::move(opened.front());
        opened.pop_front();
        return stream;
    }

    noise::TransportKeys keys;
    std::deque<std::unique_ptr<mux::Stream>> opened;
    std::optional<Error> ended;
    bool gone_away = false;
    Session session;

 private:
    void on_stream(Session&, std::unique_ptr<mux::Stream> stream) override {
        opened.push_back(std::move(stream));
    }
    void on_go_away(Session&) override { gone_away = true; }
    void on_end(Session&, const Error& reason) override { ended = reason; }

    World& world_;
};

/// A client and a server, or whoever else is at the two ends, after a real handshake.
struct Couple {
    explicit Couple(World& world, mux::Protocol protocol = mux::Protocol::yamux)
        : near_keys(crypto::deterministic_key_pair("near")),
          far_keys(crypto::deterministic_key_pair("far")) {
        auto [ours, theirs] = net::make_pipe(world.context.loop, /*buffer_bytes=*/1 << 18);
        Started<Result<Handshaken>> dialer(
            world.loop,
            handshake_as_client(world.context, std::move(ours), near_keys, far_keys.public_key)
        );
        Started<Result<Handshaken>> acceptor(
            world.loop, handshake_as_server(world.context, std::move(theirs), far_keys)
        );
        Session::Options options;
        options.protocol = protocol;
        near.emplace(world, std::move(dialer.wait().value()), options);
        options.role = mux::Role::server;
        // As servers do: the first byte tells.
        options.protocol.reset();
        far.emplace(world, std::move(acceptor.wait().value()), options);
    }

    crypto::KeyPair near_keys;
    crypto::KeyPair far_keys;
    std::optional<Party> near;
    std::optional<Party> far;
};

inline Bytes concat(Bytes left, ByteSpan right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

/// Length and record.
inline Bytes framed(ByteSpan record) {
    return concat(Bytes{std::byte(record.size() >> 8), std::byte(record.size() & 0xff)}, record);
}

inline Bytes text_bytes(std::string_view text) {
    return Bytes(as_bytes(text).begin(), as_bytes(text).end());
}

/// A signed object with that payload.
inline SignedObject object_of(std::string_view payload) {
    return SignedObject::sign(
        as_bytes(payload), crypto::deterministic_key_pair("signer").secret_key
    );
}

/// Writes raw bytes on a stream.
inline void write_raw(World& world, net::Stream& stream, Bytes bytes) {
    Started<Result<>> written(world.loop, stream.write(bytes));
    written.wait().value();
}

/// Reads that many bytes, fewer where the stream ends first.
inline Task<Result<Bytes>> read_bytes(net::Stream& stream, std::size_t size) {
    Bytes bytes;
    while (bytes.size() < size) {
        const std::size_t had = bytes.size();
        bytes.resize(size);
        const auto count = co_await stream.read_some(std::span(bytes).subspan(had));
        bytes.resize(had + (count ? *count : 0));
        if (!count) co_return count.error();
        if (*count == 0) break;
    }
    co_return bytes;
}

}  // namespace skywire::dmsg::test
