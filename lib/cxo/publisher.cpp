#include "cxo/publisher.hpp"

#include <algorithm>
#include <unordered_set>

namespace skywire::cxo {
namespace {

/// Those of `candidates` that the tree has, parents before children. Objects of versions that were
/// never published are among the candidates; a new object has new parents.
std::vector<ObjectPtr> in_tree(const std::vector<ObjectPtr>& candidates, const Tree& tree) {
    std::unordered_set<const Object*> wanted;
    wanted.reserve(candidates.size());
    for (const ObjectPtr& candidate : candidates)
        wanted.insert(candidate.get());
    std::vector<ObjectPtr> found;
    if (wanted.erase(tree.root().get()) > 0) found.push_back(tree.root());
    for (std::size_t i = 0; i < found.size(); ++i) {
        // A copy: `found` grows.
        const ObjectPtr parent = found[i];
        for (const ObjectPtr& child : parent->children()) {
            if (wanted.erase(child.get()) > 0) found.push_back(child);
        }
    }
    return found;
}

}  // namespace

class Publisher::Impl {
 public:
    Impl(
        const crypto::KeyPair& keys,
        ObjectIndex& index,
        const PublisherPace& pace,
        std::int64_t start
    )
        : keys_(keys), pace_(pace), tree_(index), last_time_(std::max(start, std::int64_t{1})) {
        next_.feed = keys.public_key;
        next_.nonce = static_cast<std::uint64_t>(last_time_);
    }

    const crypto::PublicKey& feed() const noexcept { return keys_.public_key; }
    const Tree& tree() const noexcept { return tree_; }
    const AnnouncementPtr& last() const noexcept { return last_; }

    void take(Tree::Applied applied, SteadyTime now);
    void publish_even_if_empty(SteadyTime now);
    SteadyTime next_time() const noexcept;
    AnnouncementPtr on_time(SteadyTime now, std::int64_t wall);

 private:
    void set_due(SteadyTime now);
    void collect_made(Announcement& version);

    crypto::KeyPair keys_;
    PublisherPace pace_;
    Tree tree_;
    AnnouncementPtr last_;

    /// The next Root, as far as it is known.
    Root next_;
    std::int64_t last_time_;

    /// Objects of the changes since the last version.
    std::vector<ObjectPtr> made_;
    std::size_t changes_ = 0;
    /// When there is something to publish.
    std::optional<SteadyTime> due_;
    /// Though there be nothing.
    bool forced_ = false;
    std::optional<SteadyTime> changed_at_;
    SteadyTime published_at_;
};

void Publisher::Impl::take(Tree::Applied applied, SteadyTime now) {
    if (applied.tree.root() == tree_.root()) return;
    tree_ = std::move(applied.tree);
    ++changes_;
    if (made_.empty())
        made_ = std::move(applied.made);
    else
        made_.insert(made_.end(), applied.made.begin(), applied.made.end());

    const bool as_published = last_ ? last_->tree.hash() == tree_.hash() : tree_.empty();
    if (!as_published) {
        if (!due_) set_due(now);
        // Changes that nobody waits for do not pile up.
        if (made_.size() > 2 * tree_.count() + 1024) made_ = in_tree(made_, tree_);
    } else if (!forced_) {
        due_.reset();
        made_.clear();
        changes_ = 0;
    }
    changed_at_ = now;
}

void Publisher::Impl::set_due(SteadyTime now) {
    const SteadyTime earliest = last_ ? published_at_ + pace_.interval : now;
    const bool quiet = !changed_at_ || now - *changed_at_ >= pace_.quiet;
    due_ = quiet || earliest > now ? std::max(now, earliest) : now + pace_.interval;
}

void Publisher::Impl::publish_even_if_empty(SteadyTime now) {
    if (last_) return;
    forced_ = true;
    if (!due_) due_ = now;
}

SteadyTime Publisher::Impl::next_time() const noexcept {
    if (due_) return *due_;
    return last_ ? published_at_ + pace_.heartbeat : SteadyTime::max();
}

AnnouncementPtr Publisher::Impl::on_time(SteadyTime now, std::int64_t wall) {
    if (now < next_time()) return nullptr;
    next_.tree = tree_.hash();
    next_.time = std::max(wall, last_time_ + (last_ ? 1 : 0));
    SignedRoot root = sign(next_, keys_);
    Bytes message = encode_message(root);
    next_.previous = hash_of(root);
    ++next_.seq;
    last_time_ = next_.time;

    auto version = std::make_shared<Announcement>(
        Announcement{std::move(root), std::move(message), tree_, {}, 0}
    );
    collect_made(*version);
    due_.reset();
    forced_ = false;
    published_at_ = now;
    last_ = std::move(version);
    return last_;
}

void Publisher::Impl::collect_made(Announcement& version) {
    version.made = changes_ > 1 ? in_tree(made_, tree_) : std::move(made_);
    made_.clear();
    changes_ = 0;
    for (const ObjectPtr& object : version.made)
        version.made_bytes += object->bytes().size();
    if (version.made_bytes > kMadeMax) version.made = {};
}

Publisher::Publisher(
    const crypto::KeyPair& keys, ObjectIndex& index, const PublisherPace& pace, std::int64_t start
)
    : impl_(std::make_unique<Impl>(keys, index, pace, start)) {}

Publisher::~Publisher() = default;
Publisher::Publisher(Publisher&&) noexcept = default;
Publisher& Publisher::operator=(Publisher&&) noexcept = default;

const crypto::PublicKey& Publisher::feed() const noexcept {
    return impl_->feed();
}

Result<> Publisher::batch(std::vector<Change> changes, SteadyTime now) {
    auto applied = tree().apply(std::move(changes));
    if (!applied) return applied.error();
    impl_->take(std::move(*applied), now);
    return {};
}

Result<> Publisher::put(std::string_view path, Bytes value, SteadyTime now) {
    std::vector<Change> changes;
    changes.push_back({std::string(path), std::move(value)});
    return batch(std::move(changes), now);
}

Result<> Publisher::remove(std::string_view path, SteadyTime now) {
    return batch({{std::string(path), std::nullopt}}, now);
}

Result<> Publisher::remove_below(std::string_view path, SteadyTime now) {
    auto applied = tree().remove_below(path);
    if (!applied) return applied.error();
    impl_->take(std::move(*applied), now);
    return {};
}

void Publisher::publish_even_if_empty(SteadyTime now) {
    impl_->publish_even_if_empty(now);
}

const Tree& Publisher::tree() const noexcept {
    return impl_->tree();
}

const AnnouncementPtr& Publisher::last() const noexcept {
    return impl_->last();
}

SteadyTime Publisher::next_time() const noexcept {
    return impl_->next_time();
}

AnnouncementPtr Publisher::on_time(SteadyTime now, std::int64_t wall) {
    return impl_->on_time(now, wall);
}

}  // namespace skywire::cxo
