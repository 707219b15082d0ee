#include "services/common/http_service.hpp"

#include "base/assert.hpp"
#include "net/deadline.hpp"

namespace skywire::services {
namespace {

constexpr std::string_view kHttp = "http";
constexpr std::string_view kDmsg = "dmsg";
/// What a start gives the first session with a server, before it goes on without.
constexpr std::chrono::seconds kFirstSession{5};

HttpSurface::Options surface_options(const HttpServiceOptions& options) {
    HttpSurface::Options surface;
    surface.service_name = options.type_name;
    surface.address = options.common.addr;
    surface.metrics_address = options.common.metrics_addr;
    surface.trusted_proxies = options.common.trusted_proxies;
    surface.gzip_from_bytes = options.gzip_from_bytes;
    return surface;
}

void append(
    std::vector<std::string>& late, std::string_view prefix, std::vector<std::string> more
) {
    late.reserve(late.size() + more.size());
    for (std::string& name : more)
        late.push_back(std::string(prefix) + std::move(name));
}

/// Null without a key.
std::unique_ptr<DmsgPresence> make_presence(
    framework::ServiceHost& host, const HttpServiceOptions& options, ServiceStore* store
) {
    if (!options.dmsg) return nullptr;
    std::unique_ptr<dmsg::DiscoveryClient> own;
    if (options.discovery) {
        SKY_ASSERT(store != nullptr);
        own = options.discovery(host.context(), *store);
    }
    return std::make_unique<DmsgPresence>(host, *options.dmsg, std::move(own));
}

/// The parts of a running service, from the lowest up: the scope's coroutines use all others.
struct Running {
    Running(
        framework::ServiceHost& host,
        const HttpServiceOptions& options,
        ServiceStore* store,
        const MakeHttpWork& make
    )
        : context(host.context()),
          surface(host, surface_options(options)),
          presence(make_presence(host, options, store)),
          scope(
              context.loop,
              [&host](std::string_view name, std::exception_ptr) {
                  host.exited(
                      fail(errc::wrong_state, std::string(name) + " ended with an exception")
                  );
              }
          ),
          work(make({host, context, store, surface, presence.get(), scope})) {}

    /// Says when the first session is there, however late.
    Task<> announce_dmsg(framework::ServiceHost& host) {
        const auto ready = co_await presence->client().wait_ready();
        if (ready) host.reached(kDmsg);
    }

    net::Context context;
    HttpSurface surface;
    std::unique_ptr<DmsgPresence> presence;
    net::Scope scope;
    std::unique_ptr<HttpWork> work;
};

class HttpService final : public framework::Service {
 public:
    HttpService(HttpServiceOptions options, MakeHttpWork make)
        : options_(std::move(options)), make_(std::move(make)) {}

    Task<Result<>> start(framework::ServiceHost& host) override {
        if (options_.store) {
            store_ = std::make_unique<ServiceStore>(host, *options_.store);
            if (const auto opened = co_await store_->open(); !opened) co_return opened.error();
        }
        running_ = std::make_unique<Running>(host, options_, store_.get(), make_);
        Running& running = *running_;
        if (store_)
            running.scope.spawn("store watch", [store = store_.get()] { return store->watch(); });
        if (const auto opened = co_await running.work->open(); !opened) co_return opened.error();
        if (const auto bound = listen(running); !bound) co_return bound.error();
        host.reached(kHttp);
        if (running.presence) co_return co_await start_dmsg(host, running);
        co_return Result<>();
    }

    Task<> drain(SteadyTime deadline) override {
        if (!running_) co_return;
        co_await running_->work->drain(deadline);
        co_await running_->surface.drain(deadline);
    }

    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        std::vector<std::string> late;
        if (running_) {
            Clock& clock = running_->context.clock;
            append(late, "", co_await running_->surface.stop(deadline));
            append(late, "", co_await running_->work->stop(deadline));
            append(late, "", co_await running_->scope.close(clock, clock.now(), deadline));
            if (running_->presence)
                append(late, "dmsg ", co_await running_->presence->stop(deadline));
        }
        if (!store_) co_return late;
        if (const auto closed = co_await store_->close(deadline); !closed)
            late.push_back("store " + store_->place() + ": " + closed.error().message());
        co_return late;
    }

    framework::HealthReport health() override {
        framework::HealthReport report;
        if (!running_) return report;
        if (options_.common.mode != Mode::dmsg) report.checks.push_back(running_->surface.check());
        if (store_) report.checks.push_back(store_->check());
        if (running_->presence) report.checks.push_back(running_->presence->check());
        running_->work->add_checks(report);
        return report;
    }

    void upstream_changed(std::string_view label, framework::UpstreamEvent event) override {
        if (running_) running_->work->upstream_changed(label, event);
    }

 private:
    Result<> listen(Running& running) {
        if (options_.common.mode != Mode::dmsg) {
            if (const auto bound = running.surface.listen(); !bound) return bound.error();
        } else if (const auto bound = running.surface.listen_metrics(); !bound) {
            return bound.error();
        }
        if (running.presence && options_.common.mode != Mode::http)
            return running.surface.listen_dmsg(*running.presence);
        return {};
    }

    /// Sessions are begun once the deployment's own servers are registered; a session that does not
    /// come is said in health, and HTTP serves all the same.
    Task<Result<>> start_dmsg(framework::ServiceHost& host, Running& running) {
        const auto opened = co_await host.wait_for_upstreams_of(std::string(kDmsg));
        if (!opened) co_return opened.error();
        running.presence->start();
        running.scope.spawn("dmsg", [&running, &host] { return running.announce_dmsg(host); });
        const bool expected = co_await running.work->expects_session();
        if (!expected) co_return Result<>();
        Clock& clock = running.context.clock;
        (void)co_await net::with_deadline(
            clock, clock.now() + kFirstSession, running.presence->client().wait_ready()
        );
        co_return Result<>();
    }

    HttpServiceOptions options_;
    MakeHttpWork make_;
    std::unique_ptr<ServiceStore> store_;
    /// Uses the store.
    std::unique_ptr<Running> running_;
};

}  // namespace

std::vector<std::string> http_milestones() {
    return {std::string(kHttp), std::string(kDmsg)};
}

std::vector<framework::TypeEdge> http_edges() {
    return {{.gate = std::string(kDmsg), .upstream_type = "dmsg-server", .milestone = "registered"}
    };
}

framework::ServiceType http_service_type(std::string_view name) {
    framework::ServiceType type;
    type.name = name;
    type.milestones = http_milestones();
    type.edges = http_edges();
    type.facts = [role = std::string(name)](const framework::Block& block) {
        return common_facts(block, role);
    };
    type.externals = store_externals;
    return type;
}

std::unique_ptr<framework::Service> make_http_service(
    HttpServiceOptions options, MakeHttpWork make
) {
    return std::make_unique<HttpService>(std::move(options), std::move(make));
}

}  // namespace skywire::services
