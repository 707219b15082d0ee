#include "http/detail/server_core.hpp"

namespace skywire::http::detail {
namespace {

/// Kept for the next request; more are made and freed under load.
constexpr std::size_t kSpareExchangesMax = 64;
/// What a spare one may keep of a large request or answer.
constexpr std::size_t kSpareBytesMax = 16 * 1024;

}  // namespace

std::string_view refusal_name(Refusal refusal) noexcept {
    switch (refusal) {
        case Refusal::malformed:
            return "malformed";
        case Refusal::header_too_large:
            return "header_too_large";
        case Refusal::body_too_large:
            return "body_too_large";
        case Refusal::expectation_failed:
            return "expectation_failed";
        case Refusal::unsupported_coding:
            return "unsupported_coding";
        case Refusal::slow_request:
            return "slow_request";
        case Refusal::slow_reader:
            return "slow_reader";
        case Refusal::incomplete:
            return "incomplete";
        case Refusal::connection_limit:
            return "connection_limit";
        case Refusal::idle:
            return "idle";
        case Refusal::proxy_header:
            return "proxy_header";
    }
    return "unknown";
}

ServerMetrics::ServerMetrics(Metrics& metrics, std::string server)
    : connections(metrics.gauge(
          "http_connections", "Open connections of the HTTP server.", {{"server", server}}
      )),
      accept_errors(metrics.counter(
          "http_accept_errors_total",
          "Failures to accept a connection, descriptors exhausted for the most part.",
          {{"server", server}}
      )),
      handler_failures(metrics.counter(
          "http_handler_failures_total",
          "Handlers that ended with an exception and were answered with 500.",
          {{"server", server}}
      )),
      metrics_(metrics),
      server_(std::move(server)),
      seconds_(metrics.histogram(
          "http_request_seconds",
          "From a request's last byte to the answer being ready to send.",
          {{"server", server_}}
      )) {
    for (std::size_t i = 0; i < kRefusalCount; ++i) {
        refused_[i] = &metrics.counter(
            "http_refused_total",
            "Requests and connections turned away, by reason.",
            {{"server", server_}, {"reason", std::string(refusal_name(static_cast<Refusal>(i)))}}
        );
    }
}

void ServerMetrics::answered(Method method, unsigned status, Duration took) {
    seconds_.observe(std::chrono::duration<double>(took).count());
    auto& of_method = answered_[static_cast<std::size_t>(method)];
    for (const Answered& each : of_method) {
        if (each.status != status) continue;
        each.counter->add();
        return;
    }
    Counter& counter = metrics_.counter(
        "http_requests_total",
        "Requests answered, by method and status.",
        {{"server", server_},
         {"method", std::string(method_name(method))},
         {"code", std::to_string(status)}}
    );
    counter.add();
    of_method.push_back({status, &counter});
}

ServerCore::ServerCore(
    const net::Context& context_in, const Router& router_in, Server::Options options_in
)
    : context(context_in),
      router(router_in),
      options(std::move(options_in)),
      metrics(context.metrics, options.name) {}

std::unique_ptr<Exchange> ServerCore::take_exchange() {
    if (spare_.empty()) return std::make_unique<Exchange>();
    auto exchange = std::move(spare_.back());
    spare_.pop_back();
    return exchange;
}

void ServerCore::give_back(std::unique_ptr<Exchange> exchange) {
    if (!exchange || spare_.size() >= kSpareExchangesMax) return;
    exchange->out.clear();
    if (exchange->out.capacity() > kSpareBytesMax) exchange->out.shrink_to_fit();
    exchange->request.body.clear();
    if (exchange->request.body.capacity() > kSpareBytesMax) exchange->request.body.shrink_to_fit();
    spare_.push_back(std::move(exchange));
}

void ServerCore::handler_failed(const Request& request, const std::exception_ptr& error) {
    metrics.handler_failures.add();
    std::string what = "an exception of unknown type";
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& known) {
        what = known.what();
    } catch (...) {
    }
    log::error(
        context.logger,
        "http.handler_failed",
        log::kv("server", options.name),
        log::kv("method", method_name(request.method)),
        log::kv("path", quote_peer_text(request.path)),
        log::kv("error", what)
    );
}

}  // namespace skywire::http::detail
