#include "cxo/feed_copy.hpp"

#include "crypto/error.hpp"
#include "cxo/node_counters.hpp"
#include "cxo/retry.hpp"

#include <algorithm>
#include <utility>

namespace skywire::cxo {
namespace {

/// On one connection.
constexpr unsigned kBadSignaturesMax = 3;
/// After silence: what has waited somewhere may come all at once.
constexpr int kRootsAtOnce = 100;

}  // namespace

FeedCopy::FeedCopy(
    const net::Context& context, Node& node, const Options& options, std::function<void()> on_change
)
    : context_(context),
      index_(node.index()),
      counters_(node.counters()),
      options_(options),
      on_change_(std::move(on_change)),
      replica_(std::make_unique<Replica>(options_.feed, index_, options_.limits)),
      tree_(index_) {}

FeedCopy::~FeedCopy() {
    if (following_ != nullptr) following_->detach("detached");
}

void FeedCopy::on_begun(Following& following) {
    following_ = &following;
    refused_ = false;
    was_whole_ = false;
    told_why_ = false;
    asked_again_ = false;
    bad_signatures_ = 0;
    served_ = now();
}

Result<> FeedCopy::admit(const Peer& peer) {
    is_publisher_ = peer.key == options_.feed;
    if (!options_.publisher_only || peer.key.is_null()) return {};
    if (peer.key == options_.feed && peer.node == options_.feed) return {};
    const auto& other = peer.key == options_.feed ? peer.node : peer.key;
    return fail(
        errc::forbidden, fmt::format("{} is not the publisher of {}", other, options_.feed)
    );
}

void FeedCopy::on_attached() {
    connected_ = true;
    attached_at_ = served_ = now();
    following_->subscribe(options_.feed);
    on_change_();
}

void FeedCopy::on_subscribed() {}

void FeedCopy::on_refused(std::string_view why) {
    refused_ = true;
    note("refused: " + quote_peer_text(why));
    if (following_ != nullptr) following_->hang_up("subscription_refused");
}

bool FeedCopy::may_offer() {
    if (options_.root_gap == Duration(0)) return true;
    const SteadyTime at = std::max(next_root_, now() - kRootsAtOnce * options_.root_gap);
    if (at > now()) return false;
    next_root_ = at + options_.root_gap;
    return true;
}

void FeedCopy::on_root(const SignedRoot& root) {
    if (root.feed != options_.feed) return;
    if (may_offer()) {
        held_.reset();
        offer(root);
        return;
    }
    counters_.roots.add("held");
    const bool is_first = !held_;
    held_ = root;
    if (is_first) on_change_();
}

void FeedCopy::offer(const SignedRoot& root) {
    const Replica::Offered offered = replica_->offer(root, now());
    switch (offered.verdict) {
        case Replica::Verdict::taken:
            counters_.roots.add("taken");
            retry_at_.reset();
            return;
        case Replica::Verdict::waits:
            counters_.roots.add("waits");
            return;
        case Replica::Verdict::old: {
            const auto& ours = replica_->signed_root();
            const bool same = ours && ours->value == root.value;
            if (!same && go_back(root)) {
                counters_.roots.add("gone_back");
                return;
            }
            counters_.roots.add(same ? "same" : "old");
            if (same) confirm();
            return;
        }
        case Replica::Verdict::refused:
            counters_.roots.add("refused");
            on_bad_root(offered.error);
            return;
    }
}

/// Each costs a verification: who goes on like this is no publisher, and no relay of use.
void FeedCopy::on_bad_root(const Error& error) {
    const std::string_view reason = end_reason(error);
    counters_.roots_refused.add(reason);
    note("a Root was refused: " + error.message());
    if (error.code().category() != crypto::crypto_category()) return;
    if (++bad_signatures_ < kBadSignaturesMax || following_ == nullptr) return;
    following_->hang_up(reason);
}

/// A publisher that has come back with a clock behind the one it had begins a chain that looks
/// older than ours. Where the carrier proves that it is the publisher who says so now, and says so
/// first of all, it is no old Root that somebody has kept.
bool FeedCopy::go_back(const SignedRoot& root) {
    const auto& ours = replica_->root();
    if (whole_ || !is_publisher_ || !ours) return false;
    const auto said = decode_root(root.value);
    if (!said || said->time > ours->time) return false;
    auto fresh = std::make_unique<Replica>(options_.feed, index_, options_.limits);
    if (fresh->offer(root, now()).verdict != Replica::Verdict::taken) return false;
    counts_before_ = counts();
    given_up_ = 0;
    replica_ = std::move(fresh);
    return true;
}

void FeedCopy::on_object(const Hash& hash, ByteSpan bytes, bool asked) {
    if (asked) served_ = now();
    const auto taken = replica_->object(hash, bytes, asked);
    if (taken) return;
    note("an object was refused: " + taken.error().message());
    counters_.fills_failed.add(end_reason(taken.error()));
}

void FeedCopy::on_no_object(const Hash& hash) {
    counters_.fills_failed.add("no_object");
    note("the publisher lacks an object of its Root");
    replica_->no_object(hash);
}

void FeedCopy::on_settled() {
    if (following_ == nullptr) return;
    take_changes();
    // A subscriber's callback may have let go of it.
    while (following_ != nullptr) {
        const auto hashes = replica_->requests(following_->window());
        if (hashes.empty()) break;
        for (const Hash& hash : hashes)
            following_->request(hash);
    }
    look_at_failures();
}

void FeedCopy::take_changes() {
    while (auto changed = replica_->changed()) {
        counters_.sync_seconds.observe(
            std::chrono::duration<double>(now() - changed->offered).count()
        );
        counters_.sync_rounds.observe(static_cast<double>(replica_->counts().rounds));
        if (root_ && !supersedes(changed->root, *root_)) {
            // A publisher without memory has begun its chain anew (section 6 rule 2).
            ++restarts_;
            counters_.restarts.add();
        }
        tree_ = changed->now;
        root_ = changed->root;
        // A Root of an earlier connection that is complete only now says what the publisher had
        // then, perhaps before it lost its state.
        if (changed->offered >= attached_at_)
            confirm();
        else
            confirmed_ = changed->offered;
        subscribers_.tell(changed->root, changed->now);
    }
}

void FeedCopy::confirm() {
    const bool news = !whole_ || broken_;
    confirmed_ = served_ = now();
    whole_ = was_whole_ = true;
    broken_ = false;
    asked_again_ = false;
    told_why_ = false;
    failures_ = 0;
    retry_at_.reset();
    error_.clear();
    if (news) on_change_();
}

void FeedCopy::look_at_failures() {
    const std::uint64_t given_up = replica_->counts().given_up;
    if (std::exchange(given_up_, given_up) == given_up || replica_->filling()) return;
    broken_ = true;
    const auto& times = options_.times;
    retry_at_ = now() + retry_delay(++failures_, times.retry_min, times.retry_max, context_.random);
    on_change_();
}

void FeedCopy::note(std::string error) {
    error_ = std::move(error);
    told_why_ = true;
}

void FeedCopy::resubscribe(std::string_view reason) {
    ++resubscribes_;
    counters_.resubscribes.add(reason);
    following_->unsubscribe(options_.feed);
    following_->subscribe(options_.feed);
}

SteadyTime FeedCopy::last_sign() const noexcept {
    return following_ == nullptr ? served_ : std::max(served_, following_->progress());
}

SteadyTime FeedCopy::next_time() const noexcept {
    if (!connected_) return SteadyTime::max();
    const Duration patience =
        options_.times.no_root + (asked_again_ ? options_.times.no_root / 4 : Duration());
    const SteadyTime watchdog = last_sign() + patience;
    const SteadyTime next = held_ ? std::min(next_root_, watchdog) : watchdog;
    return retry_at_ ? std::min(*retry_at_, next) : next;
}

void FeedCopy::on_time() {
    if (!connected_) return;
    if (held_ && may_offer()) {
        const SignedRoot root = std::move(*held_);
        held_.reset();
        offer(root);
        on_settled();
        if (!connected_) return;
    }
    const SteadyTime time = now();
    if (retry_at_ && *retry_at_ <= time) {
        retry_at_.reset();
        if (!replica_->filling()) resubscribe("fill_failed");
    }
    const SteadyTime sign = last_sign();
    if (time < sign + options_.times.no_root) return;
    if (!std::exchange(asked_again_, true)) {
        resubscribe("no_root");
        return;
    }
    if (time < sign + options_.times.no_root + options_.times.no_root / 4) return;
    note("no whole Root came");
    following_->hang_up("no_root");
}

void FeedCopy::on_ended(const Error& why) {
    if (!told_why_) error_ = why.message();
    lost();
}

void FeedCopy::lost() {
    following_ = nullptr;
    connected_ = false;
    whole_ = false;
    broken_ = false;
    retry_at_.reset();
    held_.reset();
    replica_->disconnected();
    given_up_ = replica_->counts().given_up;
    on_change_();
}

void FeedCopy::detach() {
    Following* const following = std::exchange(following_, nullptr);
    if (following == nullptr) return;
    following->detach("detached");
    lost();
}

std::optional<Duration> FeedCopy::age() const {
    if (!confirmed_) return std::nullopt;
    return now() - *confirmed_;
}

std::size_t FeedCopy::memory() const noexcept {
    return replica_->memory() + (following_ != nullptr ? following_->memory() : 0);
}

Replica::Counts FeedCopy::counts() const noexcept {
    Replica::Counts sum = replica_->counts();
    sum.roots += counts_before_.roots;
    sum.old += counts_before_.old;
    sum.refused += counts_before_.refused;
    sum.superseded += counts_before_.superseded;
    sum.given_up += counts_before_.given_up;
    sum.objects += counts_before_.objects;
    sum.unasked_used += counts_before_.unasked_used;
    sum.unasked_dropped += counts_before_.unasked_dropped;
    return sum;
}

}  // namespace skywire::cxo
