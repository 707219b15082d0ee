#pragma once

#include "base/test.hpp"
#include "dmsg/client.hpp"
#include "dmsg/entry_rules.hpp"
#include "dmsg/error.hpp"
#include "dmsg/server.hpp"
#include "dmsg/test_bytes.hpp"
#include "net/deadline.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"
#include "sim/test.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>

/// For tests of the client: a discovery in memory that keeps the network's rules, real servers and
/// clients on the nodes of a simulated world.
namespace skywire::dmsg::test {

using namespace std::chrono_literals;

/// What the discovery holds and how it behaves; outlives all who ask it.
struct DiscoveryMemory {
    explicit DiscoveryMemory(Clock& clock_in) : clock(clock_in) {}

    Clock& clock;
    std::map<crypto::PublicKey, Entry> entries;
    /// All that was accepted, in order.
    std::vector<Entry> posts;
    std::map<crypto::PublicKey, int> look_ups;
    int lists = 0;
    /// Answers nothing of use.
    bool down = false;
    /// Answers nothing at all, until the asker gives up.
    bool silent = false;
    /// Knows only the members of 2023.
    bool old = false;
    /// Called before each post is judged: another writer may be faster.
    std::function<void(const Entry&)> before_post;
};

class MemoryDiscovery final : public DiscoveryClient {
 public:
    explicit MemoryDiscovery(DiscoveryMemory& memory) : memory_(memory) {}

    Task<Result<Entry>> entry(crypto::PublicKey key) override {
        ++memory_.look_ups[key];
        if (const auto there = co_await reach(); !there) co_return there.error();
        const auto found = memory_.entries.find(key);
        if (found == memory_.entries.end()) co_return make_error_code(errc::entry_not_found);
        co_return found->second;
    }
    Task<Result<std::vector<Entry>>> available_servers() override { return all_servers(); }
    Task<Result<std::vector<Entry>>> all_servers() override {
        ++memory_.lists;
        if (const auto there = co_await reach(); !there) co_return there.error();
        std::vector<Entry> servers;
        for (const auto& [key, entry] : memory_.entries) {
            if (entry.server) servers.push_back(entry);
        }
        co_return servers;
    }
    Task<Result<>> post(Entry entry) override {
        if (const auto there = co_await reach(); !there) co_return there.error();
        if (memory_.before_post) memory_.before_post(entry);
        if (memory_.old && !(entry.client_type.empty() && entry.protocol.empty()))
            co_return make_error_code(errc::invalid_signature);
        const auto received = ReceivedEntry::parse(to_json(entry));
        if (!received) co_return received.error();
        EntryRules rules;
        rules.now = memory_.clock.wall();
        if (const auto right = check_entry(*received, rules); !right) co_return right.error();
        const auto stored = memory_.entries.find(entry.static_key);
        if (stored != memory_.entries.end()) {
            if (const auto right = check_update(stored->second, entry); !right)
                co_return right.error();
        }
        memory_.posts.push_back(entry);
        memory_.entries.insert_or_assign(entry.static_key, entry);
        co_return Result<>();
    }
    Task<Result<>> erase(Entry entry) override {
        if (const auto there = co_await reach(); !there) co_return there.error();
        if (const auto verified = verify_entry(entry); !verified) co_return verified.error();
        memory_.entries.erase(entry.static_key);
        co_return Result<>();
    }

 private:
    Task<Result<>> reach() {
        // A discovery is not asked in no time.
        const Duration takes = memory_.silent ? Duration(24h) : Duration(1ms);
        const bool reached = co_await net::sleep_for(memory_.clock, takes);
        if (!reached) co_return fail(skywire::errc::cancelled, {});
        if (memory_.down) co_return fail(skywire::errc::unavailable, "the discovery is down");
        co_return Result<>();
    }

    DiscoveryMemory& memory_;
};

inline crypto::KeyPair keys_of(std::string_view name) {
    return crypto::deterministic_key_pair(name);
}
inline crypto::PublicKey key_of(std::string_view name) {
    return keys_of(name).public_key;
}

/// A task under way, whose result is looked at later; cancellable.
template <class T>
class Running {
 public:
    Running(sim::World& world, Task<T> task) : state_(std::make_shared<State>()) {
        asio::co_spawn(
            world.loop(),
            keep(state_, std::move(task)),
            asio::bind_cancellation_slot(
                state_->signal.slot(), [state = state_](std::exception_ptr) { state->ended = true; }
            )
        );
    }

    void cancel() { state_->signal.emit(asio::cancellation_type::terminal); }
    bool ended() const { return state_->ended; }
    std::optional<T>& result() { return state_->result; }

 private:
    struct State {
        asio::cancellation_signal signal;
        std::optional<T> result;
        bool ended = false;
    };

    static Task<> keep(std::shared_ptr<State> state, Task<T> task) {
        state->result.emplace(co_await std::move(task));
    }

    std::shared_ptr<State> state_;
};

/// Servers and clients by name, each on a node of that name.
class Rig {
 public:
    using StreamPtr = std::unique_ptr<net::Stream>;
    using Tweak = std::function<void(ClientOptions&)>;

    explicit Rig(std::uint64_t seed = 1) : world(seed), memory(world.clock()) {}
    ~Rig() {
        memory.down = false;
        memory.silent = false;
        while (!clients_.empty())
            stop_client(clients_.begin()->first);
        while (!servers_.empty())
            stop_server(servers_.begin()->first);
    }
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;

    Server& start_server(const std::string& name, std::vector<ServerPeer> peers = {}) {
        auto& node = world.node(name);
        ServerOptions options(keys_of(name));
        options.address = node.at(kPort).to_string();
        options.peers = std::move(peers);
        auto& server = servers_[name];
        server = std::make_unique<Server>(
            node.context(), std::move(options), std::make_unique<MemoryDiscovery>(memory)
        );
        server->start([] {});
        server->serve(node.context().network.listen(world.loop(), node.at(kPort)).value());
        return *server;
    }
    Server& server(const std::string& name) { return *servers_.at(name); }
    void stop_server(const std::string& name) {
        auto server = std::move(servers_.at(name));
        servers_.erase(name);
        const auto late = world.run(server->stop(world.clock().now() + 10s));
        CHECK(late.empty());
    }
    /// Waits until its entry stands in the discovery.
    void wait_registered(const std::string& name) {
        REQUIRE(world.run_until([&] { return memory.entries.contains(key_of(name)); }, 1min));
    }
    Entry server_entry(const std::string& name) {
        Entry entry;
        entry.version = kEntryVersion;
        entry.static_key = key_of(name);
        entry.server = ServerInfo{};
        entry.server->address = world.node(name).at(kPort).to_string();
        entry.server->available_sessions = 100;
        return entry;
    }

    Client& start_client(
        const std::string& name,
        const Tweak& tweak = {},
        std::unique_ptr<DiscoveryClient> discovery = nullptr
    ) {
        ClientOptions options(keys_of(name));
        if (tweak) tweak(options);
        if (!discovery) discovery = std::make_unique<MemoryDiscovery>(memory);
        auto& client = clients_[name];
        client = std::make_unique<Client>(
            world.node(name).context(), std::move(options), std::move(discovery)
        );
        client->start();
        return *client;
    }
    /// The same, and ready.
    Client& add_client(const std::string& name, const Tweak& tweak = {}) {
        Client& client = start_client(name, tweak);
        world.run(client.wait_ready()).value();
        return client;
    }
    Client& client(const std::string& name) { return *clients_.at(name); }
    void stop_client(const std::string& name) {
        const auto late = world.run(clients_.at(name)->stop(world.clock().now() + 10s));
        CHECK(late.empty());
        clients_.erase(name);
    }

    /// What an entry in the discovery promises.
    std::vector<crypto::PublicKey> delegated(const std::string& name) const {
        const auto found = memory.entries.find(key_of(name));
        if (found == memory.entries.end() || !found->second.client) return {};
        return found->second.client->delegated_servers.value_or(std::vector<crypto::PublicKey>());
    }

    Result<StreamPtr> dial(Client& from, const std::string& to, std::uint16_t port) {
        return world.run(from.dial({key_of(to), port}));
    }

    std::uint64_t counted(
        const std::string& name,
        const std::string& metric,
        const std::string& label,
        const std::string& value
    ) {
        return world.node(name).metrics().counter(metric, "", {{label, value}}).value();
    }
    double gauge(const std::string& name, const std::string& metric) {
        return world.node(name).metrics().gauge(metric, "").value();
    }

    /// Sends bytes each way, in order and whole.
    void exchange(net::Stream& near, net::Stream& far, std::size_t size = 1000) {
        for (const auto& [from, to] : {std::pair(&near, &far), std::pair(&far, &near)}) {
            const Bytes sent = pattern(size);
            Running<Result<>> writing(world, write_bytes(*from, sent));
            const auto received = world.run(read_exactly(*to, size));
            REQUIRE(received);
            CHECK((*received == sent));
            REQUIRE(world.run_until([&] { return writing.ended(); }, 1min));
            CHECK(writing.result()->has_value());
        }
    }

    static constexpr std::uint16_t kPort = 8081;

    sim::World world;
    DiscoveryMemory memory;

 private:
    std::map<std::string, std::unique_ptr<Server>> servers_;
    std::map<std::string, std::unique_ptr<Client>> clients_;
};

}  // namespace skywire::dmsg::test
