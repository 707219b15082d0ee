// The way of a feed from its publisher to one subscriber, nodes with an event loop each, plain TCP
// over loopback with a relay between them that holds every byte for half a round trip.
//
//   bench_cxo_path sync ROUND_TRIP_MS [leaves] [directories]
//                              from the dial to a whole copy, leaves of 49 bytes
//   bench_cxo_path change ROUND_TRIP_MS [changes] [bytes] [gap_ms] [leaves]
//                              a value of so many bytes is put, and seen by the subscriber: the
//                              publisher gathers nothing, changes come every 20 ms, a quarter more
//                              or less
//   bench_cxo_path paced ROUND_TRIP_MS [changes]
//                              the same at a publisher's usual pace, 200 ms, with changes at random
//                              times, five a second on average
//
// One line of JSON, times in ms. Each run first measures the round trip that there really is.

#include "bench/delay.hpp"
#include "bench/load.hpp"
#include "cxo/feed.hpp"
#include "cxo/remote_feed.hpp"

#include <atomic>
#include <charconv>
#include <optional>
#include <random>

#include <fmt/format.h>

namespace skywire::bench {
namespace {

using namespace std::chrono_literals;

/// Loops of the parties, and of the way between them.
constexpr std::size_t kPublisher = 0;
constexpr std::size_t kSubscriber = 1;
constexpr std::size_t kWay = 2;

double ms(Duration duration) {
    return std::chrono::duration<double, std::milli>(duration).count();
}

double percentile(std::vector<double>& values, double part) {
    std::ranges::sort(values);
    const auto last = static_cast<double>(values.size() - 1);
    return values[static_cast<std::size_t>(part * last + 0.5)];
}

std::string path_of(std::size_t leaf, std::size_t directories) {
    return directories == 0 ? fmt::format("k{:06}", leaf)
                            : fmt::format("{:02x}/k{:06}", leaf % directories, leaf);
}

/// A number, and 0s behind it.
Bytes value_of(std::size_t number, std::size_t size = 49) {
    std::string text = fmt::format("{} ", number);
    text.resize(std::max(size, text.size()), '0');
    const ByteSpan bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

std::optional<std::size_t> number_of(ByteSpan value) {
    const std::string_view text = as_text(value);
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return std::nullopt;
    return number;
}

/// A publisher with a feed, behind a way of this length.
class Publisher {
 public:
    Publisher(World& world, cxo::PublisherPace pace)
        : keys_(crypto::deterministic_key_pair("bench publisher")),
          context_(world.context(kPublisher)),
          node_(context_, cxo::NodeOptions(keys_)),
          feed_(context_, node_, options(keys_, pace)) {
        node_.serve(
            need(
                context_.network.listen(context_.loop, net::Address::tcp("127.0.0.1", 0)), "listen"
            ),
            cxo::Carrier::plain
        );
    }

    cxo::Feed& feed() { return feed_; }
    const crypto::PublicKey& key() const { return keys_.public_key; }
    net::Address address() const { return node_.addresses().front(); }

    void fill(std::size_t leaves, std::size_t directories) {
        std::vector<cxo::Change> changes;
        changes.reserve(leaves);
        for (std::size_t i = 0; i < leaves; ++i)
            changes.push_back({path_of(i, directories), value_of(1'000'000'000 + i)});
        need(feed_.batch(std::move(changes)), "fill");
    }
    Task<> published() {
        while (feed_.state().dirty)
            co_await net::sleep_for(context_.clock, 1ms);
    }
    Task<> close() {
        const SteadyTime deadline = context_.clock.now() + 5s;
        co_await feed_.close(deadline);
        co_await node_.close(deadline);
    }

 private:
    static cxo::FeedOptions options(const crypto::KeyPair& keys, cxo::PublisherPace pace) {
        cxo::FeedOptions options(keys);
        options.pace = pace;
        return options;
    }

    crypto::KeyPair keys_;
    net::Context context_;
    cxo::Node node_;
    cxo::Feed feed_;
};

/// A node with a copy of it.
class Subscriber {
 public:
    Subscriber(World& world, const crypto::PublicKey& feed, const net::Address& at)
        : context_(world.context(kSubscriber)),
          node_(context_, cxo::NodeOptions(crypto::deterministic_key_pair("bench subscriber"))),
          copy_(context_, node_, cxo::RemoteFeedOptions(feed, cxo::plain_route(context_, at))) {}

    cxo::RemoteFeed& copy() { return copy_; }
    Task<> wait() {
        need(co_await copy_.connect_and_wait_for_root(context_.clock.now() + 60s), "sync");
    }
    Task<> close() {
        const SteadyTime deadline = context_.clock.now() + 5s;
        co_await copy_.close(deadline);
        co_await node_.close(deadline);
    }

 private:
    net::Context context_;
    cxo::Node node_;
    cxo::RemoteFeed copy_;
};

/// Runs what must be run on a loop.
template <class Work>
auto on(World& world, std::size_t loop, Work work) {
    const auto task = [&]() -> Task<decltype(work())> { co_return work(); };
    return world.run(loop, task());
}

Task<> echo(net::Listener& listener) {
    auto stream = need(co_await listener.accept(), "accept");
    Bytes room(4096);
    for (;;) {
        const auto size = co_await stream->read_some(room);
        if (!size || *size == 0) co_return;
        need(co_await stream->write(ByteSpan(room).first(*size)), "echo");
    }
}

Task<double> ask_and_wait(net::Context context, net::Address at) {
    auto stream = need(co_await context.network.dial(context.loop, at), "dial");
    std::vector<double> times;
    Bytes room(64);
    for (int i = 0; i < 40; ++i) {
        const SteadyTime began = context.clock.now();
        need(co_await stream->write(room), "ask");
        need(co_await stream->read_some(room), "answer");
        times.push_back(ms(context.clock.now() - began));
        co_await net::sleep_for(context.clock, 2ms);
    }
    stream->close();
    co_return percentile(times, 0.5);
}

/// A party's address, and the way to it.
class Way {
 public:
    Way(World& world, const net::Address& to, Duration round_trip) : world_(world), to_(to) {
        if (round_trip == Duration()) return;
        way_ = on(world, kWay, [&] {
            return std::make_unique<LongWay>(world.context(kWay), to, round_trip / 2);
        });
    }
    net::Address begin() const { return way_ ? way_->address() : to_; }
    void close() {
        if (!way_) return;
        world_.run(kWay, way_->close());
        on(world_, kWay, [&] {
            way_.reset();
            return 0;
        });
    }

 private:
    World& world_;
    net::Address to_;
    std::unique_ptr<LongWay> way_;
};

/// Between the two loops, of a few bytes: what there is without any feed.
double bare_round_trip(World& world, Duration round_trip) {
    const net::Context publisher = world.context(kPublisher);
    const auto listener =
        need(publisher.network.listen(publisher.loop, net::Address::tcp("127.0.0.1", 0)), "listen");
    Way way(world, listener->local(), round_trip);
    auto answered = asio::co_spawn(world.loops.at(kPublisher), echo(*listener), asio::use_future);
    const double median =
        world.run(kSubscriber, ask_and_wait(world.context(kSubscriber), way.begin()));
    answered.get();
    way.close();
    return median;
}

Task<double> sync_once(Subscriber& subscriber) {
    const SteadyTime began = std::chrono::steady_clock::now();
    co_await subscriber.wait();
    co_return ms(std::chrono::steady_clock::now() - began);
}

void sync(Duration round_trip, std::size_t leaves, std::size_t directories) {
    World world(3);
    const double bare = bare_round_trip(world, round_trip);
    auto publisher = on(world, kPublisher, [&] {
        auto made = std::make_unique<Publisher>(world, cxo::PublisherPace{});
        made->fill(leaves, directories);
        return made;
    });
    world.run(kPublisher, publisher->published());
    Way way(world, publisher->address(), round_trip);
    auto subscriber = on(world, kSubscriber, [&] {
        return std::make_unique<Subscriber>(world, publisher->key(), way.begin());
    });
    const double published_before = world.run(kPublisher, thread_cpu());
    const double followed_before = world.run(kSubscriber, thread_cpu());
    const double took = world.run(kSubscriber, sync_once(*subscriber));
    const double followed = world.run(kSubscriber, thread_cpu()) - followed_before;
    const double published = world.run(kPublisher, thread_cpu()) - published_before;
    const auto state = on(world, kSubscriber, [&] { return subscriber->copy().state(); });
    if (state.leaves != leaves) give_up("sync", "leaves are missing");
    fmt::print(
        "{{\"round_trip_ms\": {:.3f}, \"sync_ms\": {:.1f}, \"rounds\": {}, \"objects\": {}, "
        "\"publisher_cpu_ms\": {:.1f}, \"subscriber_cpu_ms\": {:.1f}}}\n",
        bare,
        took,
        state.counts.rounds,
        state.counts.objects,
        published * 1e3,
        followed * 1e3
    );
    world.run(kSubscriber, subscriber->close());
    way.close();
    world.run(kPublisher, publisher->close());
    on(world, kSubscriber, [&] {
        subscriber.reset();
        return 0;
    });
    on(world, kPublisher, [&] {
        publisher.reset();
        return 0;
    });
}

/// When what was put, published, and seen; written by one loop each, read once all is over.
struct Times {
    explicit Times(std::size_t count) : put(count), published(count), visible(count) {}
    std::vector<SteadyTime> put;
    std::vector<SteadyTime> published;
    std::vector<SteadyTime> visible;
    std::atomic<std::size_t> seen{0};
};

cxo::OnFeedUpdate note(std::vector<SteadyTime>& times, std::atomic<std::size_t>* seen) {
    return [&times, seen](const cxo::FeedUpdate& update) {
        if (update.snapshot) return;
        const SteadyTime now = std::chrono::steady_clock::now();
        for (const cxo::Difference& change : update.changes) {
            const auto number = change.value ? number_of(*change.value) : std::nullopt;
            if (!number || *number >= times.size()) continue;
            times[*number] = now;
            if (seen != nullptr) ++*seen;
        }
    };
}

struct Changes {
    std::size_t count = 300;
    std::size_t bytes = 49;
    double gap_ms = 20;
    std::size_t leaves = 10'000;
    bool random_times = false;
};

Task<> make_changes(net::Context context, cxo::Feed& feed, Changes changes, Times& times) {
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> even(0.75 * changes.gap_ms, 1.25 * changes.gap_ms);
    std::exponential_distribution<double> chance(1.0 / 200);
    for (std::size_t i = 0; i < changes.count; ++i) {
        const double gap = changes.random_times ? chance(random) : even(random);
        co_await net::sleep_for(
            context.clock,
            std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(gap))
        );
        Bytes value = value_of(i, changes.bytes);
        // Each at a path of its own: one that two changes meet at would be told of once.
        const std::string path = path_of((i * 7919) % changes.leaves, 0);
        times.put[i] = context.clock.now();
        need(feed.put(path, std::move(value)), "put");
    }
    const SteadyTime deadline = context.clock.now() + 20s;
    while (times.seen < changes.count) {
        if (context.clock.now() > deadline) give_up("changes", "not all were seen");
        co_await net::sleep_for(context.clock, 1ms);
    }
}

std::vector<double> differences(
    const std::vector<SteadyTime>& before, const std::vector<SteadyTime>& after
) {
    std::vector<double> values;
    values.reserve(before.size());
    for (std::size_t i = 0; i < before.size(); ++i)
        values.push_back(ms(after[i] - before[i]));
    return values;
}

void print(double bare, const Times& times, const cxo::RemoteFeed::State& state) {
    std::vector<double> all = differences(times.put, times.visible);
    std::vector<double> gathering = differences(times.put, times.published);
    std::vector<double> way = differences(times.published, times.visible);
    fmt::print(
        "{{\"round_trip_ms\": {:.3f}, \"p50_ms\": {:.3f}, \"p99_ms\": {:.3f}, \"max_ms\": {:.3f}, "
        "\"gathered_p50_ms\": {:.3f}, \"gathered_p99_ms\": {:.3f}, \"way_p50_ms\": {:.3f}, "
        "\"way_p99_ms\": {:.3f}, \"roots\": {}, \"rounds_of_last\": {}}}\n",
        bare,
        percentile(all, 0.5),
        percentile(all, 0.99),
        percentile(all, 1),
        percentile(gathering, 0.5),
        percentile(gathering, 0.99),
        percentile(way, 0.5),
        percentile(way, 0.99),
        state.counts.roots,
        state.counts.rounds
    );
}

void change(Duration round_trip, cxo::PublisherPace pace, Changes changes) {
    if (changes.count > changes.leaves) give_up("changes", "more than leaves");
    World world(3);
    const double bare = bare_round_trip(world, round_trip);
    Times times(changes.count);
    auto publisher = on(world, kPublisher, [&] {
        auto made = std::make_unique<Publisher>(world, pace);
        made->fill(changes.leaves, 0);
        return made;
    });
    world.run(kPublisher, publisher->published());
    Way way(world, publisher->address(), round_trip);
    auto subscriber = on(world, kSubscriber, [&] {
        return std::make_unique<Subscriber>(world, publisher->key(), way.begin());
    });
    world.run(kSubscriber, subscriber->wait());
    auto published = on(world, kPublisher, [&] {
        return publisher->feed().subscribe({}, note(times.published, nullptr));
    });
    auto visible = on(world, kSubscriber, [&] {
        return subscriber->copy().subscribe({}, note(times.visible, &times.seen));
    });
    world.run(
        kPublisher, make_changes(world.context(kPublisher), publisher->feed(), changes, times)
    );
    print(bare, times, on(world, kSubscriber, [&] {
              visible.reset();
              return subscriber->copy().state();
          }));
    world.run(kSubscriber, subscriber->close());
    way.close();
    on(world, kPublisher, [&] {
        published.reset();
        return 0;
    });
    world.run(kPublisher, publisher->close());
    on(world, kSubscriber, [&] {
        subscriber.reset();
        return 0;
    });
    on(world, kPublisher, [&] {
        publisher.reset();
        return 0;
    });
}

void run(const std::vector<std::string>& arguments) {
    const auto number = [&](std::size_t index, double otherwise) {
        return arguments.size() > index ? std::stod(arguments[index]) : otherwise;
    };
    const auto count = [&](std::size_t index, std::size_t otherwise) {
        return static_cast<std::size_t>(number(index, static_cast<double>(otherwise)));
    };
    const std::string what = arguments.empty() ? "" : arguments[0];
    const auto round_trip =
        std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(number(1, 0))
        );
    if (what == "sync") {
        sync(round_trip, count(2, 10'000), count(3, 0));
    } else if (what == "change") {
        cxo::PublisherPace pace;
        pace.quiet = pace.interval = 1ms;
        change(
            round_trip,
            pace,
            {.count = count(2, 300),
             .bytes = count(3, 49),
             .gap_ms = number(4, 20),
             .leaves = count(5, 10'000)}
        );
    } else if (what == "paced") {
        change(round_trip, {}, {.count = count(2, 100), .random_times = true});
    } else {
        give_up("usage", "bench_cxo_path sync|change|paced ROUND_TRIP_MS ...");
    }
}

}  // namespace
}  // namespace skywire::bench

int main(int argc, char** argv) {
    skywire::bench::run({argv + 1, argv + argc});
}
