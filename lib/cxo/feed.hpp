#pragma once

#include "cxo/node.hpp"
#include "cxo/publisher.hpp"
#include "cxo/subscription.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::cxo {

struct FeedOptions {
    FeedOptions(crypto::KeyPair keys_in) : keys(std::move(keys_in)) {}

    /// The feed's: its public key is its name. A service's or visor's own.
    crypto::KeyPair keys;
    PublisherPace pace;
    /// Who may subscribe, by the key that the carrier proves. Nothing: everybody; empty: nobody.
    std::optional<std::set<crypto::PublicKey>> allowed;
    /// Leaves together; a change that would pass it is refused, errc::limit_reached.
    std::size_t bytes_max = std::size_t{256} << 20;
};

/// A feed of ours, published through a node on the same loop: an ordered map from paths to values
/// (spec/cxo.md section 3.4), told to subscribers near and far.
///
///     Feed feed(context, node, FeedOptions(keys));
///     feed.put("services/vpn/all", bytes);
///     ...
///     co_await feed.close(deadline);
///
/// Changes are visible in `tree` at once and published soon after, by the pace. One loop.
class Feed {
 public:
    /// The node outlives it.
    Feed(const net::Context& context, Node& node, FeedOptions options);
    /// `close` has been awaited.
    ~Feed();
    Feed(const Feed&) = delete;
    Feed& operator=(const Feed&) = delete;

    const crypto::PublicKey& key() const noexcept;

    // Errors of the changes are those of Tree::apply, errc::limit_reached, and errc::closed after
    // `close`; none of the changes of the call is made then. What changes nothing publishes
    // nothing.
    /// Puts or replaces one value.
    [[nodiscard]] Result<> put(std::string_view path, Bytes value);
    [[nodiscard]] Result<> remove(std::string_view path);
    /// The value or the directory at the path, and all below it.
    [[nodiscard]] Result<> remove_below(std::string_view path);
    /// Many changes that subscribers see together, all or none.
    [[nodiscard]] Result<> batch(std::vector<Change> changes);

    /// Says that the feed is complete, though it may be empty: subscribers get their first
    /// snapshot. Nothing is published before this or the first change.
    void publish_even_if_empty();

    /// With all changes so far, published or not.
    const Tree& tree() const noexcept;
    /// The value now; lives until the next change.
    std::optional<ByteSpan> get(std::string_view path) const { return tree().get(path); }

    /// The published versions, in this process: a snapshot (at once where there is a version), then
    /// changes. Heartbeats are not told of.
    Subscription subscribe(std::string prefix, OnFeedUpdate on_update);

    /// Who may subscribe from now on; those who may not any more hear nothing of it: the protocol
    /// has no word.
    void set_allowed(std::optional<std::set<crypto::PublicKey>> allowed);

    /// How the feed does: for health, `cxo stat` and status pages (section 9 "Publish state").
    struct State {
        crypto::PublicKey feed;
        /// Changed since the last version.
        bool dirty = false;
        std::size_t leaves = 0;
        /// Of the leaves.
        std::size_t bytes = 0;
        std::size_t subscribers = 0;
        std::uint64_t versions = 0;
        /// Of the last version, heartbeats included.
        std::uint64_t nonce = 0;
        std::uint64_t seq = 0;
        std::optional<Duration> since_published;
        /// A change that was refused, if none was made since.
        std::string error;
        std::optional<Duration> since_error;
        /// Changed long ago and still not published: something is wrong.
        bool stuck = false;
        /// Keys that were not let in, the latest first, at most 16; null for those without one.
        std::vector<crypto::PublicKey> denied;
    };
    State state() const;

    /// Leaves the node: nothing is published any more. The names of what was late.
    Task<std::vector<std::string>> close(SteadyTime deadline);

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::cxo
