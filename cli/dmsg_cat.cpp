#include "cli/dmsg_world.hpp"
#include "net/scope.hpp"

#include <cerrno>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace skywire::cli {
namespace {

constexpr std::size_t kBufferBytes = 64 * 1024;

/// One of the process's own descriptors, read or written on a loop; its mode is left as it was for
/// whoever shares the descriptor.
class Terminal {
 public:
    Terminal(const Executor& loop, int fd) : stream_(loop, ::dup(fd)) {
        flags_ = ::fcntl(fd, F_GETFL);
    }
    ~Terminal() {
        if (flags_ >= 0) ::fcntl(stream_.native_handle(), F_SETFL, flags_);
    }
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    /// 0 at the end of input.
    Task<Result<std::size_t>> read_some(std::span<std::byte> into) {
        const auto [error, size] =
            co_await stream_.async_read_some(asio::buffer(into.data(), into.size()), use_tuple);
        if (error == asio::error::eof) co_return std::size_t{0};
        if (error) co_return Error(error);
        co_return size;
    }

    Task<Result<>> write(ByteSpan bytes) {
        while (!bytes.empty()) {
            const auto [error, size] = co_await stream_.async_write_some(
                asio::buffer(bytes.data(), bytes.size()), use_tuple
            );
            if (error) co_return Error(error);
            bytes = bytes.subspan(size);
        }
        co_return Result<>();
    }

 private:
    asio::posix::stream_descriptor stream_;
    int flags_ = -1;
};

class DmsgCat final : public Command {
 public:
    std::vector<std::string> path() const override { return {"dmsg", "cat"}; }
    std::string summary() const override { return "Connect standard input and output to a stream"; }
    std::string details() const override {
        return "With --listen it waits for one stream and prints the address it is reached at on\n"
               "standard error. It ends when the other side closes; dmsg has no half-close, so at\n"
               "the end of the input it closes only with --close.\n"
               "\n"
               "Examples:\n"
               "  skywire dmsg cat --listen 4000\n"
               "  echo hello | skywire dmsg cat --close 0281a102...:4000\n"
               "\n"
               "Standard input and output are pipes or a terminal, not files.";
    }

    std::vector<Option> options() override {
        auto all = options_.options();
        all.push_back({"-l,--listen", "PORT", "Wait for a stream on this port", &listen_});
        all.push_back({"--close", "", "Close at the end of the input", &close_});
        all.push_back({"ADDRESS", "KEY:PORT", "What to dial", &address_});
        return all;
    }

    int run(Session& session) override {
        if (listen_.empty() == address_.empty())
            return usage_error(session, *this, "either an address or --listen PORT");
        return run_dmsg(session, *this, options_, [&](DmsgWorld& world) {
            return connect(world, session);
        });
    }

 private:
    Task<Result<>> connect(DmsgWorld& world, Session& session) {
        std::unique_ptr<net::Stream> stream;
        if (listen_.empty()) {
            const auto to = parse_dmsg_address(address_, 0);
            if (!to) co_return to.error();
            const auto connected = co_await world.connect();
            if (!connected) co_return connected.error();
            auto dialled = co_await world.client().dial(*to);
            if (!dialled) co_return dialled.error();
            stream = std::move(*dialled);
        } else {
            const auto port = parse_number("--listen", listen_, 1, 65535);
            if (!port) co_return port.error();
            auto listener = world.client().listen(static_cast<std::uint16_t>(*port));
            if (!listener) co_return listener.error();
            const auto connected = co_await world.connect();
            if (!connected) co_return connected.error();
            session.io.err << fmt::format("listening on {}:{}\n", world.keys().public_key, *port)
                           << std::flush;
            auto accepted = co_await (*listener)->accept();
            if (!accepted) co_return accepted.error();
            stream = std::move(*accepted);
            session.io.err << fmt::format("stream from {}\n", stream->remote().to_string())
                           << std::flush;
        }
        co_return co_await join(world, *stream);
    }

    /// Both directions, until the peer closes or our input ends with --close.
    Task<Result<>> join(DmsgWorld& world, net::Stream& stream) {
        Terminal in(world.context().loop, STDIN_FILENO);
        Terminal out(world.context().loop, STDOUT_FILENO);
        Result<> sent;
        Result<> received;
        net::Scope scope(world.context().loop);
        scope.spawn("input", [&]() -> Task<> { sent = co_await send(in, stream); });
        scope.spawn("output", [&]() -> Task<> {
            received = co_await receive(stream, out);
            scope.cancel();
        });
        co_await scope.wait_empty();
        co_await asio::this_coro::reset_cancellation_state();
        co_await scope.close(world.context().clock);
        stream.close();
        if (!received) co_return received.error();
        co_return sent;
    }

    Task<Result<>> send(Terminal& in, net::Stream& stream) {
        Bytes buffer(kBufferBytes);
        while (true) {
            const auto size = co_await in.read_some(buffer);
            // The peer has closed: there is nobody to send to.
            if (!size && size.error() == ErrorCode(asio::error::operation_aborted))
                co_return Result<>();
            if (!size) co_return size.error().within("standard input");
            if (*size == 0) break;
            const auto written = co_await stream.write(ByteSpan(buffer).first(*size));
            if (!written) co_return written.error();
        }
        if (close_) stream.close();
        co_return Result<>();
    }

    Task<Result<>> receive(net::Stream& stream, Terminal& out) {
        Bytes buffer(kBufferBytes);
        while (true) {
            const auto size = co_await stream.read_some(buffer);
            if (!size) {
                // Our own --close.
                if (size.error() == make_error_code(errc::closed)) co_return Result<>();
                co_return size.error();
            }
            if (*size == 0) co_return Result<>();
            const auto written = co_await out.write(ByteSpan(buffer).first(*size));
            if (!written) co_return written.error().within("standard output");
        }
    }

    DmsgOptions options_;
    std::string listen_;
    std::string address_;
    bool close_ = false;
};

}  // namespace

std::unique_ptr<Command> make_dmsg_cat() {
    return std::make_unique<DmsgCat>();
}

}  // namespace skywire::cli
