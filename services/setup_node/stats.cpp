#include "services/setup_node/stats.hpp"

#include "base/json.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::setup_node {
namespace {

constexpr std::size_t kTopMax = 10;
constexpr std::array<double, 10> kSecondsBuckets{
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30
};

double milliseconds(Duration duration) {
    return std::chrono::duration<double, std::milli>(duration).count();
}

bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

Counter& requests(Metrics& metrics, std::string_view outcome) {
    return metrics.counter(
        "setup_node_requests_total",
        "Routes asked for: ok, or why they were not set up.",
        {{"outcome", std::string(outcome)}}
    );
}

}  // namespace

std::string_view reason_name(Reason reason) noexcept {
    switch (reason) {
        case Reason::invalid_route:
            return "invalid_route";
        case Reason::rule_generation:
            return "rule_generation";
        case Reason::id_reservation:
            return "id_reservation";
        case Reason::source_unreachable:
            return "source_unreachable";
        case Reason::intermediary_rules:
            return "intermediary_rules";
        case Reason::destination_rules:
            return "destination_rules";
        case Reason::context_deadline:
            return "context_deadline";
        case Reason::context_canceled:
            return "context_canceled";
        case Reason::concurrency_limit:
            return "concurrency_limit";
        case Reason::circuit_open:
            return "circuit_open";
        case Reason::unknown:
            return "unknown";
    }
    return "unknown";
}

std::string without_keys(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        std::size_t digits = 0;
        while (at + digits < text.size() && is_hex(text[at + digits]))
            ++digits;
        if (digits < crypto::PublicKey::kTextSize) {
            out += text.substr(at, std::max<std::size_t>(digits, 1));
        }
        at += std::max<std::size_t>(digits, 1);
    }
    return out;
}

Stats::Stats(Metrics& metrics, const Clock& clock)
    : clock_(clock),
      started_at_(clock.wall()),
      started_(clock.now()),
      success_counter_(requests(metrics, "ok")),
      seconds_(metrics.histogram(
          "setup_node_seconds", "How long routes took to be set up.", {}, kSecondsBuckets
      )) {
    for (std::size_t i = 0; i < kReasonCount; ++i)
        failure_counters_[i] = &requests(metrics, reason_name(static_cast<Reason>(i)));
}

void Stats::begun() {
    ++total_;
    ++active_;
}

void Stats::succeeded(const Request& request) {
    ended(request, /*failed=*/false);
    ++successful_;
    success_counter_.add();
    last_success_ = clock_.wall();
    if (latencies_.size() >= kLatenciesMax) latencies_.pop_front();
    latencies_.push_back(request.took);
    seconds_.observe(std::chrono::duration<double>(request.took).count());
    ++route_lengths_[request.hops];
}

void Stats::failed(const Request& request, Reason reason, std::string error) {
    ended(request, /*failed=*/true);
    const auto place = static_cast<std::size_t>(reason);
    ++by_reason_[place];
    failure_counters_[place]->add();
    last_failure_ = clock_.wall();
    if (failures_.size() >= kFailuresMax) failures_.pop_front();
    failures_.push_back({clock_.wall(), request.hops, reason, without_keys(error), request.took});
}

void Stats::ended(const Request& request, bool failed) {
    --active_;
    if (request.destination.is_null()) return;
    if (!destinations_.contains(request.destination) && destinations_.size() >= kDestinationsMax) {
        destinations_.erase(std::min_element(
            destinations_.begin(),
            destinations_.end(),
            [](const auto& a, const auto& b) { return a.second.last < b.second.last; }
        ));
    }
    Destination& destination = destinations_[request.destination];
    ++destination.total;
    if (failed) ++destination.failed;
    destination.last = total_;
}

std::string Stats::latency_json() const {
    std::vector<Duration> sorted(latencies_.begin(), latencies_.end());
    std::sort(sorted.begin(), sorted.end());
    Duration sum{0};
    for (const Duration each : sorted)
        sum += each;
    const auto at = [&](std::size_t percent) {
        if (sorted.empty()) return 0.0;
        return milliseconds(sorted[std::min(sorted.size() - 1, sorted.size() * percent / 100)]);
    };
    const double mean = sorted.empty() ? 0 : milliseconds(sum) / static_cast<double>(sorted.size());
    return fmt::format(
        R"({{"count":{},"min_ms":{:.3f},"max_ms":{:.3f},"mean_ms":{:.3f},"p50_ms":{:.3f},)"
        R"("p95_ms":{:.3f},"p99_ms":{:.3f}}})",
        sorted.size(),
        at(0),
        at(100),
        mean,
        at(50),
        at(95),
        at(99)
    );
}

std::string Stats::destinations_json(
    bool by_failures, const std::function<bool(const crypto::PublicKey&)>& open
) const {
    std::vector<std::pair<crypto::PublicKey, Destination>> top;
    for (const auto& each : destinations_) {
        if (!by_failures || each.second.failed > 0) top.emplace_back(each);
    }
    const auto rank = [by_failures](const auto& each) {
        return by_failures ? each.second.failed : each.second.total;
    };
    std::sort(top.begin(), top.end(), [&](const auto& a, const auto& b) {
        return rank(a) != rank(b) ? rank(a) > rank(b) : a.first < b.first;
    });
    top.resize(std::min(top.size(), kTopMax));
    std::string out = "[";
    for (const auto& [key, each] : top) {
        out += fmt::format(
            R"({}{{"pk":"","total":{},"failed":{},"circuit":"{}"}})",
            out.size() > 1 ? "," : "",
            each.total,
            each.failed,
            open(key) ? "open" : "closed"
        );
    }
    return out + "]";
}

std::string Stats::json(const std::function<bool(const crypto::PublicKey&)>& open) const {
    std::uint64_t failed = 0;
    std::string by_reason;
    for (std::size_t i = 0; i < kReasonCount; ++i) {
        failed += by_reason_[i];
        by_reason += fmt::format(
            R"({}"{}":{})", i == 0 ? "" : ",", reason_name(static_cast<Reason>(i)), by_reason_[i]
        );
    }
    const auto dropped = by_reason_[static_cast<std::size_t>(Reason::concurrency_limit)];
    const std::uint64_t done = successful_ + failed;
    const double rate =
        done == 0 ? 0 : 100.0 * static_cast<double>(successful_) / static_cast<double>(done);
    std::string lengths;
    for (const auto& [hops, count] : route_lengths_)
        lengths += fmt::format(R"({}"{}":{})", lengths.empty() ? "" : ",", hops, count);
    std::string recent;
    for (auto failure = failures_.rbegin(); failure != failures_.rend(); ++failure) {
        recent += fmt::format(
            R"({}{{"timestamp":"{}","src_pk":"","dst_pk":"","hop_count":{},"reason":"{}","error":)",
            recent.empty() ? "" : ",",
            format_rfc3339(failure->at),
            failure->hops,
            reason_name(failure->reason)
        );
        append_json_string(recent, failure->error, JsonEscape::html);
        recent += fmt::format(R"(,"duration_ms":{:.3f}}})", milliseconds(failure->took));
    }
    const std::chrono::duration<double> up = clock_.now() - started_;
    std::string out = fmt::format(
        R"({{"started_at":"{}","uptime_sec":{:.0f},"total_requests":{},"successful":{},)"
        R"("failed":{},"concurrency_drops":{},"active_requests":{},"success_rate_pct":{:.2f},)"
        R"("failures_by_reason":{{{}}},"latency_ms":{},"route_length_hist":{{{}}},)"
        R"("top_destinations":{},"top_failed_destinations":{},"recent_failures":[{}])",
        format_rfc3339(started_at_),
        up.count(),
        total_,
        successful_,
        failed,
        dropped,
        active_,
        rate,
        by_reason,
        latency_json(),
        lengths,
        destinations_json(/*by_failures=*/false, open),
        destinations_json(/*by_failures=*/true, open),
        recent
    );
    if (last_success_)
        out += fmt::format(R"(,"last_success_at":"{}")", format_rfc3339(*last_success_));
    if (last_failure_)
        out += fmt::format(R"(,"last_failure_at":"{}")", format_rfc3339(*last_failure_));
    return out + "}";
}

}  // namespace skywire::setup_node
