#pragma once

#include "cxo/following.hpp"
#include "cxo/link.hpp"
#include "cxo/node_counters.hpp"
#include "net/event.hpp"

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace skywire::cxo {

class Connection;

/// Buffers for reading, which only who is about to read holds.
class ReadBuffers {
 public:
    static constexpr std::size_t kSize = 65536;
    using Buffer = std::unique_ptr<std::byte[]>;

    Buffer take();
    void give_back(Buffer buffer);

 private:
    std::vector<Buffer> spare_;
};

/// What a connection asks of its node.
class ConnectionOwner {
 public:
    virtual Result<> on_established(Connection& connection) = 0;
    /// Null: no feed of ours.
    virtual FeedSource* source(const crypto::PublicKey& feed) = 0;
    virtual void on_subscriber(Connection& connection, const crypto::PublicKey& feed) = 0;
    virtual void on_no_subscriber(Connection& connection, const crypto::PublicKey& feed) = 0;
    /// Its next_time() may have changed.
    virtual void reschedule(Connection& connection) = 0;
    /// It has ended; its coroutines may still run.
    virtual void on_end(Connection& connection) = 0;
    /// Nothing of it runs any more: the last that it tells.
    virtual void on_gone(Connection& connection) = 0;

 protected:
    ~ConnectionOwner() = default;
};

/// What connections of one node share.
struct ConnectionShared {
    const net::Context& context;
    ConnectionOwner& owner;
    NodeCounters& counters;
    ObjectIndex& index;
    ReadBuffers& buffers;
    Duration stall;
};

/// A link and its stream: two coroutines, one that reads and one that writes. Time is kept by the
/// node. Lives until both have ended. Once it has ended it takes no further event and enters itself
/// nowhere, whatever came with the same bytes.
class Connection final : private LinkEvents, private Following {
 public:
    struct Begin {
        std::uint64_t id = 0;
        Link::Role role = Link::Role::acceptor;
        Carried carried;
        crypto::PublicKey own_node;
        LinkLimits limits;
        /// Held until the peer has said who it is.
        std::shared_ptr<void> handshake;
    };

    Connection(ConnectionShared shared, Begin begin);
    ~Connection() override;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    std::uint64_t id() const noexcept { return id_; }
    const Peer& peer() const noexcept override { return peer_; }
    bool established() const noexcept { return established_; }
    bool ended() const noexcept { return why_.has_value(); }
    std::size_t memory() const noexcept override { return link_.memory(); }

    /// Each runs once, to the connection's end.
    Task<> read();
    Task<> write();
    /// In place of a coroutine that could not be started.
    void not_started() { coroutine_over(); }

    /// At most once.
    void follow(Follower& follower);
    void announce(const AnnouncementPtr& version);
    void drop_subscription(const crypto::PublicKey& feed);
    const std::set<crypto::PublicKey>& subscriptions() const noexcept { return subscriptions_; }

    SteadyTime next_time() const noexcept;
    void on_time();

    /// Ends it at once; `reason` is a label of cxo_ended_total.
    void end(const Error& why, std::string_view reason);
    /// What throws in here, an owner's callback mostly, ends this connection and nothing else.
    void threw(const std::exception_ptr& error) noexcept;

    /// The time for which it is entered in its owner's list.
    std::optional<SteadyTime> scheduled;

 private:
    // LinkEvents.
    Result<> on_established(const crypto::PublicKey& node) override;
    ObjectPtr find_object(const Hash& hash) override;
    Result<AnnouncementPtr> on_subscribe(const crypto::PublicKey& feed) override;
    void on_unsubscribe(const crypto::PublicKey& feed) override;
    AnnouncementPtr on_preview(const crypto::PublicKey& feed) override;
    void on_subscribed(const crypto::PublicKey& feed) override;
    void on_refused(const crypto::PublicKey& feed, std::string_view why) override;
    void on_root(const SignedRoot& root) override;
    void on_object(const Hash& hash, ByteSpan bytes, bool asked) override;
    void on_no_object(const Hash& hash) override;
    void on_count(std::string_view reason) override;

    // Following.
    void subscribe(const crypto::PublicKey& feed) override;
    void unsubscribe(const crypto::PublicKey& feed) override;
    std::size_t window() const noexcept override;
    void request(const Hash& hash) override;
    SteadyTime progress() const noexcept override { return link_.progress(); }
    void hang_up(std::string_view reason) override;
    void detach(std::string_view reason) override;

    SteadyTime now() const { return shared_.context.clock.now(); }
    Task<> read_to_end();
    Task<> write_to_end();
    Task<> read_available();
    /// False: nothing more is to be read.
    bool take(const Result<std::size_t>& size, ByteSpan buffer);
    Task<> last_words();
    void settle(const Result<>& result);
    void coroutine_over();

    ConnectionShared shared_;
    std::uint64_t id_;
    std::unique_ptr<net::Stream> stream_;
    Peer peer_;
    Follower* follower_ = nullptr;
    std::shared_ptr<void> handshake_;
    Link link_;
    net::Event writable_;
    std::set<crypto::PublicKey> subscriptions_;
    bool established_ = false;
    bool attached_ = false;
    std::optional<Error> why_;
    /// The peer may still be told why.
    bool polite_end_ = false;
    std::optional<SteadyTime> writing_since_;
    int coroutines_ = 2;
};

}  // namespace skywire::cxo
