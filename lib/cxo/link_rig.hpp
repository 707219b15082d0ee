#pragma once

#include "base/test.hpp"
#include "cxo/link.hpp"
#include "cxo/publisher.hpp"
#include "cxo/replica.hpp"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

/// A link on the test bench, with what its owner has: feeds that it publishes, copies that it
/// keeps, a clock that is moved by hand.
namespace skywire::cxo::test {

using namespace std::chrono_literals;

inline crypto::KeyPair keys_of(std::string_view seed) {
    return crypto::deterministic_key_pair(seed);
}

inline std::string text_of(ByteSpan bytes) {
    return std::string(as_text(bytes));
}

inline Bytes bytes_of(std::string_view text) {
    const ByteSpan bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

inline ErrorCode code_of(const Result<>& result) {
    return result ? ErrorCode() : result.error().code();
}

/// All leaves of a tree.
inline std::map<std::string, std::string> leaves_of(const Tree& tree) {
    std::map<std::string, std::string> leaves;
    tree.walk("", [&](std::string_view path, ByteSpan leaf) {
        leaves.emplace(path, as_text(leaf));
        return true;
    });
    return leaves;
}

/// A version with this Root; `before` is the tree of the one before it.
inline AnnouncementPtr version_of(
    SignedRoot root, const Tree& tree, std::vector<ObjectPtr> made = {}
) {
    std::size_t size = 0;
    for (const ObjectPtr& object : made)
        size += object->bytes().size();
    Bytes message = encode_message(root);
    return std::make_shared<Announcement>(
        Announcement{std::move(root), std::move(message), tree, std::move(made), size}
    );
}

class Rig : public LinkEvents {
 public:
    Rig(Link::Role role, std::string_view seed, const LinkLimits& limits = {}, SteadyTime start = {}
    )
        : now(start), keys(keys_of(seed)), role_(role), limits_(limits) {
        connect();
    }

    /// A new connection, whatever became of the last.
    void connect() {
        link.emplace(role_, keys.public_key, limits_, *this, now);
        for (auto& [feed, replica] : replicas)
            replica->disconnected();
    }

    /// In pieces of this size, up to the first error.
    Result<> feed(ByteSpan bytes, std::size_t piece = SIZE_MAX) {
        for (std::size_t at = 0; at < bytes.size(); at += std::min(piece, bytes.size() - at)) {
            auto done = link->on_bytes(bytes.subspan(at, std::min(piece, bytes.size() - at)), now);
            if (!done) return done;
        }
        return {};
    }
    Result<> feed(const Frame& frame) { return feed(encode_frame(frame)); }
    Result<> pass(Duration time) {
        now += time;
        return link->on_time(now);
    }

    /// All that it has to say.
    Bytes sent() {
        Bytes bytes;
        while (link->has_output()) {
            for (const ByteSpan part : link->gather(now))
                bytes.insert(bytes.end(), part.begin(), part.end());
            link->wrote(now);
        }
        return bytes;
    }
    std::vector<Frame> frames() {
        storage_ = sent();
        std::vector<Frame> frames;
        for (ByteSpan rest = storage_; !rest.empty();) {
            std::size_t size = 0;
            for (std::size_t i = 0; i < 4; ++i)
                size = size << 8 | std::to_integer<std::size_t>(rest[i]);
            frames.push_back(decode_frame(rest.subspan(4, size)).value());
            rest = rest.subspan(4 + size);
        }
        return frames;
    }
    /// The types of these, "rseq:type" where they answer something.
    std::string said() {
        std::string all;
        for (const Frame& frame : frames()) {
            all += all.empty() ? "" : " ";
            if (frame.rseq != 0) all += fmt::format("{}:", frame.rseq);
            all += fmt::format("{}", frame.message.index() + 1);
        }
        return all;
    }
    /// The events since the last call, "; " between them.
    std::string seen() {
        std::string all;
        for (const auto& event : std::exchange(events, {}))
            all += (all.empty() ? "" : "; ") + event;
        return all;
    }

    void publish(AnnouncementPtr version) {
        published[version->root.feed] = version;
        link->announce(version, now);
    }
    void ask() {
        for (auto& [feed, replica] : replicas) {
            for (const Hash& hash : replica->requests(link->window()))
                link->request(hash, now);
        }
    }

    Result<> on_established(const crypto::PublicKey&) override {
        events.push_back("established");
        if (refuse_peer) return fail(errc::forbidden, "not you");
        return {};
    }
    ObjectPtr find_object(const Hash& hash) override { return index.find(hash); }
    Result<AnnouncementPtr> on_subscribe(const crypto::PublicKey& feed) override {
        events.push_back("subscribe");
        if (refuse_feed) return fail(errc::forbidden, "not for you");
        const auto found = published.find(feed);
        if (found == published.end()) return fail(errc::not_found, "do not share the feed");
        return found->second;
    }
    void on_unsubscribe(const crypto::PublicKey&) override { events.push_back("unsubscribe"); }
    AnnouncementPtr on_preview(const crypto::PublicKey& feed) override {
        const auto found = published.find(feed);
        return found == published.end() ? nullptr : found->second;
    }
    std::optional<std::vector<crypto::PublicKey>> feeds() override { return listed; }
    void on_subscribed(const crypto::PublicKey&) override { events.push_back("subscribed"); }
    void on_refused(const crypto::PublicKey&, std::string_view why) override {
        events.push_back(fmt::format("refused {}", why));
    }
    void on_root(const SignedRoot& root) override {
        events.push_back(fmt::format("root {}", root.seq));
        const auto found = replicas.find(root.feed);
        if (found == replicas.end() || std::exchange(lose_root, false)) return;
        found->second->offer(root, now);
        ask();
    }
    void on_object(const Hash& hash, ByteSpan bytes, bool asked) override {
        events.push_back(asked ? "object" : "unasked");
        for (auto& [feed, replica] : replicas)
            static_cast<void>(replica->object(hash, bytes, asked));
        ask();
    }
    void on_no_object(const Hash& hash) override {
        events.push_back("no object");
        for (auto& [feed, replica] : replicas)
            replica->no_object(hash);
        ask();
    }
    void on_count(std::string_view reason) override { ++counts[std::string(reason)]; }

    SteadyTime now;
    crypto::KeyPair keys;
    ObjectIndex index;
    std::map<crypto::PublicKey, AnnouncementPtr> published;
    std::map<crypto::PublicKey, std::unique_ptr<Replica>> replicas;
    std::optional<std::vector<crypto::PublicKey>> listed;
    bool refuse_peer = false;
    bool refuse_feed = false;
    /// As a subscriber of the network does that is not ready yet.
    bool lose_root = false;
    std::vector<std::string> events;
    std::map<std::string, int> counts;
    std::optional<Link> link;

 private:
    Link::Role role_;
    LinkLimits limits_;
    Bytes storage_;
};

/// A chain of Roots by hand.
class Chain {
 public:
    Chain(const crypto::KeyPair& keys, std::uint64_t nonce, std::int64_t time = 1000)
        : keys_(keys) {
        next_.feed = keys.public_key;
        next_.nonce = nonce;
        next_.time = time;
    }

    /// The next Root, a second after the one before.
    SignedRoot next(const Hash& tree) {
        next_.tree = tree;
        SignedRoot root = sign(next_, keys_);
        next_.previous = hash_of(root);
        ++next_.seq;
        next_.time += 1'000'000'000;
        return root;
    }
    Root& root() { return next_; }

 private:
    crypto::KeyPair keys_;
    Root next_;
};

inline Tree tree_of(ObjectIndex& index, const std::map<std::string, std::string>& leaves) {
    std::vector<Change> changes;
    changes.reserve(leaves.size());
    for (const auto& [path, leaf] : leaves)
        changes.push_back({path, bytes_of(leaf)});
    return Tree(index).apply(std::move(changes)).value().tree;
}

/// An acceptor of ours; the test is the peer.
struct Acceptor : Rig {
    explicit Acceptor(const LinkLimits& limits = {}) : Rig(Link::Role::acceptor, "ours", limits) {}

    std::uint32_t say(const Message& message, std::uint32_t rseq = 0) {
        REQUIRE(feed(Frame{++seq, rseq, message}));
        return seq;
    }
    Result<> try_say(const Message& message, std::uint32_t rseq = 0) {
        return feed(Frame{++seq, rseq, message});
    }
    void shake() {
        say(Syn{kProtocolVersion, peer.public_key});
        REQUIRE(said() == "1:4");
        REQUIRE(seen() == "established");
    }
    /// A feed of ours with these leaves, published.
    AnnouncementPtr version(const std::map<std::string, std::string>& leaves) {
        const Tree tree = tree_of(index, leaves);
        return version_of(chain.next(tree.hash()), tree);
    }

    crypto::KeyPair peer = keys_of("peer");
    crypto::KeyPair publisher = keys_of("publisher");
    crypto::PublicKey feed_key = publisher.public_key;
    Chain chain{publisher, 1};
    std::uint32_t seq = 0;
};

/// A dialer of ours, past its handshake; the test is the peer.
struct Dialer : Rig {
    explicit Dialer(const LinkLimits& limits = {}) : Rig(Link::Role::dialer, "ours", limits) {}

    std::uint32_t say(const Message& message, std::uint32_t rseq = 0) {
        REQUIRE(feed(Frame{++seq, rseq, message}));
        return seq;
    }
    void shake() {
        REQUIRE(said() == "3");
        say(Ack{peer.public_key}, 1);
        REQUIRE(seen() == "established");
    }
    void follow() {
        link->subscribe(feed_key, now);
        REQUIRE(said() == "7");
        say(Ok{}, 2);
        REQUIRE(seen() == "subscribed");
    }

    crypto::KeyPair peer = keys_of("peer");
    crypto::KeyPair publisher = keys_of("publisher");
    crypto::PublicKey feed_key = publisher.public_key;
    Chain chain{publisher, 1};
    std::uint32_t seq = 0;
};

}  // namespace skywire::cxo::test
