#include "cxo/node.hpp"

#include "base/assert.hpp"
#include "cxo/node_accounts.hpp"
#include "cxo/node_connection.hpp"
#include "cxo/node_shared_stream.hpp"
#include "net/deadline.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <map>
#include <tuple>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

namespace skywire::cxo {
namespace {

constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
/// A link whose time has come is not called more often than this, whatever it says.
constexpr Duration kTimeStep = std::chrono::milliseconds(1);

}  // namespace

class Node::Impl final : private ConnectionOwner {
 public:
    Impl(const net::Context& context, NodeOptions options)
        : counters(context.metrics),
          context_(context),
          options_(std::move(options)),
          timer_(context.loop, context.clock),
          scope_(context.loop, [this](std::string_view name, std::exception_ptr error) {
              note_exception(context_.logger, counters, name, error);
          }) {}

    ~Impl() { SKY_ASSERT(scope_.size() == 0 && sources_.empty()); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    void serve(std::unique_ptr<net::Listener> listener, Carrier carrier);
    void accept(std::unique_ptr<net::Stream> stream, Carrier carrier);
    std::vector<net::Address> addresses() const;

    void publish(FeedSource& source);
    void withdraw(const FeedSource& source);
    void announce(const crypto::PublicKey& feed, const AnnouncementPtr& version);
    void judge_again(const crypto::PublicKey& feed);
    std::size_t subscribers(const crypto::PublicKey& feed) const;

    Task<Result<>> connect(Dialling dialling, Follower& follower, SteadyTime deadline);
    Status status() const;
    Task<std::vector<std::string>> close(SteadyTime deadline);

    const crypto::PublicKey& key() const noexcept { return options_.keys.public_key; }

    ObjectIndex index;
    NodeCounters counters;
    ChooseFollower choose;

 private:
    using ConnectionPtr = std::shared_ptr<Connection>;
    /// By id: in the order in which they came.
    using Connections = std::map<std::uint64_t, Connection*>;
    /// Who it says it is, and whom it has proven to be; where it comes from, if it proves nothing.
    using Identity = std::tuple<crypto::PublicKey, crypto::PublicKey, std::string>;

    /// A place among those who have not said who they are.
    class Handshake {
     public:
        Handshake(Impl& node, std::string host)
            : node_(node), host_(std::move(host)), id_(++node.last_handshake_) {
            node_.handshakes_.add(host_, id_);
            node_.attending_.emplace(id_, this);
        }
        ~Handshake() { release(); }
        Handshake(const Handshake&) = delete;
        Handshake& operator=(const Handshake&) = delete;

        /// Its place is free.
        void release() {
            if (!std::exchange(holds_, false)) return;
            node_.handshakes_.remove(host_, id_);
            node_.attending_.erase(id_);
        }
        bool holds() const noexcept { return holds_; }

        /// While the carrier's handshake goes on.
        std::weak_ptr<net::Stream> stream;
        /// Behind it; 0 before.
        std::uint64_t connection = 0;

     private:
        Impl& node_;
        std::string host_;
        Accounts::Id id_;
        bool holds_ = true;
    };

    struct Source {
        FeedSource* source = nullptr;
        Connections subscribers;
    };

    /// Those who are subscribed now: some leave over what is done with them, and live on meanwhile.
    static std::vector<Connection*> connections_of(const Source& source);

    // ConnectionOwner.
    Result<> on_established(Connection& connection) override;
    FeedSource* source(const crypto::PublicKey& feed) override;
    void on_subscriber(Connection& connection, const crypto::PublicKey& feed) override;
    void on_no_subscriber(Connection& connection, const crypto::PublicKey& feed) override;
    void reschedule(Connection& connection) override;
    void on_end(Connection& connection) override;
    void on_gone(Connection& connection) override;

    Task<> accept_loop(net::Listener& listener, Carrier carrier);
    Task<> attend(
        std::unique_ptr<net::Stream> stream, Carrier carrier, std::shared_ptr<Handshake> handshake
    );
    bool begin(Connection::Begin begin, Follower* follower = nullptr);
    void enter(const ConnectionPtr& connection, Follower* follower);
    /// Makes room for one more of this address; the reason where there is none.
    std::string_view make_room(const std::string& host);
    bool make_room_of_connections();
    void give_way(Accounts::Id handshake, std::string_view reason);
    std::string_view refusal_of(const Peer& peer) const;
    static std::string account_of(const Peer& peer);
    static Identity identity_of(const Peer& peer);
    Task<> keep_time();
    void look_at_due(SteadyTime now);
    void refuse(net::Stream& stream, std::string_view reason);

    net::Context context_;
    NodeOptions options_;
    ReadBuffers buffers_;
    std::vector<std::unique_ptr<net::Listener>> listeners_;
    std::map<std::uint64_t, ConnectionPtr> connections_;
    std::uint64_t last_id_ = 0;
    std::map<crypto::PublicKey, Source> sources_;
    /// Accepted ones.
    std::map<Identity, Connection*> identities_;
    Accounts per_peer_;
    /// Accepted streams that have not said who they are, by address.
    Accounts handshakes_;
    std::map<Accounts::Id, Handshake*> attending_;
    Accounts::Id last_handshake_ = 0;
    std::size_t accepted_ = 0;
    std::size_t dialled_ = 0;
    std::string trouble_;
    std::set<std::pair<SteadyTime, std::uint64_t>> due_;
    SteadyTime armed_ = SteadyTime::max();
    bool keeps_time_ = false;
    bool closed_ = false;
    net::Timer timer_;
    net::Scope scope_;
};

void Node::Impl::serve(std::unique_ptr<net::Listener> listener, Carrier carrier) {
    listeners_.push_back(std::move(listener));
    net::Listener* const served = listeners_.back().get();
    scope_.spawn("accept at " + served->local().to_string(), [this, served, carrier] {
        return accept_loop(*served, carrier);
    });
}

std::vector<net::Address> Node::Impl::addresses() const {
    std::vector<net::Address> all;
    all.reserve(listeners_.size());
    for (const auto& listener : listeners_)
        all.push_back(listener->local());
    return all;
}

Task<> Node::Impl::accept_loop(net::Listener& listener, Carrier carrier) {
    for (;;) {
        auto stream = co_await listener.accept();
        if (stream) {
            trouble_.clear();
            try {
                accept(std::move(*stream), carrier);
            } catch (...) {
                // This one is hung up on, the next one is not.
                note_exception(context_.logger, counters, "accept", std::current_exception());
            }
            continue;
        }
        const Error error = stream.error();
        if (error == errc::closed || error == errc::cancelled) co_return;
        counters.refused.add("accept_failed");
        trouble_ = "accept: " + error.message();
        if (!co_await net::sleep_for(context_.clock, kAcceptPause)) co_return;
    }
}

std::string_view Node::Impl::make_room(const std::string& host) {
    if (closed_) return "stopped";
    if (handshakes_.size_of(host) >= options_.handshakes_per_address_max) {
        const auto oldest = handshakes_.oldest_of(host);
        if (!oldest) return "handshakes_per_address_max";
        give_way(*oldest, "handshakes_per_address_max");
    }
    if (handshakes_.size() >= options_.handshakes_max) {
        const auto oldest = handshakes_.oldest_of_largest(0);
        if (!oldest) return "handshakes_max";
        give_way(*oldest, "handshakes_max");
    }
    if (accepted_ + handshakes_.size() < options_.connections_max) return {};
    return make_room_of_connections() ? "" : "connections_max";
}

bool Node::Impl::make_room_of_connections() {
    constexpr std::string_view kReason = "connections_max";
    if (const auto oldest = per_peer_.oldest_of_largest(1)) {
        const ConnectionPtr connection = connections_.at(*oldest);
        connection->end(fail(errc::limit_reached, "others want its place"), kReason);
        return true;
    }
    const auto oldest = handshakes_.oldest_of_largest(1);
    if (oldest) give_way(*oldest, kReason);
    return oldest.has_value();
}

void Node::Impl::give_way(Accounts::Id id, std::string_view reason) {
    Handshake* const handshake = attending_.at(id);
    if (const auto found = connections_.find(handshake->connection); found != connections_.end()) {
        const ConnectionPtr connection = found->second;
        connection->end(fail(errc::limit_reached, "others want its place"), reason);
        return;
    }
    handshake->release();
    counters.refused.add(reason);
    if (const auto stream = handshake->stream.lock()) stream->close();
}

std::string Node::Impl::account_of(const Peer& peer) {
    return peer.key.is_null() ? peer.address.host : peer.key.to_text();
}

/// A claim alone ends nobody's connection from elsewhere: a half-dead one of a peer that has moved
/// ends by itself.
Node::Impl::Identity Node::Impl::identity_of(const Peer& peer) {
    return {peer.node, peer.key, peer.key.is_null() ? peer.address.host : std::string()};
}

std::string_view Node::Impl::refusal_of(const Peer& peer) const {
    const std::size_t most =
        peer.key.is_null() ? options_.connections_per_peer_max : options_.connections_per_key_max;
    return per_peer_.size_of(account_of(peer)) >= most ? "connections_per_peer_max" : "";
}

void Node::Impl::refuse(net::Stream& stream, std::string_view reason) {
    stream.close();
    counters.refused.add(reason);
}

void Node::Impl::accept(std::unique_ptr<net::Stream> stream, Carrier carrier) {
    const std::string host = stream->remote().host;
    if (const auto why = make_room(host); !why.empty()) {
        refuse(*stream, why);
        return;
    }
    auto handshake = std::make_shared<Handshake>(*this, host);
    if (carrier == Carrier::noise) {
        const std::shared_ptr<net::Stream> shared = std::move(stream);
        handshake->stream = shared;
        stream = std::make_unique<SharedStream>(shared);
    }
    const auto held = std::make_shared<std::unique_ptr<net::Stream>>(std::move(stream));
    // Its place is the connection's then, and goes with it.
    auto attended = [this, held, carrier, handshake = std::move(handshake)]() mutable {
        return attend(std::move(*held), carrier, std::move(handshake));
    };
    scope_.spawn("carrier of an accepted connection", std::move(attended));
}

Task<> Node::Impl::attend(
    std::unique_ptr<net::Stream> stream, Carrier carrier, std::shared_ptr<Handshake> handshake
) {
    auto carried = co_await carry(
        context_,
        carrier,
        noise::Role::responder,
        options_.keys,
        std::move(stream),
        context_.clock.now() + options_.handshake
    );
    if (!handshake->holds()) {
        // It gave way to others, and was counted then.
        if (carried) carried->stream->close();
        co_return;
    }
    if (!carried) {
        counters.refused.add(end_reason(carried.error()));
        co_return;
    }
    Peer peer;
    peer.key = carried->key;
    peer.address = carried->stream->remote();
    if (const auto why = refusal_of(peer); !why.empty()) {
        refuse(*carried->stream, why);
        co_return;
    }
    Connection::Begin connection;
    connection.role = Link::Role::acceptor;
    connection.carried = std::move(*carried);
    connection.own_node = key();
    connection.limits = options_.link;
    connection.limits.handshake = std::min(options_.link.handshake, options_.handshake);
    handshake->connection = last_id_ + 1;
    connection.handshake = std::move(handshake);
    begin(std::move(connection));
}

Task<Result<>> Node::Impl::connect(Dialling dialling, Follower& follower, SteadyTime deadline) {
    if (closed_) co_return fail(errc::closed, "the node has stopped");
    auto stream = co_await net::with_deadline(context_.clock, deadline, dialling.route.dial());
    if (!stream) co_return stream.error().within("dial " + dialling.route.name);
    const crypto::KeyPair keys = dialling.keys.value_or(options_.keys);
    auto carried = co_await carry(
        context_, dialling.route.carrier, noise::Role::initiator, keys, std::move(*stream), deadline
    );
    if (!carried) co_return carried.error().within("handshake with " + dialling.route.name);
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
        carried->stream->close();
        co_return fail(errc::cancelled, {});
    }
    Connection::Begin connection;
    connection.role = Link::Role::dialer;
    connection.carried = std::move(*carried);
    connection.own_node = keys.public_key;
    connection.limits = dialling.limits.value_or(options_.link);
    if (!begin(std::move(connection), &follower))
        co_return fail(errc::closed, "the node has stopped");
    co_return Result<>();
}

/// False, and nothing is begun, where the node has stopped.
bool Node::Impl::begin(Connection::Begin begin, Follower* follower) {
    if (closed_) {
        begin.carried.stream->close();
        return false;
    }
    begin.id = ++last_id_;
    const ConnectionShared shared{context_, *this, counters, index, buffers_, options_.stall};
    const auto connection = std::make_shared<Connection>(shared, std::move(begin));
    int not_started = 2;
    try {
        enter(connection, follower);
        scope_.spawn("connection, writing", [connection] { return connection->write(); });
        --not_started;
        scope_.spawn("connection, reading", [connection] { return connection->read(); });
    } catch (...) {
        connection->threw(std::current_exception());
        for (; not_started > 0; --not_started)
            connection->not_started();
    }
    return true;
}

void Node::Impl::enter(const ConnectionPtr& connection, Follower* follower) {
    connections_.emplace(connection->id(), connection);
    if (connection->peer().accepted)
        per_peer_.add(account_of(connection->peer()), connection->id());
    if (!keeps_time_) {
        scope_.spawn("time of connections", [this] { return keep_time(); });
        keeps_time_ = true;
    }
    if (follower != nullptr) connection->follow(*follower);
    reschedule(*connection);
}

/// The same peer again ends its earlier connection, which may be half-dead.
Result<> Node::Impl::on_established(Connection& connection) {
    const Peer& peer = connection.peer();
    counters.connections.add(peer.accepted ? "accepted" : "dialled");
    if (!peer.accepted) {
        counters.dialled.add(1);
        ++dialled_;
        return {};
    }
    const auto [place, is_new] = identities_.try_emplace(identity_of(peer), &connection);
    if (!is_new) {
        Connection* const earlier = std::exchange(place->second, &connection);
        counters.evicted.add();
        earlier->end(fail(errc::closed, "the same peer came again"), "evicted");
    }
    Follower* const follower = choose && peer.is_itself() ? choose(peer) : nullptr;
    if (follower == nullptr && options_.publishers_only)
        return fail(errc::forbidden, "nobody follows this feed here");
    if (follower != nullptr) connection.follow(*follower);
    // Counted where nothing throws any more, since `on_end` counts down what is established alone.
    counters.accepted.add(1);
    ++accepted_;
    return {};
}

void Node::Impl::on_end(Connection& connection) {
    const Peer& peer = connection.peer();
    for (const crypto::PublicKey& feed : connection.subscriptions())
        on_no_subscriber(connection, feed);
    if (const auto scheduled = std::exchange(connection.scheduled, std::nullopt)) {
        due_.erase({*scheduled, connection.id()});
    }
    if (connection.established()) {
        (peer.accepted ? counters.accepted : counters.dialled).add(-1);
        --(peer.accepted ? accepted_ : dialled_);
    }
    if (!peer.accepted) return;
    per_peer_.remove(account_of(peer), connection.id());
    const auto place = identities_.find(identity_of(peer));
    if (place != identities_.end() && place->second == &connection) identities_.erase(place);
}

void Node::Impl::on_gone(Connection& connection) {
    connections_.erase(connection.id());
}

FeedSource* Node::Impl::source(const crypto::PublicKey& feed) {
    const auto found = sources_.find(feed);
    return found == sources_.end() ? nullptr : found->second.source;
}

void Node::Impl::on_subscriber(Connection& connection, const crypto::PublicKey& feed) {
    const auto found = sources_.find(feed);
    SKY_ASSERT(found != sources_.end() && !connection.ended());
    found->second.subscribers.emplace(connection.id(), &connection);
    counters.subscribers.add(1);
}

void Node::Impl::on_no_subscriber(Connection& connection, const crypto::PublicKey& feed) {
    const auto found = sources_.find(feed);
    if (found == sources_.end()) return;
    if (found->second.subscribers.erase(connection.id()) > 0) counters.subscribers.add(-1);
}

std::vector<Connection*> Node::Impl::connections_of(const Source& source) {
    std::vector<Connection*> connections;
    connections.reserve(source.subscribers.size());
    for (const auto& [id, connection] : source.subscribers)
        connections.push_back(connection);
    return connections;
}

void Node::Impl::publish(FeedSource& source) {
    const bool is_new = sources_.try_emplace(source.feed(), Source{&source, {}}).second;
    SKY_ASSERT(is_new);
    counters.feeds.add(1);
}

void Node::Impl::withdraw(const FeedSource& source) {
    const auto found = sources_.find(source.feed());
    if (found == sources_.end() || found->second.source != &source) return;
    for (Connection* const connection : connections_of(found->second))
        connection->drop_subscription(source.feed());
    sources_.erase(found);
    counters.feeds.add(-1);
}

void Node::Impl::announce(const crypto::PublicKey& feed, const AnnouncementPtr& version) {
    const auto found = sources_.find(feed);
    if (found == sources_.end()) return;
    for (Connection* const connection : connections_of(found->second))
        connection->announce(version);
}

void Node::Impl::judge_again(const crypto::PublicKey& feed) {
    const auto found = sources_.find(feed);
    if (found == sources_.end()) return;
    for (Connection* const connection : connections_of(found->second)) {
        if (found->second.source->admit(connection->peer())) continue;
        connection->drop_subscription(feed);
        counters.subscriptions_dropped.add();
    }
}

std::size_t Node::Impl::subscribers(const crypto::PublicKey& feed) const {
    const auto found = sources_.find(feed);
    return found == sources_.end() ? 0 : found->second.subscribers.size();
}

/// A time that only moves away is left in the list: the link is called in vain once, which is less
/// work than an entry for every read.
void Node::Impl::reschedule(Connection& connection) {
    if (connection.ended()) return;
    const SteadyTime at = std::max(connection.next_time(), context_.clock.now() + kTimeStep);
    if (connection.scheduled) {
        if (*connection.scheduled <= at) return;
        due_.erase({*connection.scheduled, connection.id()});
    }
    connection.scheduled = at;
    due_.emplace(at, connection.id());
    if (at < armed_) timer_.cancel();
}

Task<> Node::Impl::keep_time() {
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto state = co_await asio::this_coro::cancellation_state;
    while (state.cancelled() == asio::cancellation_type::none) {
        bool threw = false;
        try {
            armed_ = due_.empty() ? SteadyTime::max() : due_.begin()->first;
            co_await timer_.wait_until(armed_);
            // Whoever comes while it runs is seen when it begins anew.
            armed_ = SteadyTime::min();
            look_at_due(context_.clock.now());
        } catch (...) {
            threw = true;
            note_exception(
                context_.logger, counters, "time of connections", std::current_exception()
            );
        }
        // Without it no connection would ever end by itself.
        if (threw) co_await asio::post(context_.loop, use_tuple);
    }
}

/// Who is entered anew on the way is so for a later time.
void Node::Impl::look_at_due(SteadyTime now) {
    while (!due_.empty() && due_.begin()->first <= now) {
        const std::uint64_t id = due_.begin()->second;
        due_.erase(due_.begin());
        const auto found = connections_.find(id);
        if (found == connections_.end()) continue;
        const ConnectionPtr connection = found->second;
        connection->scheduled.reset();
        connection->on_time();
    }
}

Node::Status Node::Impl::status() const {
    Status status;
    status.accepted = accepted_;
    status.dialled = dialled_;
    status.handshakes = handshakes_.size();
    for (const auto& [key, source] : sources_)
        status.subscriptions += source.subscribers.size();
    status.feeds = sources_.size();
    for (const auto& [id, connection] : connections_)
        status.buffered_bytes += connection->memory();
    status.objects = index.size();
    status.object_bytes = index.bytes();
    status.trouble = trouble_;
    return status;
}

Task<std::vector<std::string>> Node::Impl::close(SteadyTime deadline) {
    closed_ = true;
    for (const auto& listener : listeners_)
        listener->close();
    const auto connections = connections_;
    for (const auto& [id, connection] : connections)
        connection->end(fail(errc::closed, "the node has stopped"), "stopped");
    Clock& clock = context_.clock;
    auto late = co_await scope_.close(clock, clock.now(), deadline);
    if (late.empty()) listeners_.clear();
    co_return late;
}

Node::Node(const net::Context& context, NodeOptions options)
    : impl_(std::make_unique<Impl>(context, std::move(options))) {}

Node::~Node() = default;

void Node::serve(std::unique_ptr<net::Listener> listener, Carrier carrier) {
    impl_->serve(std::move(listener), carrier);
}

void Node::accept(std::unique_ptr<net::Stream> stream, Carrier carrier) {
    impl_->accept(std::move(stream), carrier);
}

std::vector<net::Address> Node::addresses() const {
    return impl_->addresses();
}

const crypto::PublicKey& Node::key() const noexcept {
    return impl_->key();
}

NodeCounters& Node::counters() noexcept {
    return impl_->counters;
}

ObjectIndex& Node::index() noexcept {
    return impl_->index;
}

void Node::publish(FeedSource& source) {
    impl_->publish(source);
}

void Node::withdraw(const FeedSource& source) {
    impl_->withdraw(source);
}

void Node::announce(const crypto::PublicKey& feed, const AnnouncementPtr& version) {
    impl_->announce(feed, version);
}

void Node::judge_again(const crypto::PublicKey& feed) {
    impl_->judge_again(feed);
}

std::size_t Node::subscribers(const crypto::PublicKey& feed) const {
    return impl_->subscribers(feed);
}

Task<Result<>> Node::connect(Dialling dialling, Follower& follower, SteadyTime deadline) {
    return impl_->connect(std::move(dialling), follower, deadline);
}

void Node::on_publisher(ChooseFollower choose) {
    impl_->choose = std::move(choose);
}

Node::Status Node::status() const {
    return impl_->status();
}

Task<std::vector<std::string>> Node::close(SteadyTime deadline) {
    return impl_->close(deadline);
}

}  // namespace skywire::cxo
