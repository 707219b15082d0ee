#include "services/address_resolver/routes.hpp"

#include "services/common/json_style.hpp"

#include <optional>
#include <utility>

namespace skywire::resolver {
namespace {

using http::Method;
using http::Request;
using http::Response;
using services::JsonStyle;

constexpr std::string_view kOk = "ok";
constexpr std::string_view kStoreUnavailable = "store_unavailable";
/// Keys of one request to deregister.
constexpr std::size_t kDeregisterMax = 10'000;

/// The body of a request to deregister; nothing where it is no list of keys.
std::optional<std::vector<crypto::PublicKey>> keys_of(std::string_view body) {
    const auto value = parse_json(body);
    const auto* array = value ? value->if_array() : nullptr;
    if (array == nullptr || array->size() > kDeregisterMax) return std::nullopt;
    std::vector<crypto::PublicKey> keys;
    keys.reserve(array->size());
    for (const json::value& each : *array) {
        if (!each.is_string()) return std::nullopt;
        const auto key = crypto::PublicKey::from_text_not_null(each.get_string());
        if (!key) return std::nullopt;
        keys.push_back(*key);
    }
    return keys;
}

}  // namespace

Routes::Outcomes::Outcomes(
    Metrics& metrics,
    std::string_view name,
    std::string_view help,
    std::initializer_list<std::string_view> outcomes
) {
    for (const std::string_view outcome : outcomes)
        counters_[outcome] = &metrics.counter(name, help, {{"outcome", std::string(outcome)}});
}

void Routes::Outcomes::add(std::string_view outcome) {
    if (const auto found = counters_.find(outcome); found != counters_.end()) found->second->add();
}

Routes::Routes(
    Metrics& metrics,
    Bindings& bindings,
    Sudph& sudph,
    services::RequestAuth& auth,
    OnStoreFailure on_store_failure
)
    : bindings_(bindings),
      sudph_(sudph),
      auth_(auth),
      on_store_failure_(std::move(on_store_failure)),
      binds_(
          metrics,
          "address_resolver_binds_total",
          "Binds over HTTP, by outcome.",
          {kOk, "undecodable", "too_large", "not_public", "not_listed", kStoreUnavailable}
      ),
      unbinds_(
          metrics,
          "address_resolver_unbinds_total",
          "Unbinds over HTTP, by outcome.",
          {kOk, kStoreUnavailable}
      ),
      resolves_(
          metrics,
          "address_resolver_resolves_total",
          "Requests for an address, by outcome.",
          {kOk, "none", "bad_key", "bad_type", kStoreUnavailable}
      ),
      deregistrations_(
          metrics,
          "address_resolver_deregistrations_total",
          "Requests of network monitors to deregister, by outcome.",
          {kOk, "bad_type", "bad_body", kStoreUnavailable}
      ) {}

void Routes::add_to(http::Router& router) {
    constexpr std::array<std::pair<std::string_view, Type>, 3> kBinds{
        {{"/bind/stcpr", Type::stcpr}, {"/bind/quic", Type::squicr}, {"/bind/wt", Type::wt}}
    };
    for (const auto& [path, type] : kBinds) {
        router.on(
            Method::post,
            path,
            auth_.signed_by_anyone([this, type](Request& request, const crypto::PublicKey& caller) {
                return bind(request, type, caller);
            })
        );
        router.on(
            Method::delete_,
            path,
            auth_.signed_by_anyone([this, type](Request&, const crypto::PublicKey& caller) {
                return unbind(type, caller);
            })
        );
    }
    router.on(
        Method::get,
        "/resolve/{type}/{pk}",
        auth_.signed_by_anyone([this](Request& request, const crypto::PublicKey& caller) {
            return resolve(request, caller);
        })
    );
    router.on(Method::get, "/transports", [this](Request&) { return transports(); });
    router.on(Method::get, "/sudph-sessions", [this](Request&) { return sessions(); });
    router.on(
        Method::delete_, "/deregister/{type}", auth_.network_monitor([this](Request& request) {
            return deregister(request);
        })
    );
}

Response Routes::failed(Outcomes& outcomes, const Error& error) {
    outcomes.add(kStoreUnavailable);
    on_store_failure_(error);
    return Response::empty(500);
}

Task<Response> Routes::bind(Request& request, Type type, crypto::PublicKey caller) {
    auto asked = parse_bind_request(request.body);
    if (!asked && asked.error() == make_error_code(errc::out_of_range)) {
        binds_.add("too_large");
        co_return services::error_response(400, asked.error().message(), JsonStyle::b);
    }
    if (!asked) {
        // As the network does: an answer without a status, which the client takes for success.
        binds_.add("undecodable");
        co_return Response::empty(services::RequestAuth::kNothingWritten);
    }
    const auto stored = co_await bindings_.get(type, caller);
    if (!stored) co_return failed(binds_, stored.error());
    auto outcome = judge_bind(caller, type, *asked, services::caller_ip(request), *stored);
    if (outcome.refusal) {
        binds_.add(*outcome.refusal == Refusal::not_public ? "not_public" : "not_listed");
        co_return services::error_response(400, outcome.text, JsonStyle::b);
    }
    if (request.fields.get("SW-Visor-Version")) outcome.binding.held = false;
    const auto put = co_await bindings_.put(type, caller, std::move(outcome.binding));
    if (!put) co_return failed(binds_, put.error());
    binds_.add(kOk);
    co_return Response::empty(200);
}

Task<Response> Routes::unbind(Type type, crypto::PublicKey caller) {
    const auto erased = co_await bindings_.erase(type, caller);
    if (!erased) co_return failed(unbinds_, erased.error());
    unbinds_.add(kOk);
    co_return Response::empty(200);
}

Task<Response> Routes::resolve(Request& request, crypto::PublicKey caller) {
    const auto key = crypto::PublicKey::from_text_not_null(request.param("pk"));
    if (!key) {
        resolves_.add("bad_key");
        co_return Response::empty(400);
    }
    const auto type = type_of(request.param("type"));
    if (!type) {
        resolves_.add("bad_type");
        co_return Response::empty(404);
    }
    Result<std::optional<Binding>> found = std::optional<Binding>();
    if (*type == Type::sudph) {
        found = co_await sudph_.lookup(*key);
    } else {
        found = co_await bindings_.get(*type, *key);
    }
    if (!found) co_return failed(resolves_, found.error());
    const std::optional<Binding>& binding = *found;
    if (!binding) {
        resolves_.add("none");
        co_return Response::empty(404);
    }
    resolves_.add(kOk);
    if (*type == Type::sudph) sudph_.introduce(*key, caller);
    co_return services::json_response(200, to_answer(*binding), JsonStyle::b);
}

Task<Result<std::vector<crypto::PublicKey>>> Routes::list(Type type) {
    if (type == Type::sudph) return sudph_.list();
    return bindings_.list(type);
}

Task<Response> Routes::transports() {
    std::string body = "{";
    for (const Type type : {Type::sudph, Type::stcpr, Type::squicr, Type::wt}) {
        const auto keys = co_await list(type);
        if (!keys) {
            on_store_failure_(keys.error());
            co_return Response::empty(500);
        }
        if (keys->empty()) continue;
        if (body.size() > 1) body += ',';
        body += fmt::format(R"("{}":[)", type_name(type));
        for (const crypto::PublicKey& key : *keys)
            body += fmt::format(R"("{}",)", key);
        body.back() = ']';
    }
    body += '}';
    co_return services::json_response(200, std::move(body), JsonStyle::b);
}

/// For operators. The members that tell of what is not yet collected are the network's; here a
/// session that is closed is gone.
Task<Response> Routes::sessions() {
    const SudphReport report = sudph_.report();
    const std::uint64_t held = report.accepted - report.closed;
    co_return services::json_response(
        200,
        fmt::format(
            R"({{"accepted":{},"closed":{},"in_memory":{},"in_memory_closed":0,)"
            R"("in_memory_wrapper_reachable":{},"kcp_listener_sessions":{},)"
            R"("closed_in_listener_map":0,"kcp_curr_estab":{},"kcp_passive_opens":{},)"
            R"("kcp_active_opens":0,"sudph_conns_bound":{}}})",
            report.accepted,
            report.closed,
            held,
            held,
            report.open,
            report.open,
            report.accepted,
            report.bound
        ),
        JsonStyle::b
    );
}

Task<Response> Routes::deregister(Request& request) {
    const auto type = type_of(request.param("type"));
    if (!type) {
        deregistrations_.add("bad_type");
        co_return Response::empty(400);
    }
    const auto keys = keys_of(request.body);
    if (!keys) {
        deregistrations_.add("bad_body");
        co_return Response::empty(400);
    }
    for (const crypto::PublicKey& key : *keys) {
        Result<> erased;
        if (*type == Type::sudph) {
            erased = co_await sudph_.deregister(key);
        } else {
            erased = co_await bindings_.erase(*type, key);
        }
        if (!erased) co_return failed(deregistrations_, erased.error());
    }
    deregistrations_.add(kOk);
    co_return services::json_response(200, "null", JsonStyle::b);
}

}  // namespace skywire::resolver
