#include "crypto/keys.hpp"

#include "base/test.hpp"
#include "crypto/recent_secrets.hpp"

#include <unordered_set>
#include <vector>

using namespace skywire;
using crypto::PublicKey;
using crypto::SecretKey;

namespace {

constexpr std::string_view kGenerator =
    "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

template <class T>
std::string error_of(const Result<T>& result) {
    REQUIRE_FALSE(result.has_value());
    return result.error().message();
}

}  // namespace

TEST_CASE("keys: pairs of the vectors, texts in both directions") {
    const json::value file = test::vectors("dmsg/keys.json");
    for (const json::value& pair : file.at("pairs").as_array()) {
        INFO(test::text(pair, "note"));
        const std::string secret_text = test::text(pair, "seckey");
        const std::string public_text = test::text(pair, "pubkey");
        const SecretKey secret_key = SecretKey::from_text(secret_text).value();
        const PublicKey public_key = crypto::public_key_of(secret_key);
        CHECK(public_key.to_text() == public_text);
        CHECK(secret_key.reveal_text() == secret_text);
        CHECK(PublicKey::from_text(public_text).value() == public_key);
        CHECK(PublicKey::from_bytes(test::hex(public_text)).value() == public_key);
        CHECK(SecretKey::from_bytes(test::hex(secret_text)).value() == secret_key);
    }
}

TEST_CASE("keys: pairs derived from a seed text") {
    const json::value file = test::vectors("dmsg/keys.json");
    for (const json::value& pair : file.at("deterministic").as_array()) {
        const auto made = crypto::deterministic_key_pair(test::text(pair, "seed_text"));
        CHECK(made.public_key.to_text() == test::text(pair, "pubkey"));
        CHECK(made.secret_key.reveal_text() == test::text(pair, "seckey"));
    }
}

TEST_CASE("keys: the text decoder's answers, null key and error texts") {
    const json::value file = test::vectors("dmsg/keys.json");
    for (const json::value& each : file.at("pubkey_text").as_array()) {
        INFO(test::text(each, "note"));
        const std::string text = test::text(each, "text");
        const auto key = PublicKey::from_text(text);
        CHECK(key.has_value() == each.at("text_decoder_ok").as_bool());
        if (key) {
            CHECK(key->to_text() == test::text(each, "result"));
        } else {
            CHECK(error_of(key) == test::text(each, "error"));
        }
        const auto strict = PublicKey::from_text_not_null(text);
        const json::value* set_error = each.as_object().if_contains("set_error");
        CHECK(strict.has_value() == (set_error == nullptr));
        if (set_error != nullptr) CHECK(error_of(strict) == set_error->as_string());
    }
    for (const json::value& each : file.at("seckey_text").as_array()) {
        const auto key = SecretKey::from_text(test::text(each, "text"));
        CHECK(error_of(key) == test::text(each, "error"));
    }
    CHECK(error_of(SecretKey::from_text("")) == "Invalid secret key length");
}

TEST_CASE("keys: every byte of a text and of a key flipped gives an error or another key") {
    const std::string text(kGenerator);
    const Bytes bytes = test::hex(text);
    const PublicKey key = PublicKey::from_text(text).value();
    for (std::size_t i = 0; i < text.size(); ++i) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string damaged = text;
            damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
            const auto read = PublicKey::from_text(damaged);
            const bool same_digit = (damaged[i] ^ text[i]) == 0x20 && std::isalpha(text[i]) != 0;
            if (read) CHECK((*read == key) == same_digit);
        }
    }
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        for (int bit = 0; bit < 8; ++bit) {
            Bytes damaged = bytes;
            damaged[i] ^= static_cast<std::byte>(1 << bit);
            const auto read = PublicKey::from_bytes(damaged);
            if (read) CHECK(*read != key);
        }
    }
}

TEST_CASE("keys: the null key is zeros, smaller than any other, and no party to a secret") {
    const PublicKey null;
    const PublicKey key = PublicKey::from_text(kGenerator).value();
    CHECK(null.is_null());
    CHECK_FALSE(key.is_null());
    CHECK(null.to_text() == std::string(66, '0'));
    CHECK(null == PublicKey::from_text("").value());
    CHECK(null < key);
    CHECK(error_of(PublicKey::from_bytes(Bytes(33))) == "Invalid public key");
    CHECK(error_of(PublicKey::from_bytes({})) == "Invalid public key length");
    SeededRandom random(1);
    const auto pair = crypto::generate_key_pair(random);
    CHECK(error_of(crypto::ecdh(pair.secret_key, null)) == "Invalid public key");
    CHECK(error_of(crypto::CurvePoint::from_key(null)) == "Invalid public key");
    CHECK(error_of(crypto::CurvePoint::from_bytes({})) == "Invalid public key length");
}

TEST_CASE("keys: order, hash and text agree") {
    SeededRandom random(2);
    std::unordered_set<PublicKey> set;
    std::vector<PublicKey> keys;
    for (int i = 0; i < 50; ++i) {
        keys.push_back(crypto::generate_key_pair(random).public_key);
        set.insert(keys.back());
        CHECK(fmt::format("{}", keys.back()) == keys.back().to_text());
    }
    CHECK(set.size() == keys.size());
    for (const PublicKey& a : keys) {
        CHECK(set.count(a) == 1);
        for (const PublicKey& b : keys)
            CHECK((a < b) == (a.to_text() < b.to_text()));
    }
}

TEST_CASE("keys: generation depends on the random source alone, secrets have no formatter") {
    SeededRandom first(3);
    SeededRandom second(3);
    const auto a = crypto::generate_key_pair(first);
    const auto b = crypto::generate_key_pair(second);
    const auto c = crypto::generate_key_pair(second);
    CHECK(a.secret_key == b.secret_key);
    CHECK_FALSE(a.secret_key == c.secret_key);
    CHECK(crypto::public_key_of(a.secret_key) == a.public_key);
    STATIC_REQUIRE_FALSE(fmt::is_formattable<SecretKey>::value);
    STATIC_REQUIRE_FALSE(std::is_default_constructible_v<SecretKey>);
}

TEST_CASE("keys: a secret's bytes are overwritten when it dies") {
    alignas(SecretKey) std::array<std::byte, sizeof(SecretKey)> place{};
    auto* key =
        new (place.data()) SecretKey(SecretKey::from_bytes(Bytes(32, std::byte{7})).value());
    CHECK(place[0] == std::byte{7});
    key->~SecretKey();
    CHECK(place == decltype(place){});
}

TEST_CASE("ecdh: cases of the vectors, both parties agree") {
    const json::value file = test::vectors("dmsg/ecdh.json");
    for (const json::value& each : file.at("cases").as_array()) {
        const auto secret_a = SecretKey::from_text(test::text(each, "seckey_a")).value();
        const auto public_a = PublicKey::from_text(test::text(each, "pubkey_a")).value();
        const auto public_b = PublicKey::from_text(test::text(each, "pubkey_b")).value();
        CHECK(crypto::public_key_of(secret_a) == public_a);
        const crypto::Digest shared = crypto::ecdh(secret_a, public_b).value();
        CHECK(to_hex(shared) == test::text(each, "ecdh"));
        CHECK(shared == crypto::sha256(test::hex(test::text(each, "point_compressed"))));
        if (const json::value* secret_b = each.as_object().if_contains("seckey_b")) {
            const auto theirs = SecretKey::from_text(secret_b->as_string()).value();
            CHECK(crypto::ecdh(theirs, public_a).value() == shared);
            const auto point = crypto::CurvePoint::from_bytes(public_a.bytes()).value();
            CHECK(point.key() == public_a);
            CHECK(crypto::ecdh(theirs, point) == shared);
        }
    }
    SeededRandom random(4);
    const auto a = crypto::generate_key_pair(random);
    const auto b = crypto::generate_key_pair(random);
    CHECK(
        crypto::ecdh(a.secret_key, b.public_key).value() ==
        crypto::ecdh(b.secret_key, a.public_key).value()
    );
}

TEST_CASE("keys: read again, also many at a time, a key has the same point") {
    SeededRandom random(8);
    const auto ours = crypto::generate_key_pair(random);
    std::vector<crypto::KeyPair> pairs;
    pairs.reserve(400);
    for (int i = 0; i < 400; ++i)
        pairs.push_back(crypto::generate_key_pair(random));
    for (int round = 0; round < 2; ++round) {
        for (const auto& pair : pairs) {
            CHECK(PublicKey::from_bytes(pair.public_key.bytes()).value() == pair.public_key);
            const auto point = crypto::CurvePoint::from_key(pair.public_key).value();
            CHECK(point.key() == pair.public_key);
        }
    }
    for (int i = 0; i < 20; ++i) {
        const auto& pair = pairs[random.below(pairs.size())];
        const auto point = crypto::CurvePoint::from_key(pair.public_key).value();
        CHECK(
            crypto::ecdh(ours.secret_key, point) ==
            crypto::ecdh(pair.secret_key, ours.public_key).value()
        );
        // The key with the other sign has the same place, but is another one.
        Bytes other(pair.public_key.bytes().begin(), pair.public_key.bytes().end());
        other[0] ^= std::byte{1};
        const auto negative = PublicKey::from_bytes(other).value();
        CHECK(negative != pair.public_key);
        const auto other_point = crypto::CurvePoint::from_key(negative).value();
        CHECK(crypto::ecdh(ours.secret_key, other_point) != crypto::ecdh(ours.secret_key, point));
    }
    CHECK_FALSE(PublicKey::from_bytes(Bytes(33)));
}

TEST_CASE("keys: the secret of two keys that meet again is the same, and that of their own") {
    const crypto::KeyPair alice = crypto::deterministic_key_pair("recent a");
    for (int round = 0; round < 2; ++round) {
        // More pairs than are kept.
        for (int i = 0; i < 200; ++i) {
            const crypto::KeyPair bob =
                crypto::deterministic_key_pair("recent " + std::to_string(i));
            const auto point = crypto::CurvePoint::from_key(bob.public_key).value();
            const crypto::Digest expected = crypto::ecdh(alice.secret_key, point);
            CHECK(crypto::ecdh_long_lived(alice, point) == expected);
            CHECK(crypto::ecdh_long_lived(alice, point) == expected);
            const auto back = crypto::CurvePoint::from_key(alice.public_key).value();
            CHECK(crypto::ecdh_long_lived(bob, back) == expected);
        }
    }
}
