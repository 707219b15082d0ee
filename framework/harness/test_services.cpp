#include "framework/harness/test_services.hpp"

#include "http/server.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <csignal>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <unistd.h>

namespace skywire::harness {

namespace {

using framework::Block;
using framework::Check;
using framework::FieldKind;

/// Between looks for the file that a slow request waits for.
constexpr Duration kLookInterval = std::chrono::milliseconds(5);

/// What outlives one life of a service: restarts make a new one.
class Lives {
 public:
    /// The number of this start, from 1.
    std::int64_t count(const std::string& label) {
        const std::scoped_lock lock(mutex_);
        return ++starts_[label];
    }

 private:
    std::mutex mutex_;
    std::map<std::string, std::int64_t> starts_;
};

struct Settings {
    std::optional<net::Address> addr;
    Duration start_delay{0};
    bool never_ready = false;
    std::int64_t fail_starts = 0;
    Duration exit_after{0};
    std::string exit_error;
    bool ignore_stop = false;
    Duration drain_delay{0};
    Duration stop_delay{0};
    std::vector<std::string> unstopped;
    std::string health;
};

Settings read_settings(const Block& block) {
    Settings settings;
    settings.addr = block.address("addr");
    settings.start_delay = block.duration("start_delay");
    settings.never_ready = block.boolean("never_ready");
    settings.fail_starts = block.integer("fail_starts");
    settings.exit_after = block.duration("exit_after");
    settings.exit_error = block.text("exit_error");
    settings.ignore_stop = block.boolean("ignore_stop");
    settings.drain_delay = block.duration("drain_delay");
    settings.stop_delay = block.duration("stop_delay");
    settings.unstopped = block.texts("unstopped");
    settings.health = block.text("health");
    return settings;
}

Check::Status status_of(std::string_view text) {
    if (text == "fail") return Check::Status::fail;
    if (text == "warn") return Check::Status::warn;
    return Check::Status::pass;
}

class TestService final : public framework::Service {
 public:
    TestService(Settings settings, std::shared_ptr<Lives> lives)
        : settings_(std::move(settings)),
          lives_(std::move(lives)),
          reported_{"test", status_of(settings_.health), {}} {}

    Task<Result<>> start(framework::ServiceHost& host) override {
        host_ = &host;
        const net::Context& context = host.context();
        scope_.emplace(context.loop);
        released_.emplace(context.loop);
        const std::int64_t life = lives_->count(host.label());
        if (settings_.start_delay > Duration(0)) {
            const bool waited = co_await net::sleep_for(context.clock, settings_.start_delay);
            if (!waited) co_return fail(errc::cancelled, "cancelled during its start");
        }
        if (settings_.never_ready) co_await net::sleep_until(context.clock, SteadyTime::max());
        if (life <= settings_.fail_starts) {
            co_return fail(errc::injected, fmt::format("start {} fails as configured", life));
        }
        if (auto listening = listen(); !listening) co_return listening.error();
        host.reached("listening");
        if (auto there = co_await host.wait_for_upstreams_of("registered"); !there) {
            co_return there.error();
        }
        host.reached("registered");
        if (settings_.exit_after > Duration(0)) {
            scope_->spawn("exit", [this] { return exit_later(); });
        }
        co_return Result<>();
    }

    Task<> drain(SteadyTime deadline) override {
        const net::Context& context = host_->context();
        // Past the deadline too: what does not keep it is cut short.
        if (settings_.drain_delay > Duration(0)) {
            co_await net::sleep_for(context.clock, settings_.drain_delay);
        }
        if (server_) co_await server_->drain(deadline);
    }

    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        const net::Context& context = host_->context();
        if (settings_.ignore_stop) co_await wait_for_ever();
        if (settings_.stop_delay > Duration(0)) {
            co_await net::sleep_for(context.clock, settings_.stop_delay);
        }
        std::vector<std::string> late;
        if (server_) late = co_await server_->stop(deadline);
        if (scope_) {
            for (auto& name :
                 co_await scope_->close(context.clock, context.clock.now(), deadline)) {
                late.push_back(std::move(name));
            }
        }
        late.insert(late.end(), settings_.unstopped.begin(), settings_.unstopped.end());
        co_return late;
    }

    framework::HealthReport health() override {
        if (const auto fault = host_->context().faults.check("health", host_->label()); !fault) {
            return {{{"test", Check::Status::fail, fault.error().message()}}};
        }
        return {{reported_}};
    }

    void upstream_changed(std::string_view label, framework::UpstreamEvent event) override {
        host_->note(
            event == framework::UpstreamEvent::up ? "upstream-up" : "upstream-down",
            std::string(label)
        );
    }

 private:
    Result<> listen() {
        if (!settings_.addr) return {};
        const net::Context& context = host_->context();
        auto listener = context.network.listen(context.loop, *settings_.addr);
        if (!listener) return listener.error().within("addr");
        add_routes();
        server_.emplace(context, router_, http::Server::Options());
        host_->note("bound", (*listener)->local().to_string());
        server_->serve(std::move(*listener));
        return {};
    }

    void add_routes() {
        using http::Method;
        router_.on(Method::get, "/health", [](http::Request&) -> Task<http::Response> {
            co_return http::Response::json(200, "{}");
        });
        router_.on(Method::get, "/slow", [this](http::Request& request) { return slow(request); });
        router_.on(Method::post, "/release", [this](http::Request&) -> Task<http::Response> {
            release_ = true;
            released_->notify();
            co_return http::Response::empty(204);
        });
        router_.on(Method::post, "/report", [this](http::Request& request) {
            return report(request);
        });
        router_.on(Method::post, "/exit", [this](http::Request& request) {
            return exit_now(request);
        });
        router_.on(Method::post, "/log", [this](http::Request& request) { return write(request); });
        router_.on(Method::post, "/hang", [this](http::Request&) -> Task<http::Response> {
            log::info(host_->context().logger, "test.hanging");
            for (;;)
                ::pause();
            co_return http::Response::empty(204);
        });
        router_.on(Method::post, "/crash", [](http::Request&) -> Task<http::Response> {
            static_cast<void>(::raise(SIGSEGV));
            co_return http::Response::empty(204);
        });
    }

    Task<http::Response> slow(http::Request& request) {
        host_->note("slow-request", "begun");
        const auto wanted = request.query("for");
        const std::string file = request.query("until").value_or("");
        if (!file.empty()) {
            while (::access(file.c_str(), F_OK) != 0) {
                const bool waited = co_await net::sleep_for(host_->context().clock, kLookInterval);
                if (!waited) break;
            }
        } else if (wanted) {
            const auto duration = parse_duration(*wanted);
            if (!duration) co_return http::Response::of(400, "text/plain", "bad duration\n");
            co_await net::sleep_for(host_->context().clock, *duration);
        } else {
            while (!release_) {
                const bool notified = co_await released_->wait();
                if (!notified) break;
            }
        }
        host_->note("slow-request", "answered");
        co_return http::Response::of(200, "text/plain", "slow\n");
    }

    Task<http::Response> report(http::Request& request) {
        reported_.status = status_of(request.query("status").value_or("pass"));
        reported_.detail = request.query("detail").value_or("");
        co_return http::Response::empty(204);
    }

    Task<http::Response> exit_now(http::Request& request) {
        const auto error = request.query("error");
        end(error ? *error : std::string());
        co_return http::Response::empty(204);
    }

    Task<http::Response> write(http::Request& request) {
        const std::string text = request.query("text").value_or("");
        log::debug(host_->context().logger, "test.debug", log::kv("text", quote_peer_text(text)));
        log::info(host_->context().logger, "test.info", log::kv("text", quote_peer_text(text)));
        co_return http::Response::empty(204);
    }

    void end(const std::string& error) {
        if (error.empty()) {
            host_->exited({});
        } else {
            host_->exited(fail(errc::injected, error));
        }
    }

    Task<> exit_later() {
        const bool waited = co_await net::sleep_for(host_->context().clock, settings_.exit_after);
        if (waited) end(settings_.exit_error);
    }

    static Task<> wait_for_ever() {
        co_await asio::this_coro::throw_if_cancelled(false);
        const Executor loop = co_await asio::this_coro::executor;
        asio::steady_timer timer(loop, SteadyTime::max());
        for (;;)
            co_await timer.async_wait(use_tuple);
    }

    Settings settings_;
    std::shared_ptr<Lives> lives_;
    Check reported_;
    framework::ServiceHost* host_ = nullptr;
    bool release_ = false;
    std::optional<net::Event> released_;
    http::Router router_;
    std::optional<http::Server> server_;
    std::optional<net::Scope> scope_;
};

framework::FieldTable test_fields() {
    return {
        {.name = "addr",
         .kind = FieldKind::address,
         .description = "Where its control routes listen; none without it.",
         .allowed_unix = true},
        {.name = "start_delay",
         .kind = FieldKind::duration,
         .description = "How long the start takes.",
         .default_json = "\"0s\""},
        {.name = "never_ready",
         .kind = FieldKind::boolean,
         .description = "The start never ends.",
         .default_json = "false"},
        {.name = "fail_starts",
         .kind = FieldKind::integer,
         .description = "So many first starts fail.",
         .default_json = "0",
         .min = 0},
        {.name = "exit_after",
         .kind = FieldKind::duration,
         .description = "It ends unasked that long after its start; 0 = never.",
         .default_json = "\"0s\""},
        {.name = "exit_error",
         .kind = FieldKind::string,
         .description = "What exit_after ends it with; empty = cleanly.",
         .default_json = "\"\""},
        {.name = "ignore_stop",
         .kind = FieldKind::boolean,
         .description = "Its stop never returns.",
         .default_json = "false"},
        {.name = "drain_delay",
         .kind = FieldKind::duration,
         .description = "How long it drains beyond its requests, whatever its deadline.",
         .default_json = "\"0s\""},
        {.name = "stop_delay",
         .kind = FieldKind::duration,
         .description = "How long its stop takes.",
         .default_json = "\"0s\""},
        {.name = "unstopped",
         .kind = FieldKind::list,
         .description = "What its stop names as not ended.",
         .element = FieldKind::string},
        {.name = "health",
         .kind = FieldKind::choice,
         .description = "What it says of its health at first.",
         .default_json = "\"pass\"",
         .choices = {"pass", "warn", "fail"}},
        {.name = "external",
         .kind = FieldKind::address,
         .description = "A thing that must accept connections before it starts.",
         .allowed_unix = true},
        {.name = "public_key",
         .kind = FieldKind::public_key,
         .description = "Its key; derived from secret_key."},
        {.name = "secret_key",
         .kind = FieldKind::secret_key,
         .description = "Its secret key.",
         .secret = true},
    };
}

Task<Result<>> probe(net::Context context, net::Address address) {
    auto stream = co_await context.network.dial(context.loop, address);
    if (!stream) co_return stream.error();
    (*stream)->close();
    co_return Result<>();
}

}  // namespace

framework::ServiceType test_service_type() {
    framework::ServiceType type;
    type.name = "test-service";
    type.summary = "fails as told; for tests";
    type.fields = test_fields();
    type.milestones = {"listening", "registered"};
    type.facts = [](const Block& block) {
        framework::BlockFacts facts;
        if (const auto addr = block.address("addr")) {
            facts.ports.push_back({framework::PortUse::Transport::tcp, *addr, "addr"});
            facts.health_address = addr;
        }
        const crypto::PublicKey key = block.public_key("public_key");
        if (const auto secret = block.secret_key("secret_key")) {
            facts.public_key = crypto::public_key_of(*secret);
        } else if (!key.is_null()) {
            facts.public_key = key;
        }
        return facts;
    };
    type.externals = [](const Block& block) {
        std::vector<framework::External> externals;
        if (const auto address = block.address("external")) {
            externals.push_back(
                {"tcp://" + address->to_string(),
                 "external",
                 [address](auto context) { return probe(context, *address); }}
            );
        }
        return externals;
    };
    type.make = [lives = std::make_shared<Lives>()](const Block& block
                ) -> Result<std::unique_ptr<framework::Service>> {
        return std::make_unique<TestService>(read_settings(block), lives);
    };
    return type;
}

framework::ServiceRegistry test_registry() {
    framework::ServiceRegistry registry;
    registry.add(test_service_type());
    return registry;
}

}  // namespace skywire::harness
