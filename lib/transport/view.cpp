#include "transport/view.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include <boost/asio/post.hpp>

namespace skywire::transport {

/// Held by the one who follows and, weakly, by the state; `on_update` and `active` are touched on
/// `loop` alone.
class TransportView::Follower {
 public:
    Follower(std::string label_in, Executor loop_in, OnUpdate on_update_in)
        : label(std::move(label_in)),
          loop(std::move(loop_in)),
          on_update(std::move(on_update_in)) {}

    const std::string label;
    const Executor loop;
    OnUpdate on_update;
    bool active = true;
    /// Updates on their way.
    std::atomic<std::size_t> pending{0};
    /// Under the state's lock: whose changes it is told, and whether some were dropped.
    std::weak_ptr<Source> source;
    bool behind = false;
};

struct TransportView::State {
    std::shared_ptr<Source> find(std::string_view label) const {
        for (const auto& [name, source] : sources)
            if (label.empty() || label == name) return source;
        return nullptr;
    }

    std::mutex mutex;
    /// In order of publication.
    std::vector<std::pair<std::string, std::shared_ptr<Source>>> sources;
    std::vector<std::weak_ptr<Follower>> followers;
};

/// One publication; all but `loop` is touched on that loop alone.
class TransportView::Source : public std::enable_shared_from_this<Source> {
 public:
    Source(
        std::shared_ptr<State> state, Executor loop_in, std::function<std::vector<Entry>()> snapshot
    )
        : loop(std::move(loop_in)), state_(std::move(state)), snapshot_(std::move(snapshot)) {}

    void put(Entry entry) {
        ++version_;
        if (gather()) waiting_[entry.id] = std::move(entry);
    }

    void remove(const TransportId& id) {
        ++version_;
        if (gather()) waiting_[id] = std::nullopt;
    }

    /// No call of `snapshot_` any more.
    void end() { snapshot_ = nullptr; }

    std::uint64_t version() const noexcept { return version_; }

    /// Hands the whole list to one follower, from any thread.
    void ask_for_all(const std::shared_ptr<Follower>& follower) {
        asio::post(loop, [self = shared_from_this(), follower] { self->send_all(follower); });
    }

    const Executor loop;

 private:
    /// False where nobody listens. Changes before a follower's first list are in that list.
    bool gather() {
        if (!waiting_.empty()) return true;
        {
            const std::scoped_lock lock(state_->mutex);
            const auto listens = [this](const std::weak_ptr<Follower>& weak) {
                const auto follower = weak.lock();
                return follower && follower->source.lock().get() == this;
            };
            if (std::none_of(state_->followers.begin(), state_->followers.end(), listens))
                return false;
        }
        asio::post(loop, [self = shared_from_this()] { self->flush(); });
        return true;
    }

    void flush() {
        const auto update = std::make_shared<Update>();
        update->version = version_;
        for (auto& [id, entry] : std::exchange(waiting_, {})) {
            if (entry) {
                update->put.push_back(std::move(*entry));
            } else {
                update->removed.push_back(id);
            }
        }
        const std::scoped_lock lock(state_->mutex);
        for (const auto& weak : state_->followers) {
            const auto follower = weak.lock();
            if (!follower || follower->source.lock().get() != this || follower->behind) continue;
            if (follower->pending.load() >= kPendingMax) {
                follower->behind = true;
            } else {
                post(follower, update);
            }
        }
    }

    void send_all(const std::shared_ptr<Follower>& follower) {
        if (!snapshot_) return;
        const auto update = std::make_shared<Update>();
        update->complete = true;
        update->version = version_;
        update->put = snapshot_();
        const std::scoped_lock lock(state_->mutex);
        follower->source = weak_from_this();
        follower->behind = false;
        post(follower, update);
    }

    void post(const std::shared_ptr<Follower>& follower, std::shared_ptr<const Update> update) {
        follower->pending.fetch_add(1);
        asio::post(
            follower->loop,
            [self = shared_from_this(), follower, update = std::move(update)] {
                if (follower->active) follower->on_update(*update);
                if (follower->pending.fetch_sub(1) == 1) self->caught_up(follower);
            }
        );
    }

    /// On the follower's loop.
    void caught_up(const std::shared_ptr<Follower>& follower) {
        {
            const std::scoped_lock lock(state_->mutex);
            if (!follower->behind || follower->source.lock().get() != this) return;
        }
        ask_for_all(follower);
    }

    std::shared_ptr<State> state_;
    std::function<std::vector<Entry>()> snapshot_;
    /// Of this turn of the loop; nothing = removed.
    std::unordered_map<TransportId, std::optional<Entry>> waiting_;
    std::uint64_t version_ = 0;
};

class TransportView::FollowerHandle final : public Following {
 public:
    explicit FollowerHandle(std::shared_ptr<Follower> follower) : follower_(std::move(follower)) {}
    ~FollowerHandle() override { follower_->active = false; }
    FollowerHandle(const FollowerHandle&) = delete;
    FollowerHandle& operator=(const FollowerHandle&) = delete;

 private:
    std::shared_ptr<Follower> follower_;
};

class TransportView::SourceHandle final : public Publication {
 public:
    SourceHandle(std::shared_ptr<State> state, std::shared_ptr<Source> source)
        : state_(std::move(state)), source_(std::move(source)) {}
    ~SourceHandle() override {
        source_->end();
        const std::scoped_lock lock(state_->mutex);
        std::erase_if(state_->sources, [this](const auto& named) {
            return named.second == source_;
        });
    }
    SourceHandle(const SourceHandle&) = delete;
    SourceHandle& operator=(const SourceHandle&) = delete;

    void put(Entry entry) override { source_->put(std::move(entry)); }
    void remove(const TransportId& id) override { source_->remove(id); }
    std::uint64_t version() const noexcept override { return source_->version(); }

 private:
    std::shared_ptr<State> state_;
    std::shared_ptr<Source> source_;
};

TransportView::TransportView() : state_(std::make_shared<State>()) {}
TransportView::~TransportView() = default;

std::unique_ptr<TransportView::Following> TransportView::follow(
    std::string label, Executor loop, OnUpdate on_update
) {
    const auto follower =
        std::make_shared<Follower>(std::move(label), std::move(loop), std::move(on_update));
    const std::scoped_lock lock(state_->mutex);
    std::erase_if(state_->followers, [](const auto& weak) { return weak.expired(); });
    state_->followers.push_back(follower);
    if (const auto source = state_->find(follower->label)) source->ask_for_all(follower);
    return std::make_unique<FollowerHandle>(follower);
}

std::unique_ptr<TransportView::Publication> TransportView::publish(
    std::string label, Executor loop, std::function<std::vector<Entry>()> snapshot
) {
    auto source = std::make_shared<Source>(state_, std::move(loop), std::move(snapshot));
    const std::scoped_lock lock(state_->mutex);
    std::erase_if(state_->sources, [&](const auto& named) { return named.first == label; });
    state_->sources.emplace_back(label, source);
    for (const auto& weak : state_->followers) {
        const auto follower = weak.lock();
        if (follower && state_->find(follower->label) == source) source->ask_for_all(follower);
    }
    return std::make_unique<SourceHandle>(state_, std::move(source));
}

bool TransportView::published(std::string_view label) const {
    const std::scoped_lock lock(state_->mutex);
    return state_->find(label) != nullptr;
}

}  // namespace skywire::transport
