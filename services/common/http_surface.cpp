#include "services/common/http_surface.hpp"

#include "base/build_info.hpp"
#include "base/json.hpp"
#include "services/common/dmsg_presence.hpp"

namespace skywire::services {
namespace {

http::Server::Options server_options(const HttpSurface::Options& options) {
    http::Server::Options server;
    server.accept_proxy_header = true;
    server.gzip_from_bytes = options.gzip_from_bytes;
    server.name = "http";
    return server;
}

http::Server::Options dmsg_server_options(const HttpSurface::Options& options) {
    http::Server::Options server;
    server.gzip_from_bytes = options.gzip_from_bytes;
    server.name = "dmsg";
    return server;
}

http::Server::Options metrics_server_options() {
    http::Server::Options server;
    server.limits.connections_max = 100;
    server.name = "metrics";
    return server;
}

/// Counts a request as under way for as long as it lives.
class Ongoing {
 public:
    explicit Ongoing(Gauge& gauge) : gauge_(gauge) { gauge_.add(1); }
    ~Ongoing() { gauge_.add(-1); }
    Ongoing(const Ongoing&) = delete;
    Ongoing& operator=(const Ongoing&) = delete;

 private:
    Gauge& gauge_;
};

void append_member(std::string& out, std::string_view name, std::string_view text) {
    append_json_string(out, name, JsonEscape::html);
    out += ':';
    append_json_string(out, text, JsonEscape::html);
}

}  // namespace

std::string health_body(
    std::string_view service_name,
    WallTime started_at,
    const DmsgHealth& dmsg,
    std::string_view udp_address
) {
    const BuildInfo build = build_info();
    std::string out = "{";
    append_member(out, "service_name", service_name);
    out += R"(,"build_info":{)";
    append_member(out, "version", build.version);
    out += ',';
    append_member(out, "commit", build.commit);
    out += ',';
    append_member(out, "date", build.date);
    out += "},";
    append_member(out, "started_at", format_rfc3339(started_at));
    if (!dmsg.address.empty()) {
        out += ',';
        append_member(out, "dmsg_address", dmsg.address);
        for (std::size_t i = 0; i < dmsg.servers.size(); ++i)
            out += fmt::format(R"({}"{}")", i == 0 ? R"(,"dmsg_servers":[)" : ",", dmsg.servers[i]);
        if (!dmsg.servers.empty()) out += ']';
    }
    if (!udp_address.empty()) {
        out += ',';
        append_member(out, "udp_address", udp_address);
    }
    out += '}';
    return out;
}

HttpSurface::HttpSurface(framework::ServiceHost& host, Options options)
    : host_(host),
      context_(host.context()),
      options_(std::move(options)),
      started_at_(context_.clock.wall()),
      health_body_(
          std::make_shared<const std::string>(health_body(options_.service_name, started_at_))
      ),
      ongoing_(context_.metrics.gauge("vm_request_ongoing_count", "HTTP requests under way.")),
      server_(context_, router_, server_options(options_)),
      dmsg_server_(context_, router_, dmsg_server_options(options_)),
      metrics_server_(context_, metrics_router_, metrics_server_options()) {
    router_.use(http::real_ip(
        options_.trusted_proxies,
        context_.metrics.counter(
            "http_real_ip_ignored_total",
            "Headers with a caller's address that came from no trusted proxy, or held no IP."
        )
    ));
    router_.use([this](http::Request& request, const http::Handler& next) {
        return around(request, next);
    });
    router_.on(http::Method::get, "/health", [this](http::Request& request) {
        return health(request);
    });
    metrics_router_.on(http::Method::get, "/metrics", [this](http::Request& request) {
        return metrics(request);
    });
}

HttpSurface::~HttpSurface() = default;

Task<http::Response> HttpSurface::around(http::Request& request, const http::Handler& next) {
    const Ongoing ongoing(ongoing_);
    const bool logged = context_.logger.enabled(log::Level::debug);
    const SteadyTime begun = logged ? context_.clock.now() : SteadyTime();
    http::Response response = co_await next(request);
    if (logged) {
        const std::chrono::duration<double> took = context_.clock.now() - begun;
        log::debug(
            context_.logger,
            "http.access",
            log::kv("method", http::method_name(request.method)),
            log::kv("target", quote_peer_text(request.target)),
            log::kv("peer", request.remote.to_string()),
            log::kv("status", response.status),
            log::kv("bytes", response.body_view().size()),
            log::kv("seconds", took.count())
        );
    }
    co_return response;
}

Task<http::Response> HttpSurface::health(http::Request&) {
    http::Response response = http::Response::json(200, {});
    response.shared_body = health_body_;
    co_return response;
}

Task<http::Response> HttpSurface::metrics(http::Request&) {
    co_return http::Response::of(
        200, "text/plain; version=0.0.4; charset=utf-8", host_.metrics_text()
    );
}

Result<> HttpSurface::serve(
    http::Server& server, std::string_view key, const net::Address& address
) {
    auto listener = context_.network.listen(context_.loop, address);
    if (!listener) return listener.error().within(key);
    const std::string bound = (*listener)->local().to_string();
    server.serve(std::move(*listener));
    log::info(context_.logger, "http.listening", log::kv("key", key), log::kv("address", bound));
    host_.note("bound", fmt::format("{} {}", key, bound));
    return {};
}

Result<> HttpSurface::listen() {
    if (const auto served = serve(server_, options_.address_key, options_.address); !served)
        return served.error();
    serving_ = true;
    return listen_metrics();
}

Result<> HttpSurface::listen_metrics() {
    if (!options_.metrics_address) return {};
    return serve(metrics_server_, "metrics_addr", *options_.metrics_address);
}

Result<> HttpSurface::listen_dmsg(DmsgPresence& presence) {
    auto listener = presence.client().listen(presence.port());
    if (!listener) return listener.error().within("dmsg_port");
    dmsg_server_.serve(std::move(*listener));
    presence_ = &presence;
    tell_health();
    presence.client().on_change([this] { tell_health(); });
    host_.note("bound", "dmsg " + presence.address());
    return {};
}

void HttpSurface::set_udp_address(std::string address) {
    udp_address_ = std::move(address);
    tell_health();
}

void HttpSurface::tell_health() {
    DmsgHealth dmsg;
    if (presence_ != nullptr) dmsg = {presence_->address(), presence_->client().servers()};
    health_body_ = std::make_shared<const std::string>(
        health_body(options_.service_name, started_at_, dmsg, udp_address_)
    );
}

net::Address HttpSurface::address() const {
    const auto bound = server_.addresses();
    return bound.empty() ? options_.address : bound.front();
}

std::optional<net::Address> HttpSurface::metrics_address() const {
    const auto bound = metrics_server_.addresses();
    if (bound.empty()) return options_.metrics_address;
    return bound.front();
}

Task<> HttpSurface::drain(SteadyTime deadline) {
    serving_ = false;
    co_await server_.drain(deadline);
    co_await dmsg_server_.drain(deadline);
}

Task<std::vector<std::string>> HttpSurface::stop(SteadyTime deadline) {
    serving_ = false;
    std::vector<std::string> late = co_await server_.stop(deadline);
    for (std::string& name : co_await dmsg_server_.stop(deadline))
        late.push_back("dmsg " + name);
    for (std::string& name : co_await metrics_server_.stop(deadline))
        late.push_back("metrics " + name);
    co_return late;
}

framework::Check HttpSurface::check() const {
    using Status = framework::Check::Status;
    if (serving_) return {"http", Status::pass, {}};
    return {"http", Status::fail, options_.address.to_string() + " is not served"};
}

}  // namespace skywire::services
