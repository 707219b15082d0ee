#include "services/transport_setup/routes.hpp"

#include "base/counted.hpp"
#include "dmsg/code.hpp"
#include "net/deadline.hpp"
#include "router/transport_calls.hpp"
#include "rpc/client.hpp"
#include "services/common/json_style.hpp"
#include "services/transport_setup/request.hpp"

namespace skywire::transport_setup {
namespace {

using http::Method;
using http::Request;
using http::Response;
using services::JsonStyle;

/// The key of a caller that came over dmsg.
std::optional<crypto::PublicKey> dmsg_caller(const Request& request) {
    if (request.remote.host.size() != crypto::PublicKey::kTextSize) return std::nullopt;
    const auto key = crypto::PublicKey::from_text_not_null(request.remote.host);
    if (!key) return std::nullopt;
    return *key;
}

/// The network's text for why a visor cannot be dialled; ours where it has none.
std::string dial_text(const Error& error) {
    const ErrorCode code = error.code();
    return code.category() == dmsg::code_category() ? code.message() : error.message();
}

}  // namespace

Routes::Routes(const net::Context& context, Dial dial, Options options)
    : context_(context), dial_(std::move(dial)), options_(std::move(options)) {}

void Routes::add_to(http::Router& router) {
    const auto on = [this, &router](Method method, std::string_view pattern, Handler handler) {
        router.on(method, pattern, [this, handler](Request& request) {
            return guarded(request, handler);
        });
    };
    on(Method::post, "/add", &Routes::add);
    on(Method::post, "/remove", &Routes::remove);
    on(Method::get, "/{pk}/transports", &Routes::list);
}

Task<Response> Routes::guarded(Request& request, Handler handler) {
    const auto caller = dmsg_caller(request);
    if (caller && !options_.whitelist.contains(*caller))
        co_return refuse(403, "this key may not ask for transports", "not_allowed");
    if (under_way_ >= options_.requests_max)
        co_return refuse(503, "too many visors are being asked", "busy");
    const Counted counted(under_way_);
    co_return co_await (this->*handler)(request);
}

Task<Response> Routes::add(Request& request) {
    const auto asked = read_add(request.body);
    if (!asked) co_return refuse(400, asked.error().message(), "bad_request");
    if (asked->from == asked->to)
        co_return refuse(400, "source and destination keys are the same", "bad_request");
    const router::TransportRequest argument{asked->to, asked->type};
    co_return co_await ask<router::TransportResponse>(
        asked->from,
        router::kAddTransport,
        rpc::body_of(argument),
        [](const router::TransportResponse& reply) { return to_json(reply); }
    );
}

Task<Response> Routes::remove(Request& request) {
    const auto asked = read_remove(request.body);
    if (!asked) co_return refuse(400, asked.error().message(), "bad_request");
    const router::UuidRequest argument{asked->id};
    co_return co_await ask<router::BoolResponse>(
        asked->from,
        router::kRemoveTransport,
        rpc::body_of(argument),
        [](const router::BoolResponse& reply) {
            return std::string(reply.result ? R"({"Result":true})" : R"({"Result":false})");
        }
    );
}

Task<Response> Routes::list(Request& request) {
    const auto visor = crypto::PublicKey::from_text_not_null(request.param("pk"));
    if (!visor) co_return refuse(400, visor.error().message(), "bad_request");
    co_return co_await ask<router::TransportResponses>(
        *visor,
        router::kGetTransports,
        rpc::body_of(rpc::Nothing()),
        [](const router::TransportResponses& reply) { return to_json(reply); }
    );
}

template <class Reply, class Print>
Task<Response> Routes::ask(
    crypto::PublicKey visor, std::string_view method, rpc::Body argument, Print print
) {
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    const SteadyTime deadline = context_.clock.now() + options_.timeout;
    auto stream = co_await net::with_deadline(
        context_.clock, deadline, dial_({visor, router::kTransportSetupPort})
    );
    if (!stream) {
        co_await asio::this_coro::throw_if_cancelled(throws);
        co_return refuse(
            500, "error dialing remote visor: " + dial_text(stream.error()), "unreachable"
        );
    }
    rpc::Client client(context_, std::move(*stream));
    const auto reply =
        co_await client.call<Reply>(std::string(method), std::move(argument), deadline);
    // The stream is to be closed, whoever has lost interest meanwhile.
    co_await asio::this_coro::reset_cancellation_state();
    co_await client.close();
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (!reply) {
        const bool refused = reply.error() == make_error_code(rpc::errc::refused);
        co_return refuse(500, reply.error().message(), refused ? "refused" : "failed");
    }
    count("ok");
    co_return services::json_response(200, print(*reply), JsonStyle::a);
}

Response Routes::refuse(unsigned status, std::string_view text, std::string_view outcome) {
    count(outcome);
    return services::error_response(status, text, JsonStyle::a);
}

void Routes::count(std::string_view outcome) {
    context_.metrics
        .counter(
            "transport_setup_requests_total",
            "Requests to make, remove or list transports of visors, by outcome.",
            {{"outcome", std::string(outcome)}}
        )
        .add();
}

}  // namespace skywire::transport_setup
