#include "framework/admin.hpp"

#include "base/assert.hpp"
#include "base/bytes.hpp"
#include "base/json.hpp"
#include "framework/graph_export.hpp"
#include "framework/json_writer.hpp"
#include "framework/metrics_text.hpp"
#include "framework/problem.hpp"
#include "framework/profiler.hpp"
#include "framework/status_json.hpp"
#include "http/router.hpp"
#include "http/server.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <variant>

#include <fmt/format.h>

namespace skywire::framework {

namespace {

using http::Method;
using http::Request;
using http::Response;

/// Longest life of a temporary log level.
constexpr Duration kExpiresMax = std::chrono::hours(24 * 30);
constexpr std::uint64_t kProfileSeconds = 30;

/// Why a request was refused: label `reason` of admin_refused_total.
enum class Refusal {
    changes_disabled,
    token_missing,
    token_wrong,
    unknown_service,
    bad_query,
    bad_body,
    bad_level,
    bad_expires,
    wrong_state,
    command_failed,
    profile_failed,
};

std::string_view refusal_name(Refusal refusal) {
    switch (refusal) {
        case Refusal::changes_disabled:
            return "changes_disabled";
        case Refusal::token_missing:
            return "token_missing";
        case Refusal::token_wrong:
            return "token_wrong";
        case Refusal::unknown_service:
            return "unknown_service";
        case Refusal::bad_query:
            return "bad_query";
        case Refusal::bad_body:
            return "bad_body";
        case Refusal::bad_level:
            return "bad_level";
        case Refusal::bad_expires:
            return "bad_expires";
        case Refusal::wrong_state:
            return "wrong_state";
        case Refusal::command_failed:
            return "command_failed";
        case Refusal::profile_failed:
            return "profile_failed";
    }
    return "unknown";
}

struct Endpoint {
    std::string_view method;
    std::string_view path;
    std::string_view what;
};

constexpr Endpoint kEndpoints[] = {
    {"GET", "/", "this list"},
    {"GET", "/health", "the deployment and its services; 503 while it is not ready"},
    {"GET", "/livez", "200 while the process answers"},
    {"GET", "/readyz", "200 when ready, else 503 and the reasons"},
    {"GET", "/metrics", "Prometheus text"},
    {"GET", "/graph", "what waits for what; ?format=json or dot"},
    {"GET", "/timeline", "what happened; ?after=NUMBER"},
    {"GET", "/services", "all services"},
    {"GET", "/services/{name}", "one service"},
    {"POST", "/services/{name}/start", "start it"},
    {"POST", "/services/{name}/stop", "stop it"},
    {"POST", "/services/{name}/restart", "stop and start it"},
    {"GET", "/log-level", "levels of all loggers"},
    {"POST", "/log-level", "set one: {\"service\", \"level\", \"expires\": \"60s\"}"},
    {"GET", "/logs/{name}", "newest lines of one logger; ?format=text or json"},
    {"GET", "/debug/pprof/profile", "CPU profile; ?seconds=30"},
    {"GET", "/debug/pprof/heap", "heap profile"},
    {"GET", "/debug/pprof/cmdline", "the command line"},
    {"GET", "/debug/pprof/symbol", "names of addresses; POST the addresses"},
};

std::string endpoints_json() {
    JsonWriter out;
    out.begin_array();
    for (const Endpoint& endpoint : kEndpoints) {
        out.begin_object();
        out.member("method", endpoint.method);
        out.member("path", endpoint.path);
        out.member("what", endpoint.what);
        out.end_object();
    }
    out.end_array();
    return out.take();
}

Task<Response> answer(Response response) {
    co_return response;
}

Response text(unsigned status, std::string body) {
    return Response::of(status, "text/plain; charset=utf-8", std::move(body));
}

std::optional<std::uint64_t> parse_number(std::string_view digits) {
    std::uint64_t number = 0;
    const char* const end = digits.data() + digits.size();
    const auto [last, error] = std::from_chars(digits.data(), end, number);
    if (error != std::errc() || last != end) return std::nullopt;
    return number;
}

/// What POST /log-level carries.
struct LevelChange {
    std::string service;
    log::Level level = log::Level::info;
    std::optional<Duration> expires;
};

}  // namespace

class Admin::Impl {
 public:
    Impl(
        const net::Context& context,
        Environment environment,
        Supervisor& supervisor,
        Options options
    )
        : context_(context),
          environment_(environment),
          supervisor_(supervisor),
          options_(std::move(options)) {
        add_routes();
    }

    Result<> start();
    Task<> stop(SteadyTime deadline);
    net::Address address() const;

 private:
    void add_routes();
    void add_profile_routes(const std::string& folder);
    void get(std::string_view path, Response (Impl::*handler)(const Request&));

    /// Nothing where the request may pass.
    std::optional<Response> check_change(const Request& request);
    Response refuse(Refusal reason, unsigned status, std::string_view message);
    Response refuse_unknown(std::string_view name, const std::vector<std::string>& known);

    Response index(const Request&) { return Response::json(200, endpoints_json()); }
    Response health(const Request&);
    Response livez(const Request&) { return text(200, "ok\n"); }
    Response readyz(const Request&);
    Response metrics(const Request&);
    Response graph(const Request& request);
    Response timeline(const Request& request);
    Response services(const Request&);
    Response service(const Request& request);
    Response levels(const Request&);
    Response logs(const Request& request);
    Response heap(const Request&);
    Response cmdline(const Request&) { return text(200, profiler_.command_line()); }
    Response symbol(const Request& request) { return text(200, profiler_.symbols(request.body)); }

    Response set_level(const Request& request);
    std::variant<LevelChange, Response> read_level_change(const std::string& body);
    Task<Response> command(std::string label, Command command, net::Address from);
    Task<Response> profile(std::optional<std::string> seconds);
    Response profile_response(const Result<std::string>& profile);

    net::Context context_;
    Environment environment_;
    Supervisor& supervisor_;
    Options options_;
    Profiler profiler_;
    http::Router router_;
    std::unique_ptr<http::Server> server_;
};

void Admin::Impl::get(std::string_view path, Response (Impl::*handler)(const Request&)) {
    router_.on(Method::get, path, [this, handler](Request& request) {
        return answer((this->*handler)(request));
    });
}

void Admin::Impl::add_routes() {
    router_.use([this](Request& request, const http::Handler& next) {
        auto refusal = check_change(request);
        return refusal ? answer(std::move(*refusal)) : next(request);
    });
    get("/", &Impl::index);
    get("/health", &Impl::health);
    get("/livez", &Impl::livez);
    get("/readyz", &Impl::readyz);
    get("/metrics", &Impl::metrics);
    get("/graph", &Impl::graph);
    get("/timeline", &Impl::timeline);
    get("/services", &Impl::services);
    get("/services/{name}", &Impl::service);
    get("/log-level", &Impl::levels);
    get("/logs/{name}", &Impl::logs);
    router_.on(Method::post, "/log-level", [this](Request& request) {
        return answer(set_level(request));
    });
    constexpr std::pair<std::string_view, Command> kCommands[] = {
        {"/services/{name}/start", Command::start},
        {"/services/{name}/stop", Command::stop},
        {"/services/{name}/restart", Command::restart},
    };
    for (const auto& each : kCommands) {
        router_.on(Method::post, each.first, [this, wanted = each.second](Request& request) {
            return command(std::string(request.param("name")), wanted, request.remote);
        });
    }
    // Go's tools look below /debug, google-pprof below /.
    add_profile_routes("/debug/pprof");
    add_profile_routes("/pprof");
}

void Admin::Impl::add_profile_routes(const std::string& folder) {
    router_.on(Method::get, folder + "/profile", [this](Request& request) {
        return profile(request.query("seconds"));
    });
    get(folder + "/heap", &Impl::heap);
    get(folder + "/cmdline", &Impl::cmdline);
    get(folder + "/symbol", &Impl::symbol);
    router_.on(Method::post, folder + "/symbol", [this](Request& request) {
        return answer(symbol(request));
    });
}

Result<> Admin::Impl::start() {
    SKY_ASSERT(!server_);
    if (options_.address.kind == net::Address::Kind::unix_socket) {
        if (auto prepared = prepare_socket_folder(options_.address.path); !prepared) {
            return prepared;
        }
    }
    auto listener = context_.network.listen(context_.loop, options_.address);
    if (!listener) return listener.error();
    http::Server::Options server_options;
    server_options.name = "admin";
    server_options.limits.connections_max = 256;
    // A profile can have some megabytes, and its reader sit behind a slow line.
    server_options.limits.write_timeout = std::chrono::seconds(30);
    server_options.gzip_from_bytes = 8192;
    server_ = std::make_unique<http::Server>(context_, router_, server_options);
    server_->serve(std::move(*listener));
    return {};
}

Task<> Admin::Impl::stop(SteadyTime deadline) {
    if (!server_) co_return;
    // Not drained: a profile under way would hold up the process's end.
    for (const std::string& late : co_await server_->stop(deadline)) {
        log::warn(context_.logger, "admin.unstopped", log::kv("what", late));
    }
}

net::Address Admin::Impl::address() const {
    return server_ ? server_->addresses().front() : options_.address;
}

std::optional<Response> Admin::Impl::check_change(const Request& request) {
    switch (request.method) {
        case Method::get:
        case Method::head:
        case Method::options:
            return std::nullopt;
        case Method::post:
        case Method::put:
        case Method::delete_:
        case Method::patch:
        case Method::other:
            break;
    }
    // Asks for names by POST, since they are many, and changes nothing.
    if (request.path.ends_with("/pprof/symbol")) return std::nullopt;
    if (request.remote.kind == net::Address::Kind::unix_socket) return std::nullopt;
    if (options_.token.empty()) {
        return refuse(
            Refusal::changes_disabled,
            403,
            "read-only: changes over TCP need supervisor.admin_token_file, or the unix socket"
        );
    }
    constexpr std::string_view kScheme = "Bearer ";
    const std::string_view given = request.fields.get("Authorization").value_or("");
    const bool has_token = given.starts_with(kScheme);
    if (has_token &&
        equal_in_constant_time(as_bytes(given.substr(kScheme.size())), as_bytes(options_.token))) {
        return std::nullopt;
    }
    Response response =
        has_token ? refuse(Refusal::token_wrong, 401, "wrong token")
                  : refuse(Refusal::token_missing, 401, "needs Authorization: Bearer TOKEN");
    response.fields.set("WWW-Authenticate", "Bearer");
    return response;
}

Response Admin::Impl::refuse(Refusal reason, unsigned status, std::string_view message) {
    context_.metrics
        .counter(
            "admin_refused_total",
            "Requests that the admin listener refused, by reason",
            {{"reason", std::string(refusal_name(reason))}}
        )
        .add();
    return Response::json(status, error_json(message));
}

Response Admin::Impl::refuse_unknown(std::string_view name, const std::vector<std::string>& known) {
    const std::vector<std::string_view> candidates(known.begin(), known.end());
    const std::string near = nearest(name, candidates);
    return refuse(
        Refusal::unknown_service,
        404,
        fmt::format(
            "no service {}{}",
            quote_peer_text(name),
            near.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", near)
        )
    );
}

Response Admin::Impl::health(const Request&) {
    const DeploymentStatus status = supervisor_.status();
    return Response::json(status.ready ? 200 : 503, health_json(status));
}

Response Admin::Impl::readyz(const Request&) {
    const DeploymentStatus status = supervisor_.status();
    if (status.ready) return text(200, "ok\n");
    std::string reasons;
    for (const std::string& reason : unready_reasons(status))
        reasons += reason + '\n';
    return text(503, reasons.empty() ? "not ready\n" : std::move(reasons));
}

Response Admin::Impl::metrics(const Request&) {
    return Response::of(
        200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(environment_.metrics)
    );
}

Response Admin::Impl::graph(const Request& request) {
    const std::string format = request.query("format").value_or("json");
    const DeploymentStatus status = supervisor_.status();
    if (format == "json") {
        return Response::json(200, graph_json(supervisor_.graph(), &status));
    }
    if (format == "dot") {
        return Response::of(
            200, "text/vnd.graphviz; charset=utf-8", graph_dot(supervisor_.graph(), &status)
        );
    }
    return refuse(Refusal::bad_query, 400, "format is json or dot");
}

Response Admin::Impl::timeline(const Request& request) {
    const auto after = parse_number(request.query("after").value_or("0"));
    if (!after) return refuse(Refusal::bad_query, 400, "after is the number of an event");
    return Response::json(200, timeline_json(supervisor_.timeline().events(*after)));
}

Response Admin::Impl::services(const Request&) {
    return Response::json(200, services_json(supervisor_.status().services));
}

Response Admin::Impl::service(const Request& request) {
    const std::string_view name = request.param("name");
    const DeploymentStatus status = supervisor_.status();
    for (const ServiceStatus& service : status.services) {
        if (service.label == name) return Response::json(200, service_json(service));
    }
    return refuse_unknown(name, supervisor_.labels());
}

Response Admin::Impl::levels(const Request&) {
    environment_.logs.expire_levels();
    return Response::json(200, levels_json(environment_.logs.levels()));
}

Response Admin::Impl::logs(const Request& request) {
    const std::string_view name = request.param("name");
    const std::string format = request.query("format").value_or("text");
    if (format != "text" && format != "json") {
        return refuse(Refusal::bad_query, 400, "format is text or json");
    }
    const auto lines = environment_.logs.recent(name);
    if (!lines) {
        std::vector<std::string> known;
        for (auto& level : environment_.logs.levels())
            known.push_back(std::move(level.scope));
        return refuse_unknown(name, known);
    }
    if (format == "json") return Response::json(200, log_lines_json(name, *lines));
    std::string body;
    for (const std::string& line : *lines)
        body += line + '\n';
    return text(200, std::move(body));
}

std::variant<LevelChange, Response> Admin::Impl::read_level_change(const std::string& body) {
    const auto parsed = parse_json(body);
    if (!parsed || !parsed->is_object()) {
        return refuse(
            Refusal::bad_body,
            400,
            R"(the body is {"service": "...", "level": "...", "expires": "60s"})"
        );
    }
    LevelChange change;
    std::string level;
    std::string expires;
    for (const auto& [key, value] : parsed->as_object()) {
        std::string* const place = key == "service"   ? &change.service
                                   : key == "level"   ? &level
                                   : key == "expires" ? &expires
                                                      : nullptr;
        if (place == nullptr || !value.is_string()) {
            const std::string_view wrong = place == nullptr ? "is unknown" : "is a string";
            return refuse(
                Refusal::bad_body,
                400,
                fmt::format("member {} {}", quote_peer_text(std::string_view(key)), wrong)
            );
        }
        *place = value.as_string();
    }
    const auto known = log::parse_level(level);
    if (!known) {
        return refuse(
            Refusal::bad_level,
            400,
            fmt::format(
                "level {} is none of trace, debug, info, warn, error, off", quote_peer_text(level)
            )
        );
    }
    change.level = *known;
    if (expires.empty()) return change;
    const auto duration = parse_duration(expires);
    if (!duration || *duration <= Duration(0) || *duration > kExpiresMax) {
        return refuse(
            Refusal::bad_expires,
            400,
            fmt::format(
                "expires {} is no duration above 0 and up to 720h, as \"60s\"",
                quote_peer_text(expires)
            )
        );
    }
    change.expires = *duration;
    return change;
}

Response Admin::Impl::set_level(const Request& request) {
    auto read = read_level_change(request.body);
    if (auto* const refusal = std::get_if<Response>(&read)) return std::move(*refusal);
    const auto& change = std::get<LevelChange>(read);
    LogHub& logs = environment_.logs;
    const bool found = logs.set_level(change.service, change.level, change.expires);
    auto levels = logs.levels();
    if (!found) {
        std::vector<std::string> known;
        known.reserve(levels.size());
        for (auto& level : levels)
            known.push_back(std::move(level.scope));
        return refuse_unknown(change.service, known);
    }
    log::info(
        context_.logger,
        "admin.log_level",
        log::kv("service", change.service),
        log::kv("level", log::level_name(change.level)),
        log::kv("expires", change.expires ? format_duration(*change.expires) : "never"),
        log::kv("peer", request.remote.to_string())
    );
    std::erase_if(levels, [&](const auto& level) { return level.scope != change.service; });
    return Response::json(200, levels_json(levels));
}

Task<Response> Admin::Impl::command(std::string label, Command command, net::Address from) {
    const auto labels = supervisor_.labels();
    if (std::find(labels.begin(), labels.end(), label) == labels.end()) {
        co_return refuse_unknown(label, labels);
    }
    const std::string_view name = command == Command::start  ? "start"
                                  : command == Command::stop ? "stop"
                                                             : "restart";
    log::info(
        context_.logger,
        "admin.command",
        log::kv("service", label),
        log::kv("command", name),
        log::kv("peer", from.to_string())
    );
    const Result<> done = co_await supervisor_.command(label, command);
    if (!done) {
        // A copy: error() is a temporary.
        const ErrorCode code = done.error().code();
        const std::string message = done.error().message();
        if (code == errc::not_found) co_return refuse(Refusal::unknown_service, 404, message);
        if (code == errc::wrong_state) co_return refuse(Refusal::wrong_state, 409, message);
        const unsigned status = code == errc::timed_out ? 504 : 503;
        co_return refuse(Refusal::command_failed, status, message);
    }
    for (const ServiceStatus& service : supervisor_.status().services) {
        if (service.label == label) co_return Response::json(200, service_json(service));
    }
    co_return Response::json(200, "{}\n");
}

Task<Response> Admin::Impl::profile(std::optional<std::string> seconds) {
    const auto wanted = seconds ? parse_number(*seconds) : std::optional(kProfileSeconds);
    if (!wanted || *wanted < 1 || *wanted > 300) {
        co_return refuse(Refusal::bad_query, 400, "seconds is 1 to 300");
    }
    const auto profile = co_await profiler_.cpu(context_, std::chrono::seconds(*wanted));
    co_return profile_response(profile);
}

Response Admin::Impl::heap(const Request&) {
    return profile_response(profiler_.heap());
}

Response Admin::Impl::profile_response(const Result<std::string>& profile) {
    if (profile) return Response::of(200, "application/octet-stream", *profile);
    // A copy: error() is a temporary.
    const ErrorCode code = profile.error().code();
    const unsigned status = code == errc::unsupported ? 501 : code == errc::wrong_state ? 409 : 503;
    return refuse(Refusal::profile_failed, status, profile.error().message());
}

Admin::Admin(
    const net::Context& context, Environment environment, Supervisor& supervisor, Options options
)
    : impl_(std::make_unique<Impl>(context, environment, supervisor, std::move(options))) {}

Admin::~Admin() = default;

Result<> Admin::start() {
    return impl_->start();
}

net::Address Admin::address() const {
    return impl_->address();
}

Task<> Admin::stop(SteadyTime deadline) {
    return impl_->stop(deadline);
}

}  // namespace skywire::framework
