#pragma once

#include "base/test.hpp"
#include "cxo/aggregator.hpp"
#include "cxo/feed.hpp"
#include "cxo/node.hpp"
#include "cxo/remote_feed.hpp"
#include "net/test_loop.hpp"
#include "net/test_port.hpp"
#include "net/timer.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// For tests of nodes and feeds: parties on one loop over the machine's loopback.
namespace skywire::cxo::test {

using namespace std::chrono_literals;

inline crypto::KeyPair keys_of(std::string_view name) {
    return crypto::deterministic_key_pair(name);
}

inline Bytes bytes_of(std::string_view text) {
    const ByteSpan bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

using Content = std::map<std::string, std::string>;

inline Content content_of(const Tree& tree, std::string_view prefix = {}) {
    Content content;
    tree.walk(prefix, [&](std::string_view path, ByteSpan leaf) {
        content.emplace(path, as_text(leaf));
        return true;
    });
    return content;
}

/// What a subscriber was told, and whether it could be.
class Diary {
 public:
    OnFeedUpdate writer() {
        return [this](const FeedUpdate& update) { write(update); };
    }
    void write(const FeedUpdate& update) {
        if (update.snapshot != (updates == 0)) wrongs.push_back("a snapshot out of place");
        if (update.changes.empty() && !update.snapshot) wrongs.push_back("an update of nothing");
        std::string last;
        for (const Difference& change : update.changes) {
            const std::string value = change.value ? std::string(as_text(*change.value)) : "";
            const bool known = content.contains(change.path);
            if (!change.value && !known) wrongs.push_back("gone twice: " + change.path);
            if (change.value && known && content[change.path] == value)
                wrongs.push_back("told twice: " + change.path);
            if (change.path == last) wrongs.push_back("twice in one update: " + change.path);
            last = change.path;
            if (change.value) {
                content[change.path] = value;
            } else {
                content.erase(change.path);
            }
        }
        ++updates;
    }

    Content content;
    std::size_t updates = 0;
    std::vector<std::string> wrongs;
};

/// A node that closes itself, and dials others of the same loop.
class Party {
 public:
    Party(net::TestLoop& loop, std::string_view name, Carrier carrier)
        : Party(loop, NodeOptions(keys_of(name)), carrier) {}
    Party(net::TestLoop& loop, NodeOptions options, Carrier carrier)
        : loop_(loop),
          carrier_(carrier),
          keys(options.keys),
          node(std::make_unique<Node>(loop.context, std::move(options))) {}
    ~Party() { close(); }
    Party(const Party&) = delete;
    Party& operator=(const Party&) = delete;

    /// Each time at the same port.
    void serve() {
        if (!port_) port_.emplace();
        const auto at = port_->address();
        node->serve(loop_.context.network.listen(loop_.context.loop, at).value(), carrier_);
        address = node->addresses().back();
    }
    Route route() const {
        return carrier_ == Carrier::noise ? noise_route(loop_.context, *address)
                                          : plain_route(loop_.context, *address);
    }
    void close() {
        if (!node) return;
        const SteadyTime now = loop_.context.clock.now();
        CHECK(loop_.run(node->close(now + 5s)) == std::vector<std::string>());
        node.reset();
    }
    void restart() {
        close();
        node = std::make_unique<Node>(loop_.context, NodeOptions(keys));
        serve();
    }

 private:
    net::TestLoop& loop_;
    Carrier carrier_;
    std::optional<net::TestPort> port_;

 public:
    crypto::KeyPair keys;
    std::unique_ptr<Node> node;
    std::optional<net::Address> address;
};

/// The same world on another clock.
inline net::Context with_clock(const net::Context& context, Clock& clock) {
    return {
        context.loop,
        clock,
        context.random,
        context.network,
        context.workers,
        context.metrics,
        context.faults,
        context.logger
    };
}

/// Anything with `close(deadline)`.
template <class T>
void close(net::TestLoop& loop, T& what) {
    CHECK(loop.run(what.close(loop.context.clock.now() + 5s)) == std::vector<std::string>());
}

inline std::uint64_t count(
    net::TestLoop& loop,
    std::string_view name,
    std::string_view reason,
    std::string label = "reason"
) {
    return loop.metrics.counter(name, "", {{std::move(label), std::string(reason)}}).value();
}

inline void wait_live(net::TestLoop& loop, RemoteFeed& copy, Duration limit = 30s) {
    const auto live = loop.run(copy.connect_and_wait_for_root(loop.context.clock.now() + limit));
    INFO((live ? std::string() : live.error().message()));
    REQUIRE(live);
}

/// One who listens, and one who may follow the first one's feed. Fixtures of tests.
struct Pair {
    explicit Pair(Carrier carrier)
        : publisher(loop, "publisher", carrier), subscriber(loop, "subscriber", carrier) {
        publisher.serve();
        copy.emplace(
            loop.context,
            *subscriber.node,
            RemoteFeedOptions(publisher.keys.public_key, publisher.route())
        );
    }
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;
    ~Pair() { test::close(loop, *copy); }

    net::TestLoop loop;
    Party publisher;
    Party subscriber;
    std::optional<RemoteFeed> copy;
};
struct PlainPair : Pair {
    PlainPair() : Pair(Carrier::plain) {}
};
struct NoisePair : Pair {
    NoisePair() : Pair(Carrier::noise) {}
};

inline Result<> fill(Feed& feed, int leaves) {
    std::vector<Change> changes;
    changes.reserve(static_cast<std::size_t>(leaves));
    for (int i = 0; i < leaves; ++i)
        changes.push_back({fmt::format("dir{}/leaf{}", i % 7, i), bytes_of(fmt::format("v{}", i))});
    return feed.batch(std::move(changes));
}

/// Of a publisher that need not wait.
inline FeedOptions quick(crypto::KeyPair keys) {
    FeedOptions options(std::move(keys));
    options.pace.quiet = options.pace.interval = 5ms;
    return options;
}

}  // namespace skywire::cxo::test
