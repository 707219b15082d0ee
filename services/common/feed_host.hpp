#pragma once

#include "cxo/feed.hpp"
#include "cxo/node.hpp"
#include "framework/service.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"
#include "services/common/dmsg_presence.hpp"
#include "services/common/feed_config.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace skywire::services {

/// What a service publishes in a feed: it knows what has changed since it was last asked. A write
/// costs a note of what it touched; texts are made when they are published.
class FeedContent {
 public:
    virtual ~FeedContent() = default;

    /// All changes since the last call, the whole content the first time. After an error nothing is
    /// lost: the next call tells of it. A change that changes nothing costs nothing further on.
    virtual Task<Result<std::vector<cxo::Change>>> changes() = 0;

    /// The longest between two calls, for what changes without a note: entries that end by their
    /// age, and writes of other replicas on one Redis.
    virtual Duration period() const { return std::chrono::milliseconds(500); }

    /// The shortest behind news: gathers what comes close together.
    virtual Duration pause() const { return std::chrono::milliseconds(200); }
};

/// A leaf's bytes, made by the workers where the payload is large: with the version byte (frame v1)
/// or as gzip alone. errc::limit_reached: no memory.
enum class LeafForm { frame, gzip };
Task<Result<Bytes>> pack_leaf(net::Context context, std::string payload, LeafForm form);

/// A feed of a service on its dmsg port, and on plain TCP where that is configured: asks the
/// content, publishes, tells health. Whatever happens to the feed, the service goes on.
class FeedHost {
 public:
    struct Options {
        Options(crypto::KeyPair keys_in) : keys(std::move(keys_in)) {}

        /// The check's name: "feed".
        std::string name = "feed";
        /// A known feed's, for series and logs: "sd-services".
        std::string feed;
        crypto::KeyPair keys;
        FeedConfig config;
    };

    /// All outlive it; `presence` may be null: not over dmsg.
    FeedHost(
        const net::Context& context, DmsgPresence* presence, FeedContent& content, Options options
    );
    ~FeedHost();
    FeedHost(const FeedHost&) = delete;
    FeedHost& operator=(const FeedHost&) = delete;

    /// Listens and begins to publish. What does not work is said by `check` and tried again.
    void start();

    /// There may be something to publish.
    void changed();

    /// Fails where the feed does not listen or is not told what there is: the service is degraded,
    /// and serves all the same. Warns of lesser things.
    framework::Check check() const;

    const cxo::Feed& feed() const noexcept { return feed_; }
    /// Where it listens.
    std::vector<net::Address> addresses() const { return node_.addresses(); }

    /// The names of what was late. Also before the end of one that was never started.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

 private:
    /// Where the feed is, or should be, reached.
    struct Door {
        cxo::Carrier carrier = cxo::Carrier::dmsg;
        /// For people.
        std::string name;
        bool open = false;
        /// Why not.
        std::string trouble;
    };

    void listen();
    Result<std::unique_ptr<net::Listener>> open(const Door& door);
    Task<> publish();
    Duration rest_behind(bool woken, bool news) const;
    Task<bool> look();
    Task<> take();
    void take_together(std::span<const cxo::Change> changes);
    void take_alone(const cxo::Change& change);
    void show_figures();
    void note_failure(const Error& error);

    net::Context context_;
    DmsgPresence* presence_;
    FeedContent& content_;
    Options options_;
    cxo::Node node_;
    cxo::Feed feed_;
    bool woken_ = false;
    /// What the content has told and the feed has not, an exception having come between: before
    /// this is done nothing more is asked for.
    std::vector<cxo::Change> untaken_;
    /// The feed has all there was at first.
    bool complete_ = false;
    std::vector<Door> doors_;
    SteadyTime listen_again_{};
    /// Why the content is not told; empty while all is well.
    std::string failure_;
    /// What the content has and the feed cannot have; some of it, where it is a lot.
    std::set<std::string, std::less<>> left_out_;
    Counter& failures_;
    Counter& refused_;
    Gauge& leaves_;
    Gauge& bytes_;
    Gauge& subscribers_;
    net::Timer timer_;
    net::Scope scope_;
};

}  // namespace skywire::services
