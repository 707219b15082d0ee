#pragma once

#include "base/test.hpp"
#include "dmsg/entry_rules.hpp"
#include "dmsg/server.hpp"
#include "dmsg/session.hpp"
#include "dmsg/stream.hpp"
#include "dmsg/test_bytes.hpp"
#include "dmsg/test_rig.hpp"
#include "net/event.hpp"
#include "net/network.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

/// For tests of the server: a discovery in memory, clients that are nothing but a session, and a
/// server between them on a still clock.
namespace skywire::dmsg::test {

/// A discovery's memory; outlives the clients that ask it.
struct DiscoveryState {
    std::map<crypto::PublicKey, Entry> entries;
    std::vector<Entry> posts;
    std::size_t look_ups = 0;
    std::size_t erased = 0;
    /// What every call fails with.
    std::optional<Error> failure;
    /// What posts fail with, one after another.
    std::deque<Error> refusals;
    /// Look-ups and removals that begin now are never answered.
    bool hangs = false;
    /// Where it is set, entries have to be of its time, and `ahead` of it.
    const Clock* clock = nullptr;
    Duration ahead{};
};

class FakeDiscovery final : public DiscoveryClient {
 public:
    explicit FakeDiscovery(DiscoveryState& state) : state_(state) {}

    Task<Result<Entry>> entry(crypto::PublicKey key) override {
        ++state_.look_ups;
        if (state_.hangs) co_await hang();
        if (state_.failure) co_return *state_.failure;
        const auto found = state_.entries.find(key);
        if (found == state_.entries.end()) co_return Error(dmsg::errc::entry_not_found);
        co_return found->second;
    }
    Task<Result<std::vector<Entry>>> available_servers() override { co_return all(); }
    Task<Result<std::vector<Entry>>> all_servers() override { co_return all(); }
    Task<Result<>> post(Entry entry) override {
        if (state_.failure) co_return *state_.failure;
        if (!state_.refusals.empty()) {
            Error refusal = std::move(state_.refusals.front());
            state_.refusals.pop_front();
            co_return refusal;
        }
        if (const auto verified = verify_entry(entry); !verified) co_return verified.error();
        if (!timely(entry)) co_return Error(dmsg::errc::outdated_timestamp);
        const auto stored = state_.entries.find(entry.static_key);
        if (stored != state_.entries.end()) {
            const auto follows = check_update(stored->second, entry);
            if (!follows) co_return follows.error();
        }
        state_.posts.push_back(entry);
        state_.entries[entry.static_key] = std::move(entry);
        co_return Result<>();
    }
    Task<Result<>> erase(Entry entry) override {
        if (state_.hangs) co_await hang();
        if (state_.failure) co_return *state_.failure;
        if (const auto verified = verify_entry(entry); !verified) co_return verified.error();
        if (!timely(entry)) co_return Error(dmsg::errc::outdated_timestamp);
        state_.entries.erase(entry.static_key);
        ++state_.erased;
        co_return Result<>();
    }
    std::optional<Duration> clock_ahead() const override {
        return state_.clock == nullptr ? std::nullopt : std::optional(state_.ahead);
    }

 private:
    bool timely(const Entry& entry) const {
        if (state_.clock == nullptr) return true;
        const WallTime now = state_.clock->wall() + state_.ahead;
        return entry.timestamp >= (now - kEntryAgeMax).time_since_epoch().count() &&
               entry.timestamp <= (now + kEntryAheadMax).time_since_epoch().count();
    }

    /// Until it is cancelled.
    static Task<> hang() {
        net::Event never(co_await asio::this_coro::executor);
        co_await never.wait();
    }

    std::vector<Entry> all() const {
        std::vector<Entry> servers;
        for (const auto& [key, entry] : state_.entries)
            if (entry.server) servers.push_back(entry);
        return servers;
    }

    DiscoveryState& state_;
};

/// A client with one session: dials, and takes what is dialled to it on every port but 1.
class TestClient final : private Session::Owner {
 public:
    TestClient(const net::Context& context, std::string_view seed)
        : keys_(crypto::deterministic_key_pair(seed)),
          context_(context),
          event_(context.loop),
          scope_(context.loop) {}
    ~TestClient() override = default;

    const crypto::PublicKey& key() const { return keys_.public_key; }
    Session& session() { return *session_; }
    const std::optional<Error>& ended() const { return ended_; }
    bool gone_away() const { return gone_away_; }

    Task<Result<>> connect(
        std::unique_ptr<net::Stream> carrier,
        crypto::PublicKey server,
        mux::Protocol protocol = mux::Protocol::yamux
    ) {
        auto handshaken = co_await handshake_as_client(context_, std::move(carrier), keys_, server);
        if (!handshaken) co_return handshaken.error();
        Session::Options options;
        options.protocol = protocol;
        Session::Owner& owner = *this;
        session_.emplace(context_, std::move(*handshaken), options, owner);
        co_return Result<>();
    }

    Task<Result<std::unique_ptr<Stream>>> dial(crypto::PublicKey to, std::uint16_t port = 80) {
        return open_stream(
            context_,
            *session_,
            keys_,
            {keys_.public_key, next_port_++},
            {to, port},
            context_.clock.now() + std::chrono::seconds(20)
        );
    }

    /// The next stream that was dialled to us.
    Task<std::unique_ptr<Stream>> accept() {
        while (accepted_.empty())
            co_await event_.wait();
        auto stream = std::move(accepted_.front());
        accepted_.pop_front();
        co_return stream;
    }

    Task<> wait_ended() {
        while (!ended_)
            co_await event_.wait();
    }
    Task<> wait_gone_away() {
        while (!gone_away_)
            co_await event_.wait();
    }

    void tick() {
        if (session_ && !ended_) session_->mux().tick(context_.clock.now());
    }

    /// Streams that the server opened are left unread and unanswered.
    void answer_nothing() { answers_ = false; }
    std::size_t unanswered() const { return kept_.size(); }
    Task<> wait_unanswered() {
        while (kept_.empty())
            co_await event_.wait();
    }

    Task<> close() {
        accepted_.clear();
        kept_.clear();
        if (session_) co_await session_->mux().close();
        const auto now = context_.clock.now();
        co_await scope_.close(context_.clock, now, now + std::chrono::seconds(10));
        session_.reset();
    }

    const crypto::KeyPair& keys() const { return keys_; }

 private:
    void on_stream(Session&, std::unique_ptr<mux::Stream> stream) override {
        if (!answers_) {
            kept_.push_back(std::move(stream));
            event_.notify();
            return;
        }
        const auto held = std::make_shared<std::unique_ptr<mux::Stream>>(std::move(stream));
        scope_.spawn("answer", [this, held] { return answer(std::move(*held)); });
    }
    void on_go_away(Session&) override {
        gone_away_ = true;
        event_.notify();
    }
    void on_end(Session&, const Error& reason) override {
        ended_ = reason;
        event_.notify();
    }

    Task<> answer(std::unique_ptr<mux::Stream> carrier) {
        auto stream = co_await answer_stream(
            context_,
            *session_,
            std::move(carrier),
            keys_,
            [](std::uint16_t port) { return port != 1; },
            context_.clock.now() + std::chrono::seconds(20)
        );
        if (!stream) co_return;
        accepted_.push_back(std::move(*stream));
        event_.notify();
    }

    crypto::KeyPair keys_;
    net::Context context_;
    std::optional<Session> session_;
    std::optional<Error> ended_;
    std::deque<std::unique_ptr<Stream>> accepted_;
    std::vector<std::unique_ptr<mux::Stream>> kept_;
    std::uint16_t next_port_ = 49'153;
    bool gone_away_ = false;
    bool answers_ = true;
    net::Event event_;
    net::Scope scope_;
};

/// 0 for an orderly end.
inline Task<Result<std::size_t>> read_end(net::Stream& stream) {
    Bytes one(1);
    co_return co_await stream.read_some(one);
}

inline const crypto::KeyPair kServerKeys = crypto::deterministic_key_pair("server");

inline ServerOptions server_options() {
    ServerOptions options(kServerKeys);
    options.address = "127.0.0.1:8081";
    return options;
}

/// A server of kServerKeys on one event loop, with clients over pipes. Stopped at the end, which
/// has to happen in time.
class ServerRig {
 public:
    explicit ServerRig(ServerOptions options = server_options()) {
        server.emplace(
            world.context, std::move(options), std::make_unique<FakeDiscovery>(discovery)
        );
        server->start([this] { registered = true; });
        world.loop.settle();
    }
    ~ServerRig() {
        for (const auto& client : clients)
            run(client->close());
        for (const std::string& name : run(server->stop(world.clock.now() + kStopTime)))
            FAIL_CHECK("late: " << name);
    }
    ServerRig(const ServerRig&) = delete;
    ServerRig& operator=(const ServerRig&) = delete;

    /// A connection to the server.
    std::unique_ptr<net::Stream> carrier(std::size_t buffer_bytes = 1 << 16) {
        auto [ours, theirs] = net::make_pipe(world.context.loop, buffer_bytes);
        server->serve(std::move(theirs));
        return std::move(ours);
    }

    /// A client with a session.
    TestClient& add(std::string_view seed, mux::Protocol protocol = mux::Protocol::yamux) {
        clients.push_back(std::make_unique<TestClient>(world.context, seed));
        TestClient& client = *clients.back();
        run(client.connect(carrier(), kServerKeys.public_key, protocol)).value();
        world.loop.settle();
        return client;
    }

    template <class T>
    T run(Task<T> task) {
        return world.loop.run(std::move(task));
    }
    void run(Task<> task) { world.loop.run(std::move(task)); }

    /// Moves the clock in steps of a sweep; clients tick too.
    void advance(Duration by) {
        for (Duration done{0}; done < by; done += kSweep) {
            world.advance(kSweep);
            for (const auto& client : clients)
                client->tick();
            world.loop.settle();
        }
    }

    double gauge(std::string_view name) { return world.loop.metrics.gauge(name, "").value(); }
    std::uint64_t refused_streams(std::string_view reason) {
        return refused("dmsg_server_streams_refused_total", reason);
    }
    std::uint64_t refused_sessions(std::string_view reason) {
        return refused("dmsg_server_sessions_refused_total", reason);
    }

    World world;
    DiscoveryState discovery;
    bool registered = false;
    std::optional<Server> server;
    std::vector<std::unique_ptr<TestClient>> clients;

 private:
    static constexpr std::chrono::seconds kStopTime{10};
    static constexpr std::chrono::milliseconds kSweep{250};

    std::uint64_t refused(std::string_view counter, std::string_view reason) {
        return world.loop.metrics.counter(counter, "", {{"reason", std::string(reason)}}).value();
    }
};

}  // namespace skywire::dmsg::test
