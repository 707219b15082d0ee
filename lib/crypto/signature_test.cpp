#include "crypto/signature.hpp"

#include "base/test.hpp"

using namespace skywire;
using crypto::Digest;
using crypto::PublicKey;
using crypto::SecretKey;
using crypto::Signature;

namespace {

Digest digest_of(const std::string& digits) {
    const Bytes bytes = test::hex(digits);
    Digest digest;
    REQUIRE(bytes.size() == digest.size());
    std::copy(bytes.begin(), bytes.end(), digest.begin());
    return digest;
}

PublicKey public_key_in(const json::value& each) {
    return PublicKey::from_text(test::text(each, "pubkey")).value();
}

Signature signature_in(const json::value& each) {
    return Signature::from_text(test::text(each, "signature")).value();
}

void check_every_flip_is_refused(
    const PublicKey& signer, const Bytes& payload, const Signature& good
) {
    const Bytes bytes(good.bytes().begin(), good.bytes().end());
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        for (int bit = 0; bit < 8; ++bit) {
            Bytes damaged = bytes;
            damaged[i] ^= static_cast<std::byte>(1 << bit);
            const auto signature = Signature::from_bytes(damaged).value();
            INFO("byte " << i << " bit " << bit);
            CHECK_FALSE(crypto::verify(signer, payload, signature).has_value());
        }
    }
}

}  // namespace

TEST_CASE("signature: made byte for byte with the recorded nonce") {
    const json::value file = test::vectors("dmsg/sign.json");
    for (const json::value& each : file.at("fixed_nonce").as_array()) {
        INFO(test::text(each, "note"));
        const auto secret_key = SecretKey::from_text(test::text(each, "seckey")).value();
        const Bytes payload = test::hex(test::text(each, "payload"));
        const Digest digest = crypto::sha256(payload);
        CHECK(to_hex(digest) == test::text(each, "digest"));
        const Digest nonce = digest_of(test::text(each, "nonce_k"));
        const auto made = crypto::sign_digest_with_nonce(secret_key, digest, nonce).value();
        CHECK(made.to_text() == test::text(each, "signature"));
        CHECK(made == signature_in(each));
        CHECK(crypto::verify(public_key_in(each), payload, made).has_value());
        CHECK(crypto::recover(digest, made).value() == public_key_in(each));
        check_every_flip_is_refused(public_key_in(each), payload, made);
    }
}

TEST_CASE("signature: the network's own, made with random nonces, are accepted") {
    const json::value file = test::vectors("dmsg/sign.json");
    for (const json::value& each : file.at("random_nonce").as_array()) {
        const Bytes payload = test::hex(test::text(each, "payload"));
        CHECK(crypto::verify(public_key_in(each), payload, signature_in(each)).has_value());
        check_every_flip_is_refused(public_key_in(each), payload, signature_in(each));
    }
}

TEST_CASE("signature: refusals carry the network's texts") {
    const json::value file = test::vectors("dmsg/sign.json");
    for (const json::value& each : file.at("verify").as_array()) {
        INFO(test::text(each, "note"));
        const Bytes payload = test::hex(test::text(each, "payload"));
        const auto verdict = crypto::verify(public_key_in(each), payload, signature_in(each));
        CHECK(verdict.has_value() == each.at("valid").as_bool());
        if (!verdict) CHECK(verdict.error().message() == test::text(each, "error"));
    }
}

TEST_CASE("signature: signing is repeatable, and verified by its own key only") {
    SeededRandom random(1);
    const auto mine = crypto::generate_key_pair(random);
    const auto other = crypto::generate_key_pair(random);
    for (int i = 0; i < 20; ++i) {
        const std::string text = fmt::format("payload {}", i);
        const Signature signature = crypto::sign(mine.secret_key, as_bytes(text));
        CHECK(signature == crypto::sign(mine.secret_key, as_bytes(text)));
        CHECK(crypto::verify(mine.public_key, as_bytes(text), signature).has_value());
        const auto foreign = crypto::verify(other.public_key, as_bytes(text), signature);
        REQUIRE_FALSE(foreign.has_value());
        CHECK(foreign.error() == make_error_code(crypto::errc::wrong_signer));
        CHECK_FALSE(crypto::verify(PublicKey(), as_bytes(text), signature).has_value());
        CHECK((signature.bytes()[32] & std::byte{0x80}) == std::byte{0});
    }
}

TEST_CASE("signature: digests of zeros and nonces out of range are refused") {
    SeededRandom random(2);
    const auto pair = crypto::generate_key_pair(random);
    const auto refused = [](const auto& result, crypto::errc code) {
        REQUIRE_FALSE(result.has_value());
        CHECK(result.error() == make_error_code(code));
    };
    refused(crypto::sign_digest(pair.secret_key, Digest{}), crypto::errc::zero_digest);
    const Digest digest = crypto::sha256(as_bytes("x"));
    Digest nonce{};
    refused(
        crypto::sign_digest_with_nonce(pair.secret_key, digest, nonce), crypto::errc::invalid_nonce
    );
    nonce.fill(std::byte{0xff});
    refused(
        crypto::sign_digest_with_nonce(pair.secret_key, digest, nonce), crypto::errc::invalid_nonce
    );
}

TEST_CASE("signature: texts in both directions and their errors") {
    Bytes bytes(65);
    for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<std::byte>(i * 3 + 100);
    const Signature signature = Signature::from_bytes(bytes).value();
    CHECK(Signature::from_text(signature.to_text()).value() == signature);
    CHECK(fmt::format("{}", signature) == to_hex(bytes));
    const auto message = [](std::string_view text) {
        return Signature::from_text(text).error().message();
    };
    CHECK(message("zz") == "Invalid signature");
    CHECK(message(std::string(131, '0')) == "Invalid signature");
    CHECK(message("") == "Invalid signature length");
    CHECK(message(std::string(128, '0')) == "Invalid signature length");
}

TEST_CASE("signature: no recovery id and no bytes can hurt the process") {
    const Digest digest = crypto::sha256(as_bytes("x"));
    for (int id = 0; id < 256; ++id) {
        for (const int fill : {0, 1, 0x7f, 0xff}) {
            Bytes bytes(65, static_cast<std::byte>(fill));
            bytes[64] = static_cast<std::byte>(id);
            const auto signature = Signature::from_bytes(bytes).value();
            const auto key = crypto::recover(digest, signature);
            if (!key) continue;
            const auto verdict = crypto::verify_digest(*key, digest, signature);
            CHECK(verdict.has_value() == (id <= 3 && fill < 0x80));
        }
    }
}

TEST_CASE("crypto errors: every code has its own sentence") {
    std::set<std::string> sentences;
    const int last = static_cast<int>(crypto::errc::invalid_nonce);
    for (int value = 0; value <= last; ++value) {
        sentences.insert(crypto::crypto_category().message(value));
    }
    CHECK(sentences.size() == static_cast<std::size_t>(last) + 1);
    CHECK(crypto::crypto_category().message(9999) == "unknown");
}
