#include "services/common/record_leaves.hpp"

#include "base/metrics.hpp"

#include <iterator>
#include <optional>

#include <fmt/format.h>

namespace skywire::services {
namespace {

/// Between two rounds that take tombstones away, and before what was left out is looked at again.
constexpr std::chrono::minutes kRound{1};

Bytes bytes_of(std::string_view text) {
    const ByteSpan bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

std::string entry_of(const std::string& path) {
    return path + "/entry";
}
std::string tombstone_of(const std::string& path) {
    return path + "/tombstone";
}

Counter& left_out(const net::Context& context, const std::string& feed, std::string reason) {
    return context.metrics.counter(
        "feed_records_left_out_total",
        "Times that a record had no place among a feed's old leaves, by reason.",
        {{"feed", feed}, {"reason", std::move(reason)}}
    );
}

}  // namespace

RecordLeaves::RecordLeaves(const net::Context& context, Options options)
    : context_(context),
      options_(std::move(options)),
      too_large_(left_out(context_, options_.feed, "too_large")),
      records_max_(left_out(context_, options_.feed, "records_max")),
      bytes_max_(left_out(context_, options_.feed, "bytes_max")),
      tombstones_shown_(context_.metrics.gauge(
          "feed_tombstones",
          "Records that a feed's old leaves say have gone.",
          {{"feed", options_.feed}}
      )) {}

void RecordLeaves::put(const std::string& path, std::string_view text, Changes& changes) {
    const crypto::Digest digest = crypto::sha256(as_bytes(text));
    const auto found = leaves_.find(path);
    if (found != leaves_.end() && found->second.digest == digest) return;
    if (Counter* const why = no_room(found, text.size()); why != nullptr) {
        why->add();
        leave_out(path, changes);
        // There never will be room for what is too large.
        if (why != &too_large_) look_again();
        return;
    }
    if (found != leaves_.end()) bytes_ -= found->second.bytes;
    bytes_ += text.size();
    leaves_.insert_or_assign(path, Leaf{digest, text.size()});
    // Before the tombstone goes: the directory of both stays where it is.
    changes.push_back({entry_of(path), bytes_of(text)});
    drop_tombstone(path, changes);
}

Counter* RecordLeaves::no_room(const Leaves::iterator& before, std::size_t bytes) {
    // A leaf of no bytes says that there is none.
    if (bytes == 0 || bytes > options_.entry_max) return &too_large_;
    const bool is_new = before == leaves_.end();
    if (is_new && leaves_.size() >= options_.records_max) return &records_max_;
    const std::size_t others = bytes_ - (is_new ? 0 : before->second.bytes);
    return others + bytes > options_.bytes_max ? &bytes_max_ : nullptr;
}

/// It lives: neither an older word of it nor that it has gone may stand there.
void RecordLeaves::leave_out(const std::string& path, Changes& changes) {
    withdraw(path, changes);
    drop_tombstone(path, changes);
}

void RecordLeaves::look_again() {
    if (!left_out_) look_again_at_ = context_.clock.now() + kRound;
    left_out_ = true;
}

/// False where there was none.
bool RecordLeaves::withdraw(const std::string& path, Changes& changes) {
    const auto found = leaves_.find(path);
    if (found == leaves_.end()) return false;
    bytes_ -= found->second.bytes;
    leaves_.erase(found);
    changes.push_back({entry_of(path), std::nullopt});
    return true;
}

void RecordLeaves::remove(const std::string& path, Changes& changes) {
    if (!leaves_.contains(path)) return;
    if (options_.tombstones_max == 0) {
        withdraw(path, changes);
        return;
    }
    if (tombstones_.size() >= options_.tombstones_max) {
        const std::size_t kept = options_.tombstones_max - options_.tombstones_max / 4 - 1;
        while (tombstones_.size() > kept)
            drop_oldest(changes);
    }
    const std::string deleted_at = format_rfc3339(context_.clock.wall());
    changes.push_back(
        {tombstone_of(path), bytes_of(fmt::format(R"({{"deleted_at":"{}"}})", deleted_at))}
    );
    withdraw(path, changes);
    tombstones_.push_back({path, context_.clock.now() + options_.tombstone_lifetime});
    tombstone_at_.insert_or_assign(path, std::prev(tombstones_.end()));
    show_tombstones();
}

void RecordLeaves::drop_tombstone(const std::string& path, Changes& changes) {
    const auto found = tombstone_at_.find(path);
    if (found == tombstone_at_.end()) return;
    tombstones_.erase(found->second);
    tombstone_at_.erase(found);
    changes.push_back({tombstone_of(path), std::nullopt});
    show_tombstones();
}

void RecordLeaves::drop_oldest(Changes& changes) {
    const std::string path = tombstones_.front().path;
    drop_tombstone(path, changes);
}

void RecordLeaves::tidy(Changes& changes) {
    const SteadyTime now = context_.clock.now();
    if (now < tidy_at_) return;
    tidy_at_ = now + kRound;
    while (!tombstones_.empty() && tombstones_.front().ends <= now)
        drop_oldest(changes);
}

bool RecordLeaves::has_room_again() {
    if (!left_out_ || context_.clock.now() < look_again_at_) return false;
    const bool full =
        leaves_.size() >= options_.records_max || bytes_ + options_.entry_max > options_.bytes_max;
    if (full) return false;
    left_out_ = false;
    return true;
}

void RecordLeaves::show_tombstones() {
    tombstones_shown_.set(static_cast<double>(tombstones_.size()));
}

}  // namespace skywire::services
