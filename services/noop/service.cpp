#include "services/noop/service.hpp"

#include "net/scope.hpp"
#include "net/timer.hpp"

#include <memory>
#include <optional>

namespace skywire::services {
namespace {

/// Seconds of a block that says nothing, or 0.
constexpr std::int64_t kDefaultTickSeconds = 30;

class Noop final : public framework::Service {
 public:
    /// No interval: no ticking.
    explicit Noop(std::optional<std::chrono::seconds> interval) : interval_(interval) {}

    Task<Result<>> start(framework::ServiceHost& host) override {
        host_ = &host;
        scope_.emplace(host.context().loop);
        if (interval_) scope_->spawn("tick", [this] { return tick(); });
        co_return Result<>();
    }

    Task<> drain(SteadyTime) override { co_return; }

    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        std::vector<std::string> late;
        if (scope_) {
            Clock& clock = host_->context().clock;
            late = co_await scope_->close(clock, clock.now(), deadline);
        }
        co_return late;
    }

    framework::HealthReport health() override { return {}; }

 private:
    Task<> tick() {
        const net::Context& context = host_->context();
        while (true) {
            const bool slept = co_await net::sleep_for(context.clock, *interval_);
            if (!slept) co_return;
            log::info(context.logger, "tick");
        }
    }

    std::optional<std::chrono::seconds> interval_;
    framework::ServiceHost* host_ = nullptr;
    std::optional<net::Scope> scope_;
};

}  // namespace

framework::ServiceType noop_type() {
    framework::ServiceType type;
    type.name = "noop";
    type.summary = "logs \"tick\" now and then; for trying out the supervisor";
    type.fields = {
        {.name = "tick_seconds",
         .kind = framework::FieldKind::integer,
         .description = "Seconds between two ticks; 0 is 30, below 0 there are none.",
         .default_json = "30",
         .min = -2147483648.0,
         .max = 2147483647.0},
    };
    type.make = [](const framework::Block& block) -> Result<std::unique_ptr<framework::Service>> {
        std::int64_t seconds = block.integer("tick_seconds");
        if (seconds == 0) seconds = kDefaultTickSeconds;
        std::optional<std::chrono::seconds> interval;
        if (seconds > 0) interval = std::chrono::seconds(seconds);
        return std::make_unique<Noop>(interval);
    };
    return type;
}

}  // namespace skywire::services
