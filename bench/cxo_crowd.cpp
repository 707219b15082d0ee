// One feed with many subscribers. bench/feeds.py starts both programs and looks at CPU and resident
// memory of each.
//
//   bench_cxo_crowd publish INTERVAL_MS [leaves]
//       publishes a feed of so many leaves of 49 bytes, one loop, plain TCP; says where, then does
//       what it reads, a command and its numbers on each line, and answers each:
//         wait SUBSCRIBERS          until there are so many
//         change COUNT GAP_US       so many changes of one value each, until all are published;
//         with
//                                   a gap of 0 each waits until the one before it is
//   bench_cxo_crowd follow HOST:PORT KEY COPIES
//       so many copies, connections of their own, on one loop; commands:
//         begin                     follows, until all copies are whole
//         reach SEQ                 until all have that Root
//   bench_cxo_crowd read|deaf HOST:PORT KEY COUNT
//       so many subscribers that ask for nothing, and read all that comes without looking at it, or
//       never read; those that never read come again where they are hung up on; commands:
//         begin                     subscribes
//         state                     how many are lost, and what was read
//
// Answers are a line of JSON each.

#include "bench/load.hpp"
#include "cxo/feed.hpp"
#include "cxo/message.hpp"
#include "cxo/node_counters.hpp"
#include "cxo/remote_feed.hpp"
#include "net/event.hpp"

#include <iostream>
#include <sstream>

#include <fmt/format.h>
#include <malloc.h>

namespace skywire::bench {
namespace {

using namespace std::chrono_literals;

/// Copies that shake hands at a time: a node lets no more of one address do so.
constexpr std::size_t kWave = 32;
constexpr Duration kPatience = 120s;

/// What the heap has handed out: what resident memory has beyond it was let go of before.
std::size_t heap_bytes() {
    const struct mallinfo2 heap = mallinfo2();
    return heap.uordblks + heap.hblkhd;
}

void say(const std::string& line) {
    std::cout << line << std::endl;
}

/// The numbers behind the commands of one line after the other.
using Arguments = std::vector<std::uint64_t>;
template <class Handle>
void read_commands(const Handle& handle) {
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        std::string command;
        words >> command;
        Arguments arguments;
        for (std::uint64_t number = 0; words >> number;)
            arguments.push_back(number);
        arguments.resize(2);
        handle(command, arguments);
    }
}

std::string path_of(std::size_t leaf) {
    return fmt::format("k{:06}", leaf);
}

Bytes value_of(std::uint64_t number) {
    const std::string text = fmt::format("{:049}", number);
    const ByteSpan bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

/// Runs what must be run on the loop.
template <class Work>
auto on_loop(World& world, Work work) {
    const auto task = [&]() -> Task<decltype(work())> { co_return work(); };
    return world.run(0, task());
}

class Publisher {
 public:
    Publisher(World& world, Duration interval, std::size_t leaves)
        : world_(world),
          context_(world.context(0)),
          keys_(crypto::deterministic_key_pair("bench publisher")),
          leaves_(leaves),
          node_(context_, cxo::NodeOptions(keys_)),
          feed_(context_, node_, options(interval)),
          published_(context_.loop),
          versions_(feed_.subscribe({}, [this](const auto&) { published_.notify(); })) {
        std::vector<cxo::Change> changes;
        changes.reserve(leaves);
        for (std::size_t i = 0; i < leaves; ++i)
            changes.push_back({path_of(i), value_of(i)});
        need(feed_.batch(std::move(changes)), "fill");
        node_.serve(
            need(
                context_.network.listen(context_.loop, net::Address::tcp("127.0.0.1", 0)), "listen"
            ),
            cxo::Carrier::plain
        );
    }

    void introduce() const {
        say(fmt::format(
            R"({{"address": "{}", "key": "{}"}})",
            node_.addresses().front().to_string(),
            keys_.public_key.to_text()
        ));
    }

    Task<> wait(std::size_t subscribers) {
        const SteadyTime deadline = context_.clock.now() + kPatience;
        while (node_.subscribers(feed_.key()) != subscribers) {
            if (context_.clock.now() > deadline) give_up("subscribers", "too few");
            co_await net::sleep_for(context_.clock, 5ms);
        }
    }

    Task<> change(std::size_t count, Duration gap) {
        SteadyTime next = context_.clock.now();
        for (std::size_t i = 0; i < count; ++i) {
            next += gap;
            if (gap > Duration()) co_await net::sleep_until(context_.clock, next);
            ++made_;
            need(feed_.put(path_of(made_ * 7919 % leaves_), value_of(leaves_ + made_)), "put");
            if (gap == Duration()) co_await all_published();
        }
        co_await all_published();
    }

    std::string state() {
        const auto feed = feed_.state();
        const auto node = node_.status();
        const auto count = [&](const char* name, std::string reason) {
            return world_.metrics.counter(name, "", {{"reason", std::move(reason)}}).value();
        };
        return fmt::format(
            R"({{"subscribers": {}, "versions": {}, "seq": {}, "buffered": {}, "objects": {}, )"
            R"("object_bytes": {}, "coalesced": {}, "stalled": {}, "bytes_out": {}, "heap": {}}})",
            feed.subscribers,
            feed.versions,
            feed.seq,
            node.buffered_bytes,
            node.objects,
            node.object_bytes,
            count("cxo_link_events_total", "root_coalesced"),
            count("cxo_ended_total", "stalled"),
            node_.counters().bytes_out.value(),
            heap_bytes()
        );
    }

    Task<> close() {
        const SteadyTime deadline = context_.clock.now() + 10s;
        versions_.reset();
        co_await feed_.close(deadline);
        co_await node_.close(deadline);
    }

 private:
    Task<> all_published() {
        while (feed_.state().dirty)
            co_await published_.wait();
    }
    cxo::FeedOptions options(Duration interval) const {
        cxo::FeedOptions options(keys_);
        options.pace.quiet = options.pace.interval = interval;
        return options;
    }

    World& world_;
    net::Context context_;
    crypto::KeyPair keys_;
    std::size_t leaves_;
    std::uint64_t made_ = 0;
    cxo::Node node_;
    cxo::Feed feed_;
    net::Event published_;
    cxo::Subscription versions_;
};

void publish(Duration interval, std::size_t leaves) {
    World world(1);
    auto publisher =
        on_loop(world, [&] { return std::make_unique<Publisher>(world, interval, leaves); });
    publisher->introduce();
    read_commands([&](const std::string& command, const Arguments& numbers) {
        if (command == "wait") {
            world.run(0, publisher->wait(numbers[0]));
        } else if (command == "change") {
            world.run(0, publisher->change(numbers[0], std::chrono::microseconds(numbers[1])));
        } else {
            give_up("command", command);
        }
        say(on_loop(world, [&] { return publisher->state(); }));
    });
    world.run(0, publisher->close());
    on_loop(world, [&] { return publisher.reset(), 0; });
}

class Followers {
 public:
    Followers(World& world, const Target& feed, std::size_t count)
        : context_(world.context(0)),
          node_(context_, cxo::NodeOptions(crypto::deterministic_key_pair("bench followers"))),
          feed_(feed),
          count_(count) {}

    Task<> begin() {
        const auto route = cxo::plain_route(context_, feed_.address);
        while (copies_.size() < count_) {
            const std::size_t first = copies_.size();
            while (copies_.size() < std::min(count_, first + kWave)) {
                cxo::RemoteFeedOptions options(feed_.key, route);
                options.keys = crypto::generate_key_pair(context_.random);
                copies_.push_back(
                    std::make_unique<cxo::RemoteFeed>(context_, node_, std::move(options))
                );
                copies_.back()->start();
            }
            for (std::size_t i = first; i < copies_.size(); ++i) {
                const SteadyTime deadline = context_.clock.now() + kPatience;
                need(co_await copies_[i]->connect_and_wait_for_root(deadline), "copy");
            }
        }
    }

    Task<> reach(std::uint64_t seq) {
        const SteadyTime deadline = context_.clock.now() + kPatience;
        for (const auto& copy : copies_) {
            while (copy->state().seq < seq) {
                if (context_.clock.now() > deadline) give_up("copies", "one stays behind");
                co_await net::sleep_for(context_.clock, 1ms);
            }
        }
    }

    std::string state() const {
        std::uint64_t roots = 0;
        std::uint64_t connections = 0;
        for (const auto& copy : copies_) {
            const auto state = copy->state();
            roots += state.counts.roots;
            connections += state.connections;
        }
        return fmt::format(
            R"({{"copies": {}, "roots": {}, "connections": {}, "buffered": {}, "heap": {}}})",
            copies_.size(),
            roots,
            connections,
            node_.status().buffered_bytes,
            heap_bytes()
        );
    }

    Task<> close() {
        const SteadyTime deadline = context_.clock.now() + 10s;
        for (const auto& copy : copies_)
            co_await copy->close(deadline);
        co_await node_.close(deadline);
        copies_.clear();
    }

 private:
    net::Context context_;
    cxo::Node node_;
    Target feed_;
    std::size_t count_;
    std::vector<std::unique_ptr<cxo::RemoteFeed>> copies_;
};

void follow(const Target& feed, std::size_t copies) {
    World world(1);
    auto followers =
        on_loop(world, [&] { return std::make_unique<Followers>(world, feed, copies); });
    say("{}");
    read_commands([&](const std::string& command, const Arguments& numbers) {
        if (command == "begin") {
            world.run(0, followers->begin());
        } else if (command == "reach") {
            world.run(0, followers->reach(numbers[0]));
        } else {
            give_up("command", command);
        }
        say(on_loop(world, [&] { return followers->state(); }));
    });
    world.run(0, followers->close());
    on_loop(world, [&] { return followers.reset(), 0; });
}

/// Subscribers that say all that one has to say, and ask for nothing: what they get they have read
/// when it came, or they never read it.
class Crowd {
 public:
    Crowd(World& world, Target feed, bool reads)
        : context_(world.context(0)),
          feed_(std::move(feed)),
          reads_(reads),
          scope_(context_.loop) {}

    /// One after another: a node lets only so many of one address shake hands at a time.
    Task<> begin(std::size_t count) {
        for (; size_ < count; ++size_) {
            auto stream = co_await subscribe();
            if (reads_) {
                need(co_await stream->read_some(room_), "Ack");
                scope_.spawn("read", [this, stream] { return read(stream); });
            }
            scope_.spawn("say", [this, stream] { return say_alive(stream); });
        }
    }

    std::string state() const {
        return fmt::format(
            R"({{"subscribers": {}, "lost": {}, "bytes": {}}})", size_, lost_, bytes_
        );
    }

    Task<> close() {
        const SteadyTime now = context_.clock.now();
        co_await scope_.close(context_.clock, now, now + 10s);
    }

 private:
    using StreamPtr = std::shared_ptr<net::Stream>;

    static Bytes frame(std::uint32_t seq, const cxo::Message& message) {
        return cxo::encode_frame({seq, 0, message});
    }

    Task<StreamPtr> subscribe() {
        const auto keys = crypto::generate_key_pair(context_.random);
        StreamPtr stream =
            need(co_await context_.network.dial(context_.loop, feed_.address), "dial");
        const Bytes syn = frame(1, cxo::Syn{cxo::kProtocolVersion, keys.public_key});
        const Bytes sub = frame(2, cxo::Sub{feed_.key});
        need(co_await stream->write(syn, sub), "subscribe");
        co_return stream;
    }

    Task<> say_alive(StreamPtr stream) {
        for (std::uint32_t seq = 3;; ++seq) {
            co_await net::sleep_for(context_.clock, 10s);
            const Bytes alive = frame(seq, cxo::RequestList{});
            const auto written = co_await stream->write(alive);
            if (written) continue;
            stream->close();
            ++lost_;
            if (reads_) co_return;
            // Who is hung up on comes again.
            stream = co_await subscribe();
            seq = 2;
        }
    }

    /// All into the same place: nobody looks at it.
    Task<> read(StreamPtr stream) {
        for (;;) {
            const auto size = co_await stream->read_some(room_);
            if (!size || *size == 0) co_return;
            bytes_ += *size;
        }
    }

    net::Context context_;
    Target feed_;
    bool reads_;
    Bytes room_ = Bytes(65536);
    std::size_t size_ = 0;
    std::uint64_t lost_ = 0;
    std::uint64_t bytes_ = 0;
    net::Scope scope_;
};

void subscribe(const Target& feed, std::size_t count, bool reads) {
    World world(1);
    auto crowd = on_loop(world, [&] { return std::make_unique<Crowd>(world, feed, reads); });
    say("{}");
    read_commands([&](const std::string& command, const Arguments&) {
        if (command == "begin") {
            world.run(0, crowd->begin(count));
        } else if (command != "state") {
            give_up("command", command);
        }
        say(on_loop(world, [&] { return crowd->state(); }));
    });
    world.run(0, crowd->close());
    on_loop(world, [&] { return crowd.reset(), 0; });
}

void run(const std::vector<std::string>& arguments) {
    const auto text = [&](std::size_t index) {
        return arguments.size() > index ? arguments[index] : std::string();
    };
    const auto number = [&](std::size_t index, std::size_t otherwise) {
        return text(index).empty() ? otherwise : std::stoul(text(index));
    };
    const std::string what = text(0);
    if (what == "publish") {
        publish(std::chrono::milliseconds(number(1, 200)), number(2, 10'000));
        return;
    }
    const Target feed = Target::parse(text(2) + '@' + text(1));
    if (what == "follow") {
        follow(feed, number(3, 1000));
    } else if (what == "read" || what == "deaf") {
        subscribe(feed, number(3, 1000), what == "read");
    } else {
        give_up("usage", "bench_cxo_crowd publish|follow|read|deaf ...");
    }
}

}  // namespace
}  // namespace skywire::bench

int main(int argc, char** argv) {
    skywire::bench::run({argv + 1, argv + argc});
}
