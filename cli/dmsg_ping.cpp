#include "cli/dmsg_world.hpp"
#include "dmsg/control.hpp"
#include "dmsg/handshake.hpp"
#include "dmsg/session.hpp"
#include "dmsg/stream.hpp"
#include "net/deadline.hpp"
#include "net/timer.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kProbePort = 49153;
constexpr std::chrono::milliseconds kSilence{100};
constexpr std::uint64_t kPingsMax = 1'000'000;

/// What is known of round trips so far.
class RoundTrips {
 public:
    void add(Duration took) { all_.push_back(took); }

    std::string summary(std::uint64_t sent) {
        if (all_.empty()) return fmt::format("{} sent, 0 answered", sent);
        std::sort(all_.begin(), all_.end());
        return fmt::format(
            "{} sent, {} answered; min {} median {} max {}",
            sent,
            all_.size(),
            format_milliseconds(all_.front()),
            format_milliseconds(all_[all_.size() / 2]),
            format_milliseconds(all_.back())
        );
    }

 private:
    std::vector<Duration> all_;
};

class DmsgPing final : public Command {
 public:
    std::vector<std::string> path() const override { return {"dmsg", "ping"}; }
    std::string summary() const override { return "Measure round trips to a key"; }
    std::string details() const override {
        return "To a client or service: bytes to its control port (7) through a stream, end to "
               "end.\n"
               "With --server-key: to a dmsg-server, on the session with it.\n"
               "\n"
               "Examples:\n"
               "  skywire dmsg ping -c 5 02857a87...\n"
               "  skywire dmsg ping --server-key 0359...";
    }

    std::vector<Option> options() override {
        auto all = options_.options();
        all.push_back({"-c,--count", "N", "How many (default 4)", &count_});
        all.push_back({"-i,--interval", "DURATION", "Between two of them (default 1s)", &interval_}
        );
        all.push_back({"--server-key", "", "KEY is a dmsg-server's", &server_});
        all.push_back({"KEY", "KEY", "66 hex digits", &key_, ValueKind::text, {}, true});
        return all;
    }

    int run(Session& session) override {
        const auto key = parse_key(key_);
        if (!key) return usage_error(session, *this, key.error().message());
        const auto count = parse_number("--count", count_, 1, kPingsMax);
        if (!count) return failure(session, *this, count.error());
        const auto interval = parse_duration(interval_);
        if (!interval)
            return usage_error(session, *this, "--interval: " + interval.error().message());
        return run_dmsg(session, *this, options_, [&](DmsgWorld& world) {
            return ping(world, session, *key, *count, *interval);
        });
    }

 private:
    Task<Result<>> ping(
        DmsgWorld& world,
        Session& session,
        crypto::PublicKey key,
        std::uint64_t count,
        Duration interval
    ) {
        const auto connected = co_await world.connect();
        if (!connected) co_return connected.error();
        Clock& clock = world.context().clock;
        std::unique_ptr<net::Stream> stream;
        if (server_) {
            const auto there = co_await world.client().connect(key);
            if (!there) co_return there.error();
        } else {
            const SteadyTime begun = clock.now();
            auto dialled = co_await world.client().dial({key, dmsg::kControlPort});
            if (!dialled) co_return dialled.error();
            stream = std::move(*dialled);
            session.io.out << fmt::format(
                "stream set up in {}\n", format_milliseconds(clock.now() - begun)
            );
        }
        RoundTrips trips;
        for (std::uint64_t i = 1; i <= count; ++i) {
            const auto took = co_await net::with_deadline(
                clock,
                world.deadline(),
                stream ? dmsg::ping_control(*stream, clock) : world.client().ping_server(key)
            );
            if (!took) co_return took.error().within(fmt::format("ping {}", i));
            trips.add(*took);
            session.io.out << fmt::format("{} {}\n", i, format_milliseconds(*took)) << std::flush;
            if (i < count) co_await net::sleep_for(clock, interval);
        }
        if (stream) stream->close();
        session.io.out << trips.summary(count) << '\n';
        co_return Result<>();
    }

    DmsgOptions options_;
    std::string count_ = "4";
    std::string interval_ = "1s";
    std::string key_;
    bool server_ = false;
};

/// Prints each step with the time it took, or why it failed.
class Steps {
 public:
    Steps(Session& session, Clock& clock) : session_(session), clock_(clock) { begin(); }

    void begin() { begun_ = clock_.now(); }

    void passed(std::string_view what, std::string_view detail = {}) {
        const auto took = clock_.now() - begun_;
        session_.io.out << fmt::format(
                               "ok    {:<9} {:>10}  {}\n", what, format_milliseconds(took), detail
                           )
                        << std::flush;
        begin();
    }

    Error failed(std::string_view what, const Error& error) {
        session_.io.out << fmt::format(
                               "fail  {:<9} {:>10}  {}\n",
                               what,
                               format_milliseconds(clock_.now() - begun_),
                               error.message()
                           )
                        << std::flush;
        return error.within(what);
    }

 private:
    Session& session_;
    Clock& clock_;
    SteadyTime begun_;
};

/// Has no use for streams of the peer: dropped ones are reset.
class Nobody final : public dmsg::Session::Owner {
 public:
    void on_stream(dmsg::Session&, std::unique_ptr<mux::Stream>) override {}
    void on_go_away(dmsg::Session&) override {}
    void on_end(dmsg::Session&, const Error&) override {}
};

class DmsgProbe final : public Command {
 public:
    std::vector<std::string> path() const override { return {"dmsg", "probe"}; }
    std::string summary() const override {
        return "Try one dmsg-server step by step: entry, connection, handshake, ping, stream";
    }
    std::string details() const override {
        return "Prints the time of each step and ends with the first that fails. With --to it "
               "then\n"
               "opens a stream through that very server.\n"
               "\n"
               "Examples:\n"
               "  skywire dmsg probe 0359...\n"
               "  skywire dmsg probe 0359... --to 02857a87...:80";
    }

    std::vector<Option> options() override {
        auto all = options_.options();
        all.push_back({"--to", "KEY[:PORT]", "Open a stream to this address (port 80)", &to_});
        all.push_back({"SERVER", "KEY", "The server's key", &key_, ValueKind::text, {}, true});
        return all;
    }

    int run(Session& session) override {
        const auto key = parse_key(key_);
        if (!key) return usage_error(session, *this, key.error().message());
        std::optional<dmsg::Address> to;
        if (!to_.empty()) {
            const auto parsed = parse_dmsg_address(to_, kHttpPort);
            if (!parsed) return failure(session, *this, parsed.error());
            to = *parsed;
        }
        return run_dmsg(session, *this, options_, [&](DmsgWorld& world) {
            return probe(world, session, *key, to);
        });
    }

 private:
    Task<Result<>> probe(
        DmsgWorld& world, Session& session, crypto::PublicKey key, std::optional<dmsg::Address> to
    ) {
        const net::Context& context = world.context();
        Steps steps(session, context.clock);
        const auto reached = co_await world.reach_discovery();
        if (!reached) co_return steps.failed("entry", reached.error());
        // A key has one session with a server: ours would take the place of the one that is there.
        const crypto::KeyPair keys =
            world.discovery_on_dmsg() ? crypto::generate_key_pair(context.random) : world.keys();
        const auto entry = co_await net::with_deadline(
            context.clock, world.deadline(), world.discovery().entry(key)
        );
        if (!entry) co_return steps.failed("entry", entry.error());
        const std::optional<dmsg::ServerInfo>& server = entry->server;
        if (!server)
            co_return steps.failed("entry", fail(errc::wrong_state, "the key is no server's"));
        steps.passed("entry", server->address);
        const auto address = net::Address::parse(server->address);
        if (!address) co_return steps.failed("connect", address.error());
        auto connected = co_await net::with_deadline(
            context.clock, world.deadline(), context.network.dial(context.loop, *address)
        );
        if (!connected) co_return steps.failed("connect", connected.error());
        steps.passed("connect");
        auto handshaken =
            co_await dmsg::handshake_as_client(context, std::move(*connected), keys, key);
        if (!handshaken) co_return steps.failed("handshake", handshaken.error());
        steps.passed("handshake");
        // Servers of 2025 drop a connection whose next bytes come with the handshake's last.
        co_await net::sleep_for(context.clock, kSilence);
        Nobody owner;
        dmsg::Session made(context, std::move(*handshaken), {}, owner);
        steps.begin();
        const auto outcome = co_await use(world, keys, made, steps, to);
        co_await made.mux().close();
        co_return outcome;
    }

    Task<Result<>> use(
        DmsgWorld& world,
        crypto::KeyPair keys,
        dmsg::Session& made,
        Steps& steps,
        std::optional<dmsg::Address> to
    ) {
        const net::Context& context = world.context();
        const auto pinged =
            co_await net::with_deadline(context.clock, world.deadline(), made.mux().ping());
        if (!pinged) co_return steps.failed("ping", pinged.error());
        steps.passed("ping");
        if (!to) co_return Result<>();
        const dmsg::Address from{keys.public_key, kProbePort};
        auto stream = co_await dmsg::open_stream(context, made, keys, from, *to, world.deadline());
        if (!stream) co_return steps.failed("stream", stream.error());
        steps.passed("stream", to->to_string());
        (*stream)->close();
        co_return Result<>();
    }

    DmsgOptions options_;
    std::string key_;
    std::string to_;
};

}  // namespace

std::unique_ptr<Command> make_dmsg_ping() {
    return std::make_unique<DmsgPing>();
}

std::unique_ptr<Command> make_dmsg_probe() {
    return std::make_unique<DmsgProbe>();
}

}  // namespace skywire::cli
