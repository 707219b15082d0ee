// The recorded requests of vectors/dmsg/discovery_http.json: through the routes over each store,
// and over HTTP to a whole deployment whose clock is held at the time of the recording.

#include "framework/harness/harness.hpp"
#include "services/dmsg_discovery/service.hpp"
#include "services/dmsg_discovery/test_discovery.hpp"

#include <algorithm>

namespace skywire::discovery {
namespace {

/// The one recorded answer that ours does not give. The entry carries `protocol`, a signed member
/// that the program of 2023 did not know: it verified over what it knew, and refused. Ours verifies
/// over the received text, finds the signature good and stores the entry, as later programs do.
constexpr std::string_view kLaterMember =
    "signed text has a member this vintage does not know (protocol): 401";

struct Exchange {
    explicit Exchange(const json::object& recorded)
        : note(recorded.at("note").as_string()),
          method(method_of(recorded.at("method").as_string())),
          path(recorded.at("path").as_string()),
          status(recorded.at("status").to_number<unsigned>()),
          response(recorded.at("response").as_string()) {
        if (const auto* text = recorded.if_contains("body")) body = text->as_string();
        if (const auto* text = recorded.if_contains("content_type"))
            content_type = std::string(text->as_string());
    }

    static http::Method method_of(std::string_view name) {
        for (const auto method :
             {http::Method::get, http::Method::post, http::Method::put, http::Method::delete_})
            if (http::method_name(method) == name) return method;
        throw std::runtime_error("unexpected method");
    }

    bool production() const { return note.starts_with("production mode"); }

    std::string note;
    http::Method method;
    std::string path;
    std::string body;
    unsigned status;
    std::optional<std::string> content_type;
    std::string response;
};

std::vector<Exchange> recorded_exchanges() {
    const json::value file = test::vectors("dmsg/discovery_http.json");
    std::vector<Exchange> exchanges;
    for (const json::value& each : file.as_object().at("exchanges").as_array())
        exchanges.emplace_back(each.as_object());
    return exchanges;
}

/// The text with the elements of an array in one order: that of a set is the store's own.
std::string comparable(const std::string& text) {
    if (text.empty() || text.front() != '[') return text;
    std::vector<std::string> elements;
    const json::value parsed = parse_json(text).value();
    for (const json::value& element : parsed.as_array())
        elements.push_back(json::serialize(element));
    std::sort(elements.begin(), elements.end());
    std::string joined;
    for (const std::string& element : elements)
        joined += element + "\n";
    return joined;
}

void compare(const http::Response& response, const Exchange& exchange) {
    const bool later_member = exchange.note == kLaterMember;
    INFO(exchange.note << ": " << exchange.path);
    CHECK(response.status == (later_member ? 200 : exchange.status));
    if (exchange.content_type)
        CHECK(response.fields.get("Content-Type").value_or("") == *exchange.content_type);
    const std::string body(response.body_view());
    if (later_member) {
        CHECK(body == R"({"message":"wrote new entry iteration","code":200})");
    } else if (exchange.path == "/health") {
        const json::value health = parse_json(body).value();
        const json::value recorded = parse_json(exchange.response).value();
        for (const auto& member : recorded.as_object())
            CHECK(health.as_object().contains(member.key()));
    } else {
        CHECK(comparable(body) == comparable(exchange.response));
    }
}

void replay_all(StoreKind kind) {
    const auto exchanges = recorded_exchanges();
    CHECK(exchanges.size() == 61);
    TestDiscovery in_order(kind);
    for (const Exchange& exchange : exchanges) {
        if (!exchange.production()) {
            compare(in_order.send(exchange.method, exchange.path, exchange.body), exchange);
            continue;
        }
        TestDiscovery empty(kind, Rules());
        compare(empty.send(exchange.method, exchange.path, exchange.body), exchange);
    }
}

/// A deployment of one discovery, with the clock of the recording.
class Deployed {
 public:
    explicit Deployed(bool testing) : harness_(types(), file(testing), recording_time()) {
        if (!harness_.boot()) throw std::runtime_error(harness_.timeline_text());
    }

    http::Response send(const Exchange& exchange) {
        return harness_.send(exchange.method, kAddress, exchange.path, exchange.body).get();
    }

 private:
    static constexpr const char* kAddress = "127.0.0.1:9090";

    static framework::ServiceRegistry types() {
        framework::ServiceRegistry registry;
        registry.add(services::dmsg_discovery_type());
        return registry;
    }

    static std::string file(bool testing) {
        return fmt::format(
            R"({{"services": [{{"type": "dmsg-discovery", "addr": "{}", "testing": {}}}]}})",
            kAddress,
            testing
        );
    }

    static harness::Harness::Options recording_time() {
        harness::Harness::Options options;
        options.wall = kRecordingTime;
        return options;
    }

    harness::Harness harness_;
};

}  // namespace

TEST_CASE("discovery: the recorded requests over HTTP to a deployment") {
    Deployed in_order(/*testing=*/true);
    for (const Exchange& exchange : recorded_exchanges()) {
        if (!exchange.production()) {
            compare(in_order.send(exchange), exchange);
            continue;
        }
        Deployed empty(/*testing=*/false);
        compare(empty.send(exchange), exchange);
    }
}

TEST_CASE("discovery: the recorded requests over the memory store") {
    replay_all(StoreKind::memory);
}

TEST_CASE("discovery: the recorded requests over the snapshot store") {
    replay_all(StoreKind::snapshot);
}

TEST_CASE("discovery: the recorded requests over Redis") {
    replay_all(StoreKind::redis);
}

TEST_CASE("discovery: a recorded entry with a byte changed is refused, or says the same") {
    const auto exchanges = recorded_exchanges();
    TestDiscovery discovery;
    for (const Exchange& exchange : exchanges) {
        if (exchange.method != http::Method::post || exchange.status != 200) continue;
        const auto recorded = dmsg::ReceivedEntry::parse(exchange.body).value();
        for (std::size_t i = 0; i < exchange.body.size(); ++i) {
            std::string changed = exchange.body;
            changed[i] = static_cast<char>(changed[i] ^ 1);
            const auto response = discovery.send(exchange.method, exchange.path, changed);
            INFO(exchange.note << ", byte " << i);
            if (response.status == 401 || response.status == 422 || response.status == 500)
                continue;
            // A member whose value is that of an absent one may lose its name.
            CHECK(response.status == 200);
            const auto taken = dmsg::ReceivedEntry::parse(changed);
            REQUIRE(taken);
            CHECK(taken->entry() == recorded.entry());
        }
    }
}

}  // namespace skywire::discovery
