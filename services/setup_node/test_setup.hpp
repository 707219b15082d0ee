#pragma once

#include "base/test.hpp"
#include "dmsg/client/client_rig.hpp"
#include "net/event.hpp"
#include "router/setup_calls.hpp"
#include "rpc/client.hpp"
#include "rpc/server.hpp"
#include "services/setup_node/setup_node.hpp"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

/// Route set-ups in virtual time: a dmsg network, a setup-node on it, and visors that a test
/// scripts.
namespace skywire::setup_node::test {

using namespace std::chrono_literals;
using dmsg::test::key_of;
using dmsg::test::Rig;
using dmsg::test::Running;

inline router::TransportId transport_id(std::uint8_t number) {
    router::TransportId id;
    id.bytes[0] = std::byte{number};
    return id;
}

/// A visor as far as route set-up sees it: hands out ids, keeps rules.
class Visor {
 public:
    Visor(Rig& rig, std::string name_in)
        : name(std::move(name_in)), rig_(rig), context_(rig.world.node(name).context()) {
        dmsg::Client& client = rig.add_client(name);
        methods_.on<std::uint64_t>(
            std::string(router::kReserveIds),
            [this](net::Address by, std::uint64_t count) { return reserve(std::move(by), count); }
        );
        methods_.on<router::IntermediaryRules>(
            std::string(router::kAddIntermediaryRules),
            [this](net::Address, router::IntermediaryRules added) {
                return add_intermediary(std::move(added));
            }
        );
        methods_.on<router::EdgeRules>(
            std::string(router::kAddEdgeRules),
            [this](net::Address, router::EdgeRules added) { return add_edge(added); }
        );
        server_.emplace(context_, methods_, rpc::Server::Options());
        server_->serve(client.listen(router::kVisorSetupPort).value());
    }
    ~Visor() { stop(); }
    Visor(const Visor&) = delete;
    Visor& operator=(const Visor&) = delete;

    void stop() {
        if (!server_) return;
        hangs.clear();
        CHECK(rig_.world.run(server_->stop(rig_.world.clock().now() + 10s)).empty());
        server_.reset();
    }

    /// Visors of 2026 delete rules when they are asked to.
    void of_2026() {
        methods_.on<router::RouteIds>(
            std::string(router::kDelRules),
            [this](net::Address, router::RouteIds ids) { return del(std::move(ids)); }
        );
    }

    crypto::PublicKey key() const { return key_of(name); }

    /// What it does wrong: method -> text of its error.
    std::map<std::string_view, std::string> refuses;
    /// Methods that do their work and never answer.
    std::set<std::string_view> hangs;
    /// Fewer ids than it is asked for.
    std::uint64_t short_by = 0;

    std::map<router::RouteId, router::Rule> rules;
    std::optional<router::EdgeRules> edge;
    std::vector<std::string> calls;
    std::string caller;
    const std::string name;

 private:
    Task<Result<rpc::Reply>> finish(std::string_view method, rpc::Reply reply) {
        if (const auto refused = refuses.find(method); refused != refuses.end())
            co_return fail(errc::unavailable, refused->second);
        while (hangs.contains(method)) {
            const bool slept = co_await net::sleep_for(context_.clock, 1s);
            if (!slept) co_return fail(errc::cancelled, {});
        }
        co_return reply;
    }
    Task<Result<rpc::Reply>> reserve(net::Address by, std::uint64_t count) {
        calls.push_back("reserve " + std::to_string(count));
        caller = by.host;
        router::RouteIds ids;
        for (std::uint64_t i = 0; i + short_by < count; ++i)
            ids.ids.push_back(router::RouteId{next_id_++});
        co_return co_await finish(router::kReserveIds, rpc::reply_of(ids));
    }
    Task<Result<rpc::Reply>> add_intermediary(router::IntermediaryRules added) {
        calls.emplace_back("intermediary");
        if (!refuses.contains(router::kAddIntermediaryRules)) {
            for (const auto& rule : added.rules)
                rules.emplace(rule.key, rule);
        }
        co_return co_await finish(router::kAddIntermediaryRules, rpc::reply_of(true));
    }
    Task<Result<rpc::Reply>> add_edge(router::EdgeRules added) {
        calls.emplace_back("edge");
        if (!refuses.contains(router::kAddEdgeRules)) {
            edge = added;
            rules.emplace(added.forward.key, added.forward);
            rules.emplace(added.reverse.key, added.reverse);
        }
        co_return co_await finish(router::kAddEdgeRules, rpc::reply_of(true));
    }
    Task<Result<rpc::Reply>> del(router::RouteIds ids) {
        calls.emplace_back("delete");
        for (const auto id : ids.ids)
            rules.erase(id);
        co_return rpc::reply_of(true);
    }

    Rig& rig_;
    net::Context context_;
    std::uint32_t next_id_ = 1;
    rpc::Methods methods_;
    std::optional<rpc::Server> server_;
};

/// A transport-discovery that lists all but what a test says.
class TestListing final : public Listing {
 public:
    Task<Result<bool>> lists(router::Hop hop, SteadyTime) override {
        asked.push_back(hop);
        if (!down.empty()) co_return fail(errc::unavailable, down);
        co_return !unknown.contains(hop.transport);
    }
    std::string trouble() const override { return down; }

    std::set<router::TransportId> unknown;
    std::string down;
    std::vector<router::Hop> asked;
};

/// A dmsg server, a setup-node, and visors a, b and c.
class World {
 public:
    explicit World(const Options& options = {}, std::uint64_t seed = 1)
        : rig(seed), options_(options) {
        rig.start_server("server");
        rig.wait_registered("server");
        for (const char* name : {"a", "b", "c"})
            visors.emplace(name, std::make_unique<Visor>(rig, name));
        dmsg::Client& client = rig.add_client("setup");
        node.emplace(
            rig.world.node("setup").context(),
            [this, &client](dmsg::Address to) { return dial_visor(&client, to); },
            &listing,
            options_
        );
        node->serve(client.listen(router::kSetupNodePort).value());
    }
    ~World() {
        for (const auto& caller : callers_)
            rig.world.run(caller->close());
        for (const auto& [name, visor] : visors)
            visor->hangs.clear();
        if (node) CHECK(rig.world.run(node->stop(rig.world.clock().now() + 10s)).empty());
        for (const auto& [name, visor] : visors)
            visor->stop();
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    Visor& visor(const std::string& name) { return *visors.at(name); }

    /// From the first to the last of the names, and the same way back.
    static router::BidirectionalRoute route(const std::vector<std::string>& names) {
        router::BidirectionalRoute made;
        made.descriptor = {key_of(names.front()), key_of(names.back()), 49153, 1};
        made.keep_alive = 30s;
        for (std::size_t i = 0; i + 1 < names.size(); ++i) {
            const auto id = transport_id(static_cast<std::uint8_t>(i + 1));
            made.forward.push_back({id, key_of(names[i]), key_of(names[i + 1])});
            made.reverse.insert(made.reverse.begin(), {id, key_of(names[i + 1]), key_of(names[i])});
        }
        return made;
    }

    /// A stream of the visor to the setup-node.
    rpc::Client& caller(const std::string& name) {
        auto stream = rig.dial(rig.client(name), "setup", router::kSetupNodePort).value();
        const auto& context = rig.world.node(name).context();
        return *callers_.emplace_back(std::make_unique<rpc::Client>(context, std::move(stream)));
    }
    using Asked = Running<Result<router::EdgeRules>>;
    Asked ask(rpc::Client& by, const router::BidirectionalRoute& asked) {
        return {
            rig.world,
            by.call<router::EdgeRules>(
                std::string(router::kDialRouteGroup), rpc::body_of(asked), SteadyTime::max()
            )
        };
    }
    Result<router::EdgeRules> dial(const std::string& by, const router::BidirectionalRoute& asked) {
        auto running = ask(caller(by), asked);
        REQUIRE(rig.world.run_until([&] { return running.ended(); }, 2min));
        return *running.result();
    }
    /// Runs until nothing is set up or unwound any more.
    void wait_idle() {
        REQUIRE(rig.world.run_until([&] { return unwound(); }, 1min));
    }
    bool unwound() { return counted("setup_node_active") == 0 && node->stats().active() == 0; }
    std::size_t rules_everywhere() const {
        std::size_t count = 0;
        for (const auto& [name, visor] : visors)
            count += visor->rules.size();
        return count;
    }
    std::uint64_t requests(std::string outcome) {
        return rig.counted("setup", "setup_node_requests_total", "outcome", outcome);
    }
    std::uint64_t unwound(std::string outcome) {
        return rig.counted("setup", "setup_node_unwound_total", "outcome", outcome);
    }
    double counted(const std::string& gauge) { return rig.gauge("setup", gauge); }

    Rig rig;
    std::map<std::string, std::unique_ptr<Visor>> visors;
    TestListing listing;
    std::optional<SetupNode> node;
    /// The setup-node's dials do not end, not even when they are cancelled.
    bool stuck = false;

 private:
    Task<Result<std::unique_ptr<net::Stream>>> dial_visor(dmsg::Client* client, dmsg::Address to) {
        if (!stuck) co_return co_await client->dial(to);
        co_await asio::this_coro::throw_if_cancelled(false);
        while (stuck)
            (void)co_await net::sleep_for(rig.world.clock(), 1s);
        co_return fail(errc::cancelled, {});
    }

    Options options_;
    std::vector<std::unique_ptr<rpc::Client>> callers_;
};

}  // namespace skywire::setup_node::test
