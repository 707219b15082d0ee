// The recorded conversation of two nodes of the network, with either of them replaced by ours.

#include "cxo/link_rig.hpp"

namespace skywire::cxo::test {
namespace {

class Session {
 public:
    Session() {
        const auto file = skywire::test::vectors("cxo/session.json");
        for (const auto& each : file.at("frames").as_array()) {
            const std::string dir = skywire::test::text(each, "dir");
            if (dir == "note") continue;
            bytes.push_back(skywire::test::hex(skywire::test::text(each, "frame")));
            from_subscriber.push_back(dir == "subscriber->publisher");
        }
        publisher = pair_of(skywire::test::text(file, "publisher_sk"));
        subscriber = pair_of(skywire::test::text(file, "subscriber_sk"));
    }

    static crypto::KeyPair pair_of(const std::string& secret) {
        const auto key = crypto::SecretKey::from_text(secret).value();
        return {crypto::public_key_of(key), key};
    }
    /// A view into this session.
    Frame frame(std::size_t i) const { return decode_frame(ByteSpan(bytes[i]).subspan(4)).value(); }

    Bytes all_of(bool subscriber_side) const {
        Bytes all;
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            if (from_subscriber[i] == subscriber_side)
                all.insert(all.end(), bytes[i].begin(), bytes[i].end());
        }
        return all;
    }

    std::vector<Bytes> bytes;
    std::vector<bool> from_subscriber;
    crypto::KeyPair publisher{keys_of("x")};
    crypto::KeyPair subscriber{keys_of("x")};
};

const Session& session() {
    static const Session recorded;
    return recorded;
}

const std::map<std::string, std::string> kFirst{
    {"services/visor/all", "leaf-1"},
    {"services/vpn/all", "leaf-0"},
    {"tp-list", "leaf-2"},
};
const std::map<std::string, std::string> kSecond{
    {"services/visor/all", "leaf-1"},
    {"services/vpn/all", "leaf-0"},
    {"tp-list", "leaf-2-changed"},
};

/// A link of the recorded publisher, with its versions.
struct PublisherSide : Rig {
    PublisherSide() : PublisherSide(LinkLimits{}) {}
    explicit PublisherSide(const LinkLimits& limits)
        : Rig(Link::Role::acceptor, "rig", limits),
          own(Link::Role::acceptor, session().publisher.public_key, limits, *this, now) {
        for (std::size_t i = 0; i < session().bytes.size(); ++i) {
            if (session().from_subscriber[i]) continue;
            const Frame frame = session().frame(i);
            const SignedRoot* root = std::get_if<SignedRoot>(&frame.message);
            if (root == nullptr || frame.rseq != 0) continue;
            versions.push_back(version_of(*root, versions.empty() ? first : second));
        }
        published[session().publisher.public_key] = versions[0];
    }

    Bytes said_now() {
        Bytes all;
        while (own.has_output()) {
            for (const ByteSpan part : own.gather(now))
                all.insert(all.end(), part.begin(), part.end());
            own.wrote(now);
        }
        return all;
    }

    Link own;
    Tree first = tree_of(index, kFirst);
    Tree second = tree_of(index, kSecond);
    std::vector<AnnouncementPtr> versions;
};

}  // namespace

TEST_CASE("cxo link: the recorded subscriber gets the recorded publisher's bytes from us") {
    PublisherSide side;
    REQUIRE(side.versions.size() == 3);
    std::size_t told = 0;
    for (std::size_t i = 0; i < session().bytes.size(); ++i) {
        INFO("frame " << i);
        if (session().from_subscriber[i]) {
            REQUIRE(side.own.on_bytes(session().bytes[i], side.now));
            continue;
        }
        const Frame frame = session().frame(i);
        if (std::holds_alternative<SignedRoot>(frame.message) && frame.rseq == 0) {
            if (told == 0) {
                REQUIRE(side.said_now().empty());
                side.now += 150ms;
                REQUIRE(side.own.on_time(side.now));
            } else {
                side.published[session().publisher.public_key] = side.versions[told];
                side.own.announce(side.versions[told], side.now);
            }
            ++told;
        }
        REQUIRE(to_hex(side.said_now()) == to_hex(session().bytes[i]));
    }
    REQUIRE(told == 3);
}

TEST_CASE("cxo link: the recorded publisher gets the recorded subscriber's bytes from us") {
    Rig rig(Link::Role::dialer, "rig");
    Link link(Link::Role::dialer, session().subscriber.public_key, {}, rig, rig.now);
    const auto feed = session().publisher.public_key;
    rig.replicas[feed] = std::make_unique<Replica>(feed, rig.index);
    // It asks in the recorded order, not in ours.
    Replica& replica = *rig.replicas[feed];
    std::vector<std::map<std::string, std::string>> versions;
    for (std::size_t i = 0; i < session().bytes.size(); ++i) {
        INFO("frame " << i);
        const Frame frame = session().frame(i);
        if (!session().from_subscriber[i]) {
            REQUIRE(link.on_bytes(session().bytes[i], rig.now));
            if (auto changed = replica.changed()) versions.push_back(leaves_of(changed->now));
            continue;
        }
        // A one-off question that no link of ours asks.
        if (std::holds_alternative<RequestPreview>(frame.message)) break;
        if (std::holds_alternative<RequestList>(frame.message)) {
            rig.now += 30s;
            REQUIRE(link.on_time(rig.now));
        } else if (std::holds_alternative<Sub>(frame.message)) {
            link.subscribe(feed, rig.now);
        } else if (std::holds_alternative<Unsub>(frame.message)) {
            link.unsubscribe(feed);
        } else if (const auto* request = std::get_if<RequestObject>(&frame.message)) {
            link.request(request->hash, rig.now);
        }
        Bytes said;
        for (const ByteSpan part : link.gather(rig.now))
            said.insert(said.end(), part.begin(), part.end());
        link.wrote(rig.now);
        REQUIRE(to_hex(said) == to_hex(session().bytes[i]));
    }
    REQUIRE(versions == std::vector{kFirst, kSecond, kSecond});
    REQUIRE(rig.counts.empty());
}

TEST_CASE("cxo link: the recorded subscriber's bytes in any cut") {
    const Bytes all = session().all_of(true);
    const auto play = [&](std::size_t piece) {
        PublisherSide side;
        Bytes said;
        for (std::size_t at = 0; at < all.size(); at += piece) {
            const ByteSpan part = ByteSpan(all).subspan(at, std::min(piece, all.size() - at));
            REQUIRE(side.own.on_bytes(part, side.now));
        }
        for (int i = 0; i < 3; ++i) {
            const Bytes more = side.said_now();
            said.insert(said.end(), more.begin(), more.end());
            side.now += 1s;
            REQUIRE(side.own.on_time(side.now));
        }
        return to_hex(said) + side.seen();
    };
    const std::string whole = play(all.size());
    for (const std::size_t piece :
         std::vector<std::size_t>{1, 2, 3, 4, 5, 7, 12, 13, 14, 41, 45, 64, 1000})
        REQUIRE(play(piece) == whole);
}

TEST_CASE("cxo link: every byte of the recorded subscriber changed") {
    const Bytes all = session().all_of(true);
    for (std::size_t at = 0; at < all.size(); ++at) {
        for (const std::byte change : {std::byte{1}, std::byte{0x80}, std::byte{0xff}}) {
            Bytes changed = all;
            changed[at] ^= change;
            PublisherSide side;
            const auto done = side.own.on_bytes(changed, side.now);
            side.now += 1s;
            if (!done) {
                REQUIRE(side.own.on_time(side.now).has_error());
                REQUIRE(side.own.on_bytes(all, side.now).error() == done.error().code());
            } else {
                REQUIRE(side.own.on_time(side.now));
            }
            side.said_now();
            REQUIRE_FALSE(side.own.has_output());
        }
    }
}

TEST_CASE("cxo link: no changed byte of the recorded publisher becomes part of a copy") {
    const auto feed = session().publisher.public_key;
    PublisherSide truth;
    const std::vector<Hash> good{Tree(truth.index).hash(), truth.first.hash(), truth.second.hash()};
    const auto play = [&](std::size_t changed, std::byte change) {
        Rig rig(Link::Role::dialer, "rig");
        Link link(Link::Role::dialer, session().subscriber.public_key, {}, rig, rig.now);
        rig.replicas[feed] = std::make_unique<Replica>(feed, rig.index);
        Replica& replica = *rig.replicas[feed];
        std::size_t at = 0;
        for (std::size_t i = 0; i < session().bytes.size(); ++i) {
            const Frame frame = session().frame(i);
            if (session().from_subscriber[i]) {
                if (std::holds_alternative<RequestPreview>(frame.message)) break;
                if (std::holds_alternative<RequestList>(frame.message)) {
                    rig.now += 30s;
                    if (!link.on_time(rig.now)) return;
                }
                if (std::holds_alternative<Sub>(frame.message)) link.subscribe(feed, rig.now);
                const auto* const request = std::get_if<RequestObject>(&frame.message);
                if (request != nullptr && link.window() > 0) link.request(request->hash, rig.now);
                link.gather(rig.now);
                link.wrote(rig.now);
                continue;
            }
            Bytes bytes = session().bytes[i];
            if (changed >= at && changed < at + bytes.size()) bytes[changed - at] ^= change;
            at += bytes.size();
            const auto done = link.on_bytes(bytes, rig.now);
            REQUIRE(std::ranges::find(good, replica.tree().hash()) != good.end());
            if (!done) return;
        }
    };
    const std::size_t size = session().all_of(false).size();
    for (std::size_t at = 0; at < size; ++at)
        play(at, at % 2 == 0 ? std::byte{1} : std::byte{0xff});
}

}  // namespace skywire::cxo::test
