#include "services/service_discovery/routes.hpp"

#include "base/json.hpp"
#include "http/gzip.hpp"
#include "services/common/json_style.hpp"
#include "services/service_discovery/cors.hpp"
#include "services/service_discovery/registration.hpp"

#include <array>
#include <charconv>
#include <initializer_list>
#include <utility>

#include <fmt/format.h>

namespace skywire::service_discovery {
namespace {

using crypto::PublicKey;
using http::Method;
using http::Request;
using http::Response;
using services::JsonStyle;

constexpr std::string_view kProxy = "proxy";
constexpr std::string_view kSkysocks = "skysocks";

constexpr std::string_view kMissingType = "missing service type in request";
constexpr std::string_view kOtherKey = "using public key other than your own is forbidden";
constexpr std::string_view kStoreUnavailable = "store_unavailable";
constexpr std::string_view kLimit = "limit";

/// `{"error":"<status text>: <message>"}`
Response refused(unsigned status, std::string_view message) {
    return services::error_response(
        status, fmt::format("{}: {}", http::reason_phrase(status), message), JsonStyle::c
    );
}

Response raw_json(std::string body) {
    return Response::json(200, std::move(body));
}

/// The first value of a query key; empty where there is none.
std::string query_text(const Request& request, std::string_view key) {
    return request.query(key).value_or("");
}

/// The type of a read: "proxy" is another name of "skysocks".
std::string read_type(const Request& request) {
    std::string type = query_text(request, "type");
    if (type == kProxy) type = kSkysocks;
    return type;
}

/// A whole decimal number with or without a sign.
std::optional<std::int64_t> parse_integer(std::string_view text) {
    if (text.starts_with('+')) {
        text.remove_prefix(1);
        if (text.starts_with('-')) return std::nullopt;
    }
    std::int64_t value = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// A JSON array of strings, nothing else.
std::optional<std::vector<std::string>> parse_strings(std::string_view body) {
    const auto parsed = parse_json(body);
    if (!parsed || !parsed->is_array()) return std::nullopt;
    std::vector<std::string> texts;
    texts.reserve(parsed->get_array().size());
    for (const json::value& element : parsed->get_array()) {
        if (!element.is_string()) return std::nullopt;
        texts.emplace_back(element.get_string());
    }
    return texts;
}

std::map<std::string_view, Counter*> counters(
    const net::Context& context,
    std::string_view name,
    std::string_view help,
    std::initializer_list<std::string_view> outcomes
) {
    std::map<std::string_view, Counter*> made;
    for (const std::string_view outcome : outcomes) {
        made[outcome] = &context.metrics.counter(name, help, {{"outcome", std::string(outcome)}});
    }
    return made;
}

void count(const std::map<std::string_view, Counter*>& counters, std::string_view outcome) {
    if (const auto found = counters.find(outcome); found != counters.end()) found->second->add();
}

}  // namespace

Response store_refused(const Error& error) {
    if (error.code() == errc::limit_reached) return refused(500, "too many services");
    return refused(500, "the store does not answer");
}

Routes::Routes(
    const net::Context& context,
    Directory& directory,
    services::RequestAuth& auth,
    Locator& locator,
    OnRegistered on_registered,
    Options options
)
    : context_(context),
      directory_(directory),
      auth_(auth),
      locator_(locator),
      on_registered_(std::move(on_registered)),
      options_(options),
      registrations_(counters(
          context,
          "service_discovery_registrations_total",
          "Entries posted, by outcome.",
          {"held",
           "refreshing",
           "invalid_json",
           "too_large",
           "no_place",
           "other_key",
           "no_version",
           "unreachable",
           kLimit,
           kStoreUnavailable}
      )),
      deletions_(counters(
          context,
          "service_discovery_deletions_total",
          "Requests of owners to delete an entry, by outcome.",
          {"deleted", "no_type", "bad_address", "other_key", kLimit, kStoreUnavailable}
      )),
      deregistrations_(counters(
          context,
          "service_discovery_deregistrations_total",
          "Requests of the network monitor to remove entries, by outcome.",
          {"done", "bad_body", "bad_key", kLimit, kStoreUnavailable}
      )) {}

Routes::~Routes() = default;

void Routes::add_to(http::Router& router) {
    router.use(cors());
    router.on(Method::get, "/api/services", [this](Request& request) { return list(request); });
    router.on(Method::get, "/api/services/{address}", [this](Request& request) {
        return one(request);
    });
    router.on(
        Method::post,
        "/api/services",
        auth_.signed_by_anyone([this](Request& request, const PublicKey& caller) {
            return register_entry(request, caller);
        })
    );
    router.on(
        Method::delete_,
        "/api/services/{address}",
        auth_.signed_by_anyone([this](Request& request, const PublicKey& caller) {
            return delete_entry(request, caller);
        })
    );
    router.on(
        Method::delete_,
        "/api/services/deregister/{type}",
        auth_.network_monitor([this](Request& request) { return deregister(request); })
    );
}

std::string_view Routes::outcome_of(const Error& error) const {
    return error.code() == errc::limit_reached ? kLimit : kStoreUnavailable;
}

Task<Response> Routes::list(Request& request) {
    Filter filter;
    filter.type = read_type(request);
    if (filter.type.empty()) co_return refused(400, kMissingType);
    filter.version = query_text(request, "version");
    filter.country = query_text(request, "country");
    if (const std::string quantity = query_text(request, "quantity"); !quantity.empty()) {
        const auto number = parse_integer(quantity);
        if (!number)
            co_return services::error_response(400, "quantity must be integer", JsonStyle::c);
        filter.quantity = *number;
    }
    const bool whole = filter.version.empty() && filter.country.empty() && filter.quantity <= 0;
    if (whole) co_return co_await whole_list(request, std::move(filter.type));
    auto body = co_await directory_.find(std::move(filter));
    if (!body) co_return store_refused(body.error());
    co_return raw_json(std::move(*body));
}

/// The body is shared by all answers until an entry changes, compressed too.
Task<Response> Routes::whole_list(Request& request, std::string type) {
    const auto listing = co_await directory_.list(std::move(type));
    if (!listing) co_return store_refused(listing.error());
    Response response = raw_json({});
    response.shared_body = (*listing)->body;
    const std::size_t from = options_.gzip_from_bytes;
    if (from == 0 || response.shared_body->size() < from) co_return response;
    const auto accepted = request.fields.get("Accept-Encoding");
    if (!accepted || !http::accepts_gzip(*accepted)) co_return response;
    if (!(*listing)->gzipped) {
        auto packed = co_await context_.workers.run(
            [body = response.shared_body]() -> Result<std::shared_ptr<const std::string>> {
                auto text = http::gzip(*body);
                if (!text) return fail(errc::unavailable, "gzip failed");
                return std::make_shared<const std::string>(std::move(*text));
            }
        );
        // Sent as it is where there is no room for the work.
        if (!packed) co_return response;
        (*listing)->gzipped = std::move(*packed);
    }
    response.shared_body = (*listing)->gzipped;
    response.fields.set("Content-Encoding", "gzip");
    response.fields.add("Vary", "Accept-Encoding");
    co_return response;
}

Task<Response> Routes::one(Request& request) {
    std::string type = read_type(request);
    if (type.empty()) co_return refused(400, kMissingType);
    const auto address = ServiceAddress::parse(request.param("address"));
    if (!address) co_return refused(400, address.error().message());
    const auto found = co_await directory_.get(std::move(type), address->key);
    if (!found) co_return store_refused(found.error());
    const std::optional<Entry>& entry = *found;
    if (!entry) co_return refused(404, "service not found");
    std::string body;
    append_entry(body, *entry, Reader::one);
    body += '\n';
    co_return raw_json(std::move(body));
}

Response Routes::refuse_registration(
    std::string_view outcome, unsigned status, std::string_view text
) {
    count(registrations_, outcome);
    return refused(status, text);
}

Task<Response> Routes::register_entry(Request& request, PublicKey caller) {
    auto entry = parse_posted(request.body);
    if (!entry) co_return refuse_registration("invalid_json", 400, "invalid json");
    if (too_large(*entry)) co_return refuse_registration("too_large", 400, "invalid json");
    const std::string ip = services::caller_ip(request);
    const bool placed = entry->geo.has_value();
    if (!placed) entry->geo = co_await locator_.locate(ip);
    if (const auto refusal = judge_registration(*entry, caller, ip))
        co_return refuse_registration(refusal->outcome, refusal->status, refusal->message);

    // Visors that say where they are, or what they run, write again and again.
    const bool held = !placed && !request.fields.get("SW-Visor-Version");
    std::string body;
    append_entry(body, *entry, Reader::poster);
    body += '\n';
    std::string version = entry->version;
    const auto stored = co_await directory_.put(std::move(*entry), held);
    if (!stored) {
        count(registrations_, outcome_of(stored.error()));
        co_return store_refused(stored.error());
    }
    count(registrations_, held ? "held" : "refreshing");
    co_await on_registered_(caller, std::move(version));
    co_return raw_json(std::move(body));
}

Task<Response> Routes::delete_entry(Request& request, PublicKey caller) {
    std::string type = query_text(request, "type");
    if (type.empty()) {
        count(deletions_, "no_type");
        co_return refused(400, kMissingType);
    }
    const auto address = ServiceAddress::parse(request.param("address"));
    if (!address) {
        count(deletions_, "bad_address");
        co_return refused(400, address.error().message());
    }
    if (address->key != caller) {
        count(deletions_, "other_key");
        co_return refused(403, kOtherKey);
    }
    std::vector<PublicKey> keys(1, caller);
    const auto erased = co_await directory_.erase(std::move(type), std::move(keys));
    if (!erased) {
        count(deletions_, outcome_of(erased.error()));
        co_return store_refused(erased.error());
    }
    count(deletions_, "deleted");
    co_return raw_json("true\n");
}

Task<Response> Routes::deregister(Request& request) {
    const auto texts = parse_strings(request.body);
    if (!texts) {
        count(deregistrations_, "bad_body");
        co_return Response::empty(400);
    }
    std::vector<PublicKey> keys;
    keys.reserve(texts->size());
    for (const std::string& text : *texts) {
        const auto key = PublicKey::from_text(text);
        if (!key) {
            count(deregistrations_, "bad_key");
            co_return Response::empty(400);
        }
        keys.push_back(*key);
    }
    const auto erased =
        co_await directory_.erase(std::string(request.param("type")), std::move(keys));
    if (!erased) {
        count(deregistrations_, outcome_of(erased.error()));
        co_return store_refused(erased.error());
    }
    count(deregistrations_, "done");
    co_return raw_json("true");
}

}  // namespace skywire::service_discovery
