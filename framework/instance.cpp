#include "framework/instance.hpp"

#include "net/timer.hpp"

#include <mutex>
#include <vector>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace skywire::framework {

/// Lives as long as anything that was posted about it. `service`, `gates`, `begun` and `stopped`
/// belong to the service's loop, `observer` to home.
class Instance::Host final : public ServiceHost, public std::enable_shared_from_this<Host> {
 public:
    Host(Setup setup_in, std::shared_ptr<const Block> block_in, InstanceObserver& observer_in)
        : setup(std::move(setup_in)), block(std::move(block_in)), observer(&observer_in) {}

    const net::Context& context() const noexcept override { return setup.context; }
    const std::string& label() const noexcept override { return setup.label; }
    const std::string& state_dir() const noexcept override { return setup.state_dir; }
    std::string metrics_text() const override { return setup.metrics_text(); }
    std::vector<DeploymentBlock> deployment_blocks() const override {
        return setup.deployment_blocks;
    }
    std::vector<Executor> loops() const override { return setup.loops; }

    void reached(std::string_view milestone) override {
        tell([name = std::string(milestone)](InstanceObserver& to) { to.on_milestone(name); });
    }

    void exited(Result<> outcome) override {
        tell([outcome](InstanceObserver& to) { to.on_exited(outcome); });
    }

    void note(std::string_view event, std::string detail) override {
        tell([name = std::string(event), detail](InstanceObserver& to) { to.on_note(name, detail); }
        );
    }

    Task<Result<>> wait_for_upstreams_of(std::string milestone) override {
        const auto self = shared_from_this();
        // A timer that never fires: released by `release_gate`, or cancelled with its coroutine.
        asio::steady_timer timer(setup.context.loop, SteadyTime::max());
        gates[milestone] = {&timer, false};
        tell([milestone](InstanceObserver& to) { to.on_gate(milestone); });
        co_await timer.async_wait(use_tuple);
        const bool released = gates[milestone].released;
        gates.erase(milestone);
        tell([milestone](InstanceObserver& to) { to.on_gate_left(milestone); });
        if (!released) co_return fail(errc::cancelled, "stopped while waiting for upstreams");
        co_return Result<>();
    }

    template <class Message>
    void tell(Message message) {
        asio::post(setup.home, [self = shared_from_this(), message = std::move(message)] {
            if (self->observer != nullptr) message(*self->observer);
        });
    }

    struct Gate {
        asio::steady_timer* timer = nullptr;
        bool released = false;
    };

    Setup setup;
    std::shared_ptr<const Block> block;
    InstanceObserver* observer;
    std::unique_ptr<Service> service;
    std::map<std::string, Gate> gates;
    /// Its `start` has been called, its `stop` has returned.
    bool begun = false;
    bool stopped = false;

    bool told_of_upstreams() const noexcept { return service && begun && !stopped; }
};

Instance::Instance(Setup setup, std::shared_ptr<const Block> block, InstanceObserver& observer)
    : host_(std::make_shared<Host>(std::move(setup), std::move(block), observer)) {}

Instance::~Instance() {
    host_->observer = nullptr;
}

Result<> Instance::make(const ServiceType& type) {
    try {
        auto made = type.make(*host_->block);
        if (!made) return made.error();
        host_->service = std::move(*made);
        return {};
    } catch (...) {
        return fail(errc::unavailable, exception_text(std::current_exception()));
    }
}

Operation<Result<>> Instance::start(std::function<void()> on_done) {
    const auto work = [](std::shared_ptr<Host> host) -> Task<Result<>> {
        Faults& faults = host->setup.context.faults;
        const Duration held_up = faults.delay("slow start", host->label());
        if (held_up > Duration(0)) {
            const bool waited = co_await net::sleep_for(host->setup.context.clock, held_up);
            if (!waited) co_return fail(errc::cancelled, "cancelled during its start");
        }
        if (auto fault = faults.check("start", host->label()); !fault) co_return fault.error();
        host->begun = true;
        co_return co_await host->service->start(*host);
    };
    return {
        host_->setup.home,
        host_->setup.context.loop,
        [host = host_, work] { return work(host); },
        std::move(on_done)
    };
}

Operation<bool> Instance::drain(SteadyTime deadline, std::function<void()> on_done) {
    const auto work = [](std::shared_ptr<Host> host, SteadyTime until) -> Task<bool> {
        co_await host->service->drain(until);
        co_return true;
    };
    return {
        host_->setup.home,
        host_->setup.context.loop,
        [host = host_, work, deadline] { return work(host, deadline); },
        std::move(on_done)
    };
}

Operation<std::vector<std::string>> Instance::stop(
    SteadyTime deadline, std::function<void()> on_done
) {
    const auto work = [](std::shared_ptr<Host> host,
                         SteadyTime until) -> Task<std::vector<std::string>> {
        const Duration held_up = host->setup.context.faults.delay("slow stop", host->label());
        if (held_up > Duration(0)) co_await net::sleep_for(host->setup.context.clock, held_up);
        // Where the start was never called, nothing has been acquired.
        std::vector<std::string> late;
        if (host->begun) late = co_await host->service->stop(until);
        host->stopped = true;
        co_return late;
    };
    return {
        host_->setup.home,
        host_->setup.context.loop,
        [host = host_, work, deadline] { return work(host, deadline); },
        std::move(on_done)
    };
}

Operation<HealthReport> Instance::health(std::function<void()> on_done) {
    const auto work = [](std::shared_ptr<Host> host) -> Task<HealthReport> {
        if (auto crash = host->setup.context.faults.check("crash", host->label()); !crash) {
            host->exited(crash.error());
        }
        co_return host->service->health();
    };
    return {
        host_->setup.home,
        host_->setup.context.loop,
        [host = host_, work] { return work(host); },
        std::move(on_done)
    };
}

Operation<bool> Instance::destroy(std::function<void()> on_done) {
    const auto work = [](std::shared_ptr<Host> host) -> Task<bool> {
        host->service.reset();
        co_return true;
    };
    return {
        host_->setup.home,
        host_->setup.context.loop,
        [host = host_, work] { return work(host); },
        std::move(on_done)
    };
}

void Instance::release_gate(const std::string& milestone) {
    asio::post(host_->setup.context.loop, [host = host_, milestone] {
        const auto gate = host->gates.find(milestone);
        if (gate == host->gates.end()) return;
        gate->second.released = true;
        gate->second.timer->cancel();
    });
}

void Instance::upstream_changed(const std::string& label, UpstreamEvent event) {
    asio::post(host_->setup.context.loop, [host = host_, label, event] {
        if (!host->told_of_upstreams()) return;
        try {
            host->service->upstream_changed(label, event);
        } catch (...) {
            host->exited(fail(errc::unavailable, exception_text(std::current_exception())));
        }
    });
}

void Instance::abandon() {
    host_->observer = nullptr;
    // Reachable on purpose and never freed: its coroutines go on using it.
    static auto* const abandoned = new std::vector<std::shared_ptr<Host>>();
    static std::mutex mutex;
    const std::scoped_lock lock(mutex);
    abandoned->push_back(host_);
}

}  // namespace skywire::framework
