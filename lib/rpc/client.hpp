#pragma once

#include "base/clock.hpp"
#include "gob/reader.hpp"
#include "net/context.hpp"
#include "net/stream.hpp"
#include "rpc/error.hpp"
#include "rpc/message.hpp"

#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace skywire::rpc {

/// Makes calls over one stream, several at a time; answers may come in any order. Used on
/// context.loop.
class Client {
 public:
    struct Options {
        std::size_t calls_max = 16;
        gob::Limits limits = {};
    };

    Client(const net::Context& context, std::unique_ptr<net::Stream> stream, Options options);
    Client(const net::Context& context, std::unique_ptr<net::Stream> stream);
    /// `close` has been awaited, and so has every call.
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    /// One call. Errors: errc::refused with the peer's text, errc::too_many_calls; timed_out at
    /// `deadline`, and the answer that comes later is passed over; closed, gob's and the stream's,
    /// after which every call fails; gob's for a reply of another shape. Cancelled: as a deadline
    /// that has passed.
    template <class R>
    Task<Result<R>> call(std::string method, Body argument, SteadyTime deadline) {
        const auto reply = std::make_shared<R>();
        ReadReply read = [reply](const gob::Value& value) { return gob::read(value, *reply); };
        const auto called = co_await call_and_read(
            std::move(method), std::move(argument), std::move(read), deadline
        );
        if (!called) co_return called.error();
        co_return std::move(*reply);
    }

    /// The peer's answers can no longer be read, or calls no longer be written.
    bool broken() const noexcept;

    /// Closes the stream; calls under way end with errc::closed.
    Task<> close();

 private:
    using ReadReply = std::function<Result<>(const gob::Value&)>;

    Task<Result<>> call_and_read(
        std::string method, Body argument, ReadReply read, SteadyTime deadline
    );

    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::rpc
