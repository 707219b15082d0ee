#include "cli/dmsg_world.hpp"
#include "framework/json_writer.hpp"
#include "net/deadline.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <algorithm>
#include <array>

#include <boost/endian/conversion.hpp>
#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::uint16_t kPort = 5201;
constexpr std::size_t kBufferBytes = 256 * 1024;
constexpr std::uint64_t kBytesMax = 1ULL << 40;
constexpr std::uint64_t kStreamsMax = 1024;
constexpr std::size_t kServedMax = 2048;
constexpr std::chrono::milliseconds kAcceptPause{100};

using Prefix = std::array<std::byte, 8>;

/// Fills `into`; errc::closed where the stream ends before.
Task<Result<>> read_all(net::Stream& stream, std::span<std::byte> into) {
    while (!into.empty()) {
        const auto size = co_await stream.read_some(into);
        if (!size) co_return size.error();
        if (*size == 0) co_return fail(errc::closed, "the stream ended early");
        into = into.subspan(*size);
    }
    co_return Result<>();
}

/// A pattern that repeats after a length prime to all buffer sizes, so that a shifted byte shows.
void fill_pattern(std::span<std::byte> into, std::uint64_t offset) {
    for (std::size_t i = 0; i < into.size(); ++i)
        into[i] = static_cast<std::byte>((offset + i) % 251);
}

bool is_pattern(ByteSpan bytes, std::uint64_t offset) {
    for (std::size_t i = 0; i < bytes.size(); ++i)
        if (bytes[i] != static_cast<std::byte>((offset + i) % 251)) return false;
    return true;
}

/// A step of a stream that ends: the other side may wait for what this one never sends.
template <class T>
Task<Result<T>> within_timeout(DmsgWorld& world, Task<Result<T>> step) {
    auto done =
        co_await net::with_deadline(world.context().clock, world.deadline(), std::move(step));
    if (!done && done.error() == make_error_code(errc::timed_out)) {
        co_return fail(
            errc::timed_out,
            fmt::format(
                "nothing came or went for {}: --echo is for both sides, or neither",
                format_duration(world.timeout())
            )
        );
    }
    co_return done;
}

/// What one round of streams came to.
struct Round {
    std::uint64_t bytes = 0;
    std::uint64_t errors = 0;
    std::string first_error;
    Duration took{};
};

class DmsgIperf final : public Command {
 public:
    std::vector<std::string> path() const override { return {"dmsg", "iperf"}; }
    std::string summary() const override { return "Measure the throughput of streams"; }
    std::string details() const override {
        return "One side serves, the other sends. Each stream begins with a length (8 bytes, big-\n"
               "endian); the receiver takes that many bytes and answers with their count in 8\n"
               "bytes. With --echo, on both sides, everything is sent back instead and compared\n"
               "byte by byte. With --seconds rounds of new streams are made until the time is up.\n"
               "\n"
               "Examples:\n"
               "  skywire dmsg iperf --serve\n"
               "  skywire dmsg iperf -P 8 -n 268435456 0281a102...\n"
               "\n"
               "Exit code 1 where any stream failed.";
    }

    std::vector<Option> options() override {
        auto all = options_.options();
        all.push_back({"-s,--serve", "", "Receive", &serve_});
        all.push_back({"--port", "PORT", "The port to serve on (default 5201)", &port_});
        all.push_back({"-P,--parallel", "N", "Streams at a time (default 1)", &streams_});
        all.push_back({"-n,--bytes", "N", "Bytes per stream (default 67108864)", &bytes_});
        all.push_back({"-t,--seconds", "N", "Rounds of new streams for so long", &seconds_});
        all.push_back({"--echo", "", "Send everything back and compare", &echo_});
        all.push_back({"--json", "", "A JSON object per round", &json_});
        all.push_back({"ADDRESS", "KEY[:PORT]", "Whom to send to (port 5201)", &address_});
        return all;
    }

    int run(Session& session) override {
        if (serve_ != address_.empty())
            return usage_error(session, *this, "either an address or --serve");
        if (serve_) return run_server(session);
        const auto to = parse_dmsg_address(address_, kPort);
        if (!to) return failure(session, *this, to.error());
        const auto streams = parse_number("--parallel", streams_, 1, kStreamsMax);
        if (!streams) return failure(session, *this, streams.error());
        const auto bytes = parse_number("--bytes", bytes_, 1, kBytesMax);
        if (!bytes) return failure(session, *this, bytes.error());
        const auto seconds = parse_number("--seconds", seconds_, 0, 7 * 24 * 3600);
        if (!seconds) return failure(session, *this, seconds.error());
        return run_dmsg(session, *this, options_, [&](DmsgWorld& world) {
            return send_rounds(
                world, session, *to, *streams, *bytes, std::chrono::seconds(*seconds)
            );
        });
    }

 private:
    int run_server(Session& session) {
        const auto port = parse_number("--port", port_, 1, 65535);
        if (!port) return failure(session, *this, port.error());
        return run_dmsg(session, *this, options_, [&](DmsgWorld& world) {
            return receive_all(world, session, static_cast<std::uint16_t>(*port));
        });
    }

    Task<Result<>> receive_all(DmsgWorld& world, Session& session, std::uint16_t port) {
        auto listener = world.client().listen(port);
        if (!listener) co_return listener.error();
        const auto connected = co_await world.connect();
        if (!connected) co_return connected.error();
        session.io.err << fmt::format("serving {}:{}\n", world.keys().public_key, port)
                       << std::flush;
        net::Scope scope(world.context().loop);
        co_await asio::this_coro::throw_if_cancelled(false);
        while (true) {
            auto accepted = co_await (*listener)->accept();
            const auto state = co_await asio::this_coro::cancellation_state;
            if (state.cancelled() != asio::cancellation_type::none) break;
            if (!accepted) {
                if (accepted.error() == make_error_code(errc::closed)) break;
                co_await net::sleep_for(world.context().clock, kAcceptPause);
                continue;
            }
            if (scope.size() >= kServedMax) continue;
            const std::shared_ptr<net::Stream> stream = std::move(*accepted);
            scope.spawn("stream", [this, stream] {
                return echo_ ? echo(stream) : receive(stream);
            });
        }
        co_await asio::this_coro::reset_cancellation_state();
        co_await scope.close(world.context().clock);
        co_return Result<>();
    }

    static Task<> receive(std::shared_ptr<net::Stream> stream) {
        Prefix prefix{};
        const auto begun = co_await read_all(*stream, prefix);
        std::uint64_t left = begun ? boost::endian::load_big_u64(to_raw(prefix)) : 0;
        const std::uint64_t all = left;
        Bytes buffer(kBufferBytes);
        while (left > 0) {
            const auto size = co_await stream->read_some(buffer);
            if (!size || *size == 0) break;
            left -= std::min<std::uint64_t>(left, *size);
        }
        if (begun && left == 0) {
            boost::endian::store_big_u64(to_raw(prefix), all);
            const auto answered = co_await stream->write(prefix);
            // The sender closes once it has the answer: our FIN might overtake it.
            if (answered) (void)co_await stream->read_some(buffer);
        }
        stream->close();
    }

    static Task<> echo(std::shared_ptr<net::Stream> stream) {
        Bytes buffer(kBufferBytes);
        while (true) {
            const auto size = co_await stream->read_some(buffer);
            if (!size || *size == 0) break;
            const auto written = co_await stream->write(ByteSpan(buffer).first(*size));
            if (!written) break;
        }
        stream->close();
    }

    Task<Result<>> send_rounds(
        DmsgWorld& world,
        Session& session,
        dmsg::Address to,
        std::uint64_t streams,
        std::uint64_t bytes,
        Duration duration
    ) {
        const auto connected = co_await world.connect();
        if (!connected) co_return connected.error();
        Clock& clock = world.context().clock;
        const SteadyTime until = clock.now() + duration;
        std::uint64_t errors = 0;
        std::string first_error;
        do {
            const Round round = co_await send_round(world, to, streams, bytes);
            print(session, streams, round);
            errors += round.errors;
            if (first_error.empty()) first_error = round.first_error;
        } while (clock.now() < until);
        if (errors > 0) {
            co_return fail(
                errc::unavailable,
                fmt::format("{} streams failed, the first: {}", errors, first_error)
            );
        }
        co_return Result<>();
    }

    Task<Round> send_round(
        DmsgWorld& world, dmsg::Address to, std::uint64_t streams, std::uint64_t bytes
    ) {
        Round round;
        Clock& clock = world.context().clock;
        const SteadyTime begun = clock.now();
        net::Scope scope(world.context().loop);
        for (std::uint64_t i = 0; i < streams; ++i) {
            scope.spawn("stream", [&]() -> Task<> {
                const auto sent = co_await send_one(world, to, bytes);
                if (sent) {
                    round.bytes += bytes;
                } else if (++round.errors == 1) {
                    round.first_error = sent.error().message();
                }
            });
        }
        // Streams refer to this frame: a cancelled round ends them before it goes.
        co_await asio::this_coro::throw_if_cancelled(false);
        co_await scope.wait_empty();
        round.took = clock.now() - begun;
        const auto state = co_await asio::this_coro::cancellation_state;
        const bool cancelled = state.cancelled() != asio::cancellation_type::none;
        co_await asio::this_coro::reset_cancellation_state();
        co_await scope.close(clock);
        if (cancelled) throw boost::system::system_error(asio::error::operation_aborted);
        co_return round;
    }

    Task<Result<>> send_one(DmsgWorld& world, dmsg::Address to, std::uint64_t bytes) {
        auto dialled = co_await world.client().dial(to);
        if (!dialled) co_return dialled.error();
        net::Stream& stream = **dialled;
        Result<> outcome;
        if (echo_) {
            outcome = co_await send_and_compare(world, stream, bytes);
        } else {
            outcome = co_await send_and_count(world, stream, bytes);
        }
        stream.close();
        co_return outcome;
    }

    static Task<Result<>> send_and_count(
        DmsgWorld& world, net::Stream& stream, std::uint64_t bytes
    ) {
        Prefix prefix{};
        boost::endian::store_big_u64(to_raw(prefix), bytes);
        Bytes buffer(static_cast<std::size_t>(std::min<std::uint64_t>(bytes, kBufferBytes)));
        fill_pattern(buffer, 0);
        auto written = co_await within_timeout(world, stream.write(prefix));
        for (std::uint64_t left = bytes; written && left > 0;) {
            const auto size =
                static_cast<std::size_t>(std::min<std::uint64_t>(left, buffer.size()));
            written = co_await within_timeout(world, stream.write(ByteSpan(buffer).first(size)));
            left -= size;
        }
        if (!written) co_return written.error();
        const auto answered = co_await within_timeout(world, read_all(stream, prefix));
        if (!answered) co_return answered.error();
        const std::uint64_t counted = boost::endian::load_big_u64(to_raw(prefix));
        if (counted != bytes)
            co_return fail(errc::malformed, fmt::format("{} of {} bytes arrived", counted, bytes));
        co_return Result<>();
    }

    Task<Result<>> send_and_compare(DmsgWorld& world, net::Stream& stream, std::uint64_t bytes) {
        Result<> compared;
        net::Scope scope(world.context().loop);
        scope.spawn("compare", [&]() -> Task<> {
            compared = co_await compare(world, stream, bytes);
        });
        Bytes buffer(static_cast<std::size_t>(std::min<std::uint64_t>(bytes, kBufferBytes)));
        Result<> written;
        co_await asio::this_coro::throw_if_cancelled(false);
        for (std::uint64_t sent = 0; written && sent < bytes;) {
            const auto size =
                static_cast<std::size_t>(std::min<std::uint64_t>(bytes - sent, buffer.size()));
            fill_pattern(std::span(buffer).first(size), sent);
            written = co_await within_timeout(world, stream.write(ByteSpan(buffer).first(size)));
            sent += size;
        }
        if (!written) stream.close();
        co_await scope.wait_empty();
        co_await asio::this_coro::reset_cancellation_state();
        co_await scope.close(world.context().clock);
        if (!written) co_return written.error();
        co_return compared;
    }

    static Task<Result<>> compare(DmsgWorld& world, net::Stream& stream, std::uint64_t bytes) {
        Bytes buffer(kBufferBytes);
        for (std::uint64_t seen = 0; seen < bytes;) {
            const auto size = co_await within_timeout(world, stream.read_some(buffer));
            if (!size) co_return size.error();
            if (*size == 0) {
                co_return fail(errc::closed, fmt::format("{} of {} bytes came back", seen, bytes));
            }
            if (!is_pattern(ByteSpan(buffer).first(*size), seen))
                co_return fail(errc::malformed, fmt::format("wrong bytes after {}", seen));
            seen += *size;
        }
        co_return Result<>();
    }

    void print(Session& session, std::uint64_t streams, const Round& round) const {
        const double seconds = std::chrono::duration<double>(round.took).count();
        const double rate = static_cast<double>(round.bytes) / seconds / 1e6;
        if (json_) {
            framework::JsonWriter out;
            out.begin_object();
            out.member("streams", streams);
            out.member("bytes", round.bytes);
            out.member("seconds", seconds);
            out.member("errors", round.errors);
            if (round.errors > 0) out.member("first_error", round.first_error);
            out.end_object();
            session.io.out << out.take() << std::flush;
            return;
        }
        session.io.out << fmt::format(
                              "{} streams, {} bytes in {:.3f} s, {:.1f} MB/s, {} errors\n",
                              streams,
                              round.bytes,
                              seconds,
                              rate,
                              round.errors
                          )
                       << std::flush;
    }

    static unsigned char* to_raw(Prefix& prefix) {
        return reinterpret_cast<unsigned char*>(prefix.data());
    }

    DmsgOptions options_;
    std::string address_;
    std::string port_ = "5201";
    std::string streams_ = "1";
    std::string bytes_ = "67108864";
    std::string seconds_ = "0";
    bool serve_ = false;
    bool echo_ = false;
    bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_dmsg_iperf() {
    return std::make_unique<DmsgIperf>();
}

}  // namespace skywire::cli
