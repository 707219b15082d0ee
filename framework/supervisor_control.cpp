#include "framework/supervisor_impl.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::framework {

Supervisor::Impl::Impl(
    Environment environment, const DeploymentConfig& config, std::set<std::string> only
)
    : environment_(environment),
      config_(config),
      only_(std::move(only)),
      home_(environment.loops.at(0)),
      graph_(config.blocks),
      timeline_(environment.clock),
      logger_(environment.logs.logger("supervisor")),
      started_at_(environment.clock.wall()),
      changed_(home_, environment.clock),
      scope_(home_) {
    // The supervisor's own loop comes last in turn: the first service gets another one.
    if (environment_.loops.size() > 1) environment_.loops.next();
    for (std::size_t i = 0; i < config.blocks.size(); ++i) {
        const BlockConfig& block = config.blocks[i];
        units_.push_back(std::make_unique<Unit>(block, i));
        loops_.push_back(environment_.loops.next());
        metrics_.push_back(std::make_unique<LabelledMetrics>(
            environment_.metrics, Labels{{"service", block.label}}
        ));
        units_.back()->since = started_at_;
        wire(*units_.back());
    }
    make_probes();
}

Supervisor::Impl::~Impl() = default;

net::Context Supervisor::Impl::context_of(const Unit& unit, const Executor& loop) {
    return {
        loop,
        environment_.clock,
        environment_.random,
        environment_.network,
        environment_.workers,
        *metrics_[unit.index],
        environment_.faults,
        environment_.logs.logger(unit.label(), unit.config.log_level.value_or(log::Level::info))
    };
}

void Supervisor::Impl::wire(Unit& unit) {
    unit.milestone_reached = [this, &unit](const std::string& milestone) {
        const auto& known = unit.config.type->milestones;
        if (std::find(known.begin(), known.end(), milestone) == known.end()) {
            // "ready" is the supervisor's to say; another one nobody can wait for.
            log::error(
                logger_,
                "milestone.unknown",
                log::kv("service", unit.label()),
                log::kv("milestone", milestone)
            );
            return;
        }
        if (!unit.reached.insert(milestone).second) return;
        timeline_.add(unit.label(), "milestone", milestone);
        changed_.notify();
    };
    unit.gate_entered = [this, &unit](const std::string& milestone) {
        unit.waiting_gates.insert(milestone);
        changed_.notify();
    };
    unit.gate_left = [this, &unit](const std::string& milestone) {
        unit.waiting_gates.erase(milestone);
        changed_.notify();
    };
    unit.exit_reported = [this, &unit](Result<> outcome) {
        if (!unit.exit) unit.exit = std::move(outcome);
        changed_.notify();
    };
    unit.noted = [this, &unit](const std::string& event, const std::string& detail) {
        timeline_.add(unit.label(), event, detail);
    };
}

void Supervisor::Impl::make_probes() {
    for (const auto& unit : units_) {
        const net::Context context = context_of(*unit, home_);
        if (!only_.empty() && !only_.contains(unit->label())) {
            unit->remote = std::make_unique<Probe>(context, external_of_block(unit->config));
            unit->wanted = false;
            continue;
        }
        if (!unit->config.type->externals) continue;
        for (External& external : unit->config.type->externals(*unit->config.block)) {
            const auto known = std::find_if(probes_.begin(), probes_.end(), [&](const auto& probe) {
                return probe->external().name == external.name;
            });
            if (known == probes_.end()) {
                probes_.push_back(std::make_unique<Probe>(context, std::move(external)));
                unit->externals.push_back(probes_.back().get());
            } else {
                unit->externals.push_back(known->get());
            }
        }
    }
}

void Supervisor::Impl::start() {
    timeline_.add("", "started", fmt::format("{} services", labels().size()));
    const auto changed = [this] { changed_.notify(); };
    for (const auto& probe : probes_) {
        scope_.spawn("probe " + probe->external().name, [probe = probe.get(), changed] {
            return probe->run(changed);
        });
    }
    for (const auto& unit : units_) {
        if (!unit->is_remote()) {
            scope_.spawn(unit->label(), [this, unit = unit.get()] { return run_unit(*unit); });
            continue;
        }
        // Only what one of ours waits for is worth asking about.
        const std::vector<const Edge*> edges = graph_.dependents(unit->index);
        const bool needed = std::any_of(edges.begin(), edges.end(), [&](const Edge* edge) {
            return !units_[edge->dependent]->is_remote();
        });
        if (!needed || !unit->remote->external().probe) continue;
        scope_.spawn("probe " + unit->label(), [probe = unit->remote.get(), changed] {
            return probe->run(changed);
        });
    }
}

bool Supervisor::Impl::is_there(const Unit& upstream, std::string_view milestone) const {
    if (upstream.is_remote()) {
        // What has no address to ask cannot be waited for.
        return !upstream.remote->external().probe || upstream.remote->there();
    }
    // One that is about to go down would let a dependent that has just stopped start again.
    if (upstream.request != Request::none || upstream.state == State::stopping) return false;
    return upstream.reached.contains(std::string(milestone));
}

std::string Supervisor::Impl::missing_for(const Unit& unit, std::string_view gate) const {
    for (const Edge* edge : graph_.gates(unit.index, gate)) {
        const Unit& upstream = *units_[edge->upstream];
        if (is_there(upstream, edge->milestone)) continue;
        if (upstream.is_remote()) {
            return fmt::format(
                "waiting for {} in another process: {}",
                upstream.remote->external().name,
                upstream.remote->reason()
            );
        }
        return fmt::format("waiting for {}:{}", upstream.label(), edge->milestone);
    }
    if (gate != "start") return {};
    for (const Probe* probe : unit.externals) {
        if (probe->there()) continue;
        return fmt::format(
            "{} unreachable: {}: {}",
            probe->external().kind,
            probe->external().name,
            probe->reason()
        );
    }
    return {};
}

Task<bool> Supervisor::Impl::wait_ready() {
    for (;;) {
        const auto seen = changed_.version();
        bool all = true;
        for (const auto& unit : units_) {
            if (unit->is_remote() || !unit->config.critical) continue;
            if (unit->given_up) co_return false;
            if (unit->state != State::ready && unit->state != State::degraded) all = false;
        }
        if (stopping_) co_return false;
        if (all) co_return true;
        co_await changed_.changed_since(seen);
    }
}

Task<> Supervisor::Impl::wait_down() {
    while (!down_) {
        const auto seen = changed_.version();
        if (down_) break;
        co_await changed_.changed_since(seen);
    }
    // The units' own coroutines look once more and end.
    co_await scope_.wait_empty();
}

/// Whether a unit runs or may run again: not where it waits for one that cannot either.
bool Supervisor::Impl::may_run(const Unit& unit, std::set<std::size_t>& asked) const {
    if (unit.given_up || unit.stopped_with) return false;
    if (unit.is_remote() || unit.state != State::starting) return true;
    // A circle of milestones has a way through, or the file would have been refused.
    if (!asked.insert(unit.index).second) return true;
    const std::vector<const Edge*> edges = graph_.upstreams(unit.index);
    return std::all_of(edges.begin(), edges.end(), [&](const Edge* edge) {
        const Unit& upstream = *units_[edge->upstream];
        return is_there(upstream, edge->milestone) || may_run(upstream, asked);
    });
}

/// Whether a critical service may run; of all, where none is critical.
bool Supervisor::Impl::any_critical_left() const {
    const bool any_critical = std::any_of(units_.begin(), units_.end(), [](const auto& unit) {
        return !unit->is_remote() && unit->config.critical;
    });
    return std::any_of(units_.begin(), units_.end(), [this, any_critical](const auto& unit) {
        if (unit->is_remote() || (any_critical && !unit->config.critical)) return false;
        std::set<std::size_t> asked;
        return may_run(*unit, asked);
    });
}

SteadyTime Supervisor::Impl::before_shutdown_ends(int tenths) const {
    if (!stopping_) return SteadyTime::max();
    return shutdown_deadline_ - config_.supervisor.shutdown_timeout * tenths / 10;
}

bool Supervisor::Impl::all_down() const {
    return std::none_of(units_.begin(), units_.end(), [](const auto& unit) { return unit->up; });
}

void Supervisor::Impl::begin_shutdown(const std::string& reason, bool failed) {
    if (failed) exit_code_ = 1;
    if (stopping_) return;
    stopping_ = true;
    shutdown_deadline_ = now() + config_.supervisor.shutdown_timeout;
    timeline_.add("", "not-ready");
    timeline_.add("", "shutdown", reason);
    log::info(logger_, "shutdown.begun", log::kv("reason", reason));
    changed_.notify();
    scope_.spawn("shutdown", [this] { return shut_down(); });
}

Task<> Supervisor::Impl::shut_down() {
    for (;;) {
        const auto seen = changed_.version();
        if (all_down() || now() >= shutdown_deadline_) break;
        co_await changed_.changed_since(seen, shutdown_deadline_);
    }
    // At the deadline the units' own coroutines report what they were waiting for; that needs no
    // more time, but a turn of the loop each.
    for (int turn = 0; turn < 1000 && !all_down(); ++turn) {
        co_await asio::post(home_, asio::use_awaitable);
    }
    for (const auto& unit : units_) {
        if (!unit->up) continue;
        unit->not_stopped.push_back("stop");
        name_unstopped(*unit);
    }
    timeline_.add("", "down");
    log::info(logger_, "shutdown.done", log::kv("unstopped", report_.unstopped.size()));
    down_ = true;
    // Probes wait on; nobody needs their answers any more.
    scope_.cancel();
    changed_.notify();
}

void Supervisor::Impl::tell_dependents(const Unit& unit, UpstreamEvent event) {
    for (const Edge* edge : graph_.dependents(unit.index)) {
        Unit& dependent = *units_[edge->dependent];
        if (edge->on_restart == OnUpstreamRestart::ignore || !dependent.instance) continue;
        dependent.instance->upstream_changed(unit.label(), event);
    }
}

/// Asks for a restart of all that restarts with this unit.
void Supervisor::Impl::request_restart(Unit& unit, std::set<std::size_t>& visited) {
    if (!visited.insert(unit.index).second) return;
    for (const Edge* edge : graph_.dependents(unit.index)) {
        Unit& dependent = *units_[edge->dependent];
        if (edge->on_restart != OnUpstreamRestart::restart || dependent.is_remote()) continue;
        if (dependent.up && dependent.request == Request::none) {
            dependent.request = Request::restart;
            timeline_.add(dependent.label(), "restart-asked", "upstream " + unit.label());
        }
        request_restart(dependent, visited);
    }
    changed_.notify();
}

void Supervisor::Impl::stop_dependents(const Unit& unit, const std::string& why) {
    for (const Edge* edge : graph_.dependents(unit.index)) {
        Unit& dependent = *units_[edge->dependent];
        if (edge->gate != "start" || dependent.is_remote()) continue;
        if (!dependent.wanted || dependent.given_up) continue;
        dependent.wanted = false;
        dependent.stopped_with = unit.index;
        dependent.stop_reason = fmt::format("stopped with {}: {}", unit.label(), why);
        dependent.request = Request::stop;
        timeline_.add(
            dependent.label(), "stop-asked", fmt::format("upstream {}: {}", unit.label(), why)
        );
        if (!dependent.up) set_state(dependent, State::stopped, dependent.stop_reason);
        stop_dependents(dependent, why);
    }
    changed_.notify();
}

/// Undoes stop_dependents, but for what the operator has stopped meanwhile.
void Supervisor::Impl::resume_dependents(const Unit& unit) {
    for (const Edge* edge : graph_.dependents(unit.index)) {
        Unit& dependent = *units_[edge->dependent];
        if (dependent.stopped_with != unit.index) continue;
        dependent.stopped_with.reset();
        dependent.wanted = true;
        timeline_.add(dependent.label(), "start-asked", "upstream " + unit.label());
        resume_dependents(dependent);
    }
}

Task<Result<>> Supervisor::Impl::command(std::string label, Command command) {
    const auto found = std::find_if(units_.begin(), units_.end(), [&](const auto& unit) {
        return unit->label() == label && !unit->is_remote();
    });
    if (found == units_.end()) {
        co_return fail(errc::not_found, fmt::format("no service {} in this process", label));
    }
    Unit& unit = **found;
    if (stopping_) co_return fail(errc::wrong_state, "the deployment is shutting down");
    const std::size_t stuck = unit.not_stopped.size();
    if (stuck > 0) {
        co_return fail(
            errc::wrong_state, fmt::format("{} did not stop; restart the process", label)
        );
    }
    if (command == Command::start && unit.up) {
        co_return fail(errc::wrong_state, fmt::format("{} is running", label));
    }
    timeline_.add(
        label,
        command == Command::stop    ? "stop-asked"
        : command == Command::start ? "start-asked"
                                    : "restart-asked",
        "operator"
    );
    unit.wanted = command != Command::stop;
    unit.stop_reason = "by the operator";
    unit.stopped_with.reset();
    unit.given_up = false;
    unit.restarts.reset();
    if (command != Command::stop) resume_dependents(unit);
    if (command == Command::restart) {
        std::set<std::size_t> visited;
        request_restart(unit, visited);
        ++unit.restart_count;
    }
    // Also ends the wait before the next try of one that is down.
    unit.request = command == Command::stop ? Request::stop : Request::restart;
    if (command == Command::stop && !unit.up) set_state(unit, State::stopped, unit.stop_reason);
    // What runs now goes down first, so that one more end than that is a failure.
    const std::size_t downs_wanted = unit.times_down + (unit.up ? 1 : 0);
    changed_.notify();
    co_return co_await await_command(unit, command, downs_wanted);
}

Task<Result<>> Supervisor::Impl::await_command(
    Unit& unit, Command command, std::size_t downs_wanted
) {
    const Duration start_time = command == Command::stop ? Duration(0) : unit.config.start_timeout;
    const SteadyTime deadline = now() + unit.config.drain_timeout + unit.config.stop_timeout +
                                start_time + std::chrono::seconds(1);
    for (;;) {
        const auto seen = changed_.version();
        if (!unit.not_stopped.empty()) {
            co_return fail(errc::timed_out, fmt::format("{} did not stop", unit.label()));
        }
        const bool down = unit.times_down >= downs_wanted;
        if (down && command == Command::stop) co_return Result<>();
        if (down && unit.reached.contains("ready")) co_return Result<>();
        if (down && !unit.wanted && !unit.up) {
            co_return fail(errc::cancelled, fmt::format("{} is stopped again", unit.label()));
        }
        // Another restart may have cut this one's start short: that is no failure.
        if (unit.times_down > downs_wanted && !unit.up && unit.state == State::failed) {
            co_return fail(
                errc::unavailable, fmt::format("{} failed: {}", unit.label(), unit.reason)
            );
        }
        if (stopping_) co_return fail(errc::cancelled, "the deployment is shutting down");
        if (now() >= deadline) {
            co_return fail(
                errc::timed_out,
                fmt::format("{} is still {}: {}", unit.label(), state_name(unit.state), unit.reason)
            );
        }
        co_await changed_.changed_since(seen, deadline);
    }
}

}  // namespace skywire::framework
