#include "framework/supervisor_impl.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::framework {
namespace {

constexpr std::size_t kTransitionsKept = 20;

/// How bad a state is for the whole; the highest wins.
int severity(State state) {
    switch (state) {
        case State::ready:
            return 0;
        case State::degraded:
            return 1;
        case State::starting:
            return 2;
        case State::stopping:
            return 3;
        case State::stopped:
            return 4;
        case State::failed:
            return 5;
    }
    return 5;
}

}  // namespace

void Supervisor::Impl::set_state(Unit& unit, State state, std::string reason) {
    if (unit.state == state && unit.reason == reason) return;
    if (unit.state != state) {
        const WallTime at = environment_.clock.wall();
        unit.transitions.push_back({at, unit.state, state, reason});
        if (unit.transitions.size() > kTransitionsKept) unit.transitions.pop_front();
        unit.since = at;
        if (state == State::degraded) {
            timeline_.add(unit.label(), "degraded", reason);
            log::warn(
                logger_,
                "service.degraded",
                log::kv("service", unit.label()),
                log::kv("reason", reason)
            );
        }
        if (unit.state == State::degraded && state == State::ready) {
            timeline_.add(unit.label(), "recovered");
            log::info(logger_, "service.recovered", log::kv("service", unit.label()));
        }
    }
    unit.state = state;
    unit.reason = std::move(reason);
    record(unit);
    changed_.notify();
}

void Supervisor::Impl::record(const Unit& unit) {
    const bool up = unit.state == State::ready || unit.state == State::degraded;
    Metrics& metrics = environment_.metrics;
    const Labels labels{{"service", unit.label()}};
    metrics.gauge("skywire_service_up", "1 while the service is ready or degraded, else 0.", labels)
        .set(up ? 1 : 0);
    metrics.gauge("skywire_service_degraded", "1 while the service is degraded, else 0.", labels)
        .set(unit.state == State::degraded ? 1 : 0);
    metrics.gauge("skywire_service_restarts", "Restarts of the service in this process.", labels)
        .set(static_cast<double>(unit.restart_count));
    metrics
        .gauge(
            "skywire_service_start_seconds",
            "How long the last start took, once its upstreams were there.",
            labels
        )
        .set(std::chrono::duration<double>(unit.start_took).count());
}

/// Upstreams as checks of their own, so that they are debounced like the rest.
std::vector<Check> Supervisor::Impl::upstream_checks(const Unit& unit) const {
    std::vector<Check> checks;
    std::set<std::size_t> seen;
    for (const Edge* edge : graph_.upstreams(unit.index)) {
        if (edge->on_restart == OnUpstreamRestart::ignore) continue;
        if (!seen.insert(edge->upstream).second) continue;
        const Unit& upstream = *units_[edge->upstream];
        Check check{"upstream " + upstream.label(), Check::Status::pass, {}};
        if (upstream.is_remote()) {
            if (!is_there(upstream, edge->milestone)) {
                check.status = Check::Status::fail;
                check.detail = upstream.remote->reason();
            }
        } else if (upstream.state == State::degraded) {
            check.status = Check::Status::warn;
            check.detail = "degraded: " + upstream.reason;
        } else if (!is_there(upstream, edge->milestone)) {
            check.status = Check::Status::fail;
            check.detail = fmt::format("{} {}", state_name(upstream.state), upstream.reason);
        }
        checks.push_back(std::move(check));
    }
    return checks;
}

std::string Supervisor::Impl::root_cause(const Unit& unit, std::set<std::size_t>& visited) const {
    if (unit.state == State::ready || !visited.insert(unit.index).second) return {};
    const auto since = [](WallTime at) { return format_rfc3339(at); };
    // One that is not to run waits for nobody, unless an upstream has taken it along.
    const bool down = unit.state == State::stopped || unit.state == State::stopping;
    if (down && !unit.stopped_with) {
        return fmt::format(
            "{}: {}{}{} since {}",
            unit.label(),
            state_name(unit.state),
            unit.reason.empty() ? "" : " ",
            unit.reason,
            since(unit.since)
        );
    }
    // Its own checks first: what it sees itself is nearer than what an upstream says.
    if (const auto* failing = unit.health.failing();
        failing != nullptr && !failing->name.starts_with("upstream ")) {
        return fmt::format(
            "{}: {}: {} since {}",
            unit.label(),
            failing->name,
            failing->detail,
            since(failing->since)
        );
    }
    const auto own = [&unit, &since] {
        return fmt::format(
            "{}: {} since {}",
            unit.label(),
            unit.reason.empty() ? std::string(state_name(unit.state)) : unit.reason,
            since(unit.since)
        );
    };
    // One that has failed waits for nobody.
    if (unit.state == State::failed) return own();
    // Nor does one that starts wait at gates that it has not come to; who waits for it may hold
    // them.
    const auto holds_back = [&unit](const Edge& edge) {
        return unit.state != State::starting || edge.gate == "start" ||
               unit.waiting_gates.contains(edge.gate);
    };
    for (const Edge* edge : graph_.upstreams(unit.index)) {
        const Unit& upstream = *units_[edge->upstream];
        if (is_there(upstream, edge->milestone) && upstream.state != State::degraded) continue;
        if (!holds_back(*edge)) continue;
        if (upstream.is_remote()) {
            if (is_there(upstream, edge->milestone)) continue;
            return fmt::format(
                "{}: {} since {}",
                upstream.remote->external().name,
                upstream.remote->reason(),
                since(upstream.remote->since())
            );
        }
        std::string deeper = root_cause(upstream, visited);
        if (!deeper.empty()) return deeper;
    }
    for (const Probe* probe : unit.externals) {
        if (probe->there()) continue;
        return fmt::format(
            "{}: {} since {}", probe->external().name, probe->reason(), since(probe->since())
        );
    }
    return own();
}

ServiceStatus Supervisor::Impl::status_of(const Unit& unit) const {
    ServiceStatus status;
    status.label = unit.label();
    status.type = unit.config.type->name;
    status.state = unit.state;
    status.critical = unit.config.critical;
    status.since = unit.since;
    status.reason = unit.reason;
    std::set<std::size_t> visited;
    status.root_cause = root_cause(unit, visited);
    status.milestones.assign(unit.reached.begin(), unit.reached.end());
    for (const auto& check : unit.health.checks()) {
        status.checks.push_back({check.name, check.status, check.detail, check.since});
    }
    for (const Edge* edge : graph_.upstreams(unit.index)) {
        const Unit& upstream = *units_[edge->upstream];
        const bool there = is_there(upstream, edge->milestone);
        status.upstreams.push_back(
            {fmt::format("{}:{}", upstream.label(), edge->milestone),
             edge->gate,
             there,
             upstream.is_remote() ? (there ? State::ready : State::failed) : upstream.state,
             !upstream.is_remote() ? upstream.reason
             : there               ? std::string()
                                   : upstream.remote->reason()}
        );
    }
    for (const Probe* probe : unit.externals) {
        status.upstreams.push_back(
            {probe->external().name,
             "start",
             probe->there(),
             probe->there() ? State::ready : State::failed,
             probe->reason()}
        );
    }
    status.transitions.assign(unit.transitions.begin(), unit.transitions.end());
    status.restarts = unit.restart_count;
    status.start_took = unit.start_took;
    for (const PortUse& port : unit.config.facts.ports) {
        status.addresses.push_back(fmt::format(
            "{} {}",
            port.transport == PortUse::Transport::udp ? "udp" : "tcp",
            port.address.to_string()
        ));
    }
    return status;
}

DeploymentStatus Supervisor::Impl::status() const {
    DeploymentStatus status;
    status.started_at = started_at_;
    status.stopping = stopping_;
    status.ready = !stopping_;
    status.state = State::ready;
    for (const auto& unit : units_) {
        if (unit->is_remote()) continue;
        status.services.push_back(status_of(*unit));
        if (!unit->config.critical) continue;
        if (unit->state != State::ready && unit->state != State::degraded) status.ready = false;
        if (severity(unit->state) > severity(status.state)) status.state = unit->state;
    }
    if (stopping_) status.state = down_ ? State::stopped : State::stopping;
    return status;
}

std::vector<std::string> Supervisor::Impl::labels() const {
    std::vector<std::string> labels;
    for (const auto& unit : units_) {
        if (!unit->is_remote()) labels.push_back(unit->label());
    }
    return labels;
}

void Supervisor::Impl::set_running(const Unit& unit, bool running) {
    const std::scoped_lock lock(running_mutex_);
    if (running) {
        running_.insert(unit.label());
    } else {
        running_.erase(unit.label());
    }
}

std::vector<std::string> Supervisor::Impl::still_running() const {
    const std::scoped_lock lock(running_mutex_);
    return {running_.begin(), running_.end()};
}

}  // namespace skywire::framework
