#pragma once

#include "crypto/keys.hpp"
#include "cxo/feed.hpp"
#include "cxo/node.hpp"
#include "framework/service_type.hpp"
#include "net/event.hpp"
#include "services/common/dmsg_presence.hpp"
#include "services/common/test_announcing.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// For tests of services in a deployment: a visor that publishes to one of them over dmsg.
namespace skywire::services {

/// What it publishes, and to whom.
struct FeedVisorOptions {
    FeedVisorOptions(crypto::KeyPair keys_in, const crypto::PublicKey& service_in)
        : keys(std::move(keys_in)), service(service_in) {}

    crypto::KeyPair keys;
    crypto::PublicKey service;
    std::uint16_t port = 0;
    std::string path;
    std::string leaf;
};

/// Tells when the handshake is done: a test moves its clock as soon as a service is ready, and one
/// that is still under way would be too late.
class Attaching final : public Announcing {
 public:
    explicit Attaching(const Executor& loop) : changed_(loop) {}

    void on_attached() override {
        attached_ = true;
        changed_.notify();
    }
    void on_ended(const Error& why) override {
        ended_ = why;
        changed_.notify();
    }
    /// What ended the connection before.
    Task<Result<>> wait_attached() {
        while (!attached_ && !ended_) {
            const bool notified = co_await changed_.wait();
            if (!notified) co_return fail(errc::cancelled, {});
        }
        if (!attached_) co_return *ended_;
        co_return Result<>();
    }

 private:
    net::Event changed_;
    bool attached_ = false;
    std::optional<Error> ended_;
};

/// Connects once, over the network of `dmsg_blocks`, and sends nothing over HTTP.
class FeedVisor final : public framework::Service {
 public:
    explicit FeedVisor(FeedVisorOptions options) : options_(std::move(options)) {}

    Task<Result<>> start(framework::ServiceHost& host) override {
        const net::Context& context = host.context();
        DmsgConfig config(options_.keys);
        config.discovery = "http://127.0.0.1:9090";
        presence_ = std::make_unique<DmsgPresence>(host, config);
        presence_->start();
        const auto ready = co_await presence_->client().wait_ready();
        if (!ready) co_return ready.error();
        node_ = std::make_unique<cxo::Node>(context, cxo::NodeOptions(options_.keys));
        feed_ = std::make_unique<cxo::Feed>(context, *node_, cxo::FeedOptions(options_.keys));
        const ByteSpan leaf = as_bytes(options_.leaf);
        const auto put = feed_->put(options_.path, Bytes(leaf.begin(), leaf.end()));
        if (!put) co_return put.error();
        cxo::Node::Dialling dialling;
        dialling.route.carrier = cxo::Carrier::dmsg;
        dialling.route.name = "the service";
        dialling.route.dial = [&client = presence_->client(),
                               to = dmsg::Address{options_.service, options_.port}] {
            return client.dial(to);
        };
        const SteadyTime deadline = context.clock.now() + std::chrono::minutes(1);
        announcing_.emplace(context.loop);
        const auto connected = co_await node_->connect(std::move(dialling), *announcing_, deadline);
        if (!connected) co_return connected.error();
        co_return co_await announcing_->wait_attached();
    }
    Task<> drain(SteadyTime) override { co_return; }
    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        std::vector<std::string> late;
        const auto add = [&late](std::vector<std::string> names) {
            for (std::string& name : names)
                late.push_back(std::move(name));
        };
        if (feed_) add(co_await feed_->close(deadline));
        if (node_) add(co_await node_->close(deadline));
        if (presence_) add(co_await presence_->stop(deadline));
        co_return late;
    }
    framework::HealthReport health() override { return {}; }

 private:
    FeedVisorOptions options_;
    std::unique_ptr<DmsgPresence> presence_;
    std::optional<Attaching> announcing_;
    std::unique_ptr<cxo::Node> node_;
    std::unique_ptr<cxo::Feed> feed_;
};

/// The type "visor" of such a visor.
inline framework::ServiceType feed_visor_type(FeedVisorOptions options) {
    framework::ServiceType type;
    type.name = "visor";
    type.summary = "a visor of a test";
    type.facts = [](const framework::Block&) { return framework::BlockFacts(); };
    type.make = [options = std::move(options
                 )](const framework::Block&) -> Result<std::unique_ptr<framework::Service>> {
        return std::make_unique<FeedVisor>(options);
    };
    return type;
}

}  // namespace skywire::services
