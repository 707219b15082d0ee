// What a peer may cost: readers that take nothing or take it slowly, messages that nobody wants.

#include "cxo/link_rig.hpp"

namespace skywire::cxo::test {
namespace {

std::string text_of(const Message& message) {
    return std::get<Err>(message).text;
}

}  // namespace

TEST_CASE("cxo link: answers that wait keep no version alive") {
    Acceptor rig;
    rig.shake();
    std::vector<Hash> trees;
    for (int i = 0; i < 3; ++i) {
        trees.push_back(rig.version({{"a", std::to_string(i)}})->tree.hash());
        rig.publish(rig.version({{"a", std::to_string(i)}}));
        rig.say(RequestObject{rig.published[rig.feed_key]->tree.hash()});
        rig.say(RequestPreview{rig.feed_key});
    }
    REQUIRE_FALSE(rig.index.find(trees[0]));
    REQUIRE_FALSE(rig.index.find(trees[1]));
    REQUIRE(rig.index.find(trees[2]));
    const auto frames = rig.frames();
    REQUIRE(frames.size() == 6);
    for (std::uint32_t i = 0; i < 6; ++i)
        REQUIRE(frames[i].rseq == i + 2);
    REQUIRE(text_of(frames[0].message).empty());
    REQUIRE(text_of(frames[2].message).empty());
    REQUIRE(crypto::sha256(std::get<ObjectBytes>(frames[4].message).bytes) == trees[2]);
    REQUIRE(rig.counts["unknown_object"] == 2);
    // Whenever it was asked for: what there is now.
    for (const std::size_t i : std::vector<std::size_t>{1, 3, 5})
        REQUIRE(std::get<SignedRoot>(frames[i].message) == rig.published[rig.feed_key]->root);
}

TEST_CASE("cxo link: what is being written lives until it is") {
    Acceptor rig;
    rig.shake();
    const std::string leaf(100'000, 'x');
    auto version = rig.version({{"a", leaf}});
    const Hash entry = version->tree.root()->children()[0]->children()[0]->hash();
    rig.publish(std::move(version));
    rig.say(RequestObject{entry});
    rig.say(RequestPreview{rig.feed_key});
    const auto parts = rig.link->gather(rig.now);
    rig.published.clear();
    REQUIRE(rig.index.find(entry));
    Bytes written;
    for (const ByteSpan part : parts)
        written.insert(written.end(), part.begin(), part.end());
    REQUIRE(text_of(ByteSpan(written)).find(leaf) != std::string::npos);
    rig.link->wrote(rig.now);
    REQUIRE_FALSE(rig.index.find(entry));
}

TEST_CASE("cxo link: a slow reader's own requests keep what it fills") {
    Acceptor rig;
    rig.shake();
    auto first = rig.version({{"a", std::string(600'000, 'x')}, {"b", std::string(1000, 'y')}});
    const Hash tree = first->tree.hash();
    const ObjectPtr& list = first->tree.root()->children()[0];
    const Hash large = list->children()[0]->hash();
    const Hash small = list->children()[1]->hash();
    rig.publish(std::move(first));
    rig.say(Sub{rig.feed_key});
    rig.said();
    REQUIRE(rig.pass(150ms));
    rig.said();
    rig.say(RequestObject{tree});
    rig.said();
    // Two Roots come in front of an answer which waits for long.
    rig.publish(rig.version({{"a", "1"}}));
    rig.say(RequestObject{large});
    rig.link->gather(rig.now);
    rig.say(RequestObject{large});
    rig.publish(rig.version({{"a", "2"}}));
    rig.say(RequestObject{large});
    const std::uint32_t last = rig.say(RequestObject{small});
    REQUIRE(rig.pass(15s));
    const auto frames = rig.frames();
    REQUIRE(frames.size() == 6);
    REQUIRE(frames.back().rseq == last);
    REQUIRE(std::holds_alternative<ObjectBytes>(frames.back().message));
    REQUIRE(rig.counts["unknown_object"] == 0);
    // Then it is silent, and nothing waits.
    REQUIRE(rig.pass(11s));
    rig.publish(rig.version({{"a", "3"}}));
    REQUIRE(rig.said() == "11");
    REQUIRE_FALSE(rig.index.find(tree));
}

TEST_CASE("cxo link: a reader that takes nothing keeps no old version alive") {
    Acceptor rig;
    rig.shake();
    auto first = rig.version({{"a", "1"}, {"b", "1"}});
    const Hash tree = first->tree.hash();
    rig.publish(std::move(first));
    rig.say(Sub{rig.feed_key});
    rig.said();
    REQUIRE(rig.pass(150ms));
    const auto parts = rig.link->gather(rig.now);
    REQUIRE(parts.size() >= 1);
    // It says that it lives.
    rig.say(RequestList{});
    const Bytes before(parts.back().begin(), parts.back().end());
    rig.now += 5s;
    rig.publish(rig.version({{"a", "2"}, {"b", "1"}}));
    // It may begin to read.
    REQUIRE(rig.index.find(tree));
    rig.now += 6s;
    rig.publish(rig.version({{"a", "3"}, {"b", "1"}}));
    REQUIRE_FALSE(rig.index.find(tree));
    REQUIRE(std::ranges::equal(parts.back(), before));
    rig.link->wrote(rig.now);
    const auto frames = rig.frames();
    REQUIRE(frames.size() == 2);
    REQUIRE(std::holds_alternative<Err>(frames[0].message));
    REQUIRE(std::get<SignedRoot>(frames[1].message) == rig.published[rig.feed_key]->root);
}

TEST_CASE("cxo link: a large object is written in pieces") {
    Acceptor rig;
    rig.shake();
    const Tree tree = tree_of(rig.index, {{"a", std::string(2'000'000, 'x')}});
    const ObjectPtr entry = tree.root()->children()[0]->children()[0];
    rig.say(RequestObject{entry->hash()});
    rig.say(RequestObject{tree.hash()});
    std::size_t writes = 0;
    Bytes all;
    for (; rig.link->has_output(); ++writes) {
        std::size_t size = 0;
        for (const ByteSpan part : rig.link->gather(rig.now)) {
            size += part.size();
            all.insert(all.end(), part.begin(), part.end());
        }
        REQUIRE(size > 0);
        REQUIRE(size <= 512 * 1024);
        // What is said in between waits for its turn.
        if (writes == 2) rig.say(RequestObject{registry_hash()});
        rig.link->wrote(rig.now);
    }
    REQUIRE(writes >= 8);
    std::vector<std::size_t> sizes;
    for (ByteSpan rest = all; !rest.empty();) {
        std::size_t size = 0;
        for (std::size_t i = 0; i < 4; ++i)
            size = size << 8 | std::to_integer<std::size_t>(rest[i]);
        const Frame frame = decode_frame(rest.subspan(4, size)).value();
        sizes.push_back(std::get<ObjectBytes>(frame.message).bytes.size());
        rest = rest.subspan(4 + size);
    }
    REQUIRE(sizes == std::vector{entry->bytes().size(), std::size_t{32}, registry().size()});
    REQUIRE(rig.link->memory() < 2048);
}

TEST_CASE("cxo link: Lists and Peers that nobody asked for are not read") {
    Acceptor rig;
    rig.shake();
    // No keys at all: to look at them would end the link.
    const std::array<std::byte, 4> many{std::byte{0xff}, std::byte{0xff}};
    for (const Type type : {Type::list, Type::peers}) {
        for (const std::size_t size : {std::size_t{4}, std::size_t{60'000}, std::size_t{100'000}}) {
            const auto head = frame_head(9, 0, type, size);
            Bytes frame(head.begin(), head.end());
            frame.insert(frame.end(), many.begin(), many.end());
            frame.resize(head.size() + size);
            REQUIRE(rig.feed(frame, 30'000));
            REQUIRE(rig.link->memory() < 4096);
        }
    }
    REQUIRE(rig.counts["unasked_answer"] == 4);
    REQUIRE(rig.counts["long_list"] == 2);
    // One that was asked for is.
    REQUIRE(rig.pass(30s));
    REQUIRE(rig.said() == "9");
    REQUIRE(rig.try_say(List{{crypto::PublicKey()}}, 2).error() == errc::malformed);
}

TEST_CASE("cxo link: what is said of feeds that are none of the link's is not read") {
    Acceptor rig;
    rig.shake();
    rig.publish(rig.version({{"a", "1"}}));
    rig.say(Sub{rig.feed_key});
    rig.said();
    rig.seen();
    // No keys at all: to look at them would end the link.
    for (const Type type : {Type::unsub, Type::root}) {
        const auto head = frame_head(9, 0, type, crypto::PublicKey::kSize);
        Bytes frame(head.begin(), head.end());
        frame.resize(head.size() + crypto::PublicKey::kSize);
        REQUIRE(rig.feed(frame));
    }
    REQUIRE(rig.counts["other_feed"] == 1);
    REQUIRE(rig.seen().empty());
    REQUIRE(rig.link->has_subscriber(rig.feed_key));
    rig.say(Unsub{rig.feed_key});
    REQUIRE(rig.seen() == "unsubscribe");
}

TEST_CASE("cxo link: more requests than may wait end the link; a slow reader holds no bytes") {
    LinkLimits limits;
    limits.requests_max = 1000;
    Acceptor rig(limits);
    rig.shake();
    const Tree tree = tree_of(rig.index, {{"a", std::string(1 << 20, 'x')}});
    const Hash entry = tree.root()->children()[0]->children()[0]->hash();
    for (int i = 0; i < 1000; ++i)
        rig.say(RequestObject{entry});
    REQUIRE(rig.link->memory() < 128 * 1024);
    REQUIRE(rig.try_say(RequestObject{entry}).error() == errc::limit_reached);
    REQUIRE_FALSE(rig.link->has_output());
}

TEST_CASE("cxo link: parts to write are views, and few at a time") {
    Acceptor rig;
    rig.shake();
    const Tree tree = tree_of(rig.index, {{"a", std::string(200'000, 'x')}});
    const ObjectPtr entry = tree.root()->children()[0]->children()[0];
    for (int i = 0; i < 5; ++i)
        rig.say(RequestObject{entry->hash()});
    const auto parts = rig.link->gather(rig.now);
    REQUIRE(parts.size() == 4);
    REQUIRE(parts[1].data() == entry->bytes().data());
    REQUIRE(rig.link->gather(rig.now).data() == parts.data());
    rig.link->wrote(rig.now);
    REQUIRE(rig.link->gather(rig.now).size() == 4);
    rig.link->wrote(rig.now);
    REQUIRE(rig.link->gather(rig.now).size() == 2);
    rig.link->wrote(rig.now);
    REQUIRE_FALSE(rig.link->has_output());
    REQUIRE(rig.link->memory() < 2048);
}

}  // namespace skywire::cxo::test
