#include "framework/status_json.hpp"

#include "base/build_info.hpp"
#include "framework/json_writer.hpp"

#include <fmt/format.h>

namespace skywire::framework {

namespace {

void write_checks(JsonWriter& out, const std::vector<CheckStatus>& checks) {
    out.key("checks").begin_array();
    for (const CheckStatus& check : checks) {
        out.begin_object();
        out.member("name", check.name);
        out.member("status", check_status_name(check.status));
        out.member("detail", check.detail);
        out.member("since", check.since);
        out.end_object();
    }
    out.end_array();
}

void write_upstreams(JsonWriter& out, const std::vector<UpstreamStatus>& upstreams) {
    out.key("upstreams").begin_array();
    for (const UpstreamStatus& upstream : upstreams) {
        out.begin_object();
        out.member("name", upstream.name);
        out.member("gate", upstream.gate);
        out.member("there", upstream.there);
        out.member("state", state_name(upstream.state));
        out.member("detail", upstream.detail);
        out.end_object();
    }
    out.end_array();
}

void write_transitions(JsonWriter& out, const std::vector<Transition>& transitions) {
    out.key("transitions").begin_array();
    for (const Transition& transition : transitions) {
        out.begin_object();
        out.member("at", transition.at);
        out.member("from", state_name(transition.from));
        out.member("to", state_name(transition.to));
        out.member("reason", transition.reason);
        out.end_object();
    }
    out.end_array();
}

void write_texts(JsonWriter& out, std::string_view name, const std::vector<std::string>& texts) {
    out.key(name).begin_array();
    for (const std::string& text : texts)
        out.value(text);
    out.end_array();
}

void write_service(JsonWriter& out, const ServiceStatus& service) {
    out.begin_object();
    out.member("label", service.label);
    out.member("type", service.type);
    out.member("state", state_name(service.state));
    out.member("critical", service.critical);
    out.member("since", service.since);
    out.member("reason", service.reason);
    out.member("root_cause", service.root_cause);
    out.member("restarts", service.restarts);
    out.duration("start_took", service.start_took);
    write_texts(out, "milestones", service.milestones);
    write_texts(out, "addresses", service.addresses);
    write_checks(out, service.checks);
    write_upstreams(out, service.upstreams);
    write_transitions(out, service.transitions);
    out.end_object();
}

void write_services(JsonWriter& out, const std::vector<ServiceStatus>& services) {
    out.begin_array();
    for (const ServiceStatus& service : services)
        write_service(out, service);
    out.end_array();
}

}  // namespace

std::string_view check_status_name(Check::Status status) noexcept {
    switch (status) {
        case Check::Status::pass:
            return "pass";
        case Check::Status::warn:
            return "warn";
        case Check::Status::fail:
            return "fail";
    }
    return "unknown";
}

std::string health_json(const DeploymentStatus& status) {
    const BuildInfo build = build_info();
    JsonWriter out;
    out.begin_object();
    out.member("status", state_name(status.state));
    out.member("ready", status.ready);
    out.member("stopping", status.stopping);
    out.member("started_at", status.started_at);
    out.key("build_info").begin_object();
    out.member("version", build.version);
    out.member("commit", build.commit);
    out.member("date", build.date);
    out.end_object();
    out.key("services");
    write_services(out, status.services);
    out.end_object();
    return out.take();
}

std::string services_json(const std::vector<ServiceStatus>& services) {
    JsonWriter out;
    write_services(out, services);
    return out.take();
}

std::string service_json(const ServiceStatus& service) {
    JsonWriter out;
    write_service(out, service);
    return out.take();
}

std::string timeline_json(const std::vector<Timeline::Event>& events) {
    JsonWriter out;
    out.begin_array();
    for (const Timeline::Event& event : events) {
        out.begin_object();
        out.member("number", event.number);
        out.member("at", event.at);
        out.duration("since_start", event.since_start);
        out.member("label", event.label);
        out.member("event", event.event);
        out.member("detail", event.detail);
        out.end_object();
    }
    out.end_array();
    return out.take();
}

std::string levels_json(const std::vector<LogHub::LevelStatus>& levels) {
    JsonWriter out;
    out.begin_array();
    for (const LogHub::LevelStatus& level : levels) {
        out.begin_object();
        out.member("service", level.scope);
        out.member("level", log::level_name(level.level));
        if (level.back_to) out.member("back_to", log::level_name(*level.back_to));
        if (level.until) out.member("until", *level.until);
        out.end_object();
    }
    out.end_array();
    return out.take();
}

std::string log_lines_json(std::string_view scope, const std::vector<std::string>& lines) {
    JsonWriter out;
    out.begin_object();
    out.member("service", scope);
    write_texts(out, "lines", lines);
    out.end_object();
    return out.take();
}

std::string error_json(std::string_view message) {
    JsonWriter out;
    out.begin_object().member("error", message).end_object();
    return out.take();
}

std::vector<std::string> unready_reasons(const DeploymentStatus& status) {
    std::vector<std::string> reasons;
    if (status.stopping) reasons.emplace_back("shutting down");
    for (const ServiceStatus& service : status.services) {
        const bool serves = service.state == State::ready || service.state == State::degraded;
        if (serves || !service.critical) continue;
        const std::string& why = service.root_cause.empty() ? service.reason : service.root_cause;
        reasons.push_back(fmt::format(
            "{}: {}{}{}", service.label, state_name(service.state), why.empty() ? "" : ": ", why
        ));
    }
    return reasons;
}

}  // namespace skywire::framework
