// Dials over dmsg at a fixed rate, whatever becomes of them, while something happens to a
// deployment:
//
//   skywire_dial_load DISCOVERY_URL RATE HELD
//
// Two clients in one process, each as the network's are by default; one dials the other RATE times
// a second, says a byte, hears it and closes. Beside that it holds HELD streams, on which a byte
// goes to and fro 20 times a second; one that breaks is dialled again at once until that succeeds.
// Prints "busy" once both go, ends when its input does, and prints a line of JSON:
//
//   dials     [begun, ended, outcome]          of each dial
//   breaks    [noticed, reason, again]         of each held stream that broke at the dialler's end;
//                                              `again`: the first byte came back on the next
//                                              stream, 0 where the end came before
//   listener  [noticed, reason]                the same at the other end
//
// Times are those of CLOCK_MONOTONIC in seconds.

#include "base/json.hpp"
#include "bench/presence.hpp"
#include "net/deadline.hpp"

#include <array>
#include <atomic>

#include <fmt/format.h>

namespace skywire::e2e {
namespace {

using bench::need;
using bench::wall_seconds;

constexpr std::uint16_t kPort = 5200;
constexpr std::byte kOnce{'o'};
constexpr std::byte kHeld{'h'};
constexpr std::byte kEnd{'e'};
constexpr std::size_t kBusy = 50;
/// Fewer than a listener holds for who has not accepted them.
constexpr std::size_t kUnderWayMax = 200;
constexpr std::chrono::seconds kDialPatience{20};
constexpr std::chrono::seconds kEchoPatience{60};
constexpr std::chrono::milliseconds kEchoPause{50};
constexpr std::chrono::milliseconds kRedialPause{20};

class DialLoad {
 public:
    DialLoad(bench::World& world, const std::string& discovery, std::size_t rate, std::size_t held)
        : context_(world.context(0)),
          period_(Duration(std::chrono::seconds(1)) / rate),
          held_(held),
          dialler_(context_, discovery),
          listener_(context_, discovery),
          scope_(context_.loop) {}

    Task<std::string> run() {
        need(co_await listener_.start(), "the listener");
        need(co_await dialler_.start(), "the dialler");
        bench::Service service(
            context_,
            listener_.client(),
            kPort,
            [this](std::shared_ptr<net::Stream> stream) { return answer(std::move(stream)); }
        );
        for (std::size_t i = 0; i < held_; ++i)
            scope_.spawn("held", [this] { return hold(); });
        SteadyTime due = context_.clock.now();
        while (!over_) {
            if (scope_.size() < kUnderWayMax) scope_.spawn("dial", [this] { return dial_once(); });
            due += period_;
            co_await net::sleep_until(context_.clock, due);
        }
        co_await scope_.wait_empty();
        co_await service.stop();
        co_await dialler_.stop();
        co_await listener_.stop();
        co_return boost::json::serialize(
            boost::json::object{{"dials", dials_}, {"breaks", breaks_}, {"listener", heard_}}
        );
    }

    /// Any thread.
    void stop() { over_ = true; }

 private:
    /// The listener's end of a stream: what comes goes back.
    Task<> answer(std::shared_ptr<net::Stream> stream) {
        std::array<std::byte, 1> byte{};
        bool held = false;
        while (true) {
            const auto size = co_await stream->read_some(byte);
            if (!size || *size == 0) {
                if (held) heard_.push_back({wall_seconds(), reason(size)});
                break;
            }
            if (byte[0] == kEnd) break;
            if (!co_await stream->write(byte)) continue;
            held = byte[0] == kHeld;
        }
        stream->close();
    }

    static std::string reason(const Result<std::size_t>& size) {
        return size ? "closed" : size.error().message();
    }

    Task<> dial_once() {
        const double begun = wall_seconds();
        const auto outcome = co_await net::with_deadline(
            context_.clock, context_.clock.now() + kDialPatience, say_once()
        );
        dials_.push_back({begun, wall_seconds(), outcome ? "ok" : outcome.error().message()});
        if (outcome) ++done_;
        if (!said_busy_ && done_ >= kBusy && going_ >= held_) {
            said_busy_ = true;
            fmt::print("busy\n");
            std::fflush(stdout);
        }
    }

    Task<Result<>> say_once() {
        auto stream = co_await dialler_.client().dial({listener_.key(), kPort});
        if (!stream) co_return stream.error();
        auto echoed = co_await echo(**stream, kOnce);
        (*stream)->close();
        co_return echoed;
    }

    static Task<Result<>> echo(net::Stream& stream, std::byte what) {
        std::array<std::byte, 1> byte{what};
        const auto written = co_await stream.write(byte);
        if (!written) co_return written.error();
        const auto size = co_await stream.read_some(byte);
        if (!size) co_return size.error();
        if (*size == 0) co_return fail(errc::closed, "closed");
        co_return Result<>();
    }

    Task<> hold() {
        std::size_t broken = 0;
        bool before = false;
        while (!over_) {
            auto stream = co_await dialler_.client().dial({listener_.key(), kPort});
            if (!stream) {
                co_await net::sleep_for(context_.clock, kRedialPause);
                continue;
            }
            bool first = true;
            while (true) {
                const auto echoed = co_await net::with_deadline(
                    context_.clock, context_.clock.now() + kEchoPatience, echo(**stream, kHeld)
                );
                if (!echoed) {
                    if (first) break;
                    broken = breaks_.size();
                    breaks_.push_back({wall_seconds(), echoed.error().message(), 0.0});
                    break;
                }
                if (first && before) breaks_[broken].as_array()[2] = wall_seconds();
                if (first && !before) ++going_;
                first = false;
                before = true;
                if (over_) {
                    // Told, the other side closes.
                    (void)co_await net::with_deadline(
                        context_.clock, context_.clock.now() + kEchoPatience, echo(**stream, kEnd)
                    );
                    break;
                }
                co_await net::sleep_for(context_.clock, kEchoPause);
            }
            (*stream)->close();
        }
    }

    net::Context context_;
    Duration period_;
    std::size_t held_;
    bench::Presence dialler_;
    bench::Presence listener_;
    boost::json::array dials_;
    boost::json::array breaks_;
    boost::json::array heard_;
    std::size_t done_ = 0;
    std::size_t going_ = 0;
    bool said_busy_ = false;
    std::atomic<bool> over_ = false;
    /// Last: its coroutines use all of the above.
    net::Scope scope_;
};

int run(const std::vector<std::string>& arguments) {
    if (arguments.size() != 3) bench::give_up("usage", "skywire_dial_load DISCOVERY_URL RATE HELD");
    bench::World world(1);
    DialLoad load(world, arguments[0], std::stoul(arguments[1]), std::stoul(arguments[2]));
    auto told = asio::co_spawn(world.loops.at(0), load.run(), asio::use_future);
    while (std::getchar() != EOF)
        continue;
    load.stop();
    fmt::print("{}\n", told.get());
    return 0;
}

}  // namespace
}  // namespace skywire::e2e

int main(int argc, char** argv) {
    return skywire::e2e::run(std::vector<std::string>(argv + 1, argv + argc));
}
