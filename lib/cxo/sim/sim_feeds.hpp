#pragma once

#include "base/test.hpp"
#include "cxo/feed.hpp"
#include "cxo/node.hpp"
#include "cxo/remote_feed.hpp"
#include "sim/trial.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

/// For simulations: one publisher that changes its feed all the time, and many copies of it, each
/// on a machine of its own.
namespace skywire::cxo::test {

using namespace std::chrono_literals;

struct SimOptions {
    std::size_t subscribers = 50;
    Carrier carrier = Carrier::plain;
    /// Of all links that no fault has changed.
    sim::LinkOptions links;
    /// Paths that are written to.
    std::size_t paths = 200;
    Duration change_pause_max = 600ms;
};

using sim::Wrongs;
using Content = std::map<std::string, std::string>;

inline Content content_of(const Tree& tree) {
    Content content;
    tree.walk("", [&](std::string_view path, ByteSpan leaf) {
        content.emplace(path, as_text(leaf));
        return true;
    });
    return content;
}

/// Each value begins with a number that only grows, whatever becomes of the publisher.
inline std::uint64_t number_of(std::string_view value) {
    std::uint64_t number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    return number;
}

/// What one subscriber was told since its process began, judged as it comes.
class SimDiary {
 public:
    SimDiary(Wrongs& wrongs, std::string who) : wrongs_(wrongs), who_(std::move(who)) {}

    void write(const FeedUpdate& update) {
        if (update.snapshot != (updates == 0)) wrong("a snapshot out of place");
        ++updates;
        std::string last;
        for (const Difference& change : update.changes) {
            if (change.path == last) wrong("two events of one version for " + last);
            last = change.path;
            if (!change.value) {
                if (content.erase(change.path) == 0) wrong(change.path + " went twice");
                continue;
            }
            const std::string value(as_text(*change.value));
            std::uint64_t& newest = newest_[change.path];
            if (number_of(value) <= newest)
                wrong(fmt::format("{}: {} behind {}", change.path, number_of(value), newest));
            newest = number_of(value);
            content[change.path] = value;
        }
        if (content.size() != update.tree.count()) wrong("events and content disagree");
    }

    Content content;
    std::size_t updates = 0;

 private:
    void wrong(const std::string& what) { wrongs_.push_back(who_ + ": " + what); }

    Wrongs& wrongs_;
    std::string who_;
    std::map<std::string, std::uint64_t> newest_;
};

struct SimPublisher {
    sim::Node& machine;
    crypto::KeyPair keys;
    /// Null while it is down.
    std::unique_ptr<Node> node = nullptr;
    std::unique_ptr<Feed> feed = nullptr;
    bool busy = false;
};

struct SimSubscriber {
    std::size_t index;
    sim::Node& machine;
    crypto::KeyPair keys;
    std::unique_ptr<Node> node = nullptr;
    std::unique_ptr<RemoteFeed> copy = nullptr;
    std::unique_ptr<SimDiary> diary = nullptr;
    Subscription subscription{};
    bool busy = false;
};

class SimFeeds : public sim::Trial {
 public:
    static constexpr std::uint16_t kPort = 8870;
    static constexpr Duration kEndMax = 10s;

    explicit SimFeeds(std::uint64_t seed, SimOptions options_in = {})
        : Trial(seed, options_in.links), options(options_in) {
        publisher.reset(
            new SimPublisher{world.node("publisher"), crypto::deterministic_key_pair("publisher")}
        );
        for (std::size_t i = 0; i < options.subscribers; ++i) {
            const auto name = fmt::format("subscriber{}", i);
            subscribers.emplace_back(
                new SimSubscriber{i, world.node(name), crypto::deterministic_key_pair(name)}
            );
        }
        work_ = std::make_unique<net::Scope>(world.loop());
    }
    ~SimFeeds() {
        // After a failure, too, what runs must have ended; the trace comes behind it.
        if (ended_) return;
        world.heal();
        publisher->machine.thaw();
        for (const auto& host : subscribers)
            host->machine.thaw();
        world.run(stop_all());
    }
    void start_all() {
        start(*publisher);
        for (const auto& host : subscribers)
            start(*host);
    }

    /// A publisher that has no memory of what it said before, but for what `kept` is.
    void start(SimPublisher& host, const std::set<std::string>& kept = {}) {
        const net::Context& context = host.machine.context();
        host.node = std::make_unique<Node>(context, NodeOptions(host.keys));
        auto listener = context.network.listen(world.loop(), host.machine.at(kPort)).value();
        host.node->serve(std::move(listener), options.carrier);
        host.feed = std::make_unique<Feed>(context, *host.node, FeedOptions(host.keys));
        std::vector<Change> changes;
        changes.reserve(kept.size());
        for (const std::string& path : kept)
            changes.push_back({path, next_value()});
        must(host.feed->batch(std::move(changes)));
        host.feed->publish_even_if_empty();
    }
    void start(SimSubscriber& host) {
        const net::Context& context = host.machine.context();
        host.node = std::make_unique<Node>(context, NodeOptions(host.keys));
        const net::Address at = publisher->machine.at(kPort);
        const Route route =
            options.carrier == Carrier::noise ? noise_route(context, at) : plain_route(context, at);
        host.copy = std::make_unique<RemoteFeed>(
            context, *host.node, RemoteFeedOptions(publisher->keys.public_key, route)
        );
        host.diary = std::make_unique<SimDiary>(wrongs, host.machine.name());
        host.subscription = host.copy->subscribe(
            "", [diary = host.diary.get()](const auto& update) { diary->write(update); }
        );
        host.copy->start();
    }

    Task<> stop(SimPublisher& host) {
        if (host.feed) co_await end("publisher", std::move(host.feed));
        if (host.node) co_await end("publisher", std::move(host.node));
    }
    Task<> stop(SimSubscriber& host) {
        if (host.copy) co_await end(host.machine.name(), std::move(host.copy));
        if (host.node) co_await end(host.machine.name(), std::move(host.node));
        host.subscription.reset();
    }

    /// Changes the feed until `end`.
    void change_all_the_time() {
        changing_ = true;
        work_->spawn("changes", [this] { return changes(); });
        work_->spawn("memory", [this] { return watch_memory(); });
    }
    void stop_changing() { changing_ = false; }

    /// Ends all in order, and looks at what is left.
    void end() {
        changing_ = false;
        world.run(stop_all());
        look_for_leftovers();
    }

    /// Every subscriber is live and has told its reader just what the publisher has.
    bool settled() { return why_unsettled(/*first=*/true).empty(); }
    std::string why_unsettled(bool first = false) {
        if (!publisher->feed) return "the publisher is down";
        if (publisher->feed->state().dirty) return "the publisher has more to say";
        std::string all;
        const Content truth = content_of(publisher->feed->tree());
        for (const auto& host : subscribers) {
            if (!host->copy) {
                all += host->machine.name() + " is down\n";
            } else if (const auto state = host->copy->state(); !state.live) {
                all += fmt::format("{} is not live: {}\n", host->machine.name(), state.error);
            } else if (host->diary->content != truth || content_of(host->copy->tree()) != truth) {
                all += fmt::format("{} has another content\n", host->machine.name());
            }
            if (first && !all.empty()) return all;
        }
        return all;
    }

    /// Once nothing changes any more, what is held is what the content is made of, to the object.
    void check_objects() {
        const std::size_t wanted = reachable(publisher->feed->tree());
        const auto check_one = [&](const std::string& who, Node& node) {
            const std::size_t held = node.index().size();
            if (held != wanted) wrong(fmt::format("{} holds {} objects of {}", who, held, wanted));
        };
        check_one("the publisher", *publisher->node);
        for (const auto& host : subscribers)
            check_one(host->machine.name(), *host->node);
    }

    /// Of all machines together, since each was first started.
    std::uint64_t counted(std::string_view name, const Labels& labels = {}) {
        std::uint64_t sum = publisher->machine.metrics().counter(name, "", labels).value();
        for (const auto& host : subscribers)
            sum += host->machine.metrics().counter(name, "", labels).value();
        return sum;
    }

    std::string some_path() {
        const std::size_t i = below(options.paths);
        return fmt::format("d{}/e{}/p{}", i % 3, i % 7, i);
    }
    Bytes next_value() {
        std::string value = fmt::format("{}:", ++number_);
        // Small ones mostly.
        const std::size_t kinds[] = {10, 10, 10, 10, 10, 100, 100, 1000, 1000, 20'000};
        value.resize(value.size() + below(kinds[below(std::size(kinds))]), 'x');
        const ByteSpan bytes = as_bytes(value);
        return {bytes.begin(), bytes.end()};
    }

 private:
    template <class T>
    Task<> end(std::string who, std::unique_ptr<T> what) {
        note_late(who, co_await what->close(world.clock().now() + kEndMax));
    }

    Task<> stop_all() {
        for (const auto& host : subscribers)
            co_await stop(*host);
        co_await stop(*publisher);
        ended_ = true;
        const auto now = world.clock().now();
        note_late("work", co_await work_->close(world.clock(), now, now + 1s));
    }

    void must(const Result<>& result) {
        if (!result) wrong(result.error().message());
    }

    Task<> changes() {
        while (changing_) {
            if (publisher->feed && publisher->machine.alive()) change_once();
            co_await sleep(between(1ms, options.change_pause_max));
        }
    }

    void change_once() {
        std::vector<Change> batch;
        const std::size_t size = chance(0.1) ? 1 + below(40) : 1;
        batch.reserve(size);
        for (std::size_t i = 0; i < size; ++i) {
            std::optional<Bytes> value;
            if (!chance(0.15)) value = next_value();
            batch.push_back({some_path(), std::move(value)});
        }
        must(publisher->feed->batch(std::move(batch)));
    }

    Task<> watch_memory() {
        // Every subscriber may hold back the versions that it was told last, with what has changed
        // since, and what its connection is writing.
        const std::size_t objects_max = (options.subscribers + 1) * (std::size_t{4} << 20);
        const std::size_t buffers_max = (options.subscribers + 1) * (std::size_t{1} << 20);
        while (changing_) {
            if (publisher->node) {
                const auto status = publisher->node->status();
                objects_most = std::max(objects_most, status.object_bytes);
                buffers_most = std::max(buffers_most, status.buffered_bytes);
                if (status.object_bytes > objects_max)
                    wrong(fmt::format("{} bytes of objects", status.object_bytes));
                if (status.buffered_bytes > buffers_max)
                    wrong(fmt::format("{} bytes of buffers", status.buffered_bytes));
            }
            for (const auto& host : subscribers)
                if (host->node) watch_memory_of(*host);
            co_await sleep(1s);
        }
    }

    /// A copy of the feed, what is fetched of the next one, and what came unasked.
    void watch_memory_of(const SimSubscriber& host) {
        constexpr std::size_t kCopyMax = std::size_t{4} << 20;
        constexpr std::size_t kBuffersMax = std::size_t{1} << 20;
        const auto status = host.node->status();
        copy_most = std::max(copy_most, status.object_bytes + status.buffered_bytes);
        if (status.object_bytes > kCopyMax)
            wrong(fmt::format("{}: {} bytes of objects", host.machine.name(), status.object_bytes));
        if (status.buffered_bytes > kBuffersMax)
            wrong(fmt::format("{}: {} bytes of buffers", host.machine.name(), status.buffered_bytes)
            );
    }

    static std::size_t reachable(const Tree& tree) {
        std::set<Hash> seen;
        std::vector<ObjectPtr> left{tree.root()};
        while (!left.empty()) {
            const ObjectPtr object = std::move(left.back());
            left.pop_back();
            if (!seen.insert(object->hash()).second) continue;
            left.insert(left.end(), object->children().begin(), object->children().end());
        }
        return seen.size();
    }

    bool changing_ = false;
    bool ended_ = false;
    std::uint64_t number_ = 0;

 public:
    SimOptions options;
    std::unique_ptr<SimPublisher> publisher;
    std::vector<std::unique_ptr<SimSubscriber>> subscribers;
    std::size_t objects_most = 0;
    std::size_t buffers_most = 0;
    std::size_t copy_most = 0;

 private:
    std::unique_ptr<net::Scope> work_;
};

}  // namespace skywire::cxo::test
