#include "framework/metrics_text.hpp"
#include "framework/supervisor_impl.hpp"

#include <fmt/format.h>

namespace skywire::framework {
namespace {

/// For one health check: it does no I/O, so a loop that does not answer in this time is blocked.
constexpr Duration kHealthTimeout = std::chrono::seconds(2);
/// At most so long before the supervisor a service's own deadline ends: its report of what was late
/// has to arrive in time.
constexpr Duration kReportTime = std::chrono::milliseconds(100);
/// What waits for less needs no line in the log.
constexpr Duration kWaitTold = std::chrono::seconds(5);

std::vector<DeploymentBlock> blocks_of(const DeploymentConfig& config) {
    std::vector<DeploymentBlock> blocks;
    blocks.reserve(config.blocks.size());
    for (const BlockConfig& block : config.blocks)
        blocks.push_back({block.label, block.type->name, block.facts});
    return blocks;
}

/// All loops, `own` first.
std::vector<Executor> loops_from(const Executor& own, const net::EventLoops& loops) {
    std::vector<Executor> ordered{own};
    for (std::size_t i = 0; i < loops.size(); ++i)
        if (loops.at(i) != own) ordered.push_back(loops.at(i));
    return ordered;
}

}  // namespace

Task<> Supervisor::Impl::run_unit(Unit& unit) {
    while (!stopping_) {
        const bool startable = co_await wait_startable(unit);
        if (!startable) continue;
        unit.request = Request::none;
        unit.up = true;
        set_running(unit, true);
        Result<> outcome = co_await start_service(unit);
        if (!outcome) {
            const bool asked = stopping_ || unit.request != Request::none;
            co_await take_down(
                unit,
                /*drain=*/false,
                asked ? State::stopped : State::failed,
                asked ? std::string() : outcome.error().message()
            );
            if (!asked) co_await after_failure(unit, outcome, Duration(0));
            continue;
        }
        timeline_.add(unit.label(), "ready", format_duration(unit.start_took));
        log::info(
            logger_,
            "service.ready",
            log::kv("service", unit.label()),
            log::kv("took", format_duration(unit.start_took))
        );
        tell_dependents(unit, UpstreamEvent::up);
        co_await poll_health(unit);
        const SteadyTime ready_at = now();
        const Ending ending = co_await watch(unit);
        if (ending != Ending::exited) {
            co_await take_down(unit, /*drain=*/true, State::stopped, {});
            continue;
        }
        outcome = unit.exit.value_or(Result<>());
        const std::string why =
            outcome ? "it ended without being asked to" : outcome.error().message();
        co_await take_down(unit, /*drain=*/false, State::failed, why);
        co_await after_failure(unit, outcome, now() - ready_at);
    }
}

/// Waits until the unit is wanted and its upstreams and externals are there; false where the loop
/// should look at everything again (shutdown, stopped by the operator).
Task<bool> Supervisor::Impl::wait_startable(Unit& unit) {
    for (;;) {
        const auto seen = changed_.version();
        if (stopping_) co_return false;
        SteadyTime wake = SteadyTime::max();
        if (unit.wanted && !unit.given_up) {
            const std::string missing = missing_for(unit, "start");
            wake = tell_wait(unit, missing);
            if (missing.empty()) co_return true;
            if (unit.reason != missing) {
                set_state(unit, State::starting, missing);
                timeline_.add(unit.label(), "waiting", missing);
            }
        }
        co_await changed_.changed_since(seen, wake);
    }
}

SteadyTime Supervisor::Impl::tell_wait(Unit& unit, const std::string& what) {
    if (unit.wait.what != what) unit.wait = Unit::Wait{what, now(), false};
    if (what.empty() || unit.wait.told) return SteadyTime::max();
    const SteadyTime due = unit.wait.since + kWaitTold;
    if (now() < due) return due;
    unit.wait.told = true;
    log::warn(logger_, "service.waiting", log::kv("service", unit.label()), log::kv("what", what));
    return SteadyTime::max();
}

Task<Result<>> Supervisor::Impl::start_service(Unit& unit) {
    set_state(unit, State::starting, "starting");
    timeline_.add(unit.label(), "starting");
    unit.exit.reset();
    const SteadyTime began = now();
    const Executor& loop = loops_[unit.index];
    Instance::Setup setup{
        home_,
        context_of(unit, loop),
        unit.label(),
        config_.supervisor.state_dir,
        [this, label = unit.label()] { return service_metrics_text(environment_.metrics, label); },
        blocks_of(config_),
        loops_from(loop, environment_.loops)
    };
    unit.instance = std::make_unique<Instance>(std::move(setup), unit.config.block, unit);
    if (auto made = unit.instance->make(*unit.config.type); !made) co_return made.error();
    auto starting = unit.instance->start([this] { changed_.notify(); });
    auto outcome = co_await await_start(unit, starting);
    if (!outcome) co_return outcome;
    unit.reached.insert("ready");
    unit.start_took = now() - began;
    set_state(unit, State::ready, {});
    co_return Result<>();
}

/// The start's own outcome, or why it was cut short. Time at closed gates does not count.
Task<Result<>> Supervisor::Impl::await_start(Unit& unit, Operation<Result<>>& starting) {
    SteadyTime deadline = now() + unit.config.start_timeout;
    std::optional<SteadyTime> held_since;
    std::optional<Error> cut_short;
    SteadyTime give_up_at = SteadyTime::max();
    for (;;) {
        const auto seen = changed_.version();
        if (starting.done()) break;
        // Set once for all gates: each change of the state wakes this loop again.
        const std::string missing = release_open_gates(unit);
        const SteadyTime tell_at = tell_wait(unit, missing);
        if (!missing.empty()) set_state(unit, State::starting, missing);
        const bool held = !unit.waiting_gates.empty();
        if (held && !held_since) held_since = now();
        if (!held && held_since) {
            deadline += now() - *held_since;
            held_since.reset();
            set_state(unit, State::starting, "starting");
        }
        if (!cut_short) {
            if (stopping_ || unit.request != Request::none) {
                cut_short = fail(errc::cancelled, "stopped during its start");
            } else if (unit.exit && !*unit.exit) {
                cut_short = unit.exit->error();
            } else if (!held_since && now() >= deadline) {
                cut_short = fail(
                    errc::timed_out,
                    fmt::format(
                        "not ready within start_timeout ({})",
                        format_duration(unit.config.start_timeout)
                    )
                );
            }
            if (cut_short) {
                starting.cancel();
                give_up_at = now() + unit.config.stop_timeout;
            }
        }
        // shutdown_deadline_ may come closer while we wait.
        if (cut_short && now() >= std::min(give_up_at, shutdown_deadline_)) {
            unit.not_stopped.push_back("start");
            co_return *cut_short;
        }
        const SteadyTime wake = cut_short    ? std::min(give_up_at, shutdown_deadline_)
                                : held_since ? tell_at
                                             : deadline;
        co_await changed_.changed_since(seen, wake);
    }
    if (cut_short) co_return *cut_short;
    if (const auto thrown = starting.thrown()) co_return fail(errc::unavailable, *thrown);
    co_return starting.take();
}

/// Lets go on what waits at gates that are open. What the others wait for, as a sentence.
std::string Supervisor::Impl::release_open_gates(Unit& unit) {
    std::vector<std::string> missing;
    for (const std::string& gate : unit.waiting_gates) {
        std::string wait = missing_for(unit, gate);
        if (wait.empty()) {
            unit.instance->release_gate(gate);
        } else {
            missing.push_back(std::move(wait));
        }
    }
    return fmt::format("{}", fmt::join(missing, "; "));
}

/// Runs until something ends the service.
Task<Ending> Supervisor::Impl::watch(Unit& unit) {
    SteadyTime next_poll = now() + unit.config.health.interval;
    for (;;) {
        const auto seen = changed_.version();
        if (unit.exit) co_return Ending::exited;
        if (stopping_) co_return Ending::shutdown;
        if (unit.request != Request::none) co_return Ending::asked;
        // A gate may also be entered after the start: a service that serves before it has all.
        release_open_gates(unit);
        if (now() >= next_poll) {
            co_await poll_health(unit);
            next_poll = now() + unit.config.health.interval;
            continue;
        }
        co_await changed_.changed_since(seen, next_poll);
    }
}

Task<> Supervisor::Impl::poll_health(Unit& unit) {
    // Not once more while the last one waits: a blocked loop would only collect them.
    if (!unit.asked) unit.asked = unit.instance->health([this] { changed_.notify(); });
    const SteadyTime deadline = now() + kHealthTimeout;
    for (;;) {
        const auto seen = changed_.version();
        if (unit.asked->done() || now() >= deadline) break;
        // What runs next is more urgent than how it feels.
        if (stopping_ || unit.exit || unit.request != Request::none) co_return;
        co_await changed_.changed_since(seen, deadline);
    }
    std::vector<Check> checks;
    if (!unit.asked->done()) {
        checks.push_back({"event-loop", Check::Status::fail, "no answer to the health check"});
    } else if (const auto thrown = unit.asked->thrown()) {
        checks.push_back({"health", Check::Status::fail, *thrown});
    } else {
        checks = unit.asked->take().checks;
    }
    if (unit.asked->done()) unit.asked.reset();
    for (Check& check : upstream_checks(unit))
        checks.push_back(std::move(check));
    unit.health.report(checks, environment_.clock.wall());
    const HealthTracker::Tracked* failing = unit.health.failing();
    if (failing != nullptr) {
        set_state(unit, State::degraded, fmt::format("{}: {}", failing->name, failing->detail));
    } else {
        set_state(unit, State::ready, {});
    }
}

/// What needs this unit stops first: at shutdown everything, at a restart what restarts with it.
/// Behind what does not stop there must be time left to stop this one.
Task<> Supervisor::Impl::wait_turn_to_stop(Unit& unit) {
    const std::vector<std::size_t> before = graph_.stop_before(unit.index);
    for (;;) {
        const auto seen = changed_.version();
        const bool blocked = std::any_of(before.begin(), before.end(), [&](std::size_t index) {
            const Unit& dependent = *units_[index];
            if (dependent.is_remote() || !dependent.up) return false;
            return stopping_ || dependent.request == Request::restart;
        });
        const SteadyTime until = before_shutdown_ends(2);
        if (!blocked || now() >= until) co_return;
        co_await changed_.changed_since(seen, until);
    }
}

Task<> Supervisor::Impl::take_down(Unit& unit, bool drain, State end_state, std::string reason) {
    const bool failed = end_state == State::failed;
    if (failed) {
        timeline_.add(unit.label(), "failed", reason);
        log::error(
            logger_, "service.failed", log::kv("service", unit.label()), log::kv("reason", reason)
        );
    }
    co_await wait_turn_to_stop(unit);
    set_state(unit, State::stopping, reason);
    tell_dependents(unit, UpstreamEvent::down);
    // Nothing is to start beside it any more.
    unit.reached.clear();
    const bool stopped = co_await drain_and_stop(unit, drain && !failed);
    unit.reached.clear();
    unit.waiting_gates.clear();
    unit.health.clear();
    unit.asked.reset();
    if (stopped) {
        timeline_.add(unit.label(), "stopped");
        log::info(logger_, "service.stopped", log::kv("service", unit.label()));
        set_running(unit, false);
        // Whether it had failed before or not: now it is down because somebody wants it so.
        if (!unit.wanted) {
            end_state = State::stopped;
            reason = unit.stop_reason;
        }
    } else {
        unit.instance->abandon();
        name_unstopped(unit);
        end_state = State::failed;
        reason = fmt::format("did not stop: {}", fmt::join(unit.not_stopped, ", "));
    }
    unit.instance.reset();
    unit.up = false;
    ++unit.times_down;
    set_state(unit, end_state, std::move(reason));
    // Its coroutines still run and hold its port: a second one beside it would only confuse.
    if (!stopped) give_up(unit, unit.reason);
    changed_.notify();
}

void Supervisor::Impl::name_unstopped(Unit& unit) {
    exit_code_ = 1;
    report_.unstopped.push_back({unit.label(), unit.not_stopped});
    const std::string what = fmt::format("{}", fmt::join(unit.not_stopped, ", "));
    timeline_.add(unit.label(), "unstopped", what);
    log::error(
        logger_, "service.unstopped", log::kv("service", unit.label()), log::kv("what", what)
    );
}

/// True when all of it ended in time; else unit.not_stopped names what did not.
Task<bool> Supervisor::Impl::drain_and_stop(Unit& unit, bool with_drain) {
    if (!unit.not_stopped.empty()) co_return false;
    std::optional<Operation<bool>> draining;
    if (with_drain) {
        timeline_.add(unit.label(), "draining");
        log::info(logger_, "service.draining", log::kv("service", unit.label()));
        draining = co_await drain(unit);
    }
    timeline_.add(unit.label(), "stopping");
    const SteadyTime deadline = now() + unit.config.stop_timeout;
    if (draining && !draining->done()) {
        // One call at a time, but a drain that does not end must not keep it from being stopped.
        const Duration left = std::min(deadline, shutdown_deadline_) - now();
        co_await await_done(*draining, now() + left / 2);
    }
    const Duration report_time = std::min(unit.config.stop_timeout / 10, kReportTime);
    auto stopping =
        unit.instance->stop(std::min(deadline, shutdown_deadline_) - report_time, waker());
    if (!co_await await_done(stopping, deadline)) {
        stopping.cancel();
        unit.not_stopped.push_back("stop");
    } else if (const auto thrown = stopping.thrown()) {
        unit.not_stopped.push_back("stop: " + *thrown);
    } else {
        unit.not_stopped = stopping.take();
    }
    // Its coroutine goes on using the service.
    if (draining && !draining->done()) unit.not_stopped.push_back("drain");
    if (!unit.not_stopped.empty()) co_return false;
    auto destroying = unit.instance->destroy(waker());
    const bool destroyed = co_await await_done(destroying, now() + unit.config.stop_timeout);
    if (!destroyed) unit.not_stopped.push_back("destroy");
    co_return destroyed;
}

/// The drain, which has ended or been cancelled.
Task<Operation<bool>> Supervisor::Impl::drain(Unit& unit) {
    const SteadyTime deadline =
        std::min(now() + unit.config.drain_timeout, before_shutdown_ends(1));
    auto draining = unit.instance->drain(deadline, waker());
    for (;;) {
        const auto seen = changed_.version();
        // Shutdown may begin while we wait; it leaves time for the stop.
        const SteadyTime until = std::min(deadline, before_shutdown_ends(1));
        if (draining.done() || now() >= until) break;
        co_await changed_.changed_since(seen, until);
    }
    if (!draining.done()) {
        timeline_.add(unit.label(), "drain-cut-short");
        draining.cancel();
    } else if (const auto thrown = draining.thrown()) {
        timeline_.add(unit.label(), "drain-failed", *thrown);
        log::error(
            logger_,
            "service.drain_failed",
            log::kv("service", unit.label()),
            log::kv("reason", *thrown)
        );
    }
    co_return draining;
}

/// Waits out the backoff, or gives up.
Task<> Supervisor::Impl::after_failure(Unit& unit, const Result<>& outcome, Duration ready_for) {
    environment_.metrics
        .counter(
            "skywire_service_failures_total",
            "Failures of a service: a start that did not succeed, or an end nobody asked for.",
            {{"service", unit.label()}}
        )
        .add();
    if (stopping_ || unit.given_up || !unit.wanted) co_return;
    // Asked for while it was taken down: the policy has no say in that.
    if (unit.request == Request::restart) co_return;
    const std::string why = outcome ? "it ended without being asked to" : outcome.error().message();
    const auto delay = unit.restarts.on_failure(now(), ready_for, environment_.random);
    if (!delay) {
        give_up(
            unit,
            unit.config.restart.mode == RestartMode::never
                ? fmt::format("{} (restart policy: never)", why)
                : fmt::format("{} ({} failures, gave up)", why, unit.restarts.failures())
        );
        co_return;
    }
    std::set<std::size_t> visited;
    request_restart(unit, visited);
    const std::string detail =
        fmt::format("in {}, attempt {}", format_duration(*delay), unit.restarts.failures() + 1);
    timeline_.add(unit.label(), "restarting", detail);
    log::warn(
        logger_,
        "service.restarting",
        log::kv("service", unit.label()),
        log::kv("in", format_duration(*delay)),
        log::kv("after", why)
    );
    ++unit.restart_count;
    record(unit);
    unit.request = Request::none;
    const SteadyTime at = now() + *delay;
    for (;;) {
        const auto seen = changed_.version();
        if (stopping_ || !unit.wanted || unit.request != Request::none || now() >= at) co_return;
        co_await changed_.changed_since(seen, at);
    }
}

void Supervisor::Impl::give_up(Unit& unit, const std::string& why) {
    unit.given_up = true;
    set_state(unit, State::failed, why);
    if (stopping_) return;
    timeline_.add(unit.label(), "gave-up", why);
    log::error(
        logger_, "service.gave_up", log::kv("service", unit.label()), log::kv("reason", why)
    );
    switch (unit.config.restart.on_give_up) {
        case OnGiveUp::degrade:
            break;
        case OnGiveUp::stop_dependents:
            stop_dependents(unit, why);
            break;
        case OnGiveUp::exit:
            begin_shutdown(fmt::format("{} gave up: {}", unit.label(), why), /*failed=*/true);
            return;
    }
    if (!any_critical_left()) {
        begin_shutdown(
            "every critical service has given up or waits for one that has", /*failed=*/true
        );
    }
    changed_.notify();
}

}  // namespace skywire::framework
