#include "services/transport_setup/request.hpp"

#include "base/test.hpp"

namespace skywire::transport_setup {
namespace {

const std::string kFrom = crypto::deterministic_key_pair("from").public_key.to_text();
const std::string kTo = crypto::deterministic_key_pair("to").public_key.to_text();
const std::string kId = "a1788510-ef6e-0c89-ba6b-175e07b18964";

std::string add_refusal(const std::string& body) {
    const auto read = read_add(body);
    return read ? std::string() : read.error().message();
}
std::string remove_refusal(const std::string& body) {
    const auto read = read_remove(body);
    return read ? std::string() : read.error().message();
}

std::string missing(const std::string& type, const std::string& name) {
    return "Key: '" + type + "." + name + "' Error:Field validation for '" + name +
           "' failed on the 'required' tag";
}

}  // namespace

TEST_CASE("transport-setup: bodies that are read") {
    const auto add =
        read_add(R"({"from":")" + kFrom + R"(","to":")" + kTo + R"(","type":"stcpr"})").value();
    CHECK(add.from.to_text() == kFrom);
    CHECK(add.to.to_text() == kTo);
    CHECK(add.type == "stcpr");
    const auto remove = read_remove(R"({"from":")" + kFrom + R"(","id":")" + kId + R"("})").value();
    CHECK(remove.from.to_text() == kFrom);
    CHECK(remove.id.to_text() == kId);
    // Any letter case, the last one wins, nothing behind it matters.
    const auto odd = read_add(
        R"( {"TYPE":"x","From":")" + kTo + R"(","to":")" + kTo + R"(","FROM":")" + kFrom +
        R"(","type":"dmsg"} and more)"
    );
    REQUIRE(odd);
    CHECK(odd->from.to_text() == kFrom);
    CHECK(odd->type == "dmsg");
}

TEST_CASE("transport-setup: bodies that are not, with the network's texts") {
    CHECK(add_refusal("") == "EOF");
    CHECK(add_refusal(" \n") == "EOF");
    CHECK(add_refusal("{") == "unexpected EOF");
    CHECK(add_refusal(R"({"from":")") == "unexpected EOF");
    CHECK_THAT(add_refusal("x"), Catch::StartsWith("invalid character 'x'"));
    CHECK(
        add_refusal("[]") ==
        "json: cannot unmarshal array into Go value of type api.TransportRequest"
    );
    CHECK(
        add_refusal(R"({"type":5})") ==
        "json: cannot unmarshal number into Go struct field TransportRequest.type of type string"
    );
    CHECK(add_refusal(R"({"x":1,"from":"zz"})") == "Invalid public key");
    CHECK(add_refusal(R"({"x":1,"y":2})") == R"(json: unknown field "x")");
    CHECK(add_refusal(R"({"from":"02"})") == "Invalid public key length");
    CHECK(
        add_refusal("{}") == missing("TransportRequest", "From") + "\n" +
                                 missing("TransportRequest", "To") + "\n" +
                                 missing("TransportRequest", "Type")
    );
    CHECK(add_refusal("null") == add_refusal("{}"));
    CHECK(
        add_refusal(R"({"from":")" + kFrom + R"(","to":")" + kTo + R"("})") ==
        missing("TransportRequest", "Type")
    );
    CHECK_FALSE(add_refusal(
                    R"({"from":")" + kFrom + R"(","to":")" + kTo + R"(","type":")" +
                    std::string(100, 'x') + R"("})"
    )
                    .empty());
    CHECK(remove_refusal(R"({"id":"x"})") == "invalid UUID length: 1");
    CHECK(
        remove_refusal("{}") == missing("UUIDRequest", "From") + "\n" + missing("UUIDRequest", "ID")
    );
    CHECK_THAT(add_refusal(std::string(1000, '[')), Catch::Contains("depth") || !Catch::Equals(""));
}

TEST_CASE("transport-setup: answers as the network prints them") {
    router::TransportResponse one;
    one.id = router::TransportId::from_text(kId).value();
    one.local = crypto::PublicKey::from_text(kFrom).value();
    one.remote = crypto::PublicKey::from_text(kTo).value();
    one.type = "<stcpr>";
    const std::string text = R"({"ID":")" + kId + R"(","Local":")" + kFrom + R"(","Remote":")" +
                             kTo + R"(","Type":"\u003cstcpr\u003e"})";
    CHECK(to_json(one) == text);
    CHECK(to_json(router::TransportResponses()) == "[]");
    CHECK(to_json(router::TransportResponses{{one, one}}) == "[" + text + "," + text + "]");
}

}  // namespace skywire::transport_setup
