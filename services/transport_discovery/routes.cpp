#include "services/transport_discovery/routes.hpp"

#include "http/gzip.hpp"
#include "services/common/json_style.hpp"

#include <optional>
#include <unordered_set>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace skywire::tpd {
namespace {

using http::Method;
using http::Request;
using http::Response;
using services::error_response;
using services::json_response;
using services::JsonStyle;
using transport::Entry;
using transport::SignedEntry;
using transport::TransportId;

constexpr std::string_view kNotFound = "transport not found";
constexpr std::string_view kBadId = "transport ID is invalid";
constexpr std::string_view kBadKey = "public key is invalid";
constexpr std::string_view kIdPrefix = "id:";
constexpr std::string_view kEdgePrefix = "edge:";
/// Entries rendered, at 0.4 us each, before others have their turn.
constexpr std::size_t kEntriesPerTurn = 1000;

/// A JSON array of strings and nothing else.
Result<std::vector<std::string>> strings_of(std::string_view body) {
    const auto parsed = transport::parse_body(body);
    if (!parsed) return parsed.error();
    if (!parsed->is_array()) return Error(transport::errc::json_type);
    std::vector<std::string> texts;
    texts.reserve(parsed->get_array().size());
    for (const json::value& element : parsed->get_array()) {
        if (!element.is_string()) return Error(transport::errc::json_type);
        texts.emplace_back(element.get_string());
    }
    return texts;
}

template <class Entries>
std::string array_of(const Entries& entries, JsonEscape escape) {
    std::string body = "[";
    body.reserve(entries.size() * 240 + 3);
    for (const auto& entry : entries) {
        if (body.size() > 1) body += ',';
        transport::append_json(body, entry, escape);
    }
    body += ']';
    return body;
}

std::string array_of(const std::vector<const Record*>& records, JsonEscape escape) {
    std::string body = "[";
    body.reserve(records.size() * 240 + 3);
    for (const Record* record : records) {
        if (body.size() > 1) body += ',';
        transport::append_json(body, record->entry, escape);
    }
    body += ']';
    return body;
}

std::vector<TransportId> with_heartbeats(const std::vector<Entry>& entries) {
    std::vector<TransportId> ids;
    for (const Entry& entry : entries)
        if (has_heartbeats(entry.type)) ids.push_back(entry.id);
    return ids;
}

std::vector<TransportId> with_heartbeats(const std::vector<SignedEntry>& entries) {
    std::vector<TransportId> ids;
    for (const SignedEntry& entry : entries)
        if (has_heartbeats(entry.entry.type)) ids.push_back(entry.entry.id);
    return ids;
}

std::string version_of(const Request& request) {
    return std::string(request.fields.get("SW-Visor-Version").value_or(""));
}

/// Routes without a limit.
bool is_free(std::string_view path) {
    return path == "/health" || path == "/statuses" || path.starts_with("/security/nonces") ||
           path.starts_with("/uptime/");
}

Response gone() {
    return Response::empty(410);
}

}  // namespace

std::string_view reason(Refused why) noexcept {
    switch (why) {
        case Refused::json_syntax:
            return "json_syntax";
        case Refused::json_type:
            return "json_type";
        case Refused::bad_id:
            return "bad_id";
        case Refused::bad_key:
            return "bad_key";
        case Refused::bad_query:
            return "bad_query";
        case Refused::not_found:
            return "not_found";
        case Refused::not_an_edge:
            return "not_an_edge";
        case Refused::rate_limit:
            return "rate_limit";
        case Refused::store_unavailable:
            return "store_unavailable";
        case Refused::too_large:
            return "too_large";
        case Refused::busy:
            return "busy";
    }
    return "unknown";
}

Answers::Answers(Metrics& metrics, OnStoreFailure on_store_failure)
    : on_store_failure_(std::move(on_store_failure)) {
    for (const Refused why : kRefused) {
        refused_[static_cast<std::size_t>(why)] = &metrics.counter(
            "transport_discovery_refused_total",
            "Requests that were not served, by reason.",
            {{"reason", std::string(reason(why))}}
        );
    }
}

void Answers::count(Refused why) {
    refused_[static_cast<std::size_t>(why)]->add();
}

Response Answers::store_failed(const Error& error) {
    count(Refused::store_unavailable);
    note_failure(error);
    return error_response(500, "the store does not answer", JsonStyle::a);
}

void Answers::note_failure(const Error& error) {
    if (on_store_failure_) on_store_failure_(error);
}

Routes::Routes(const Parts& parts)
    : context_(parts.context),
      transports_(parts.transports),
      uptimes_(parts.uptimes),
      auth_(parts.auth),
      answers_(parts.answers),
      rate_limit_(parts.rate_limit),
      list_(parts.context, parts.transports.table().listing()),
      instance_(fmt::format("{:016x}", context_.random.next_u64())),
      get_by_id_(auth_.signed_by_anyone([this](Request& request, Caller caller) {
          return get_by_id(request, caller);
      })),
      get_by_edge_(auth_.signed_by_anyone([this](Request& request, Caller caller) {
          return get_by_edge(request, caller);
      })),
      delete_by_id_(auth_.signed_by_anyone([this](Request& request, Caller caller) {
          return delete_by_id(request, caller);
      })) {}

void Routes::add_to(http::Router& router) {
    using Signed = Task<Response> (Routes::*)(Request&, Caller);
    using Open = Task<Response> (Routes::*)(Request&);
    using Success = services::RequestAuth::Success;
    const auto signed_on = [this, &router](
                               Method method,
                               std::string_view path,
                               Signed handler,
                               Success success = Success::uses_nonce
                           ) {
        auto call = [this, handler](Request& request, Caller caller) {
            return (this->*handler)(request, caller);
        };
        router.on(method, path, auth_.signed_by_anyone(std::move(call), success));
    };
    const auto open_on = [this, &router](Method method, std::string_view path, Open handler) {
        router.on(method, path, [this, handler](Request& request) {
            return (this->*handler)(request);
        });
    };
    if (rate_limit_.per_minute() != 0) {
        router.use([this](Request& request, const http::Handler& next) {
            return limited(request, next);
        });
    }
    auth_.add_to(router);
    // Their success is a 201.
    signed_on(Method::post, "/transports/", &Routes::post_signed, Success::leaves_nonce);
    signed_on(Method::post, "/v3/transports/", &Routes::post_bare, Success::leaves_nonce);
    open_on(Method::get, "/transports/{what}", &Routes::get_one);
    open_on(Method::get, "/v3/transports/{what}", &Routes::get_by_edge_v3);
    open_on(Method::post, "/transports/edges", &Routes::post_edges);
    open_on(Method::delete_, "/transports/{what}", &Routes::delete_one);
    signed_on(Method::post, "/transports/delete-batch", &Routes::delete_batch);
    router.on(
        Method::delete_, "/transports/deregister", auth_.network_monitor([this](Request& request) {
            return deregister(request);
        })
    );
    open_on(Method::get, "/all-transports", &Routes::all);
    signed_on(Method::get, "/v4/update", &Routes::update);
    const auto answer_gone = [](Request&) -> Task<Response> { co_return gone(); };
    router.on(Method::post, "/statuses", answer_gone);
    // The uptime-tracker's former ones.
    for (const std::string_view path : {"/update", "/v2/update", "/v3/update"})
        router.on(Method::get, path, answer_gone);
}

Task<Response> Routes::limited(Request& request, const http::Handler& next) {
    if (!is_free(request.path)) {
        const auto key = services::stream_key(request);
        const std::string caller = key ? key->to_text() : request.remote.to_string();
        if (!rate_limit_.take(caller, context_.clock.now())) {
            answers_.count(Refused::rate_limit);
            Response response = Response::of(
                429,
                "text/plain; charset=utf-8",
                fmt::format(
                    "Rate limit exceeded: maximum {} requests per minute\n",
                    rate_limit_.per_minute()
                )
            );
            response.fields.add("X-Content-Type-Options", "nosniff");
            co_return response;
        }
    }
    co_return co_await next(request);
}

// ---------------------------------------------------------------- writing

Response Routes::malformed(const Error& error, bool style_c) {
    const bool syntax = error == make_error_code(transport::errc::json_syntax);
    answers_.count(syntax ? Refused::json_syntax : Refused::json_type);
    return error_response(
        syntax ? 400 : 500, error.message(), style_c ? JsonStyle::c : JsonStyle::a
    );
}

Task<> Routes::seen(
    crypto::PublicKey caller, std::string version, std::vector<TransportId> transports
) {
    const auto visor = co_await uptimes_.visors().seen(caller, std::move(version));
    if (!visor) answers_.note_failure(visor.error());
    if (transports.empty()) co_return;
    const auto marked = co_await uptimes_.transports_seen(std::move(transports), caller);
    if (!marked) answers_.note_failure(marked.error());
}

Task<Response> Routes::post_signed(Request& request, Caller caller) {
    auto read = transport::parse_signed_entries(request.body);
    if (!read) co_return malformed(read.error(), /*style_c=*/false);
    std::optional<std::vector<SignedEntry>> list = std::move(*read);
    if (!list) co_return json_response(201, "null", JsonStyle::a);
    std::vector<SignedEntry>& entries = *list;
    std::string version = version_of(request);
    const Transports::Writer writer{caller, !version.empty()};
    const auto stored = co_await transports_.put(entries, writer);
    if (!stored) co_return answers_.store_failed(stored.error());
    co_await seen(writer.key, std::move(version), with_heartbeats(entries));
    co_return json_response(201, array_of(entries, JsonEscape::html), JsonStyle::a);
}

Task<Response> Routes::post_bare(Request& request, Caller caller) {
    auto read = transport::parse_entries(request.body);
    if (!read) co_return malformed(read.error(), /*style_c=*/true);
    std::optional<std::vector<Entry>> list = std::move(*read);
    std::vector<Entry> entries = std::move(list).value_or(std::vector<Entry>());
    const crypto::PublicKey writer = caller;
    const auto stored = co_await transports_.put(entries, writer);
    if (!stored) co_return answers_.store_failed(stored.error());
    co_await seen(writer, version_of(request), with_heartbeats(entries));
    co_return json_response(201, array_of(entries, JsonEscape::plain), JsonStyle::c);
}

Task<Response> Routes::delete_one(Request& request) {
    if (!request.param("what").starts_with(kIdPrefix)) co_return http::not_found_page();
    co_return co_await delete_by_id_(request);
}

Task<Response> Routes::delete_by_id(Request& request, Caller caller) {
    const auto id = TransportId::from_text(request.param("what").substr(kIdPrefix.size()));
    if (!id) {
        answers_.count(Refused::bad_id);
        co_return error_response(400, kBadId, JsonStyle::a);
    }
    const auto erased = co_await transports_.erase(*id, caller);
    if (!erased) co_return answers_.store_failed(erased.error());
    switch (*erased) {
        case Erased::not_found:
            answers_.count(Refused::not_found);
            co_return error_response(404, kNotFound, JsonStyle::a);
        case Erased::not_an_edge:
            answers_.count(Refused::not_an_edge);
            co_return error_response(400, kBadId, JsonStyle::a);
        case Erased::done:
            break;
    }
    co_return Response::of(200, "text/plain; charset=utf-8", "transport deleted");
}

Task<Response> Routes::delete_batch(Request& request, Caller caller) {
    const auto texts = strings_of(request.body);
    std::vector<TransportId> ids;
    bool good = texts.has_value();
    if (good) {
        ids.reserve(texts->size());
        for (const std::string& text : *texts) {
            const auto id = TransportId::from_text(text);
            good = good && id;
            if (id) ids.push_back(*id);
        }
    }
    if (!good) {
        answers_.count(Refused::json_type);
        co_return error_response(500, "error bad input", JsonStyle::c);
    }
    const crypto::PublicKey writer = caller;
    std::size_t deleted = 0;
    for (const TransportId& id : ids) {
        const auto erased = co_await transports_.erase(id, writer);
        if (!erased) co_return answers_.store_failed(erased.error());
        if (*erased == Erased::done) ++deleted;
    }
    co_return json_response(
        200,
        fmt::format(R"({{"deleted":{},"skipped":{}}})", deleted, ids.size() - deleted),
        JsonStyle::c
    );
}

Task<Response> Routes::deregister(Request& request) {
    const auto texts = strings_of(request.body);
    if (!texts) {
        answers_.count(Refused::json_type);
        co_return Response::empty(400);
    }
    // Each bad id writes its own object; the first one fixes the status.
    unsigned status = 200;
    std::string body;
    const auto refuse = [&](unsigned with, std::string_view text, Refused why) {
        answers_.count(why);
        if (status == 200) status = with;
        body += error_response(with, text, JsonStyle::a).body;
    };
    for (const std::string& text : *texts) {
        const auto id = TransportId::from_text(text);
        if (!id) {
            refuse(400, kBadId, Refused::bad_id);
            continue;
        }
        const auto removed = co_await transports_.deregister(*id);
        if (!removed) co_return answers_.store_failed(removed.error());
        if (!*removed) refuse(404, kNotFound, Refused::not_found);
    }
    body += "null";
    if (status == 200) co_return Response::json(200, std::move(body));
    co_return Response::of(status, "text/plain; charset=utf-8", std::move(body));
}

Task<Response> Routes::update(Request& request, Caller caller) {
    co_await seen(caller, request.query("version").value_or(""), {});
    co_return json_response(200, R"({"status":"ok"})", JsonStyle::c);
}

// ---------------------------------------------------------------- reading

Task<Response> Routes::get_one(Request& request) {
    const std::string_view what = request.param("what");
    if (what.starts_with(kIdPrefix)) co_return co_await get_by_id_(request);
    if (what.starts_with(kEdgePrefix)) co_return co_await get_by_edge_(request);
    co_return http::not_found_page();
}

Task<Response> Routes::get_by_id(Request& request, Caller) {
    const auto id = TransportId::from_text(request.param("what").substr(kIdPrefix.size()));
    if (!id) {
        answers_.count(Refused::bad_id);
        co_return error_response(400, kBadId, JsonStyle::a);
    }
    if (const auto synced = co_await transports_.sync(); !synced)
        co_return answers_.store_failed(synced.error());
    const Record* record = transports_.table().find(*id);
    if (record == nullptr) {
        answers_.count(Refused::not_found);
        co_return error_response(404, kNotFound, JsonStyle::a);
    }
    std::string body;
    transport::append_json(body, record->entry, JsonEscape::html);
    co_return json_response(200, std::move(body), JsonStyle::a);
}

Task<Response> Routes::get_by_edge(Request& request, Caller) {
    const std::string_view text = request.param("what").substr(kEdgePrefix.size());
    const auto key = EdgeKey::from_text(text);
    if (key) {
        if (const auto synced = co_await transports_.sync(); !synced)
            co_return answers_.store_failed(synced.error());
        const auto& records = transports_.table().of_edge(*key);
        if (!records.empty())
            co_return json_response(200, array_of(records, JsonEscape::html), JsonStyle::a);
    }
    // Whether the digits are a point of the curve costs more than the look-up.
    if (!crypto::PublicKey::from_text(text)) {
        answers_.count(Refused::bad_key);
        co_return error_response(400, kBadKey, JsonStyle::a);
    }
    answers_.count(Refused::not_found);
    co_return error_response(404, kNotFound, JsonStyle::a);
}

Task<Response> Routes::get_by_edge_v3(Request& request) {
    const std::string_view what = request.param("what");
    if (!what.starts_with(kEdgePrefix)) co_return http::not_found_page();
    const std::string_view text = what.substr(kEdgePrefix.size());
    if (const auto synced = co_await transports_.sync(); !synced)
        co_return answers_.store_failed(synced.error());
    const auto key = EdgeKey::from_text(text);
    static const std::vector<const Record*> kNone;
    const auto& records = key ? transports_.table().of_edge(*key) : kNone;
    if (records.empty() && !crypto::PublicKey::from_text(text)) {
        answers_.count(Refused::bad_key);
        co_return error_response(400, kBadKey, JsonStyle::c);
    }
    co_return json_response(200, array_of(records, JsonEscape::plain), JsonStyle::c);
}

Task<Response> Routes::post_edges(Request& request) {
    const auto texts = strings_of(request.body);
    if (!texts) {
        answers_.count(Refused::bad_key);
        co_return error_response(400, kBadKey, JsonStyle::c);
    }
    if (const auto synced = co_await transports_.sync(); !synced)
        co_return answers_.store_failed(synced.error());
    std::unordered_set<TransportId> listed;
    std::string body = "[";
    std::size_t turn = 0;
    for (const std::string& text : *texts) {
        const auto key = EdgeKey::from_text(text);
        if (!key) continue;
        const auto& records = transports_.table().of_edge(*key);
        turn += records.size() + 1;
        for (const Record* record : records) {
            if (!listed.insert(record->entry.id).second) continue;
            if (body.size() > 1) body += ',';
            transport::append_json(body, record->entry, JsonEscape::plain);
        }
        if (turn < kEntriesPerTurn) continue;
        turn = 0;
        co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    }
    body += ']';
    co_return json_response(200, std::move(body), JsonStyle::c);
}

Task<Response> Routes::all(Request& request) {
    if (const auto synced = co_await transports_.sync(); !synced)
        co_return answers_.store_failed(synced.error());
    const bool without_self = request.query("selfTransports") == "hide";
    const auto accepted = request.fields.get("Accept-Encoding");
    const bool gzip = accepted && http::accepts_gzip(*accepted);
    // Changes made while it is sent may be in it: then it is newer than its tag, never older.
    const std::string tag = fmt::format(
        "W/\"{}-{}{}\"", instance_, transports_.table().version(), without_self ? "-n" : ""
    );
    if (request.fields.get("If-None-Match") == std::string_view(tag)) {
        Response unchanged = Response::empty(304);
        unchanged.fields.add("ETag", tag);
        co_return unchanged;
    }
    const auto kind = without_self ? Listing::Kind::without_self : Listing::Kind::all;
    Response response = list_.response(kind, gzip);
    response.fields.add("ETag", tag);
    co_return response;
}

}  // namespace skywire::tpd
