// Load for hours on a deployment: clients that open streams of all sizes, echo, close at once, are
// refused, reset half way, read late, and clients that come and go. bench/soak.py starts it and
// watches the server.
//
//   bench_soak DISCOVERY SECONDS [clients] [workers]
//
// A line of JSON with the counts so far every ten seconds. Exit code 1 where a stream lost bytes,
// changed them, failed or hung although it should not.

#include "bench/presence.hpp"
#include "net/deadline.hpp"

#include <array>
#include <map>

#include <fmt/format.h>

namespace skywire::bench {
namespace {

constexpr std::uint16_t kEchoPort = 7;
constexpr std::uint16_t kClosedPort = 8;
constexpr std::size_t kBuffer = 64 * 1024;
constexpr std::chrono::seconds kPatience{60};
constexpr std::chrono::seconds kReport{10};
constexpr std::chrono::milliseconds kPauseMax{20};
constexpr int kStorms = 5;
/// More than the windows of a stream's two legs hold, there and back.
constexpr std::size_t kLate = 2'000'000;
/// Bytes of an echo: at the edges of records, frames and windows, and beyond.
constexpr std::array<std::size_t, 12> kSizes{
    0, 1, 4095, 4096, 4097, 65'535, 65'536, 262'144, 262'145, 1'000'000, 4'000'000, 16'000'000
};

std::byte pattern(std::size_t offset) {
    return static_cast<std::byte>(offset % 251);
}

/// Closes a stream whatever ends the coroutine, so that its writer ends, too.
class Closer {
 public:
    explicit Closer(net::Stream& stream) : stream_(stream) {}
    ~Closer() { stream_.close(); }
    Closer(const Closer&) = delete;
    Closer& operator=(const Closer&) = delete;

 private:
    net::Stream& stream_;
};

/// How one stream ended: nothing, or what was wrong.
using Outcome = Result<>;

Outcome wrong(std::string text) {
    return fail(errc::malformed, std::move(text));
}

class Soak {
 public:
    Soak(World& world, std::string discovery, std::size_t clients)
        : context_(world.context(0)),
          discovery_(std::move(discovery)),
          presences_(clients),
          scope_(context_.loop) {}

    Task<bool> run(Duration duration, std::size_t workers) {
        co_await begin();
        end_ = context_.clock.now() + duration;
        for (int round = 0; round < kStorms; ++round)
            co_await storm(2 * workers);
        for (std::size_t i = 0; i < workers; ++i)
            scope_.spawn("worker", [this] { return work(); });
        scope_.spawn("visitors", [this] { return visit(); });
        scope_.spawn("report", [this] { return report(); });
        co_await scope_.wait_empty();
        print();
        co_await finish();
        co_return failures_ == 0;
    }

 private:
    Task<> begin() {
        for (auto& presence : presences_) {
            presence = std::make_unique<Presence>(context_, discovery_);
            need(co_await presence->start(), "client");
            services_.push_back(
                std::make_unique<Service>(context_, presence->client(), kEchoPort, echo)
            );
        }
    }
    Task<> finish() {
        for (const auto& service : services_)
            co_await service->stop();
        for (const auto& presence : presences_)
            co_await presence->stop();
    }

    /// More streams at once than ever later, all of them with full windows in both directions: what
    /// the load can make a server hold, it holds in the first minute.
    Task<> storm(std::size_t streams) {
        for (std::size_t i = 0; i < streams; ++i) {
            scope_.spawn("storm", [this] {
                return judge(
                    "in storms", exchange(any_client(), any_key(), kLate, std::chrono::seconds(2))
                );
            });
        }
        co_await scope_.wait_empty();
    }

    static Task<> echo(std::shared_ptr<net::Stream> stream) {
        Bytes buffer(kBuffer);
        while (true) {
            const auto size = co_await stream->read_some(buffer);
            if (!size || *size == 0) break;
            const auto written = co_await stream->write(ByteSpan(buffer).first(*size));
            if (!written) break;
        }
        stream->close();
    }

    bool over() const { return context_.clock.now() >= end_; }
    std::size_t below(std::size_t bound) {
        return static_cast<std::size_t>(context_.random.below(bound));
    }
    dmsg::Client& any_client() { return presences_[below(presences_.size())]->client(); }
    crypto::PublicKey any_key() { return presences_[below(presences_.size())]->key(); }
    Task<> pause() {
        const auto most = static_cast<std::size_t>(Duration(kPauseMax).count());
        co_await net::sleep_for(context_.clock, Duration(below(most)));
    }

    Task<> work() {
        while (!over()) {
            dmsg::Client& from = any_client();
            const auto to = any_key();
            switch (below(8)) {
                case 0:
                    co_await judge("opened and closed", open_and_close(from, to));
                    break;
                case 1:
                    co_await judge("refused port", be_refused(from, {to, kClosedPort}));
                    break;
                case 2:
                    co_await judge("reset", reset(from, to));
                    break;
                case 3:
                    co_await judge(
                        "read late", exchange(from, to, kLate, std::chrono::milliseconds(200))
                    );
                    break;
                default:
                    co_await judge("echoed", exchange(from, to, kSizes[below(kSizes.size())]));
                    break;
            }
            co_await pause();
        }
    }

    /// New keys all the time, and a key that nobody has.
    Task<> visit() {
        while (!over()) {
            co_await judge("visitor", be_visitor());
            dmsg::Client& from = presences_.front()->client();
            const auto nobody = crypto::generate_key_pair(context_.random).public_key;
            co_await judge("unknown key", be_refused(from, {nobody, kEchoPort}));
            co_await net::sleep_for(context_.clock, std::chrono::milliseconds(500));
        }
    }

    Task<> judge(std::string what, Task<Outcome> task) {
        const SteadyTime until = context_.clock.now() + kPatience;
        const auto outcome = co_await net::with_deadline(context_.clock, until, std::move(task));
        ++counts_[what];
        if (outcome) co_return;
        ++failures_;
        ++counts_["failures"];
        fmt::print(stderr, "{}: {}\n", what, outcome.error().message());
    }

    Task<Outcome> open_and_close(dmsg::Client& from, crypto::PublicKey to) {
        const auto stream = co_await from.dial({to, kEchoPort});
        if (!stream) co_return stream.error();
        (*stream)->close();
        co_return Outcome();
    }

    Task<Outcome> be_refused(dmsg::Client& from, dmsg::Address to) {
        const auto stream = co_await from.dial(to);
        if (stream) co_return wrong("somebody answered");
        co_return Outcome();
    }

    /// Goes without a word while bytes are under way in both directions.
    Task<Outcome> reset(dmsg::Client& from, crypto::PublicKey to) {
        const auto stream = co_await from.dial({to, kEchoPort});
        if (!stream) co_return stream.error();
        const Bytes bytes(1 + below(kBuffer));
        const auto written = co_await (*stream)->write(bytes);
        if (!written) co_return written.error();
        Bytes some(1);
        const auto size = co_await (*stream)->read_some(some);
        if (!size) co_return size.error();
        co_return Outcome();
    }

    Task<Outcome> exchange(
        dmsg::Client& from, crypto::PublicKey to, std::size_t size, Duration late = Duration::zero()
    ) {
        auto dialled = co_await from.dial({to, kEchoPort});
        if (!dialled) co_return dialled.error();
        const std::shared_ptr<net::Stream> stream = std::move(*dialled);
        const Closer closer(*stream);
        scope_.spawn("writer", [stream, size] { return write(stream, size); });
        if (late > Duration::zero()) co_await net::sleep_for(context_.clock, late);
        const auto outcome = co_await compare(*stream, size);
        bytes_ += size;
        co_return outcome;
    }

    static Task<> write(std::shared_ptr<net::Stream> stream, std::size_t size) {
        Bytes buffer(std::min(size, kBuffer));
        for (std::size_t sent = 0; sent < size;) {
            const auto part = std::span(buffer).first(std::min(buffer.size(), size - sent));
            for (std::size_t i = 0; i < part.size(); ++i)
                part[i] = pattern(sent + i);
            const auto written = co_await stream->write(part);
            if (!written) co_return;
            sent += part.size();
        }
    }

    static Task<Outcome> compare(net::Stream& stream, std::size_t size) {
        Bytes buffer(std::min(size, kBuffer));
        for (std::size_t seen = 0; seen < size;) {
            const auto count = co_await stream.read_some(buffer);
            if (!count) co_return count.error();
            if (*count == 0) co_return wrong(fmt::format("{} of {} bytes came back", seen, size));
            for (std::size_t i = 0; i < *count; ++i)
                if (buffer[i] != pattern(seen + i)) co_return wrong("changed bytes");
            seen += *count;
        }
        co_return Outcome();
    }

    Task<Outcome> be_visitor() {
        const auto visitor = std::make_unique<Presence>(context_, discovery_);
        auto outcome = co_await visitor->start();
        if (outcome) {
            outcome = co_await exchange(visitor->client(), any_key(), 10'000);
        }
        co_await visitor->stop();
        co_return outcome;
    }

    Task<> report() {
        while (!over()) {
            const SteadyTime next = std::min(context_.clock.now() + kReport, end_);
            co_await net::sleep_until(context_.clock, next);
            if (!over()) print();
        }
    }
    void print() const {
        std::string line = fmt::format(R"({{"echoed_bytes": {})", bytes_);
        for (const auto& [name, count] : counts_)
            line += fmt::format(R"(, "{}": {})", name, count);
        fmt::print("{}}}\n", line);
        std::fflush(stdout);
    }

    net::Context context_;
    std::string discovery_;
    std::vector<std::unique_ptr<Presence>> presences_;
    std::vector<std::unique_ptr<Service>> services_;
    SteadyTime end_;
    std::map<std::string, std::size_t> counts_;
    std::size_t bytes_ = 0;
    std::size_t failures_ = 0;
    /// Last: its coroutines use all of the above.
    net::Scope scope_;
};

int run(const std::vector<std::string>& arguments) {
    if (arguments.size() < 2) give_up("usage", "bench_soak DISCOVERY SECONDS [clients] [workers]");
    const auto number = [&](std::size_t index, std::size_t otherwise) {
        return arguments.size() > index ? std::stoul(arguments[index]) : otherwise;
    };
    World world(1);
    Soak soak(world, arguments[0], number(2, 8));
    const std::chrono::seconds duration(std::stoul(arguments[1]));
    return world.run(0, soak.run(duration, number(3, 24))) ? 0 : 1;
}

}  // namespace
}  // namespace skywire::bench

int main(int argc, char** argv) {
    return skywire::bench::run(std::vector<std::string>(argv + 1, argv + argc));
}
