#include "cxo/subscription.hpp"

#include <algorithm>
#include <utility>

namespace skywire::cxo {

namespace {

/// Ends with the round, also where a subscriber throws.
class Telling {
 public:
    explicit Telling(bool& telling) : telling_(telling) { telling_ = true; }
    ~Telling() { telling_ = false; }
    Telling(const Telling&) = delete;
    Telling& operator=(const Telling&) = delete;

 private:
    bool& telling_;
};

}  // namespace

struct Subscription::Entry {
    std::string prefix;
    OnFeedUpdate on_update;
    bool active = true;
    bool has_snapshot = false;
};

Subscription& Subscription::operator=(Subscription&& other) noexcept {
    if (this != &other) {
        reset();
        entry_ = std::move(other.entry_);
    }
    return *this;
}

/// The callable itself stays until the feed is through with it: it may be the one that runs.
void Subscription::reset() noexcept {
    if (!entry_) return;
    entry_->active = false;
    entry_.reset();
}

void Subscribers::tell_snapshot(Subscription::Entry& entry, const Version& version) {
    std::vector<Difference> all;
    version.tree.walk(entry.prefix, [&](std::string_view path, ByteSpan leaf) {
        all.push_back({std::string(path), leaf});
        return true;
    });
    entry.has_snapshot = true;
    entry.on_update({version.root, version.tree, /*snapshot=*/true, all});
}

Subscription Subscribers::add(std::string prefix, OnFeedUpdate on_update) {
    auto entry = std::make_shared<Subscription::Entry>();
    entry->prefix = std::move(prefix);
    entry->on_update = std::move(on_update);
    std::erase_if(entries_, [](const auto& each) { return !each->active; });
    entries_.push_back(entry);
    Subscription subscription(entry);
    if (known_) {
        // A copy: the callback may make the feed go on.
        const Version version = *known_;
        tell_snapshot(*entry, version);
    }
    return subscription;
}

void Subscribers::tell(const Root& root, const Tree& tree) {
    if (telling_) {
        next_.emplace(Version{root, tree});
        return;
    }
    std::exception_ptr thrown = tell_now(root, tree);
    while (const auto next = std::exchange(next_, {})) {
        const auto again = tell_now(next->root, next->tree);
        if (!thrown) thrown = again;
    }
    if (thrown) std::rethrow_exception(thrown);
}

/// What the first of those who throw has thrown: the others know of the version all the same.
std::exception_ptr Subscribers::tell_now(const Root& root, const Tree& tree) {
    const std::optional<Version> before = std::exchange(known_, Version{root, tree});
    const Version version{root, tree};
    std::erase_if(entries_, [](const auto& entry) { return !entry->active; });
    const bool same = before && before->tree.hash() == tree.hash();
    // Those who come meanwhile get the snapshot of this version.
    const auto entries = entries_;
    const Telling telling(telling_);
    std::exception_ptr thrown;
    for (const auto& entry : entries) {
        if (!entry->active) continue;
        try {
            if (!entry->has_snapshot || !before) {
                tell_snapshot(*entry, version);
                continue;
            }
            if (same) continue;
            const auto changes = difference(before->tree, tree, entry->prefix);
            if (changes.empty()) continue;
            entry->on_update({version.root, version.tree, /*snapshot=*/false, changes});
        } catch (...) {
            if (!thrown) thrown = std::current_exception();
        }
    }
    return thrown;
}

std::size_t Subscribers::size() const noexcept {
    const auto active = [](const auto& entry) { return entry->active; };
    return static_cast<std::size_t>(std::count_if(entries_.begin(), entries_.end(), active));
}

}  // namespace skywire::cxo
