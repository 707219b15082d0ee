#pragma once

#include "http/detail/request_parser.hpp"
#include "http/detail/serializer.hpp"
#include "http/server.hpp"
#include "net/scope.hpp"

#include <array>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

/// What all connections of one Server share.
namespace skywire::http::detail {

/// Why a connection or a request was turned away: label `reason` of http_refused_total.
enum class Refusal {
    malformed,
    header_too_large,
    body_too_large,
    expectation_failed,
    unsupported_coding,
    /// The request did not arrive within read_timeout.
    slow_request,
    /// The peer did not take the answer within write_timeout.
    slow_reader,
    /// The peer left in the middle of its request.
    incomplete,
    connection_limit,
    /// Nothing came for idle_timeout.
    idle,
    proxy_header,
};
inline constexpr std::size_t kRefusalCount = 11;

std::string_view refusal_name(Refusal refusal) noexcept;

/// The series of one server, looked up once: counting takes no lock.
class ServerMetrics {
 public:
    ServerMetrics(Metrics& metrics, std::string server);

    void refused(Refusal why) noexcept { refused_[static_cast<std::size_t>(why)]->add(); }
    /// A request answered; the first one of a method and status registers its counter.
    void answered(Method method, unsigned status, Duration took);

    Gauge& connections;
    Counter& accept_errors;
    Counter& handler_failures;

 private:
    struct Answered {
        unsigned status;
        Counter* counter;
    };

    Metrics& metrics_;
    std::string server_;
    Histogram& seconds_;
    std::array<Counter*, kRefusalCount> refused_{};
    std::array<std::vector<Answered>, 8> answered_;
};

/// What a request needs from its first byte to the end of its answer; an idle connection has none.
struct Exchange {
    Request request;
    RequestParser parser;
    /// Answers not yet written: a head, or several whole answers to pipelined requests.
    std::string out;
};

class ServerCore {
 public:
    ServerCore(const net::Context& context_in, const Router& router_in, Server::Options options_in);

    std::unique_ptr<Exchange> take_exchange();
    void give_back(std::unique_ptr<Exchange> exchange);

    /// The Date field's text for now.
    std::string_view date() { return date_.at(context.clock.wall()); }

    /// Counts and logs what a handler threw.
    void handler_failed(const Request& request, const std::exception_ptr& error);

    net::Context context;
    const Router& router;
    const Server::Options options;
    ServerMetrics metrics;
    bool draining = false;
    /// Where connections run. Set by the server, which owns it.
    net::Scope* scope = nullptr;

 private:
    DateText date_;
    std::vector<std::unique_ptr<Exchange>> spare_;
};

}  // namespace skywire::http::detail
