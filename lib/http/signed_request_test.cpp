#include "http/signed_request.hpp"

#include "base/test.hpp"

#include <initializer_list>
#include <string>
#include <utility>

namespace skywire::http {
namespace {

Fields fields(std::initializer_list<std::pair<std::string_view, std::string>> list) {
    Fields made;
    for (const auto& [name, value] : list)
        made.set(name, value);
    return made;
}

crypto::KeyPair keys_of(const json::value& file, const std::string& name) {
    const json::value& key = file.as_object().at("keys").as_object().at(name);
    return {
        crypto::PublicKey::from_text(test::text(key, "public")).value(),
        crypto::SecretKey::from_text(test::text(key, "secret")).value()
    };
}

std::string nonce_text(const json::value& sample) {
    return json::serialize(sample.as_object().at("nonce"));
}

}  // namespace

TEST_CASE("signed request: recorded signatures verify, over their own bytes alone") {
    const json::value file = test::vectors("services/http_auth.json");
    for (const json::value& sample : file.as_object().at("sw_sig").as_array()) {
        const crypto::KeyPair keys = keys_of(file, test::text(sample, "key"));
        const std::string body = test::text(sample, "body");
        const Fields sent = fields({
            {"SW-Public", keys.public_key.to_text()},
            {"SW-Nonce", nonce_text(sample)},
            {"SW-Sig", test::text(sample, "sw_sig")},
        });
        auto headers = read_signed_headers(sent).value();
        CHECK(headers.caller == keys.public_key);
        CHECK(check_signature(headers, body));
        CHECK(check_signature(headers, body + " ").error() == auth_errc::signature_wrong);
        headers.nonce ^= 1;
        CHECK(check_signature(headers, body).error() == auth_errc::signature_wrong);
    }
}

TEST_CASE("signed request: what sign_request adds is what the server reads") {
    const crypto::KeyPair keys = crypto::deterministic_key_pair("signer");
    Fields sent;
    sign_request(sent, keys, "[1]", 18446744073709551615U);
    const auto headers = read_signed_headers(sent).value();
    CHECK(headers.caller == keys.public_key);
    CHECK(headers.nonce == 18446744073709551615U);
    CHECK(check_signature(headers, "[1]"));
    CHECK(has_signed_headers(sent));
    CHECK_FALSE(has_signed_headers(fields({{"SW-PublicIP", "192.0.2.1"}})));
}

TEST_CASE("signed request: the first thing wrong is named, in the network's words") {
    const crypto::KeyPair keys = crypto::deterministic_key_pair("signer");
    Fields good;
    sign_request(good, keys, "", 7);
    const std::string key(good.get("SW-Public").value_or(""));
    const std::string signature(good.get("SW-Sig").value_or(""));
    struct Case {
        Fields sent;
        auth_errc code;
        std::string text;
    };
    const std::initializer_list<Case> cases = {
        {fields({}), auth_errc::public_missing, "SW-Public missing"},
        {fields({{"SW-Public", ""}}), auth_errc::public_missing, "SW-Public missing"},
        {fields({{"SW-Public", "zz"}}),
         auth_errc::public_malformed,
         "error parsing SW-Public: Invalid public key"},
        {fields({{"SW-Public", "0201"}}),
         auth_errc::public_malformed,
         "error parsing SW-Public: Invalid public key length"},
        {fields({{"SW-Public", "02" + std::string(64, 'f')}}),
         auth_errc::public_malformed,
         "error parsing SW-Public: Invalid public key"},
        {fields({{"SW-Public", key}, {"SW-Nonce", "x"}}),
         auth_errc::signature_missing,
         "SW-Sig missing"},
        {fields({{"SW-Public", key}, {"SW-Sig", "zz"}}),
         auth_errc::signature_malformed,
         "error parsing SW-Sig:'zz': Invalid signature"},
        {fields({{"SW-Public", key}, {"SW-Sig", "00"}}),
         auth_errc::signature_malformed,
         "error parsing SW-Sig:'00': Invalid signature length"},
        {fields({{"SW-Public", key}, {"SW-Sig", signature}}),
         auth_errc::nonce_missing,
         "SW-Nonce missing"},
        {fields({{"SW-Public", key}, {"SW-Sig", signature}, {"SW-Nonce", "-1"}}),
         auth_errc::nonce_malformed,
         "error parsing SW-Nonce: invalid syntax"},
        {fields({{"SW-Public", key}, {"SW-Sig", signature}, {"SW-Nonce", "18446744073709551616"}}),
         auth_errc::nonce_malformed,
         "error parsing SW-Nonce: value out of range"},
    };
    for (const Case& given : cases) {
        const auto read = read_signed_headers(given.sent);
        REQUIRE_FALSE(read);
        CHECK(read.error() == given.code);
        CHECK(read.error().message() == given.text);
    }
    CHECK(read_signed_headers(good).value().nonce == 7);
    CHECK(nonce_mismatch().message() == "SW-Nonce does not match");
}

TEST_CASE("signed request: null key and zero signature verify for nobody") {
    SignedHeaders headers;
    headers.caller = crypto::deterministic_key_pair("signer").public_key;
    CHECK(
        check_signature(headers, "").error().message() == "Failed to recover pubkey from signature"
    );
    Fields other;
    sign_request(other, crypto::deterministic_key_pair("signer"), "", 0);
    headers = read_signed_headers(other).value();
    headers.caller = {};
    CHECK(
        check_signature(headers, "").error().message() == "Recovered pubkey does not match pubkey"
    );
}

TEST_CASE("signed request: leading zeros of a nonce are signed as the number they mean") {
    const crypto::KeyPair keys = crypto::deterministic_key_pair("signer");
    Fields sent;
    sign_request(sent, keys, "body", 7);
    sent.set("SW-Nonce", "007");
    CHECK(check_signature(read_signed_headers(sent).value(), "body"));
}

}  // namespace skywire::http
