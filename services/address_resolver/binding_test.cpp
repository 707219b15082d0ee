#include "services/address_resolver/binding.hpp"

#include "base/test.hpp"

namespace skywire::resolver {
namespace {

const crypto::PublicKey kKey = crypto::deterministic_key_pair("visor").public_key;

BindRequest request_of(std::string_view body) {
    return parse_bind_request(body).value();
}

BindOutcome judged(
    std::string_view body,
    const std::string& remote,
    const std::optional<Binding>& stored = std::nullopt
) {
    return judge_bind(kKey, Type::stcpr, request_of(body), remote, stored);
}

}  // namespace

TEST_CASE("binding: requests are read as the network's decoder reads them") {
    const auto request =
        request_of(R"( {"PORT":"1","port":"2","addresses":["a",null],"more":[1],"public_ip":null} )"
        );
    CHECK(request.port == "2");
    CHECK(request.addresses == std::vector<std::string>{"a", ""});
    CHECK_FALSE(request.refreshing());
    CHECK(request_of("null").port.empty());
    CHECK(request_of("{}").addresses.empty());
    CHECK(request_of(R"({"public_ipv6":"2001:db8::1"})").public_ip_v6 == "2001:db8::1");
    for (const std::string_view bad :
         {"",
          "{",
          "[]",
          "1",
          R"({"port":7777})",
          R"({"addresses":"a"})",
          R"({"addresses":[1]})",
          R"({} x)"}) {
        INFO(bad);
        CHECK(parse_bind_request(bad).error() == make_error_code(errc::malformed));
    }
    std::string many = R"({"addresses":["a")";
    for (int i = 0; i < 64; ++i)
        many += R"(,"a")";
    CHECK(parse_bind_request(many + "]}").error() == make_error_code(errc::out_of_range));
    const std::string lengthy(65, 'x');
    CHECK(
        parse_bind_request(R"({"port":")" + lengthy + "\"}").error() ==
        make_error_code(errc::out_of_range)
    );
}

TEST_CASE("binding: what is stored comes back, what is answered has no class") {
    Binding binding;
    binding.remote_addr = "203.0.113.7";
    binding.remote_addr_v6 = "2001:db8::7";
    binding.port = "1<2";
    binding.addresses = {"a", "b"};
    binding.public_ip = "203.0.113.7";
    binding.public_ip_v6 = "2001:db8::7";
    binding.cert_hash = "h";
    binding.held = true;
    CHECK(parse_binding(to_text(binding)).value() == binding);
    CHECK(
        to_answer(binding) ==
        R"({"remote_addr":"203.0.113.7","remote_addr_v6":"2001:db8::7","port":"1\u003c2",)"
        R"("addresses":["a","b"],"public_ip":"203.0.113.7","public_ip_v6":"2001:db8::7",)"
        R"("cert_hash":"h"})"
    );
    CHECK_FALSE(parse_binding("x"));
    CHECK_FALSE(parse_binding("null"));
}

TEST_CASE("binding: a visor of 2024 needs a public address that it has itself") {
    const std::string body = R"({"port":"7777","addresses":["203.0.113.7","10.0.0.4"]})";
    const auto good = judged(body, "203.0.113.7");
    CHECK_FALSE(good.refusal);
    CHECK(good.binding.held);
    CHECK(good.binding.remote_addr == "203.0.113.7");
    CHECK(judged(body, "203.0.113.8").refusal == Refusal::not_listed);
    for (const std::string remote :
         {"10.0.0.4", "127.0.0.1", "", "2001:db8::7", "203.0.113.7:1", "169.254.0.1"}) {
        INFO(remote);
        CHECK(judged(body, remote).refusal == Refusal::not_public);
    }
}

TEST_CASE("binding: a visor of 2026 says its public addresses") {
    const std::string body =
        R"({"port":"1","addresses":["10.0.0.4"],"public_ip":"203.0.113.7","public_ip_v6":"2a01::7"})";
    const auto behind = judged(body, "10.0.0.4");
    CHECK_FALSE(behind.refusal);
    CHECK_FALSE(behind.binding.held);
    CHECK(behind.binding.remote_addr == "203.0.113.7");
    CHECK(behind.binding.remote_addr_v6 == "2a01::7");
    // What is seen counts more than what is claimed.
    CHECK(judged(body, "203.0.113.8").refusal == Refusal::not_listed);
    const auto over_v6 = judged(R"({"port":"1","public_ip_v6":"2a01::7"})", "2a01::8");
    CHECK_FALSE(over_v6.refusal);
    CHECK(over_v6.binding.remote_addr.empty());
    CHECK(over_v6.binding.remote_addr_v6 == "2a01::8");
    const auto local = judged(R"({"port":"1","public_ip":"10.1.1.1"})", "10.0.0.4");
    CHECK(local.refusal == Refusal::not_public);
}

TEST_CASE("binding: the stored address of the other family is kept") {
    Binding stored;
    stored.remote_addr = "203.0.113.7";
    const std::string v6 = R"({"port":"1","public_ip_v6":"2a01::7"})";
    const auto both = judged(v6, "2a01::7", stored);
    CHECK(both.binding.remote_addr == "203.0.113.7");
    CHECK(both.binding.remote_addr_v6 == "2a01::7");
    const std::string v4 = R"({"port":"1","addresses":["203.0.113.9"]})";
    const auto again = judged(v4, "203.0.113.9", both.binding);
    CHECK(again.binding.remote_addr == "203.0.113.9");
    CHECK(again.binding.remote_addr_v6 == "2a01::7");
}

TEST_CASE("binding: sudph takes the source of the datagrams, or what stands for a local one") {
    const auto plain = request_of(R"({"port":"45890","addresses":["127.0.0.1"]})");
    CHECK(sudph_binding(plain, "127.0.0.1", 52231).remote_addr == "127.0.0.1:52231");
    const auto claims = request_of(R"({"port":"45890","public_ip":"203.0.113.7"})");
    CHECK(sudph_binding(claims, "10.0.0.4", 1).remote_addr == "203.0.113.7:45890");
    CHECK(sudph_binding(claims, "203.0.113.8", 1).remote_addr == "203.0.113.8:1");
    const auto v6 = sudph_binding(plain, "2a01::7", 5);
    CHECK(v6.remote_addr == "[2a01::7]:5");
    CHECK(v6.remote_addr_v6 == "[2a01::7]:5");
}

TEST_CASE("binding: names of types") {
    for (const Type type : kTypes)
        CHECK(type_of(type_name(type)) == type);
    CHECK(type_of("quic") == Type::squicr);
    CHECK(type_of("squic") == Type::squicr);
    CHECK_FALSE(type_of("dmsg"));
    CHECK_FALSE(type_of(""));
}

TEST_CASE("binding: which IPv6 addresses are global") {
    for (const std::string_view ip : {"2a01::1", "2001:db8::7"})
        CHECK(is_global_ipv6(ip));
    for (const std::string_view ip :
         {"::",
          "::1",
          "fe80::1",
          "fc00::1",
          "fd12::1",
          "ff02::1",
          "::ffff:1.2.3.4",
          "1.2.3.4",
          "",
          "2a01::1%eth0x"}) {
        INFO(ip);
        CHECK_FALSE(is_global_ipv6(ip));
    }
}

}  // namespace skywire::resolver
