#pragma once

#include "cxo/root.hpp"
#include "cxo/tree.hpp"

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace skywire::cxo {

/// What a subscriber of a feed is told, a publisher's own or a copy's: first the whole content, the
/// snapshot, then what changes from version to version. Changes between two versions are gathered
/// into the last; each path is told of at most once a version, in the order of paths; a version
/// that changes nothing under the prefix (a heartbeat, say) is not told of at all.
struct FeedUpdate {
    const Root& root;
    /// All of the feed, whatever the prefix; a copy of it may be kept.
    const Tree& tree;
    /// Everything at or below the prefix, perhaps nothing; always the first update, and no other.
    bool snapshot = false;
    /// Views: valid during the call.
    std::span<const Difference> changes;
};

/// Called on the feed's loop. It may subscribe and unsubscribe, and must neither wait, nor throw,
/// nor end the feed.
using OnFeedUpdate = std::function<void(const FeedUpdate&)>;

/// Holds a subscription; its death ends it, and nothing is told afterwards. May outlive the feed.
class [[nodiscard]] Subscription {
 public:
    Subscription() = default;
    ~Subscription() { reset(); }
    Subscription(Subscription&&) noexcept = default;
    Subscription& operator=(Subscription&& other) noexcept;
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

    void reset() noexcept;
    explicit operator bool() const noexcept { return entry_ != nullptr; }

 private:
    friend class Subscribers;
    struct Entry;
    explicit Subscription(std::shared_ptr<Entry> entry) : entry_(std::move(entry)) {}

    std::shared_ptr<Entry> entry_;
};

/// Who listens to one feed inside the process, and the version that they know.
class Subscribers {
 public:
    Subscribers() = default;
    Subscribers(const Subscribers&) = delete;
    Subscribers& operator=(const Subscribers&) = delete;

    /// The snapshot is told inside this call where there is a version already.
    Subscription add(std::string prefix, OnFeedUpdate on_update);

    /// Tells everybody of a new version. From inside a callback it does nothing but remember: the
    /// version is told when those before it are. Where a callback throws the others are told, then
    /// it throws.
    void tell(const Root& root, const Tree& tree);

    std::size_t size() const noexcept;

 private:
    struct Version {
        Root root;
        Tree tree;
    };

    std::exception_ptr tell_now(const Root& root, const Tree& tree);
    static void tell_snapshot(Subscription::Entry& entry, const Version& version);

    std::optional<Version> known_;
    std::optional<Version> next_;
    bool telling_ = false;
    std::vector<std::shared_ptr<Subscription::Entry>> entries_;
};

}  // namespace skywire::cxo
