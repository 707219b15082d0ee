#pragma once

#include "cxo/message.hpp"
#include "cxo/test_nodes.hpp"

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace skywire::cxo::test {

/// The other end of a plain connection, which says frame by frame what it is told to.
class RawPeer {
 public:
    RawPeer(net::TestLoop& loop, std::unique_ptr<net::Stream> stream)
        : loop_(loop), stream_(std::move(stream)) {}

    static RawPeer dial(net::TestLoop& loop, const Party& party) {
        auto dialled = loop.context.network.dial(loop.context.loop, *party.address);
        return {loop, loop.run(std::move(dialled)).value()};
    }

    void send_bytes(Bytes bytes) { REQUIRE(loop_.run(stream_->write(bytes))); }
    std::uint32_t send(const Message& message, std::uint32_t rseq = 0) {
        send_bytes(encode_frame({++seq_, rseq, message}));
        return seq_;
    }

    /// The next frame; nothing at the end.
    std::optional<Frame> receive() {
        for (;;) {
            if (received_.size() >= 4) {
                std::size_t size = 0;
                for (std::size_t i = 0; i < 4; ++i)
                    size = size << 8 | std::to_integer<std::size_t>(received_[i]);
                if (received_.size() >= 4 + size) {
                    last_.assign(received_.begin() + 4, received_.begin() + 4 + long(size));
                    received_.erase(received_.begin(), received_.begin() + 4 + long(size));
                    return decode_frame(last_).value();
                }
            }
            Bytes buffer(65536);
            const auto got = loop_.run(stream_->read_some(buffer));
            if (!got || *got == 0) return std::nullopt;
            received_.insert(received_.end(), buffer.begin(), buffer.begin() + long(*got));
        }
    }
    /// The next of this kind; what comes before is left aside.
    template <class T>
    Frame receive_a() {
        for (;;) {
            auto frame = receive();
            REQUIRE(frame.has_value());
            if (std::holds_alternative<T>(frame->message)) return std::move(*frame);
        }
    }
    bool ended() {
        while (receive()) {
        }
        return true;
    }
    void close() { stream_->close(); }

    /// As who accepts: until the other side has asked for a feed, and is granted it.
    void accept_subscriber(const crypto::PublicKey& node) {
        send(Ack{node}, receive_a<Syn>().seq);
        send(Ok{}, receive_a<Sub>().seq);
    }
    void shake_hands(std::string_view name) {
        send(Syn{kProtocolVersion, keys_of(name).public_key});
        receive_a<Ack>();
    }

 private:
    net::TestLoop& loop_;
    std::unique_ptr<net::Stream> stream_;
    std::uint32_t seq_ = 0;
    Bytes received_;
    Bytes last_;
};

}  // namespace skywire::cxo::test
