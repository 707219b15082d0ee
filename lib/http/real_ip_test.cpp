#include "http/real_ip.hpp"

#include "base/test.hpp"

using namespace skywire;
using namespace skywire::http;

namespace {

Fields fields_of(std::initializer_list<std::pair<std::string, std::string>> list) {
    Fields fields;
    for (const auto& [name, value] : list)
        fields.add(name, value);
    return fields;
}

TrustedProxies trusting(std::vector<std::string> ranges) {
    return TrustedProxies::parse(ranges).value();
}

const net::Address kLocal = net::Address::tcp("127.0.0.1", 4000);
const net::Address kRemote = net::Address::tcp("192.0.2.7", 4000);

}  // namespace

TEST_CASE("real ip: without headers the caller is the peer with its port") {
    const Caller caller = caller_of(kLocal, Fields(), TrustedProxies());
    CHECK(caller.address == "127.0.0.1:4000");
    CHECK(caller.host == "127.0.0.1");
    CHECK_FALSE(caller.forwarded);
    CHECK_FALSE(caller.header_ignored);
}

TEST_CASE("real ip: the first non-empty header names a bare address") {
    const auto caller = [](std::initializer_list<std::pair<std::string, std::string>> list) {
        return caller_of(kLocal, fields_of(list), TrustedProxies());
    };
    CHECK(caller({{"x-real-ip", "192.0.2.1"}}).address == "192.0.2.1");
    CHECK(caller({{"X-Forwarded-For", "192.0.2.1, 192.0.2.2"}}).address == "192.0.2.1");
    CHECK(caller({{"X-Forwarded-For", "2001:db8::1"}}).address == "2001:db8::1");
    CHECK(
        caller({{"X-Real-IP", "192.0.2.1"}, {"True-Client-IP", "192.0.2.3"}}).host == "192.0.2.3"
    );
    CHECK(caller({{"X-Real-IP", "192.0.2.1"}, {"True-Client-IP", ""}}).host == "192.0.2.1");
    // The first one decides even where another would parse; nothing is trimmed.
    for (const auto& bad : {"nonsense", " 192.0.2.1", "192.0.2.1:80", "192.0.2", "fe80::1%lo"}) {
        const Caller ignored = caller({{"True-Client-IP", bad}, {"X-Real-IP", "192.0.2.1"}});
        INFO(bad);
        CHECK(ignored.address == "127.0.0.1:4000");
        CHECK(ignored.header_ignored);
    }
}

TEST_CASE("real ip: headers of a peer that is not trusted are ignored") {
    const Fields fields = fields_of({{"X-Real-IP", "192.0.2.1"}});
    const Caller caller = caller_of(kRemote, fields, TrustedProxies());
    CHECK(caller.address == "192.0.2.7:4000");
    CHECK(caller.header_ignored);
    CHECK_FALSE(caller.forwarded);
    CHECK(caller_of(kRemote, fields, trusting({"192.0.2.0/24"})).address == "192.0.2.1");
    const std::string key(66, '0');
    CHECK(caller_of(net::Address::tcp(key, 9), fields, TrustedProxies()).address == key + ":9");
    CHECK(caller_of(net::Address::unix_path("/run/x"), fields, TrustedProxies()).header_ignored);
}

TEST_CASE("real ip: ranges") {
    const TrustedProxies defaults;
    CHECK(defaults.contains("127.255.0.1"));
    CHECK(defaults.contains("::1"));
    CHECK(defaults.contains("::ffff:127.0.0.1"));
    CHECK_FALSE(defaults.contains("128.0.0.1"));
    CHECK_FALSE(defaults.contains("::2"));
    CHECK_FALSE(defaults.contains(""));
    const TrustedProxies some = trusting({"10.1.2.200/25", "2001:db8::/33", "0.0.0.0/0"});
    CHECK(some.contains("2001:db8:7fff::1"));
    CHECK_FALSE(some.contains("2001:db8:8000::1"));
    CHECK(some.contains("1.2.3.4"));
    CHECK(trusting({"10.1.2.200/25"}).contains("10.1.2.128"));
    CHECK_FALSE(trusting({"10.1.2.200/25"}).contains("10.1.2.127"));
    CHECK_FALSE(trusting({}).contains("127.0.0.1"));
    for (const char* bad :
         {"",
          "x",
          "10.0.0.0/33",
          "::/129",
          "10.0.0.0/",
          "10.0.0.0/-1",
          "10.0.0.0/8x",
          "10.0.0/8",
          "localhost"}) {
        INFO(bad);
        const std::vector<std::string> list{bad};
        const auto parsed = TrustedProxies::parse(list);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error() == make_error_code(errc::malformed));
    }
}

TEST_CASE("real ip: the middleware puts the caller into the request") {
    Counter ignored;
    const Middleware middleware = real_ip(TrustedProxies(), ignored);
    std::string seen;
    const Handler handler = [&](Request& request) -> Task<Response> {
        seen = request.remote.host + " " + std::to_string(request.remote.port);
        return {};
    };
    Request request;
    request.remote = kLocal;
    (void)middleware(request, handler);
    CHECK(seen == "127.0.0.1 4000");
    request.fields.add("X-Real-IP", "192.0.2.1");
    (void)middleware(request, handler);
    CHECK(seen == "192.0.2.1 0");
    CHECK(ignored.value() == 0);
    request.remote = kRemote;
    (void)middleware(request, handler);
    CHECK(seen == "192.0.2.7 4000");
    CHECK(ignored.value() == 1);
}

TEST_CASE("real ip: public addresses") {
    for (const char* yes :
         {"192.0.2.1",
          "8.8.8.8",
          "100.64.0.1",
          "0.1.2.3",
          "172.15.0.1",
          "172.32.0.1",
          "192.169.0.1",
          "225.0.0.1",
          "224.0.1.1"}) {
        INFO(yes);
        CHECK(is_public_ip(yes));
    }
    for (const char* no :
         {"127.0.0.1",
          "127.9.9.9",
          "10.0.0.1",
          "172.16.0.1",
          "172.31.255.255",
          "192.168.1.1",
          "169.254.0.1",
          "224.0.0.5",
          "2001:db8::1",
          "2606:4700::1111",
          "::1",
          "::ffff:8.8.8.8",
          "",
          "x",
          "8.8.8.8:80",
          "08.8.8.8",
          "8.8.8"}) {
        INFO(no);
        CHECK_FALSE(is_public_ip(no));
    }
}
