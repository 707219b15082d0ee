#pragma once

#include "cxo/following.hpp"
#include "cxo/remote_feed.hpp"
#include "cxo/replica.hpp"
#include "cxo/subscription.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace skywire::cxo {

/// The copy of one feed and what keeps it true on whatever connection there is: subscribes, asks
/// for objects, asks again where a Root could not be completed or none comes. Connections come from
/// its owner, RemoteFeed or Aggregator, which also calls `on_time`.
class FeedCopy final : public Follower {
 public:
    struct Options {
        crypto::PublicKey feed;
        bool publisher_only = true;
        ReplicaLimits limits;
        FollowTimes times;
        /// Not more Roots are looked at, after the first hundred: each costs a verification. Of
        /// those between the newest is kept. Over all connections; zero: no bound.
        Duration root_gap{0};
    };

    /// `on_change`: next_time(), attached() or whole() may have changed. It must not destroy the
    /// copy.
    FeedCopy(
        const net::Context& context,
        Node& node,
        const Options& options,
        std::function<void()> on_change
    );
    ~FeedCopy() override;
    FeedCopy(const FeedCopy&) = delete;
    FeedCopy& operator=(const FeedCopy&) = delete;

    /// There is a connection.
    bool attached() const noexcept { return following_ != nullptr; }
    /// And its handshake is done.
    bool connected() const noexcept { return connected_; }
    /// A whole Root was told on this connection.
    bool whole() const noexcept { return whole_; }
    /// The same, of the last connection where there is none.
    bool was_whole() const noexcept { return was_whole_; }
    /// The publisher said no on the last connection.
    bool was_refused() const noexcept { return refused_; }
    /// The copy is what the publisher last said.
    bool live() const noexcept { return whole_ && !broken_; }
    const std::string& error() const noexcept { return error_; }
    void set_error(std::string error) { error_ = std::move(error); }

    /// Lets the connection go; nothing is told any more.
    void detach();

    SteadyTime next_time() const noexcept;
    void on_time();

    const Tree& tree() const noexcept { return tree_; }
    const std::optional<Root>& root() const noexcept { return root_; }
    Subscription subscribe(std::string prefix, OnFeedUpdate on_update) {
        return subscribers_.add(std::move(prefix), std::move(on_update));
    }
    /// Since the publisher last said that the copy is what it has.
    std::optional<Duration> age() const;
    Replica::Counts counts() const noexcept;
    /// Bytes that are held for it, its connection's buffers among them.
    std::size_t memory() const noexcept;
    std::uint64_t resubscribes() const noexcept { return resubscribes_; }
    std::uint64_t restarts() const noexcept { return restarts_; }

 private:
    // Follower.
    void on_begun(Following& following) override;
    Result<> admit(const Peer& peer) override;
    void on_attached() override;
    void on_subscribed() override;
    void on_refused(std::string_view why) override;
    void on_root(const SignedRoot& root) override;
    void on_object(const Hash& hash, ByteSpan bytes, bool asked) override;
    void on_no_object(const Hash& hash) override;
    void on_settled() override;
    void on_ended(const Error& why) override;

    SteadyTime now() const { return context_.clock.now(); }
    bool may_offer();
    void offer(const SignedRoot& root);
    /// The publisher's word that the copy is whole.
    void confirm();
    void note(std::string error);
    void take_changes();
    void look_at_failures();
    /// True where an older Root is the publisher's own word all the same.
    bool go_back(const SignedRoot& root);
    void resubscribe(std::string_view reason);
    void on_bad_root(const Error& error);
    /// Last sign that the publisher serves us, be it a part of an object.
    SteadyTime last_sign() const noexcept;
    void lost();

    const net::Context& context_;
    ObjectIndex& index_;
    NodeCounters& counters_;
    Options options_;
    std::function<void()> on_change_;
    std::unique_ptr<Replica> replica_;
    /// Of replicas before it.
    Replica::Counts counts_before_;
    Tree tree_;
    std::optional<Root> root_;
    Subscribers subscribers_;

    /// The next Root is looked at from here on, and that is the one.
    SteadyTime next_root_ = SteadyTime::min();
    std::optional<SignedRoot> held_;

    Following* following_ = nullptr;
    bool connected_ = false;
    /// The carrier has proven the feed's key.
    bool is_publisher_ = false;
    bool whole_ = false;
    bool was_whole_ = false;
    bool refused_ = false;
    bool broken_ = false;
    bool asked_again_ = false;
    /// Roots of this connection that its publisher has not signed.
    unsigned bad_signatures_ = 0;
    /// `error_` is of this connection.
    bool told_why_ = false;
    std::string error_;
    std::optional<SteadyTime> confirmed_;
    SteadyTime attached_at_{};
    /// Last sign that the publisher serves us: a whole Root, or an object that we asked for.
    SteadyTime served_{};
    std::optional<SteadyTime> retry_at_;
    unsigned failures_ = 0;
    std::uint64_t given_up_ = 0;
    std::uint64_t resubscribes_ = 0;
    std::uint64_t restarts_ = 0;
};

}  // namespace skywire::cxo
