#pragma once

#include "bench/load.hpp"
#include "dmsg/client.hpp"
#include "http/client.hpp"

#include <functional>
#include <memory>
#include <string>

namespace skywire::bench {

/// A whole client with a key of its own, as commands and visors have it: it registers, and keeps
/// its session.
class Presence {
 public:
    Presence(const net::Context& context, const std::string& discovery_url)
        : context_(context), http_(context) {
        auto discovery = dmsg::make_http_discovery(context, http_, discovery_url);
        client_ = std::make_unique<dmsg::Client>(
            context,
            dmsg::ClientOptions(crypto::generate_key_pair(context.random)),
            need(std::move(discovery), "discovery")
        );
    }

    dmsg::Client& client() { return *client_; }
    const crypto::PublicKey& key() const { return client_->key(); }

    Task<Result<>> start() {
        client_->start();
        co_return co_await client_->wait_ready();
    }
    Task<> stop() {
        (void)co_await client_->stop(context_.clock.now() + std::chrono::seconds(10));
        http_.close();
    }

 private:
    net::Context context_;
    http::Client http_;
    std::unique_ptr<dmsg::Client> client_;
};

/// Serves what is dialled to one port of a client.
class Service {
 public:
    using Serve = std::function<Task<>(std::shared_ptr<net::Stream>)>;

    Service(const net::Context& context, dmsg::Client& client, std::uint16_t port, Serve serve)
        : context_(context),
          serve_(std::move(serve)),
          listener_(need(client.listen(port), "listen")),
          scope_(context.loop) {
        scope_.spawn("accept", [this] { return accept(); });
    }
    Task<> stop() {
        const auto now = context_.clock.now();
        (void)co_await scope_.close(context_.clock, now, now + std::chrono::seconds(10));
        listener_.reset();
    }

 private:
    Task<> accept() {
        while (true) {
            auto accepted = co_await listener_->accept();
            if (!accepted) co_return;
            const std::shared_ptr<net::Stream> stream = std::move(*accepted);
            scope_.spawn("serve", [this, stream] { return serve_(stream); });
        }
    }

    net::Context context_;
    Serve serve_;
    std::unique_ptr<net::Listener> listener_;
    /// Last: its coroutines use all of the above.
    net::Scope scope_;
};

}  // namespace skywire::bench
