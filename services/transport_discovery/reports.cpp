#include "services/transport_discovery/reports.hpp"

#include "services/common/json_style.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;
using http::Method;
using http::Request;
using http::Response;
using services::error_response;
using services::json_response;
using services::JsonStyle;
using services::names_of;
using services::UptimeQuestion;
using services::UptimeRefusal;
using transport::TransportId;

/// A refreshed transport is on this long after its last write.
constexpr Duration kTransportOn = 5min;
/// A visor with so many live transports that have heartbeats is on.
constexpr std::size_t kLiveTransports = 2;
/// The per-key statistics take tens of milliseconds with 50,000 transports.
constexpr Duration kPerKeyAgeMax = 1s;

template <class Counts>
void append_counts(std::string& out, const Counts& counts, bool first = true) {
    for (const auto& [name, count] : counts) {
        if (!first) out += ',';
        services::append_string(out, name, JsonStyle::c);
        out += fmt::format(":{}", count);
        first = false;
    }
}

using Counts = std::map<std::string, std::size_t, std::less<>>;

/// What one key has, by type.
Counts counts_of(const std::vector<const Record*>& records) {
    Counts counts;
    for (const Record* record : records)
        ++counts[record->entry.type];
    return counts;
}

Refused refused_of(UptimeRefusal::Why why) {
    switch (why) {
        case UptimeRefusal::Why::unknown_version:
            return Refused::bad_query;
        case UptimeRefusal::Why::bad_body:
            return Refused::json_syntax;
    }
    return Refused::json_syntax;
}

/// "on=true/false/all" of the version routes.
bool wanted(const std::optional<std::string>& asked, bool on) {
    if (asked == "true") return on;
    if (asked == "false") return !on;
    return true;
}

}  // namespace

Reports::Reports(const Parts& parts)
    : context_(parts.context),
      transports_(parts.transports),
      uptimes_(parts.uptimes),
      traffic_(parts.traffic),
      answers_(parts.answers),
      visor_routes_(
          uptimes_.visors(),
          {[this](const VisorUptime& visor) { return visor_on(visor); },
           [this](UptimeRefusal::Why why) { answers_.count(refused_of(why)); },
           [this](const Error& error) { return answers_.store_failed(error); }}
      ) {}

void Reports::add_to(http::Router& router) {
    using Open = Task<Response> (Reports::*)(Request&);
    const auto on = [this, &router](Method method, std::string_view path, Open handler) {
        router.on(method, path, [this, handler](Request& request) {
            return (this->*handler)(request);
        });
    };
    const auto get = [&on](std::string_view path, Open handler) { on(Method::get, path, handler); };
    get("/transports/stats/{pk}", &Reports::stats_of_key);
    get("/all-transports/stats", &Reports::stats);
    get("/all-transports/per-key-stats", &Reports::stats_per_key);
    visor_routes_.add_to(router);
    get("/uptimes/transports", &Reports::transport_uptimes);
    on(Method::post, "/uptimes/transports", &Reports::post_transport_uptimes);
    get("/metrics/uptime", &Reports::uptime_totals);
    get("/metrics/uptime/{ids}", &Reports::uptimes_by_ids);
    get("/metrics/uptime/visor/{pks}", &Reports::uptimes_by_visors);
    get("/version", &Reports::version_counts);
    get("/versions", &Reports::versions);
    get("/versions/{pks}", &Reports::versions);
    get("/bandwidth/transport/{id}", &Reports::transport_bandwidth);
    get("/bandwidth/visor/{pk}", &Reports::visor_bandwidth);
    get("/metric", &Reports::metric);
    get("/metric/visor/{pks}", &Reports::metric_of_visors);
    get("/metrics", &Reports::metrics);
    get("/metrics/{ids}", &Reports::metrics);
    get("/metrics/visor/{pks}", &Reports::metrics);
    for (const std::string_view what : {"now", "sessions", "timeline", "dates"}) {
        router.on(Method::get, "/uptime/" + std::string(what), [](Request&) -> Task<Response> {
            co_return Response::of(
                503, "text/plain; charset=utf-8", "uptime recorder not configured\n"
            );
        });
    }
}

Response Reports::refused(Refused why, unsigned status, std::string_view text) {
    answers_.count(why);
    return error_response(status, text, JsonStyle::c);
}

// ---------------------------------------------------------------- totals

Task<Response> Reports::stats_of_key(Request& request) {
    const std::string_view text = request.param("pk");
    const auto key = EdgeKey::from_text(text);
    if (const auto synced = co_await transports_.sync(); !synced)
        co_return answers_.store_failed(synced.error());
    static const std::vector<const Record*> kNone;
    const auto& records = key ? transports_.table().of_edge(*key) : kNone;
    if (records.empty()) {
        if (!crypto::PublicKey::from_text(text))
            co_return refused(Refused::bad_key, 400, "public key is invalid");
        co_return refused(Refused::not_found, 404, "transport not found");
    }
    std::string body = R"({"by_type":{)";
    append_counts(body, counts_of(records));
    body += fmt::format(R"(}},"total":{}}})", records.size());
    co_return json_response(200, std::move(body), JsonStyle::c);
}

void Reports::add_snapshot_headers(Response& response, WallTime at, std::size_t count) const {
    response.fields.add("X-Tpd-Snapshot-At", format_rfc3339(at));
    response.fields.add("X-Tpd-Snapshot-Transports", std::to_string(count));
}

Task<Response> Reports::stats(Request&) {
    if (const auto synced = co_await transports_.sync(); !synced)
        co_return answers_.store_failed(synced.error());
    const Table& table = transports_.table();
    if (table.size() == 0) co_return refused(Refused::not_found, 404, "transport not found");
    std::string body = fmt::format(R"({{"total":{},"by_type":{{)", table.size());
    append_counts(body, table.by_type());
    body += fmt::format(R"(}},"unique_visors":{}}})", table.edges());
    Response response = json_response(200, std::move(body), JsonStyle::c);
    add_snapshot_headers(response, context_.clock.wall(), table.size());
    co_return response;
}

Task<Response> Reports::stats_per_key(Request&) {
    if (const auto synced = co_await transports_.sync(); !synced)
        co_return answers_.store_failed(synced.error());
    const SteadyTime now = context_.clock.now();
    if (!per_key_ || now - per_key_made_ >= kPerKeyAgeMax) {
        per_key_made_ = now;
        std::map<EdgeKey, std::pair<std::size_t, Counts>> by_key;
        const Listing& listing = transports_.table().listing();
        std::size_t count = 0;
        for (std::size_t slab = 0; slab < listing.slabs(); ++slab) {
            for (const transport::Entry* entry : listing.entries(slab)) {
                if (entry == nullptr) continue;
                ++count;
                for (std::size_t i = 0; i < (entry->to_self() ? 1U : 2U); ++i) {
                    auto& [total, counts] = by_key[EdgeKey(entry->edges[i])];
                    ++total;
                    ++counts[entry->type];
                }
            }
            co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
        }
        auto body = std::make_shared<std::string>("{");
        body->reserve(by_key.size() * 100 + 3);
        for (const auto& [key, of_key] : by_key) {
            if (body->size() > 1) *body += ',';
            *body += fmt::format(R"("{}":{{"total":{})", key.to_text(), of_key.first);
            append_counts(*body, of_key.second, /*first=*/false);
            *body += '}';
        }
        *body += "}\n";
        per_key_ = std::move(body);
        per_key_at_ = context_.clock.wall();
        per_key_transports_ = count;
    }
    Response response;
    response.fields.add("Content-Type", "application/json");
    response.shared_body = per_key_;
    add_snapshot_headers(response, per_key_at_, per_key_transports_);
    co_return response;
}

// ---------------------------------------------------------------- uptimes

bool Reports::visor_on(const VisorUptime& visor) const {
    if (uptimes_.visors().heard_of(visor)) return true;
    const auto& records = transports_.table().of_edge(EdgeKey(visor.key));
    const auto live = std::count_if(records.begin(), records.end(), [this](const Record* record) {
        return has_heartbeats(record->entry.type) && transport_on(*record);
    });
    return static_cast<std::size_t>(live) >= kLiveTransports;
}

bool Reports::transport_on(const Record& record) const {
    const Duration age = context_.clock.now() - record.last_sign;
    return age < (record.held ? Duration(services::kHeartbeatOn) : kTransportOn);
}

std::optional<UptimeQuestion> Reports::read_question(const Request& request, Response& refusal) {
    UptimeRefusal why;
    auto question = services::question_of_query(request, why);
    if (!question) refusal = refused(refused_of(why.why), 400, why.text);
    return question;
}

Task<Response> Reports::transport_uptimes(Request& request) {
    Response refusal;
    auto question = read_question(request, refusal);
    if (!question) co_return refusal;
    co_return co_await answer_transports(std::move(*question));
}

Task<Response> Reports::post_transport_uptimes(Request& request) {
    UptimeRefusal why;
    auto question = services::question_of_body(request.body, why);
    if (!question) co_return refused(refused_of(why.why), 400, why.text);
    co_return co_await answer_transports(std::move(*question));
}

Task<Response> Reports::uptimes_by_ids(Request& request) {
    Response refusal;
    auto question = read_question(request, refusal);
    if (!question) co_return refusal;
    question->ids = names_of(request.param("ids"), ',');
    co_return co_await answer_transports(std::move(*question));
}

Task<Response> Reports::uptimes_by_visors(Request& request) {
    Response refusal;
    auto question = read_question(request, refusal);
    if (!question) co_return refusal;
    question->keys = names_of(request.param("pks"), ',');
    co_return co_await answer_transports(std::move(*question));
}

Task<Response> Reports::answer_transports(UptimeQuestion question) {
    if (const auto synced = co_await transports_.sync(); !synced)
        co_return answers_.store_failed(synced.error());
    const auto all = co_await uptimes_.transports();
    if (!all) co_return answers_.store_failed(all.error());
    std::string body = "[";
    for (const TransportUptime& each : **all) {
        // Of one that is no longer listed only its id is known.
        const Record* record = transports_.table().find(each.id);
        const std::string id = each.id.to_text();
        if (!question.ids.empty() && !question.ids.contains(id)) continue;
        if (!question.type.empty() && (record == nullptr || record->entry.type != question.type))
            continue;
        if (!question.keys.empty()) {
            if (record == nullptr) continue;
            const auto& edges = record->entry.edges;
            if (!question.keys.contains(edges[0].to_text()) &&
                !question.keys.contains(edges[1].to_text()))
                continue;
        }
        if (body.size() > 1) body += ',';
        const bool is_on = record != nullptr && transport_on(*record);
        body += fmt::format(R"({{"id":"{}","on":{})", id, is_on);
        if (record != nullptr) {
            body += R"(,"type":)";
            services::append_string(body, record->entry.type, JsonStyle::c);
            if (question.edges) {
                body += fmt::format(
                    R"(,"edge_a":"{}","edge_b":"{}")",
                    record->entry.edges[0],
                    record->entry.edges[1]
                );
            }
        }
        services::append_days(body, each.days, question.version);
        body += '}';
    }
    body += ']';
    co_return json_response(200, std::move(body), JsonStyle::c);
}

Task<Response> Reports::uptime_totals(Request&) {
    if (const auto synced = co_await transports_.sync(); !synced)
        co_return answers_.store_failed(synced.error());
    std::map<std::string, std::pair<std::size_t, std::size_t>, std::less<>> by_type;
    std::size_t online = 0;
    const Table& table = transports_.table();
    for (const TransportId& id : table.ids()) {
        const Record* record = table.find(id);
        auto& [total, on] = by_type[record->entry.type];
        ++total;
        if (!transport_on(*record)) continue;
        ++on;
        ++online;
    }
    std::string body =
        fmt::format(R"({{"total_transports":{},"online":{},"by_type":{{)", table.size(), online);
    bool first = true;
    for (const auto& [type, counts] : by_type) {
        if (!first) body += ',';
        first = false;
        services::append_string(body, type, JsonStyle::c);
        body += fmt::format(R"(:{{"total":{},"online":{}}})", counts.first, counts.second);
    }
    body += "}}";
    co_return json_response(200, std::move(body), JsonStyle::c);
}

// ---------------------------------------------------------------- versions

Task<Response> Reports::version_counts(Request& request) {
    const auto visors = co_await uptimes_.visors().visors();
    if (!visors) co_return answers_.store_failed(visors.error());
    const auto on = request.query("on");
    Counts counts;
    for (const VisorUptime& visor : **visors) {
        if (!wanted(on, visor_on(visor))) continue;
        ++counts[visor.version.empty() ? "unknown" : visor.version];
    }
    std::string body = "{";
    append_counts(body, counts);
    body += '}';
    co_return json_response(200, std::move(body), JsonStyle::c);
}

Task<Response> Reports::versions(Request& request) {
    const auto visors = co_await uptimes_.visors().visors();
    if (!visors) co_return answers_.store_failed(visors.error());
    const auto on = request.query("on");
    const bool status = request.query("status") == "true";
    const services::NameSet keys = names_of(request.param("pks"), ',');
    std::string body = "[";
    for (const VisorUptime& visor : **visors) {
        const std::string key = visor.key.to_text();
        const bool is_on = visor_on(visor);
        if ((!keys.empty() && !keys.contains(key)) || !wanted(on, is_on)) continue;
        if (body.size() > 1) body += ',';
        body += fmt::format(R"({{"pk":"{}","version":)", key);
        services::append_string(body, visor.version, JsonStyle::c);
        if (status) body += fmt::format(R"(,"on":{})", is_on);
        body += '}';
    }
    body += ']';
    co_return json_response(200, std::move(body), JsonStyle::c);
}

}  // namespace skywire::tpd
