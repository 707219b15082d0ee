#pragma once

#include "cxo/remote_feed.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::cxo {

/// A feed, or a part of one, under the name by which consumers ask for it.
struct FeedSpec {
    std::string name;
    crypto::PublicKey publisher;
    std::uint16_t port = 0;
    /// What of it is of interest.
    std::string prefix;
};

struct SubscriptionManagerOptions {
    /// The way to a publisher's port.
    std::function<Route(const crypto::PublicKey& publisher, std::uint16_t port)> route;
    /// Who we are, where it is not the node.
    std::optional<crypto::KeyPair> keys;
    /// After the last release a feed stays open for so long.
    Duration linger{std::chrono::seconds(10)};
    ReplicaLimits limits;
    FollowTimes times;
};

/// The feeds that a process reads, each opened when somebody first needs it, shared by all who do,
/// and closed when nobody has for a while (spec/cxo.md section 9 "Subscription manager"). Names of
/// one publisher and port share one copy and one connection. Readers never wait: they get the local
/// copy with its age, or "not there yet", and go the old way (HTTP) meanwhile. One loop.
class SubscriptionManager {
 public:
    /// The node outlives it.
    SubscriptionManager(
        const net::Context& context, Node& node, SubscriptionManagerOptions options
    );
    /// `close` has been awaited.
    ~SubscriptionManager();
    SubscriptionManager(const SubscriptionManager&) = delete;
    SubscriptionManager& operator=(const SubscriptionManager&) = delete;

    /// A name; once for each.
    void define(FeedSpec spec);
    /// A name whose feed cannot be found, a publisher that the configuration does not tell, say:
    /// who opens it is told why.
    void define_missing(std::string name, std::string why);

    /// The copy as it is, however old.
    struct Reading {
        /// The name of the way to the publisher.
        std::string route;
        Tree tree;
        Root root;
        /// Since the publisher last said that this is what it has.
        Duration age{};
        /// And it would have told us by now, had it changed.
        bool live = false;
    };

    /// Keeps a feed open; may outlive the manager.
    class [[nodiscard]] Handle {
     public:
        Handle() = default;
        ~Handle() { reset(); }
        Handle(Handle&&) noexcept = default;
        Handle& operator=(Handle&& other) noexcept;
        Handle(const Handle&) = delete;
        Handle& operator=(const Handle&) = delete;

        void reset() noexcept;
        explicit operator bool() const noexcept { return held_ != nullptr; }

        /// Nothing: not there yet.
        std::optional<Reading> read() const;
        /// Of what lies below the name's prefix: snapshot, then changes, while the handle lives.
        Subscription subscribe(OnFeedUpdate on_update) const;
        /// Of the copy that it shares. Nothing: the manager is closed.
        std::optional<RemoteFeed::State> state() const;
        /// Until the copy is live. As RemoteFeed::connect_and_wait_for_root.
        Task<Result<>> wait_live(SteadyTime deadline) const;

     private:
        friend class SubscriptionManager;
        struct Held;
        explicit Handle(std::shared_ptr<Held> held) : held_(std::move(held)) {}
        std::shared_ptr<Held> held_;
    };

    /// errc::not_found for a name that is not defined, errc::unavailable for a missing one,
    /// errc::closed.
    Result<Handle> open(std::string_view name);

    /// For who asks now and then: what is there, nothing where it is not there yet; opens the feed
    /// for `linger`. Errors as `open`.
    Result<std::optional<Reading>> read(std::string_view name);

    /// Keeps a feed open whether anybody reads it or not. Errors as `open`.
    [[nodiscard]] Result<> pin(std::string_view name, bool pinned = true);

    /// One cycle: subscribes, awaits the first whole Root, lets go at once (unless others read it,
    /// too). Errors as `open`, and those of RemoteFeed::connect_and_wait_for_root.
    Task<Result<Reading>> read_once(std::string name, SteadyTime deadline);

    /// A line of the status table.
    struct Row {
        std::string name;
        crypto::PublicKey publisher;
        std::uint16_t port = 0;
        std::string prefix;
        std::string route;
        std::size_t references = 0;
        bool pinned = false;
        bool running = false;
        bool connected = false;
        bool live = false;
        /// Below the prefix.
        std::size_t paths = 0;
        std::size_t bytes = 0;
        std::optional<Duration> age;
        std::uint64_t seq = 0;
        std::string error;
        /// The first of the paths, at most 5.
        std::vector<std::string> sample;
    };
    /// In order of the names.
    std::vector<Row> rows() const;

    /// The names of what was late.
    Task<std::vector<std::string>> close(SteadyTime deadline);

 private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace skywire::cxo
