#include "cxo/message.hpp"

#include "base/test.hpp"
#include "cxo/detail/encoding.hpp"

using namespace skywire;
using namespace skywire::cxo;

namespace {

/// A frame without its length.
ByteSpan behind_length(const Bytes& frame) {
    return ByteSpan(frame).subspan(4);
}

void check_every_flip(const Bytes& message) {
    for (std::size_t i = 0; i < message.size(); ++i) {
        for (int bit = 0; bit < 8; ++bit) {
            Bytes damaged = message;
            damaged[i] ^= static_cast<std::byte>(1 << bit);
            INFO("byte " << i << " bit " << bit);
            const auto decoded = decode_message(damaged);
            if (decoded)
                CHECK(encode_message(*decoded) == damaged);
            else
                CHECK(
                    (decoded.error().code() == errc::malformed ||
                     decoded.error().code() == errc::unsupported)
                );
        }
    }
    for (std::size_t size = 0; size < message.size(); ++size)
        CHECK_FALSE(decode_message(ByteSpan(message).first(size)));
    Bytes longer = message;
    longer.push_back(std::byte{0});
    CHECK(decode_message(longer).error().code() == errc::malformed);
}

}  // namespace

TEST_CASE("message: the recorded ones, both ways, and every bit flipped") {
    const json::value file = test::vectors("cxo/messages.json");
    CHECK(file.at("protocol_version").to_number<int>() == kProtocolVersion);
    std::set<std::uint8_t> types;
    for (const json::value& each : file.at("messages").as_array()) {
        INFO(test::text(each, "name"));
        const Bytes recorded = test::hex(test::text(each, "type_and_body"));
        const auto message = decode_message(recorded);
        REQUIRE(message);
        const auto type = each.at("type").to_number<std::uint8_t>();
        CHECK(type_of(*message) == static_cast<Type>(type));
        CHECK(encode_message(*message) == recorded);
        types.insert(type);

        const Bytes recorded_frame = test::hex(test::text(each, "wire_frame"));
        const auto frame = decode_frame(behind_length(recorded_frame));
        REQUIRE(frame);
        CHECK(frame->seq == each.at("seq").to_number<std::uint32_t>());
        CHECK(frame->rseq == each.at("rseq").to_number<std::uint32_t>());
        CHECK(encode_frame(*frame) == recorded_frame);
        const auto head =
            frame_head(frame->seq, frame->rseq, type_of(*message), recorded.size() - 1);
        CHECK(std::ranges::equal(head, ByteSpan(recorded_frame).first(kFrameHead)));
        check_every_flip(recorded);
    }
    CHECK(types.size() == 16);
}

TEST_CASE("message: what is in the recorded ones") {
    const json::value file = test::vectors("cxo/messages.json");
    const auto feed = crypto::PublicKey::from_text(test::text(file, "publisher_pk")).value();
    const auto at = [&](std::size_t index) {
        const json::value& each = file.at("messages").at(index);
        return test::hex(test::text(each, "type_and_body"));
    };
    CHECK(std::get<Syn>(decode_message(at(2)).value()).protocol == 3);
    CHECK(std::get<Err>(decode_message(at(5)).value()).text == "do not share the feed");
    CHECK(std::get<Sub>(decode_message(at(7)).value()).feed == feed);
    CHECK(std::get<List>(decode_message(at(10)).value()).feeds.size() == 2);
    const auto root = std::get<SignedRoot>(decode_message(at(11)).value());
    CHECK(check(root).value().seq == 1);
    const Bytes object = at(13);
    const auto decoded = decode_message(object).value();
    CHECK(as_text(std::get<ObjectBytes>(decoded).bytes) == "object-bytes");
    const auto peers = std::get<Peers>(decode_message(at(16)).value());
    REQUIRE(peers.peers.size() == 1);
    CHECK(peers.peers[0].tcp == "127.0.0.1:8870");
    CHECK(peers.peers[0].metadata.size() == 2);
}

TEST_CASE("message: a recorded conversation, frame by frame") {
    const json::value file = test::vectors("cxo/session.json");
    std::size_t frames = 0;
    for (const json::value& each : file.at("frames").as_array()) {
        const Bytes recorded = test::hex(test::text(each, "frame"));
        if (recorded.empty()) continue;
        INFO(test::text(each, "note"));
        const auto frame = decode_frame(behind_length(recorded));
        REQUIRE(frame);
        CHECK(frame->seq == each.at("seq").to_number<std::uint32_t>());
        CHECK(encode_frame(*frame) == recorded);
        if (const auto* root = std::get_if<SignedRoot>(&frame->message)) CHECK(check(*root));
        ++frames;
    }
    CHECK(frames > 20);
}

TEST_CASE("message: unknown types, null keys, no head") {
    for (const unsigned type : {0U, 17U, 255U})
        CHECK(
            decode_message(Bytes{static_cast<std::byte>(type)}).error().code() == errc::unsupported
        );
    CHECK(decode_message({}).error().code() == errc::malformed);
    Bytes null_feed(1 + 33);
    null_feed[0] = std::byte{7};
    CHECK(decode_message(null_feed).error().code() == errc::malformed);
    for (std::size_t size = 0; size < 9; ++size)
        CHECK_FALSE(decode_frame(Bytes(size)));
}

TEST_CASE("message: a list of feeds costs a bounded number of keys") {
    const auto feed = crypto::deterministic_key_pair("feed").public_key;
    detail::Writer writer;
    writer.number(static_cast<std::uint8_t>(Type::list));
    writer.number(std::uint32_t{kListMax + 3});
    for (std::size_t i = 0; i < kListMax + 3; ++i)
        writer.bytes(feed.bytes());
    const Bytes bytes = writer.take();
    CHECK(std::get<List>(decode_message(bytes).value()).feeds.size() == kListMax);
    CHECK_FALSE(decode_message(ByteSpan(bytes).first(bytes.size() - 1)));
}
