#include "services/dmsg_discovery/routes.hpp"

#include "base/json.hpp"
#include "crypto/signature.hpp"
#include "dmsg/error.hpp"

#include <algorithm>

namespace skywire::discovery {
namespace {

using http::Method;
using http::Request;
using http::Response;

/// How old the map behind /servers/clients may be, and that behind /server/{pk}/clients.
constexpr std::chrono::seconds kServersClientsAgeMax{15};
constexpr std::chrono::seconds kServerClientsAgeMax{1};

/// Keys of one POST /entries/batch.
constexpr std::size_t kBatchKeysMax = 10'000;

constexpr std::string_view kPostsTotal = "dmsg_discovery_posts_total";
constexpr std::string_view kPostsHelp = "Entries posted, by outcome.";
constexpr std::string_view kDeletesTotal = "dmsg_discovery_deletes_total";
constexpr std::string_view kDeletesHelp = "Entries that their owners deleted, by outcome.";

constexpr std::string_view kStoreUnavailable = "store_unavailable";
constexpr std::string_view kStoreLimit = "store_limit";

constexpr std::array kRefusals{
    dmsg::errc::invalid_signature,
    dmsg::errc::unexpected,
    dmsg::errc::no_version,
    dmsg::errc::no_signature,
    dmsg::errc::no_static_key,
    dmsg::errc::no_role,
    dmsg::errc::no_server_address,
    dmsg::errc::outdated_timestamp,
    dmsg::errc::loopback_address,
    dmsg::errc::wrong_sequence,
    dmsg::errc::older_timestamp,
};

Response message(unsigned status, std::string_view text) {
    std::string body = R"({"message":)";
    append_json_string(body, text, JsonEscape::plain);
    body += fmt::format(R"(,"code":{}}})", status);
    return Response::json(status, std::move(body));
}

Response refused(dmsg::errc code) {
    const auto status = static_cast<unsigned>(dmsg::http_status(code));
    return message(status, dmsg::make_error_code(code).message());
}

std::string_view outcome_of(const Error& error) {
    if (error.code().category() == dmsg::dmsg_category())
        return dmsg::reason(static_cast<dmsg::errc>(error.code().value()));
    return error == make_error_code(errc::limit_reached) ? kStoreLimit : kStoreUnavailable;
}

/// Entries are JSON already.
Response array_of_entries(const std::vector<std::string>& texts) {
    std::string body = "[";
    for (const std::string& text : texts) {
        if (body.size() > 1) body += ',';
        body += text;
    }
    body += ']';
    return Response::json(200, std::move(body));
}

void append_keys(std::string& out, const std::vector<std::string>& keys) {
    out += '[';
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (i > 0) out += ',';
        append_json_string(out, keys[i], JsonEscape::plain);
    }
    out += ']';
}

Response array_of_keys(const std::vector<std::string>& keys) {
    std::string body;
    body.reserve(keys.size() * (crypto::PublicKey::kTextSize + 3) + 2);
    append_keys(body, keys);
    return Response::json(200, std::move(body));
}

/// The digits in lower case where the text has the shape of a key: 66 hex digits.
std::optional<std::string> key_digits(std::string_view text) {
    if (text.size() != crypto::PublicKey::kTextSize) return std::nullopt;
    std::string digits(text);
    for (char& c : digits) {
        if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
        const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (!hex) return std::nullopt;
    }
    return digits;
}

/// A JSON array of strings, nothing else.
std::optional<std::vector<std::string>> parse_strings(std::string_view body) {
    const auto parsed = parse_json(body);
    if (!parsed || !parsed->is_array()) return std::nullopt;
    std::vector<std::string> texts;
    texts.reserve(parsed->as_array().size());
    for (const json::value& element : parsed->as_array()) {
        if (!element.is_string()) return std::nullopt;
        texts.emplace_back(element.as_string());
    }
    return texts;
}

}  // namespace

Outcomes::Outcomes(
    Metrics& metrics,
    std::string_view name,
    std::string_view help,
    std::initializer_list<std::string_view> outcomes
) {
    for (const std::string_view outcome : outcomes)
        counters_[outcome] = &metrics.counter(name, help, {{"outcome", std::string(outcome)}});
}

void Outcomes::with_errors(Metrics& metrics, std::string_view name, std::string_view help) {
    for (const dmsg::errc code : kRefusals) {
        const std::string_view outcome = dmsg::reason(code);
        counters_[outcome] = &metrics.counter(name, help, {{"outcome", std::string(outcome)}});
    }
}

void Outcomes::add(std::string_view outcome) {
    if (const auto found = counters_.find(outcome); found != counters_.end()) found->second->add();
}

void Outcomes::add(const Error& error) {
    add(outcome_of(error));
}

Routes::Routes(
    Metrics& metrics,
    Discovery& discovery,
    std::vector<std::string> whitelist,
    OnStoreFailure on_store_failure
)
    : discovery_(discovery),
      whitelist_(std::move(whitelist)),
      on_store_failure_(std::move(on_store_failure)),
      posts_(metrics, kPostsTotal, kPostsHelp, {"first", "again", kStoreUnavailable, kStoreLimit}),
      deletes_(metrics, kDeletesTotal, kDeletesHelp, {"deleted", kStoreUnavailable, kStoreLimit}),
      lookups_(
          metrics,
          "dmsg_discovery_lookups_total",
          "Entries asked for, by outcome.",
          {"found", "entry_not_found", "bad_input", kStoreUnavailable, kStoreLimit}
      ),
      deregistrations_(
          metrics,
          "dmsg_discovery_deregistrations_total",
          "Requests to deregister clients, by outcome.",
          {"done",
           "not_whitelisted",
           "bad_signature",
           "wrong_signature",
           "bad_input",
           kStoreUnavailable,
           kStoreLimit}
      ) {
    posts_.with_errors(metrics, kPostsTotal, kPostsHelp);
    deletes_.with_errors(metrics, kDeletesTotal, kDeletesHelp);
}

void Routes::add_to(http::Router& router) {
    const auto on =
        [this, &router](
            Method method, std::string_view path, Task<Response> (Routes::*handler)(Request&)
        ) {
            const std::string pattern = "/dmsg-discovery/" + std::string(path);
            router.on(method, pattern, [this, handler](Request& request) {
                return (this->*handler)(request);
            });
        };
    on(Method::get, "entry/{pk}", &Routes::get_entry);
    on(Method::post, "entry/", &Routes::post_entry);
    on(Method::post, "entry/{pk}", &Routes::post_entry);
    on(Method::delete_, "entry", &Routes::delete_entry);
    on(Method::get, "entries", &Routes::clients);
    on(Method::post, "entries/batch", &Routes::entries_batch);
    on(Method::get, "visorEntries", &Routes::visors);
    on(Method::get, "available_servers", &Routes::available_servers);
    on(Method::get, "all_servers", &Routes::all_servers);
    on(Method::get, "servers/clients", &Routes::servers_clients);
    on(Method::get, "server/{pk}/clients", &Routes::clients_of_server);
    on(Method::delete_, "deregister", &Routes::deregister);
}

Response Routes::failed(const Error& error) {
    if (error.code().category() == dmsg::dmsg_category())
        return refused(static_cast<dmsg::errc>(error.code().value()));
    if (on_store_failure_) on_store_failure_(error);
    // The text of 500: existing clients know no other one, and try again.
    return message(503, dmsg::make_error_code(dmsg::errc::unexpected).message());
}

Task<Response> Routes::get_entry(Request& request) {
    const std::string_view text = request.param("pk");
    // Whether the digits are a point of the curve costs more than the look-up: asked only where
    // nothing is stored, to tell 404 from 400.
    if (auto digits = key_digits(text)) {
        auto entry = co_await discovery_.entry(std::move(*digits));
        if (!entry) {
            lookups_.add(entry.error());
            co_return failed(entry.error());
        }
        if (auto& stored = *entry) {
            lookups_.add("found");
            co_return Response::json(200, std::move(*stored));
        }
    }
    const bool is_key = crypto::PublicKey::from_text(text).has_value();
    const dmsg::errc refusal = is_key ? dmsg::errc::entry_not_found : dmsg::errc::bad_input;
    lookups_.add(dmsg::reason(refusal));
    co_return refused(refusal);
}

Task<Response> Routes::post_entry(Request& request) {
    const bool short_lived = request.query("timeout") == "true";
    const auto written = co_await discovery_.post(std::move(request.body), short_lived);
    if (!written) {
        posts_.add(written.error());
        co_return failed(written.error());
    }
    const bool first = *written == Written::first;
    posts_.add(first ? "first" : "again");
    co_return message(200, first ? "wrote a new entry" : "wrote new entry iteration");
}

Task<Response> Routes::delete_entry(Request& request) {
    const auto deleted = co_await discovery_.erase(std::move(request.body));
    if (!deleted) {
        deletes_.add(deleted.error());
        co_return failed(deleted.error());
    }
    deletes_.add("deleted");
    co_return message(200, "deleted entry");
}

Task<Response> Routes::clients(Request&) {
    const auto keys = co_await discovery_.clients();
    if (!keys) co_return failed(keys.error());
    co_return array_of_keys(*keys);
}

Task<Response> Routes::visors(Request&) {
    const auto keys = co_await discovery_.visors();
    if (!keys) co_return failed(keys.error());
    co_return array_of_keys(*keys);
}

Task<Response> Routes::available_servers(Request&) {
    const auto servers = co_await discovery_.available_servers();
    if (!servers) co_return failed(servers.error());
    if (servers->empty()) co_return refused(dmsg::errc::no_servers);
    co_return array_of_entries(*servers);
}

Task<Response> Routes::all_servers(Request&) {
    const auto servers = co_await discovery_.all_servers();
    if (!servers) co_return failed(servers.error());
    if (servers->empty()) co_return refused(dmsg::errc::no_servers);
    co_return array_of_entries(*servers);
}

Task<Response> Routes::entries_batch(Request& request) {
    const auto texts = parse_strings(request.body);
    if (!texts || texts->size() > kBatchKeysMax) co_return refused(dmsg::errc::bad_input);
    std::vector<std::string> keys;
    keys.reserve(texts->size());
    for (const std::string& text : *texts)
        if (auto digits = key_digits(text)) keys.push_back(std::move(*digits));
    auto entries = co_await discovery_.entries(std::move(keys));
    if (!entries) co_return failed(entries.error());
    std::string body = "{";
    for (const auto& [key, text] : *entries) {
        if (body.size() > 1) body += ',';
        append_json_string(body, key, JsonEscape::plain);
        body += ':';
        body += text;
    }
    body += '}';
    co_return Response::json(200, std::move(body));
}

Task<Response> Routes::servers_clients(Request&) {
    const auto by_server = co_await discovery_.clients_by_server(kServersClientsAgeMax);
    if (!by_server) co_return failed(by_server.error());
    std::string body = "{";
    for (const auto& [server, keys] : **by_server) {
        if (body.size() > 1) body += ',';
        append_json_string(body, server, JsonEscape::plain);
        body += ':';
        append_keys(body, keys);
    }
    body += '}';
    co_return Response::json(200, std::move(body));
}

Task<Response> Routes::clients_of_server(Request& request) {
    const auto key = crypto::PublicKey::from_text(request.param("pk"));
    if (!key) co_return refused(dmsg::errc::bad_input);
    const std::string server = key->to_text();
    const auto by_server = co_await discovery_.clients_by_server(kServerClientsAgeMax);
    if (!by_server) co_return failed(by_server.error());
    const auto found = (*by_server)->find(server);
    if (found == (*by_server)->end()) co_return Response::json(200, "null");
    co_return array_of_keys(found->second);
}

Response Routes::deregistered(std::string_view outcome, Response response) {
    deregistrations_.add(outcome);
    return response;
}

Task<Response> Routes::deregister(Request& request) {
    const std::string caller(request.fields.get("NM-PK").value_or(""));
    const auto key = crypto::PublicKey::from_text(caller);
    const bool listed = std::ranges::find(whitelist_, caller) != whitelist_.end();
    if (!listed || !key) co_return deregistered("not_whitelisted", Response::empty(403));
    const auto signature = crypto::Signature::from_text(request.fields.get("NM-Sign").value_or(""));
    if (!signature) co_return deregistered("bad_signature", Response::empty(400));
    if (!crypto::verify(*key, as_bytes(caller), *signature))
        co_return deregistered("wrong_signature", Response::empty(403));

    const auto texts = parse_strings(request.body);
    if (!texts) co_return deregistered("bad_input", refused(dmsg::errc::bad_input));
    std::vector<std::string> keys;
    for (const std::string& text : *texts) {
        const auto named = crypto::PublicKey::from_text(text);
        if (!named) co_return deregistered("bad_input", refused(dmsg::errc::bad_input));
        keys.push_back(named->to_text());
    }
    const auto removed = co_await discovery_.deregister(std::move(keys));
    if (!removed) co_return deregistered(outcome_of(removed.error()), failed(removed.error()));
    co_return deregistered("done", Response::json(200, "null"));
}

}  // namespace skywire::discovery
