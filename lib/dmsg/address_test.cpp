#include "dmsg/address.hpp"

#include "base/test.hpp"

#include <unordered_set>

using namespace skywire;
using dmsg::Address;

namespace {

constexpr std::string_view kKey =
    "02f2de93b7e65b469cf8a974a1459f5b5ee38061aba3610c9436e3fe9a44e4cb07";
constexpr std::string_view kOther =
    "033e061c6a86551b039d9d577d3a6601d1b5d6b74f21ede670fce428b7da5be179";

Address address(std::string_view key, std::uint16_t port) {
    return {.pk = crypto::PublicKey::from_text(key).value(), .port = port};
}

ErrorCode refusal(const std::string& text) {
    INFO(text);
    const auto parsed = Address::parse(text);
    REQUIRE_FALSE(parsed.has_value());
    return parsed.error().code();
}

}  // namespace

TEST_CASE("address: key and port, the port left out in three ways") {
    const std::string key(kKey);
    CHECK(Address::parse(key + ":80").value() == address(kKey, 80));
    CHECK(Address::parse(key + ":65535").value() == address(kKey, 65535));
    for (const std::string_view none : {"", ":", ":~", ":0"}) {
        const Address parsed = Address::parse(key + std::string(none)).value();
        CHECK(parsed == address(kKey, 0));
        CHECK(parsed.to_string() == key + ":~");
    }
    CHECK(address(kKey, 80).to_string() == key + ":80");
    CHECK(fmt::format("{}", address(kKey, 80)) == key + ":80");
    CHECK(Address::parse(Address().to_string()).value() == Address());
}

TEST_CASE("address: what is no key and no port is refused with the rule it breaks") {
    const std::string key(kKey);
    CHECK(refusal("") == make_error_code(crypto::errc::invalid_public_key_length));
    CHECK(refusal(":80") == make_error_code(crypto::errc::invalid_public_key_length));
    CHECK(refusal("0:80") == make_error_code(crypto::errc::invalid_public_key_length));
    CHECK(refusal(key + "0:80") == make_error_code(crypto::errc::invalid_public_key_length));
    CHECK(refusal(std::string(66, 'z')) == make_error_code(crypto::errc::invalid_public_key));
    CHECK(refusal("05" + key.substr(2)) == make_error_code(crypto::errc::invalid_public_key));
    CHECK(refusal(key + ":65536") == make_error_code(skywire::errc::out_of_range));
    for (const std::string_view port : {":-1", ":+1", ":x", ":80x", ":~~", ":80:80", ": 80"}) {
        CHECK(refusal(key + std::string(port)) == make_error_code(skywire::errc::malformed));
    }
    CHECK(
        Address::parse(key + ":\n").error().message() == "dmsg port \"\\x0a\": not 0 to 65535 or ~"
    );
}

TEST_CASE("address: ordered by key, then by port; equal ones have one hash") {
    CHECK(address(kKey, 80) < address(kKey, 81));
    CHECK(address(kKey, 81) < address(kOther, 80));
    std::unordered_set<Address> set;
    for (std::uint16_t port = 0; port < 100; ++port) {
        set.insert(address(kKey, port));
        set.insert(address(kKey, port));
    }
    CHECK(set.size() == 100);
    CHECK(set.contains(address(kKey, 7)));
    CHECK_FALSE(set.contains(address(kOther, 7)));
}
