#include "cxo/aggregator.hpp"

#include "base/assert.hpp"
#include "cxo/feed_copy.hpp"
#include "cxo/node_counters.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <map>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

namespace skywire::cxo {
namespace {

/// All copies are looked at this often.
constexpr Duration kTick = std::chrono::seconds(1);
/// No publisher has a Root more often than every 200 ms.
constexpr Duration kRootGap = std::chrono::milliseconds(100);

}  // namespace

class Aggregator::Impl {
 public:
    Impl(
        const net::Context& context,
        Node& node,
        AggregatorOptions options,
        OnUpdate on_update,
        OnForgotten on_forgotten
    );
    ~Impl() { SKY_ASSERT(scope_.size() == 0); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    std::vector<Row> rows() const;
    std::size_t size() const noexcept { return copies_.size(); }
    const Tree* tree(const crypto::PublicKey& publisher) const;
    bool live(const crypto::PublicKey& publisher) const;
    void drop(const crypto::PublicKey& publisher);
    Task<std::vector<std::string>> close(SteadyTime deadline);

 private:
    struct Entry {
        std::unique_ptr<FeedCopy> copy;
        SteadyTime since{};
        Subscription subscription;
        std::optional<SteadyTime> alone_since;
    };

    Follower* choose(const Peer& peer);
    Entry& add(const crypto::PublicKey& publisher);
    Task<> tick();
    void look_at_all();
    void look_at(FeedCopy& copy);

    net::Context context_;
    Node& node_;
    AggregatorOptions options_;
    OnUpdate on_update_;
    OnForgotten on_forgotten_;
    std::map<crypto::PublicKey, Entry> copies_;
    net::Scope scope_;
};

Aggregator::Impl::Impl(
    const net::Context& context,
    Node& node,
    AggregatorOptions options,
    OnUpdate on_update,
    OnForgotten on_forgotten
)
    : context_(context),
      node_(node),
      options_(std::move(options)),
      on_update_(std::move(on_update)),
      on_forgotten_(std::move(on_forgotten)),
      scope_(context.loop, [this](std::string_view name, std::exception_ptr error) {
          note_exception(context_.logger, node_.counters(), name, error);
      }) {
    node_.on_publisher([this](const Peer& peer) { return choose(peer); });
    scope_.spawn("copies of publishers", [this] { return tick(); });
}

Follower* Aggregator::Impl::choose(const Peer& peer) {
    if (options_.wanted && !options_.wanted(peer.node)) return nullptr;
    const auto found = copies_.find(peer.node);
    if (found == copies_.end() && copies_.size() >= options_.feeds_max) {
        node_.counters().link.add("feeds_max");
        return nullptr;
    }
    Entry& entry = found == copies_.end() ? add(peer.node) : found->second;
    // Its earlier connection is being ended.
    entry.copy->detach();
    entry.alone_since.reset();
    return entry.copy.get();
}

Aggregator::Impl::Entry& Aggregator::Impl::add(const crypto::PublicKey& publisher) {
    Entry entry;
    entry.since = context_.clock.now();
    entry.copy = std::make_unique<FeedCopy>(
        context_,
        node_,
        FeedCopy::Options{
            publisher, /*publisher_only=*/true, options_.limits, options_.times, kRootGap
        },
        [] {}
    );
    entry.subscription =
        entry.copy->subscribe(options_.prefix, [this, publisher](const FeedUpdate& update) {
            on_update_(publisher, update);
        });
    return copies_.emplace(publisher, std::move(entry)).first->second;
}

Task<> Aggregator::Impl::tick() {
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto state = co_await asio::this_coro::cancellation_state;
    net::Timer timer(context_.loop, context_.clock);
    while (state.cancelled() == asio::cancellation_type::none) {
        bool threw = false;
        try {
            const bool waited = co_await timer.wait_for(kTick);
            if (waited) look_at_all();
        } catch (...) {
            threw = true;
            note_exception(
                context_.logger, node_.counters(), "copies of publishers", std::current_exception()
            );
        }
        // Without it nobody would ever be forgotten.
        if (threw) co_await asio::post(context_.loop, use_tuple);
    }
}

void Aggregator::Impl::look_at_all() {
    const SteadyTime now = context_.clock.now();
    std::vector<crypto::PublicKey> forgotten;
    for (auto& [publisher, entry] : copies_) {
        if (entry.copy->attached()) {
            entry.alone_since.reset();
            if (entry.copy->next_time() <= now) look_at(*entry.copy);
            continue;
        }
        if (!entry.alone_since) entry.alone_since = now;
        if (now - *entry.alone_since >= options_.forget) forgotten.push_back(publisher);
    }
    for (const crypto::PublicKey& publisher : forgotten)
        drop(publisher);
}

/// What its consumer throws ends its connection, as where that has read the same, and no other's.
void Aggregator::Impl::look_at(FeedCopy& copy) {
    try {
        copy.on_time();
    } catch (...) {
        note_exception(
            context_.logger, node_.counters(), "copy of a publisher", std::current_exception()
        );
        copy.detach();
    }
}

void Aggregator::Impl::drop(const crypto::PublicKey& publisher) {
    if (copies_.erase(publisher) == 0 || !on_forgotten_) return;
    try {
        on_forgotten_(publisher);
    } catch (...) {
        note_exception(context_.logger, node_.counters(), "forgetting", std::current_exception());
    }
}

std::vector<Aggregator::Row> Aggregator::Impl::rows() const {
    std::vector<Row> rows;
    rows.reserve(copies_.size());
    for (const auto& [publisher, entry] : copies_) {
        const FeedCopy& copy = *entry.copy;
        rows.push_back({
            publisher,
            copy.connected(),
            copy.live(),
            copy.age(),
            entry.since,
            copy.tree().count(),
            copy.memory(),
            copy.error(),
        });
    }
    return rows;
}

const Tree* Aggregator::Impl::tree(const crypto::PublicKey& publisher) const {
    const auto found = copies_.find(publisher);
    if (found == copies_.end() || !found->second.copy->root()) return nullptr;
    return &found->second.copy->tree();
}

bool Aggregator::Impl::live(const crypto::PublicKey& publisher) const {
    const auto found = copies_.find(publisher);
    return found != copies_.end() && found->second.copy->live();
}

Task<std::vector<std::string>> Aggregator::Impl::close(SteadyTime deadline) {
    node_.on_publisher({});
    // Their connections are hung up on.
    copies_.clear();
    co_return co_await scope_.close(context_.clock, context_.clock.now(), deadline);
}

Aggregator::Aggregator(
    const net::Context& context,
    Node& node,
    AggregatorOptions options,
    OnUpdate on_update,
    OnForgotten on_forgotten
)
    : impl_(std::make_unique<Impl>(
          context, node, std::move(options), std::move(on_update), std::move(on_forgotten)
      )) {}

Aggregator::~Aggregator() = default;

std::vector<Aggregator::Row> Aggregator::rows() const {
    return impl_->rows();
}

std::size_t Aggregator::size() const noexcept {
    return impl_->size();
}

const Tree* Aggregator::tree(const crypto::PublicKey& publisher) const {
    return impl_->tree(publisher);
}

bool Aggregator::live(const crypto::PublicKey& publisher) const {
    return impl_->live(publisher);
}

void Aggregator::drop(const crypto::PublicKey& publisher) {
    impl_->drop(publisher);
}

Task<std::vector<std::string>> Aggregator::close(SteadyTime deadline) {
    return impl_->close(deadline);
}

}  // namespace skywire::cxo
