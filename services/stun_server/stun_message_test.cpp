#include "services/stun_server/stun_message.hpp"

#include "base/random.hpp"
#include "base/test.hpp"

#include <charconv>

using namespace skywire;
using stun::Endpoint;
using stun::Socket;

namespace {

const stun::ServerAddresses kServer{{{{127, 0, 0, 1}, {127, 0, 0, 2}}}, {13478, 13479}};
constexpr Endpoint kClient{{198, 51, 100, 7}, 40000};
constexpr std::array<Socket, 4> kSockets{
    {{false, false}, {false, true}, {true, false}, {true, true}}
};

Endpoint endpoint(std::string_view text) {
    Endpoint result;
    const char* at = text.data();
    const char* const end = at + text.size();
    for (std::uint8_t& part : result.ip)
        at = std::from_chars(at, end, part).ptr + 1;
    REQUIRE(std::from_chars(at, end, result.port).ptr == end);
    REQUIRE(stun::to_string(result) == text);
    return result;
}

Socket socket_at(const Endpoint& where) {
    for (const Socket socket : kSockets) {
        if (kServer.of(socket) == where) return socket;
    }
    throw std::runtime_error("no socket at " + stun::to_string(where));
}

stun::TransactionId some_id() {
    std::array<std::byte, 12> bytes;
    SeededRandom(7).fill(bytes);
    return stun::new_transaction_id(bytes);
}

stun::errc refusal(const Bytes& datagram) {
    const auto parsed = stun::parse_request(datagram);
    REQUIRE_FALSE(parsed.has_value());
    return static_cast<stun::errc>(parsed.error().code().value());
}

}  // namespace

TEST_CASE("stun: recorded exchanges, byte for byte in both directions") {
    const json::value file = test::vectors("services/stun.json");
    for (const json::value& each : file.at("exchanges").as_array()) {
        const Bytes request_bytes = test::hex(test::text(each, "request_hex"));
        const stun::BindingRequest request = stun::parse_request(request_bytes).value();
        CHECK(request.change_ip == (test::text(each, "change_ip") == "true"));
        CHECK(request.change_port == (test::text(each, "change_port") == "true"));
        CHECK(stun::build_request(request) == request_bytes);

        const Endpoint client = endpoint(test::text(each, "client"));
        const Endpoint received_on = endpoint(test::text(each, "received_on"));
        const Endpoint sent_from = endpoint(test::text(each, "sent_from"));
        const auto answer = stun::make_answer(request, kServer, socket_at(received_on), client);
        CHECK(to_hex(answer.datagram) == test::text(each, "response_hex"));
        CHECK(answer.from == socket_at(sent_from));

        const auto response = stun::parse_response(answer.datagram).value();
        CHECK(response.transaction_id == request.transaction_id);
        CHECK(response.mapped == client);
        CHECK(response.source == sent_from);
        CHECK(response.other == endpoint("127.0.0.2:13479"));
        CHECK(response.software == "skywire-stun");
    }
}

TEST_CASE("stun: every socket answers every wish from the right one, and names its own opposite") {
    for (const Socket received_on : kSockets) {
        for (const Socket change : kSockets) {
            const stun::BindingRequest request{some_id(), change.second_ip, change.second_port};
            const auto answer = stun::make_answer(request, kServer, received_on, kClient);
            CHECK(answer.from.index() == (received_on.index() ^ change.index()));
            const auto response = stun::parse_response(answer.datagram).value();
            CHECK(response.source == kServer.of(answer.from));
            CHECK(response.other == kServer.of(kSockets[received_on.index() ^ 3]));
            CHECK(response.mapped == kClient);
        }
    }
}

TEST_CASE("stun: a bare header is a request, whatever its cookie") {
    Bytes datagram(20);
    datagram[1] = std::byte{1};
    const auto request = stun::parse_request(datagram).value();
    CHECK(request.transaction_id == stun::TransactionId{});
    CHECK_FALSE(request.change_ip);
    CHECK_FALSE(request.change_port);
    // What lies behind the declared length does not count.
    const Bytes tail = test::hex("0003000400000006");
    datagram.insert(datagram.end(), tail.begin(), tail.end());
    CHECK_FALSE(stun::parse_request(datagram).value().change_ip);
}

TEST_CASE("stun: what is no binding request is refused with its reason") {
    const Bytes good = stun::build_request({some_id(), true, true});
    for (std::size_t size = 0; size < 20; ++size) {
        CHECK(
            refusal(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))) ==
            stun::errc::too_short
        );
    }
    CHECK(refusal(Bytes(good.begin(), good.end() - 1)) == stun::errc::wrong_length);
    for (const std::string_view type : {"0000", "0101", "0111", "0011", "0003", "8001"}) {
        Bytes other = good;
        const Bytes head = test::hex(type);
        std::copy(head.begin(), head.end(), other.begin());
        CHECK(refusal(other) == stun::errc::wrong_type);
    }
    Bytes longer = good;
    longer[2] = std::byte{0xff};
    CHECK(refusal(longer) == stun::errc::wrong_length);
    CHECK(stun::reason(stun::errc::too_short) == "too_short");
}

TEST_CASE("stun: attributes around CHANGE-REQUEST, unknown, padded or damaged") {
    const auto with = [](std::string_view attributes) {
        const Bytes tail = test::hex(attributes);
        Bytes datagram(20);
        datagram[1] = std::byte{1};
        datagram[3] = static_cast<std::byte>(tail.size());
        datagram.insert(datagram.end(), tail.begin(), tail.end());
        return stun::parse_request(datagram).value();
    };
    CHECK(with("7f000001aa000000"
               "0003000400000006")
              .change_ip);  // odd length, padded
    CHECK(with("0003000400000002").change_port);
    CHECK_FALSE(with("0003000400000002").change_ip);
    CHECK_FALSE(with("0003000400000001").change_port);  // other bits mean nothing
    CHECK_FALSE(with("00030002"
                     "06060000")
                    .change_ip);  // value too short
    CHECK_FALSE(with("7f00ffff"
                     "0003000400000006")
                    .change_ip);
    CHECK(with("0003000400000006"
               "7f00ffff")
              .change_ip);
    CHECK(with("0003000400000006"
               "7f")
              .change_ip);
}

TEST_CASE("stun: every byte of a request flipped is refused or answered, never more") {
    const Bytes good = stun::build_request({some_id(), true, false});
    for (std::size_t i = 0; i < good.size(); ++i) {
        for (int bit = 0; bit < 8; ++bit) {
            Bytes damaged = good;
            damaged[i] ^= static_cast<std::byte>(1 << bit);
            const auto request = stun::parse_request(damaged);
            if (i < 2) CHECK_FALSE(request.has_value());
            if (request) stun::make_answer(*request, kServer, {}, kClient);
        }
    }
}

TEST_CASE("stun: every byte of an answer flipped is refused by the client") {
    const auto answer = stun::make_answer({some_id(), false, false}, kServer, {}, kClient);
    for (std::size_t i = 0; i < answer.datagram.size(); ++i) {
        for (int bit = 0; bit < 8; ++bit) {
            auto damaged = answer.datagram;
            damaged[i] ^= static_cast<std::byte>(1 << bit);
            const auto response = stun::parse_response(damaged);
            // A FINGERPRINT that has become an unknown attribute protects nothing any more.
            const bool type_of_fingerprint = i == 108 || i == 109;
            const bool length = i == 2 || i == 3;
            INFO("byte " << i << " bit " << bit);
            if (!type_of_fingerprint && !length) CHECK_FALSE(response.has_value());
        }
    }
}

TEST_CASE("stun: answers that a client cannot use are refused with their reason") {
    const auto reason_of = [](std::string_view digits) {
        const auto parsed = stun::parse_response(test::hex(digits));
        REQUIRE_FALSE(parsed.has_value());
        return static_cast<stun::errc>(parsed.error().code().value());
    };
    const std::string id(32, '1');
    CHECK(reason_of("") == stun::errc::too_short);
    CHECK(reason_of("00010000" + id) == stun::errc::wrong_type);
    CHECK(reason_of("01010000" + id) == stun::errc::no_mapped_address);
    CHECK(reason_of("01010004" + id) == stun::errc::wrong_length);
    CHECK(reason_of("01010004" + id + "00010008") == stun::errc::wrong_length);
    CHECK(
        reason_of(
            "0101000c" + id +
            "00010008"
            "0002138801020304"
        ) == stun::errc::no_mapped_address
    );
    const auto old = stun::parse_response(test::hex(
        "0101000c" + id +
        "00010008"
        "0001138801020304"
    ));
    REQUIRE(old.has_value());
    CHECK(stun::to_string(old->mapped) == "1.2.3.4:5000");
    CHECK_FALSE(old->other.has_value());
}

TEST_CASE("stun errors: every code has its own sentence and reason") {
    std::set<std::string> sentences;
    std::set<std::string_view> reasons;
    const int last = static_cast<int>(stun::errc::no_mapped_address);
    for (int value = 0; value <= last; ++value) {
        sentences.insert(stun::stun_category().message(value));
        reasons.insert(stun::reason(static_cast<stun::errc>(value)));
    }
    CHECK(sentences.size() == static_cast<std::size_t>(last) + 1);
    CHECK(reasons.size() == sentences.size());
    CHECK(sentences.count("unknown") == 0);
}
