#include "services/common/json_style.hpp"
#include "services/transport_discovery/metrics_json.hpp"
#include "services/transport_discovery/reports.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

/// Bandwidth and latency, as visors' feeds have told it.
namespace skywire::tpd {
namespace {

using http::Request;
using http::Response;
using services::Date;
using services::json_response;
using services::JsonStyle;
using transport::TransportId;

/// Of transports and their days between two turns of others.
constexpr std::size_t kDaysOfATurn = 1'000;
/// Answers of this kind under way, and what one may be.
constexpr std::size_t kAnswersMax = 4;
constexpr std::size_t kAnswerBytesMax = std::size_t{32} << 20;
constexpr std::size_t kPeriodsDefault = 7;

/// What is asked for, of all the routes.
struct Question {
    /// 0: all there are.
    int days = 0;
    std::string type;
    std::optional<bool> live;
    MetricsForm form;

    bool wants(const TransportDay& day, const Table& table) const {
        if (!type.empty() && day.type != type) return false;
        return !live || *live == (table.find(day.id) != nullptr);
    }
};

/// Nothing where it is none.
std::optional<int> number_in(const std::optional<std::string>& text, int absent, int max) {
    if (!text || text->empty()) return absent;
    int number = 0;
    const char* const end = text->data() + text->size();
    const auto [at, error] = std::from_chars(text->data(), end, number);
    if (error != std::errc() || at != end || number < 0) return std::nullopt;
    return std::min(number, max);
}

std::optional<Question> question_of(const Request& request) {
    Question question;
    const auto days = number_in(request.query("days"), 0, Traffic::kDaysMax);
    if (!days) return std::nullopt;
    question.days = *days;
    question.type = request.query("type").value_or("");
    const auto live = request.query("live");
    if (live == "true") question.live = true;
    if (live == "false") question.live = false;
    question.form.edges = request.query("edges") == "true";
    question.form.traffic = request.query("bandwidth") != "false";
    question.form.latency = request.query("latency") != "false";
    return question;
}

/// What was sent and received in all.
struct Sum {
    bool any = false;
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    Latency latency;

    void add(const EdgeTraffic& edge) {
        any = any || edge.told;
        sent = added(sent, edge.sent);
        received = added(received, edge.received);
    }
    void add(const Sum& other) {
        any = any || other.any;
        sent = added(sent, other.sent);
        received = added(received, other.received);
        latency.add(other.latency);
    }
};

/// {"sent":...,"recv":...,"total":...}
void append_traffic(std::string& out, const Sum& sum) {
    out += fmt::format(
        R"({{"sent":{},"recv":{},"total":{}}})",
        sum.sent,
        sum.received,
        added(sum.sent, sum.received)
    );
}

/// The members `bandwidth` and `latency`, as far as they are there.
void append_sum(std::string& out, const Sum& sum, const MetricsForm& form) {
    const auto name = [&out](std::string_view text) {
        if (out.back() != '{') out += ',';
        out += fmt::format(R"("{}":)", text);
    };
    if (form.traffic && sum.any) {
        name("bandwidth");
        append_traffic(out, sum);
    }
    if (form.latency && sum.latency.samples > 0) {
        name("latency");
        append_latency(out, sum.latency);
    }
}

/// {"daily":[...],"cumulative":{...}} of days with something.
class Totals {
 public:
    explicit Totals(MetricsForm form) : form_(form) {}

    using ByType = std::map<std::string, Sum, std::less<>>;

    void add(Date date, const Sum& sum, const ByType& by_type) {
        if (!sum.any) return;
        if (!daily_.empty()) daily_ += ',';
        daily_ += fmt::format(R"({{"date":"{}")", services::date_text(date));
        append_sum(daily_, sum, form_);
        if (!by_type.empty()) append_types(by_type);
        daily_ += '}';
        all_.add(sum);
    }

    void append_to(std::string& out) const {
        out += fmt::format(R"({{"daily":[{}],"cumulative":{{)", daily_);
        append_sum(out, all_, form_);
        out += "}}";
    }

 private:
    void append_types(const ByType& by_type) {
        daily_ += R"(,"by_type":{)";
        for (const auto& [type, sum] : by_type) {
            if (daily_.back() != '{') daily_ += ',';
            services::append_string(daily_, type, JsonStyle::c);
            daily_ += ":{";
            append_sum(daily_, sum, form_);
            daily_ += '}';
        }
        daily_ += '}';
    }

    MetricsForm form_;
    std::string daily_;
    Sum all_;
};

/// An element of the bandwidth routes.
void append_period(
    std::string& out, std::string_view id, Date date, std::uint64_t bytes, std::uint32_t updated
) {
    if (!out.empty()) out += ',';
    out += fmt::format(
        R"({{"transport_id":"{}","period":"daily","period_key":"{}",)"
        R"("bandwidth":{},"updated_at":{}}})",
        id,
        services::date_text(date),
        bytes,
        updated
    );
}

/// "null" for none.
std::string list_of(std::string elements) {
    return elements.empty() ? "null" : fmt::format("[{}]", elements);
}

/// Counts an answer while it is made, also where that is cancelled.
class Answering {
 public:
    explicit Answering(std::size_t& count) : count_(count) { ++count_; }
    ~Answering() { --count_; }
    Answering(const Answering&) = delete;
    Answering& operator=(const Answering&) = delete;

 private:
    std::size_t& count_;
};

std::set<EdgeKey> keys_in(std::string_view list) {
    std::set<EdgeKey> keys;
    for (const std::string& text : services::names_of(list, ','))
        if (const auto key = EdgeKey::from_text(text)) keys.insert(*key);
    return keys;
}

}  // namespace

// ---------------------------------------------------------------- bandwidth

std::optional<Reports::Periods> Reports::read_periods(const Request& request, Response& refusal) {
    if (request.query("period").value_or("daily") != "daily") {
        refusal = refused(Refused::bad_query, 400, "period must be daily");
        return std::nullopt;
    }
    const auto limit = number_in(request.query("limit"), kPeriodsDefault, Traffic::kDaysMax);
    if (!limit || *limit == 0) {
        refusal = refused(Refused::bad_query, 400, "limit must be a positive number");
        return std::nullopt;
    }
    return Periods{static_cast<std::size_t>(*limit)};
}

Task<Response> Reports::transport_bandwidth(Request& request) {
    const auto id = TransportId::from_text(request.param("id"));
    if (!id) co_return refused(Refused::bad_id, 400, "transport ID is invalid");
    Response refusal;
    const auto periods = read_periods(request, refusal);
    if (!periods) co_return refusal;
    auto days = co_await traffic_.last_days(0);
    if (!days) co_return answers_.store_failed(days.error());
    std::string list;
    std::size_t left = periods->limit;
    // The newest first.
    for (auto at = days->rbegin(); at != days->rend() && left > 0; ++at) {
        const TransportDay* day = (*at)->find(*id);
        if (day == nullptr) continue;
        append_period(list, id->to_text(), (*at)->date, day->carried(), day->updated);
        --left;
    }
    co_return json_response(200, list_of(std::move(list)), JsonStyle::c);
}

Task<Response> Reports::visor_bandwidth(Request& request) {
    const auto key = crypto::PublicKey::from_text_not_null(request.param("pk"));
    if (!key) co_return refused(Refused::bad_key, 400, "public key is invalid");
    Response refusal;
    const auto periods = read_periods(request, refusal);
    if (!periods) co_return refusal;
    auto days = co_await traffic_.last_days(0);
    if (!days) co_return answers_.store_failed(days.error());
    const EdgeKey edge(*key);
    std::string list;
    std::size_t left = periods->limit;
    for (auto at = days->rbegin(); at != days->rend() && left > 0; ++at) {
        std::uint64_t bytes = 0;
        std::uint32_t updated = 0;
        bool any = false;
        for (const TransportDay& day : (*at)->transports) {
            for (std::size_t i = 0; i < day.edges.size(); ++i) {
                if (!day.traffic[i].told || day.edges[i] != edge) continue;
                any = true;
                bytes = added(bytes, day.traffic[i].total());
                updated = std::max(updated, day.updated);
            }
        }
        co_await asio::post(context_.loop, asio::use_awaitable);
        if (!any) continue;
        append_period(list, TransportId().to_text(), (*at)->date, bytes, updated);
        --left;
    }
    co_return json_response(200, list_of(std::move(list)), JsonStyle::c);
}

// ---------------------------------------------------------------- totals

Task<Response> Reports::metric(Request& request) {
    const auto question = question_of(request);
    if (!question) co_return refused(Refused::bad_query, 400, "days must be a number");
    if (const auto synced = co_await transports_.sync(); !synced)
        co_return answers_.store_failed(synced.error());
    const auto days = co_await traffic_.last_days(question->days);
    if (!days) co_return answers_.store_failed(days.error());
    Totals totals(question->form);
    for (const TrafficDayPtr& day : *days) {
        Totals::ByType by_type;
        std::size_t turn = 0;
        for (const TransportDay& transport : day->transports) {
            if (++turn % kDaysOfATurn == 0) co_await asio::post(context_.loop, asio::use_awaitable);
            if (!question->wants(transport, transports_.table())) continue;
            Sum& sum = by_type[transport.type];
            for (const EdgeTraffic& edge : transport.traffic)
                sum.add(edge);
            sum.latency.add(transport.latency);
        }
        Sum sum;
        for (const auto& [type, of_type] : by_type)
            sum.add(of_type);
        totals.add(day->date, sum, by_type);
    }
    std::string body;
    totals.append_to(body);
    co_return json_response(200, std::move(body), JsonStyle::c);
}

Task<Response> Reports::metric_of_visors(Request& request) {
    const auto question = question_of(request);
    if (!question) co_return refused(Refused::bad_query, 400, "days must be a number");
    if (const auto synced = co_await transports_.sync(); !synced)
        co_return answers_.store_failed(synced.error());
    const auto days = co_await traffic_.last_days(question->days);
    if (!days) co_return answers_.store_failed(days.error());
    const std::set<EdgeKey> keys = keys_in(request.param("pks"));
    std::map<EdgeKey, Totals> totals;
    for (const EdgeKey& key : keys)
        totals.emplace(key, Totals(question->form));
    for (const TrafficDayPtr& day : *days) {
        std::map<EdgeKey, Sum> sums;
        std::size_t turn = 0;
        for (const TransportDay& transport : day->transports) {
            if (++turn % kDaysOfATurn == 0) co_await asio::post(context_.loop, asio::use_awaitable);
            for (std::size_t i = 0; i < transport.edges.size(); ++i) {
                if (!transport.traffic[i].told || !keys.contains(transport.edges[i])) continue;
                if (!question->wants(transport, transports_.table())) continue;
                Sum& sum = sums[transport.edges[i]];
                sum.add(transport.traffic[i]);
                sum.latency.add(transport.latency);
            }
        }
        for (const auto& [key, sum] : sums)
            totals.at(key).add(day->date, sum, {});
    }
    std::string body = "{";
    for (const auto& [key, of_key] : totals) {
        if (body.size() > 1) body += ',';
        body += fmt::format(R"("{}":)", key.to_text());
        of_key.append_to(body);
    }
    body += '}';
    co_return json_response(200, std::move(body), JsonStyle::c);
}

// ---------------------------------------------------------------- each

Task<Response> Reports::metrics(Request& request) {
    if (answering_ >= kAnswersMax)
        co_return refused(Refused::busy, 503, "too many of these are being answered");
    const Answering counted(answering_);
    co_return co_await answer_metrics(request);
}

Task<Response> Reports::answer_metrics(Request& request) {
    const auto question = question_of(request);
    if (!question) co_return refused(Refused::bad_query, 400, "days must be a number");
    if (const auto synced = co_await transports_.sync(); !synced)
        co_return answers_.store_failed(synced.error());
    auto days = co_await traffic_.last_days(question->days);
    if (!days) co_return answers_.store_failed(days.error());
    const services::NameSet ids = services::names_of(request.param("ids"), ',');
    const bool of_visors = !request.param("pks").empty();
    const std::set<EdgeKey> keys = keys_in(request.param("pks"));
    const auto wanted = [&](const TransportDay& day) {
        if (!ids.empty() && !ids.contains(day.id.to_text())) return false;
        const bool has = keys.contains(day.edges[0]) || keys.contains(day.edges[1]);
        if (of_visors && !has) return false;
        return question->wants(day, transports_.table());
    };
    TrafficWalk walk(std::move(*days));
    std::string body = "[";
    std::size_t turn = 0;
    while (true) {
        const TransportDays& transport = walk.next();
        if (transport.empty()) break;
        turn += transport.size();
        if (turn >= kDaysOfATurn) {
            turn = 0;
            co_await asio::post(context_.loop, asio::use_awaitable);
        }
        const TransportDay& newest = *transport.back().second;
        if (!wanted(newest)) continue;
        if (body.size() > 1) body += ',';
        const bool live = transports_.table().find(newest.id) != nullptr;
        append_metrics(body, transport, live, question->form);
        if (body.size() > kAnswerBytesMax)
            co_return refused(Refused::too_large, 400, "that is too much: ask for fewer days");
    }
    body += ']';
    co_return json_response(200, std::move(body), JsonStyle::c);
}

}  // namespace skywire::tpd
