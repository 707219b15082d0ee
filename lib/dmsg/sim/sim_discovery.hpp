#pragma once

#include "base/json.hpp"
#include "dmsg/entry_rules.hpp"
#include "dmsg/error.hpp"
#include "http/server.hpp"
#include "sim/world.hpp"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace skywire::dmsg::test {

/// For simulations: a discovery on a node of its own, with the network's routes, rules and texts
/// (spec/dmsg.md sections 11 and 12), its entries in memory. They outlive its death.
class SimDiscovery {
 public:
    static constexpr std::uint16_t kPort = 80;
    /// As long as a server's entry stands without being renewed: section 13.
    static constexpr Duration kServerLifetime = std::chrono::seconds(120);

    explicit SimDiscovery(sim::World& world)
        : world_(world), node_(world.node("discovery.example")) {
        using http::Method;
        const auto on = [this](Method method, std::string_view path, auto handler) {
            router_.on(
                method,
                "/dmsg-discovery/" + std::string(path),
                [this, handler](http::Request& request) -> Task<http::Response> {
                    co_return (this->*handler)(request);
                }
            );
        };
        on(Method::get, "entry/{pk}", &SimDiscovery::get_entry);
        on(Method::post, "entry/", &SimDiscovery::post_entry);
        on(Method::delete_, "entry", &SimDiscovery::delete_entry);
        on(Method::get, "available_servers", &SimDiscovery::available_servers);
        on(Method::get, "all_servers", &SimDiscovery::all_servers);
    }
    SimDiscovery(const SimDiscovery&) = delete;
    SimDiscovery& operator=(const SimDiscovery&) = delete;

    sim::Node& node() noexcept { return node_; }
    static std::string url() { return "http://discovery.example:80"; }

    void start() {
        const auto& context = node_.context();
        server_ = std::make_unique<http::Server>(context, router_, http::Server::Options());
        server_->serve(context.network.listen(context.loop, node_.at(kPort)).value());
    }
    Task<std::vector<std::string>> stop() {
        auto late = co_await server_->stop(world_.clock().now() + std::chrono::seconds(10));
        server_.reset();
        co_return late;
    }

    /// What is stored and has not expired.
    std::map<crypto::PublicKey, Entry> entries() {
        std::map<crypto::PublicKey, Entry> found;
        std::erase_if(stored_, [this](const auto& each) { return expired(each.second); });
        for (const auto& [key, stored] : stored_)
            found.emplace(key, stored.received.entry());
        return found;
    }
    /// Entries refused, by the reason.
    const std::map<std::string, int>& refused() const noexcept { return refused_; }

 private:
    struct Stored {
        ReceivedEntry received;
        SteadyTime written;
    };

    bool expired(const Stored& stored) const {
        return stored.received.entry().server &&
               world_.clock().now() - stored.written >= kServerLifetime;
    }

    static http::Response message(unsigned status, std::string_view text) {
        std::string body = R"({"message":)";
        append_json_string(body, text, JsonEscape::plain);
        return http::Response::json(status, body + fmt::format(R"(,"code":{}}})", status));
    }
    http::Response refuse(const Error& error) {
        const auto code = static_cast<errc>(error.code().value());
        ++refused_[std::string(reason(code))];
        return message(unsigned(http_status(code)), make_error_code(code).message());
    }

    http::Response get_entry(http::Request& request) {
        const auto key = crypto::PublicKey::from_text(request.param("pk"));
        if (!key) return refuse(make_error_code(errc::bad_input));
        const auto found = stored_.find(*key);
        if (found == stored_.end() || expired(found->second))
            return refuse(make_error_code(errc::entry_not_found));
        return http::Response::json(200, found->second.received.stored_text());
    }

    http::Response post_entry(http::Request& request) {
        auto received = ReceivedEntry::parse(request.body);
        if (!received) return refuse(received.error());
        EntryRules rules;
        rules.now = node_.context().clock.wall();
        if (const auto right = check_entry(*received, rules); !right) return refuse(right.error());
        const crypto::PublicKey key = received->entry().static_key;
        const auto stored = stored_.find(key);
        const bool first = stored == stored_.end() || expired(stored->second);
        if (!first) {
            const auto right = check_update(stored->second.received.entry(), received->entry());
            if (!right) return refuse(right.error());
        }
        stored_.insert_or_assign(key, Stored{std::move(*received), world_.clock().now()});
        return message(200, first ? "wrote a new entry" : "wrote new entry iteration");
    }

    http::Response delete_entry(http::Request& request) {
        const auto received = ReceivedEntry::parse(request.body);
        if (!received) return refuse(received.error());
        EntryRules rules;
        rules.now = node_.context().clock.wall();
        if (const auto right = check_entry(*received, rules); !right) return refuse(right.error());
        stored_.erase(received->entry().static_key);
        return message(200, "deleted entry");
    }

    http::Response servers(std::int64_t sessions_min) {
        std::string body;
        for (const auto& [key, stored] : stored_) {
            const auto& server = stored.received.entry().server;
            if (!server || expired(stored) || server->available_sessions < sessions_min) continue;
            body += (body.empty() ? "[" : ",") + stored.received.stored_text("community");
        }
        if (body.empty()) return refuse(make_error_code(errc::no_servers));
        return http::Response::json(200, body + "]");
    }
    http::Response available_servers(http::Request&) { return servers(1); }
    http::Response all_servers(http::Request&) { return servers(0); }

    sim::World& world_;
    sim::Node& node_;
    http::Router router_;
    std::unique_ptr<http::Server> server_;
    std::map<crypto::PublicKey, Stored> stored_;
    std::map<std::string, int> refused_;
};

}  // namespace skywire::dmsg::test
