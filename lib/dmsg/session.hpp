#pragma once

#include "crypto/keys.hpp"
#include "dmsg/handshake.hpp"
#include "dmsg/stream_object.hpp"
#include "mux/session.hpp"
#include "noise/record.hpp"

#include <memory>
#include <optional>
#include <variant>

namespace skywire::dmsg {

/// A session between a client and a server, or between two servers: a multiplexer whose streams
/// begin with sealed objects (spec/dmsg.md sections 4, 7 and 8). What is behind the objects is not
/// its business: a server relays it, a client speaks through dmsg::Stream. One event loop.
class Session final : private mux::Session::Owner {
 public:
    struct Options {
        mux::Role role = mux::Role::client;
        /// Unset (servers): the peer's first byte tells.
        std::optional<mux::Protocol> protocol = mux::Protocol::yamux;
        std::size_t streams_max = 2048;
    };

    class Owner {
     public:
        virtual ~Owner() = default;
        virtual void on_stream(Session& session, std::unique_ptr<mux::Stream> stream) = 0;
        /// So many of the peer's streams were refused: there are `streams_max`, or we have gone
        /// away.
        virtual void on_refused(Session& /*session*/, std::size_t /*streams*/) {}
        /// The peer opens and accepts no more streams; those that are open go on.
        virtual void on_go_away(Session& session) = 0;
        /// Ended, once, for this reason; `close` is still to be awaited.
        virtual void on_end(Session& session, const Error& reason) = 0;
    };

    /// Starts at once; `owner` outlives the session.
    Session(
        const net::Context& context, Handshaken handshaken, const Options& options, Owner& owner
    );
    ~Session() override;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// The peer's key.
    const crypto::PublicKey& remote() const noexcept { return remote_; }
    /// Where the peer is connected from or to.
    const net::Address& address() const noexcept { return mux_.remote(); }
    /// The multiplexer below: its protocol, its streams' count, its time of the last byte.
    mux::Session& mux() noexcept { return mux_; }

    /// Seals and sends one object on a stream. The mux's errors.
    Task<Result<>> send(mux::Stream& stream, SignedObject object);

    /// The two zero bytes with which 2026 clients ask whether a server lives (section 14).
    struct PingMarker {};
    /// Nothing: the stream ended before its first byte.
    struct Nothing {};
    using FirstObject = std::variant<SignedObject, PingMarker, Nothing>;

    /// The first thing on a stream that the peer opened. Errors: errc::timed_out at `deadline`,
    /// Code::signed_object_invalid, noise::errc, the mux's.
    Task<Result<FirstObject>> receive_first(mux::Stream& stream, SteadyTime deadline);

    /// An object where one must follow; errc::closed where the stream ends instead. No byte behind
    /// the object is taken.
    Task<Result<SignedObject>> receive(mux::Stream& stream, SteadyTime deadline);

 private:
    void on_stream(std::unique_ptr<mux::Stream> stream) override;
    void on_refused(std::size_t streams) override;
    void on_go_away() override;
    void on_end(const Error& reason) override;

    Result<SignedObject> open(ByteSpan record);

    net::Context context_;
    Owner& owner_;
    crypto::PublicKey remote_;
    noise::ObjectBox box_;
    mux::Session mux_;
};

}  // namespace skywire::dmsg
