#include "cxo/replica.hpp"

#include "cxo/detail/fill.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <utility>

namespace skywire::cxo {
namespace {

/// After trees that could not be taken, one after another, the next is looked at so late: 2 s after
/// the second, doubling.
constexpr std::chrono::seconds kPause(1);
constexpr std::chrono::seconds kPauseMax(256);

/// A Root and what is known of those before it.
struct Seen {
    Root root;
    /// The latest time of any Root there was, of whatever chain.
    std::int64_t newest = 0;
    /// When its chain began anew under the same nonce: Roots from before are over.
    std::int64_t restarted = std::numeric_limits<std::int64_t>::min();
};

/// By section 6, and where a publisher without memory has begun the same chain again, by time (rule
/// 2): a lower number is newer when its time is later than that of every Root there was. So is
/// another chain: were it measured by the last Root, whose time may lie before that of others, a
/// relay could go back to a chain that is over.
bool is_newer(const Root& next, const Seen& seen) {
    if (next.nonce != seen.root.nonce) return next.time > seen.newest;
    if (next.seq > seen.root.seq) return next.time >= seen.restarted;
    return next.time > seen.newest;
}

Seen after(const Root& next, const Seen* seen) {
    Seen result{next, next.time};
    if (seen == nullptr) return result;
    result.newest = std::max(next.time, seen->newest);
    if (next.nonce != seen->root.nonce) return result;
    result.restarted = next.seq > seen->root.seq ? seen->restarted : next.time;
    return result;
}

/// Of a part of a tree: its objects, its leaves and their paths, as often as they are reached.
std::size_t size_of(const Object& part) {
    return static_cast<std::size_t>(
        part.leaf_bytes() + part.path_bytes() + part.objects() * kBesideObject
    );
}

/// Bytes by their hash, up to a size. What is kept beside the bytes counts too: many small ones
/// cost more than they say.
class Stock {
 public:
    explicit Stock(std::size_t bytes_max) : bytes_max_(std::max(bytes_max, kBeside)) {}

    bool has_room(std::size_t size) const { return size + kBeside <= bytes_max_ - bytes_; }
    /// Nothing where there is no room.
    void put(const Hash& hash, Bytes bytes, std::uint64_t age) {
        if (!has_room(bytes.size())) return;
        const std::size_t cost = bytes.size() + kBeside;
        if (held_.try_emplace(hash, Held{std::move(bytes), age}).second) bytes_ += cost;
    }
    std::optional<Bytes> take(const Hash& hash) {
        const auto found = held_.find(hash);
        if (found == held_.end()) return std::nullopt;
        Bytes bytes = std::move(found->second.bytes);
        bytes_ -= bytes.size() + kBeside;
        held_.erase(found);
        return bytes;
    }
    /// Those that came before.
    void drop_before(std::uint64_t age) {
        std::erase_if(held_, [&](const auto& each) {
            if (each.second.age >= age) return false;
            bytes_ -= each.second.bytes.size() + kBeside;
            return true;
        });
    }
    void clear() {
        held_.clear();
        bytes_ = 0;
    }
    std::size_t bytes() const noexcept { return bytes_; }

 private:
    struct Held {
        Bytes bytes;
        std::uint64_t age = 0;
    };
    static constexpr std::size_t kBeside = 128;

    const std::size_t bytes_max_;
    std::size_t bytes_ = 0;
    std::map<Hash, Held, detail::HashLess> held_;
};

}  // namespace

class Replica::Impl final : private detail::Store {
 public:
    Impl(const crypto::PublicKey& feed, ObjectIndex& index, const ReplicaLimits& limits)
        : feed_(feed),
          index_(index),
          limits_(limits),
          tree_(index),
          reported_(index),
          staged_(limits.staging_max),
          fetched_(limits.bytes_max) {}

    Offered offer(const SignedRoot& root, SteadyTime now);
    std::vector<Hash> requests(std::size_t room);
    bool filling() const noexcept { return current_ != nullptr; }
    Result<> object(const Hash& hash, ByteSpan bytes, bool asked);
    void no_object(const Hash& hash);
    void disconnected();
    std::optional<Changed> changed();

    const Tree& tree() const noexcept { return tree_; }
    const std::optional<Root>& root() const noexcept { return root_; }
    const std::optional<SignedRoot>& signed_root() const noexcept { return signed_root_; }
    const Counts& counts() const noexcept { return counts_; }
    std::size_t memory() const noexcept;

 private:
    struct Candidate {
        SignedRoot signed_root;
        Seen seen;
        SteadyTime offered;
        /// How many were offered before it.
        std::uint64_t number = 0;
    };

    struct Filling {
        Filling(
            Candidate candidate_in, ObjectIndex& index, const ReplicaLimits& limits, Store& store
        )
            : candidate(std::move(candidate_in)), fill(index, limits, store) {}

        Candidate candidate;
        detail::Fill fill;
    };

    Offered refuse(Error error);
    Offered take(Candidate candidate);
    bool is_known(const SignedRoot& root) const;
    void go_on_with(const SignedRoot& root);
    void set_aside();
    /// The newest Root there is, complete or not; null: none.
    const Seen* latest() const noexcept;

    std::optional<Bytes> take(const Hash& hash) override;
    bool is_under_way(const Hash& hash) const override { return asked_.contains(hash); }

    /// Begins with the candidate, then with the one that waits, until one needs something that is
    /// not here. The first error.
    Result<> begin(Candidate candidate);
    Result<> settle(Result<> result);
    void begin_waiting();
    void complete();
    void give_up(bool is_bad);
    void pause();

    const crypto::PublicKey feed_;
    ObjectIndex& index_;
    const ReplicaLimits limits_;

    Tree tree_;
    std::optional<Root> root_;
    std::optional<SignedRoot> signed_root_;
    std::optional<Seen> seen_;
    SteadyTime offered_{};
    Tree reported_;
    bool has_change_ = false;
    bool has_reported_ = false;

    std::unique_ptr<Filling> current_;
    std::optional<Candidate> waiting_;
    /// The connection it was asked through is gone, and whoever has come since has not said yet
    /// that it has this Root: one that has begun anew would leave requests for it unanswered.
    bool stalled_ = false;
    /// For Roots that were given up, and what came before its answer.
    std::set<Hash, detail::HashLess> asked_;
    std::uint64_t offers_ = 0;
    /// Unasked objects; what came for Roots that were given up, as bytes and as finished parts.
    Stock staged_;
    Stock fetched_;
    /// Of the last Root given up, and of the one before.
    std::array<std::vector<ObjectPtr>, 2> parts_;
    std::array<std::size_t, 2> parts_bytes_{};
    /// The last directory that could not be taken as it is; it never will.
    Hash bad_tree_ = kNil;
    /// 0: the last one could be taken.
    std::chrono::seconds pause_{};
    SteadyTime pause_until_{};
    SteadyTime now_{};
    Counts counts_;
};

// Roots.

Replica::Offered Replica::Impl::offer(const SignedRoot& root, SteadyTime now) {
    const std::uint64_t number = offers_++;
    now_ = now;
    if (root.feed != feed_) return refuse(fail(errc::forbidden, "a Root of another feed"));
    if (is_known(root)) {
        ++counts_.old;
        if (stalled_) go_on_with(root);
        return {Verdict::old, {}};
    }
    // Cheap checks first.
    const auto said = decode_root(root.value);
    if (!said) return refuse(said.error());
    if (latest() != nullptr && said->feed == feed_ && !is_newer(*said, *latest())) {
        ++counts_.old;
        return {Verdict::old, {}};
    }
    if (said->tree == bad_tree_)
        return refuse(fail(errc::malformed, "a tree that could not be taken before"));
    if (now < pause_until_)
        return refuse(fail(errc::limit_reached, "a Root too soon after trees that were wrong"));
    const auto checked = check(root);
    if (!checked) return refuse(checked.error());
    ++counts_.roots;
    return take({root, after(*checked, latest()), now, number});
}

Replica::Offered Replica::Impl::refuse(Error error) {
    ++counts_.refused;
    return {Verdict::refused, std::move(error)};
}

Replica::Offered Replica::Impl::take(Candidate candidate) {
    if (current_ && !stalled_) {
        if (std::exchange(waiting_, std::move(candidate))) ++counts_.superseded;
        return {Verdict::waits, {}};
    }
    if (current_) {
        // Nothing is under way for the one before it, and what came for it is not lost.
        counts_.superseded += waiting_ ? 2 : 1;
        waiting_.reset();
        set_aside();
    }
    if (auto begun = begin(std::move(candidate)); !begun) return {Verdict::refused, begun.error()};
    return {Verdict::taken, {}};
}

bool Replica::Impl::is_known(const SignedRoot& root) const {
    return (signed_root_ && *signed_root_ == root) ||
           (current_ && current_->candidate.signed_root == root) ||
           (waiting_ && waiting_->signed_root == root);
}

/// The publisher of the new connection has this one, so that its objects can be asked for.
void Replica::Impl::go_on_with(const SignedRoot& root) {
    if (!current_) return;
    if (current_->candidate.signed_root == root) {
        stalled_ = false;
        current_->candidate.offered = now_;
        return;
    }
    // Nothing is under way for it, and what came for it is not lost.
    ++counts_.superseded;
    set_aside();
    if (waiting_ && waiting_->signed_root == root) {
        waiting_->offered = now_;
        begin_waiting();
    } else if (waiting_) {
        // It is back at what we hold.
        ++counts_.superseded;
        waiting_.reset();
    }
}

const Seen* Replica::Impl::latest() const noexcept {
    // What was not finished counts for nothing where it may be gone.
    if (waiting_ && !stalled_) return &waiting_->seen;
    if (current_ && !stalled_) return &current_->candidate.seen;
    return seen_ ? &*seen_ : nullptr;
}

Result<> Replica::Impl::begin(Candidate candidate) {
    Result<> first;
    detail::Store& store = *this;
    std::optional<Candidate> next(std::move(candidate));
    while (next) {
        stalled_ = false;
        current_ = std::make_unique<Filling>(std::move(*next), index_, limits_, store);
        auto begun = current_->fill.begin(current_->candidate.seen.root.tree);
        if (begun && !current_->fill.root()) break;
        if (begun) {
            complete();
        } else {
            give_up(/*is_bad=*/true);
            if (first) first = std::move(begun);
        }
        next = std::exchange(waiting_, std::nullopt);
    }
    return first;
}

Result<> Replica::Impl::settle(Result<> result) {
    if (result && !current_->fill.root()) return result;
    if (result)
        complete();
    else
        give_up(/*is_bad=*/true);
    // What becomes of the next one is counted; this call was about the last one.
    begin_waiting();
    return result;
}

void Replica::Impl::begin_waiting() {
    if (auto next = std::exchange(waiting_, std::nullopt))
        static_cast<void>(begin(std::move(*next)));
}

void Replica::Impl::complete() {
    Candidate& candidate = current_->candidate;
    tree_ = Tree(index_, current_->fill.root());
    root_ = candidate.seen.root;
    seen_ = candidate.seen;
    signed_root_ = std::move(candidate.signed_root);
    offered_ = candidate.offered;
    counts_.rounds = current_->fill.rounds();
    has_change_ = true;
    pause_ = std::chrono::seconds(0);
    // What came behind this Root is for the next one.
    staged_.drop_before(candidate.number + 1);
    current_.reset();
    if (waiting_) return;
    fetched_.clear();
    parts_ = {};
    parts_bytes_ = {};
}

/// A feed that is too large would else be fetched anew with each of its Roots.
void Replica::Impl::pause() {
    if (std::exchange(pause_, std::clamp(2 * pause_, kPause, kPauseMax)) > std::chrono::seconds(0))
        pause_until_ = now_ + pause_;
}

void Replica::Impl::give_up(bool is_bad) {
    ++counts_.given_up;
    if (!is_bad) {
        set_aside();
        return;
    }
    for (const Hash& hash : current_->fill.asked())
        asked_.insert(hash);
    bad_tree_ = current_->candidate.seen.root.tree;
    pause();
    current_.reset();
}

/// What came for it is used for the next one.
void Replica::Impl::set_aside() {
    for (const Hash& hash : current_->fill.asked())
        asked_.insert(hash);
    detail::Fill::Remains remains = current_->fill.remains();
    parts_[1] = std::move(parts_[0]);
    parts_[0] = std::move(remains.objects);
    parts_bytes_[1] = parts_bytes_[0];
    parts_bytes_[0] = 0;
    // They came within the limits, however often one of them is reached.
    const std::size_t most = limits_.bytes_max + limits_.objects_max * kBesideObject;
    for (const ObjectPtr& part : parts_[0])
        parts_bytes_[0] = std::min(parts_bytes_[0] + size_of(*part), most);
    for (auto& [hash, bytes] : remains.bytes)
        fetched_.put(hash, std::move(bytes), offers_);
    current_.reset();
}

// Objects.

std::vector<Hash> Replica::Impl::requests(std::size_t room) {
    std::vector<Hash> hashes;
    if (!current_ || stalled_) return hashes;
    while (hashes.size() < room) {
        const auto hash = current_->fill.next_request();
        if (!hash) break;
        hashes.push_back(*hash);
    }
    return hashes;
}

std::optional<Bytes> Replica::Impl::take(const Hash& hash) {
    if (auto staged = staged_.take(hash)) {
        ++counts_.unasked_used;
        return staged;
    }
    return fetched_.take(hash);
}

Result<> Replica::Impl::object(const Hash& hash, ByteSpan bytes, bool asked) {
    if (asked) asked_.erase(hash);
    if (current_ && current_->fill.wants(hash)) {
        ++counts_.objects;
        if (!asked) {
            ++counts_.unasked_used;
            if (current_->fill.is_asked(hash)) asked_.insert(hash);
        }
        return settle(current_->fill.object(hash, Bytes(bytes.begin(), bytes.end())));
    }
    if (index_.find(hash)) return {};
    Stock& stock = asked ? fetched_ : staged_;
    if (!stock.has_room(bytes.size()))
        ++counts_.unasked_dropped;
    else
        stock.put(hash, Bytes(bytes.begin(), bytes.end()), offers_);
    return {};
}

void Replica::Impl::no_object(const Hash& hash) {
    asked_.erase(hash);
    if (!current_ || !current_->fill.wants(hash)) return;
    give_up(/*is_bad=*/false);
    asked_.erase(hash);
    begin_waiting();
}

void Replica::Impl::disconnected() {
    asked_.clear();
    if (!current_) return;
    current_->fill.ask_again();
    stalled_ = true;
}

std::optional<Replica::Changed> Replica::Impl::changed() {
    if (!has_change_ || !root_) return std::nullopt;
    has_change_ = false;
    Changed changed{*root_, std::exchange(reported_, tree_), tree_, !has_reported_, offered_};
    has_reported_ = true;
    return changed;
}

std::size_t Replica::Impl::memory() const noexcept {
    const std::size_t filling = current_ ? current_->fill.memory() : 0;
    return size_of(*tree_.root()) + filling + staged_.bytes() + fetched_.bytes() + parts_bytes_[0] +
           parts_bytes_[1];
}

// The public face.

Replica::Replica(const crypto::PublicKey& feed, ObjectIndex& index, const ReplicaLimits& limits)
    : impl_(std::make_unique<Impl>(feed, index, limits)) {}

Replica::~Replica() = default;

Replica::Offered Replica::offer(const SignedRoot& root, SteadyTime now) {
    return impl_->offer(root, now);
}
std::vector<Hash> Replica::requests(std::size_t room) {
    return impl_->requests(room);
}
bool Replica::filling() const noexcept {
    return impl_->filling();
}
Result<> Replica::object(const Hash& hash, ByteSpan bytes, bool asked) {
    return impl_->object(hash, bytes, asked);
}
void Replica::no_object(const Hash& hash) {
    impl_->no_object(hash);
}
void Replica::disconnected() {
    impl_->disconnected();
}
std::optional<Replica::Changed> Replica::changed() {
    return impl_->changed();
}
const Tree& Replica::tree() const noexcept {
    return impl_->tree();
}
const std::optional<Root>& Replica::root() const noexcept {
    return impl_->root();
}
const std::optional<SignedRoot>& Replica::signed_root() const noexcept {
    return impl_->signed_root();
}
const Replica::Counts& Replica::counts() const noexcept {
    return impl_->counts();
}
std::size_t Replica::memory() const noexcept {
    return impl_->memory();
}

}  // namespace skywire::cxo
