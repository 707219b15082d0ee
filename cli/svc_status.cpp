#include "base/json.hpp"
#include "cli/admin_client.hpp"
#include "cli/table.hpp"

#include <fmt/format.h>

namespace skywire::cli {

namespace {

constexpr std::chrono::milliseconds kWatchInterval{1'000};
/// Cursor home, and what stands below it cleared: no flicker.
constexpr std::string_view kRedraw = "\x1b[H\x1b[J";

std::string text(const json::object& object, std::string_view name) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr) return {};
    if (value->is_string()) return std::string(value->as_string());
    return json::serialize(*value);
}

bool flag(const json::object& object, std::string_view name) {
    const json::value* value = object.if_contains(name);
    return value != nullptr && value->is_bool() && value->as_bool();
}

std::string texts(const json::object& object, std::string_view name) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr || !value->is_array()) return {};
    std::vector<std::string> list;
    for (const json::value& element : value->as_array()) {
        if (element.is_string()) list.emplace_back(element.as_string());
    }
    return fmt::format("{}", fmt::join(list, " "));
}

/// "2026-11-20T09:40:00.66921Z" without the fraction.
std::string to_seconds(std::string time) {
    const auto dot = time.find('.');
    return dot == std::string::npos ? time : time.substr(0, dot) + "Z";
}

/// "1.7ms" of a number of seconds; empty where there is none yet.
std::string took(const json::object& service) {
    const json::value* seconds = service.if_contains("start_took_seconds");
    if (seconds == nullptr || !seconds->is_number()) return {};
    const double value = seconds->to_number<double>();
    if (value <= 0) return "-";
    return value < 1 ? fmt::format("{:.1f}ms", value * 1000) : fmt::format("{:.1f}s", value);
}

/// "degraded, ready, started ...": a state in which it serves is named beside that it does.
std::string head_of(const json::object& health) {
    const std::string state = text(health, "status");
    const std::string_view serves = flag(health, "ready") ? "ready" : "not ready";
    return fmt::format(
        "{}{}, started {}\n",
        state == serves ? "" : state + ", ",
        serves,
        to_seconds(text(health, "started_at"))
    );
}

/// "warning: store: ..." of the first check that does not pass; empty where all do.
std::string warning_of(const json::object& service) {
    const json::value* checks = service.if_contains("checks");
    if (checks == nullptr || !checks->is_array()) return {};
    for (const json::value& check : checks->get_array()) {
        if (!check.is_object() || text(check.get_object(), "status") == "pass") continue;
        const json::object& found = check.get_object();
        return fmt::format("warning: {}: {}", text(found, "name"), text(found, "detail"));
    }
    return {};
}

/// Why it is not ready, and where it is, what it would have an operator know.
std::string cause_of(const json::object& service) {
    for (const std::string_view member : {"root_cause", "reason"})
        if (std::string cause = text(service, member); !cause.empty()) return cause;
    return warning_of(service);
}

class SvcStatus final : public Command {
 public:
    std::vector<std::string> path() const override { return {"svc", "status"}; }
    std::string summary() const override { return "Show how a running deployment is doing"; }

    std::string details() const override {
        return "A line per service: state, since when, restarts, how long the start took, and the\n"
               "cause where it is not ready, or a warning where it is. Where each block has a\n"
               "process of its own, those that have none here are listed, too.\n"
               "\n"
               "Examples:\n"
               "  skywire svc status --config deployment.json\n"
               "  skywire svc status --config deployment.json --watch\n"
               "  skywire svc status --admin 127.0.0.1:7070 --json\n"
               "\n" +
               std::string(kAdminHelp) +
               "\n\nExit code: 0 when everything critical is ready, 1 when not or when no process\n"
               "answers.";
    }

    std::vector<Option> options() override {
        std::vector<Option> options = admin_.options();
        options.push_back({"--json", "", "Print the process's own answer", &json_});
        options.push_back({"--watch", "", "Go on showing it, once a second", &watch_});
        return options;
    }

    int run(Session& session) override {
        AdminClient client;
        if (auto found = client.find(admin_, session); !found) {
            return failure(session, *this, found.error());
        }
        while (watch_) {
            session.io.out << kRedraw;
            const int code = show(session, client);
            session.io.out.flush();
            if (answered_ == 0 || !session.io.out) return code;
            client.pause(kWatchInterval);
        }
        return show(session, client);
    }

 private:
    int show(Session& session, AdminClient& client) {
        Table table({"SERVICE", "TYPE", "STATE", "SINCE", "RESTARTS", "START", "ADDRESSES", "CAUSE"}
        );
        bool ready = true;
        std::string head;
        answered_ = 0;
        for (const auto& process : client.processes()) {
            // 503 is the answer of a deployment that is not ready.
            const auto answer = client.get(process, "/health", 503);
            if (!answer) {
                ready = false;
                session.io.err << answer.error().message() << '\n';
                continue;
            }
            const auto health = read_health(process, *answer);
            if (!health) return failure(session, *this, health.error());
            ++answered_;
            if (json_) {
                session.io.out << answer->body_view();
            }
            ready = ready && flag(*health, "ready");
            head += head_of(*health);
            add_services(table, *health);
        }
        for (const auto& block : client.missing())
            table.add({block.label, block.type, "-", "-", "-", "-", "-", "no process here"});
        if (!json_ && answered_ > 0) {
            session.io.out << head;
            table.print(session.io.out);
        }
        return ready && answered_ > 0 ? kDone : kFailed;
    }

    static void add_services(Table& table, const json::object& health) {
        for (const json::value& entry : health.at("services").as_array()) {
            if (!entry.is_object()) continue;
            const json::object& service = entry.as_object();
            table.add(
                {text(service, "label"),
                 text(service, "type"),
                 text(service, "state"),
                 to_seconds(text(service, "since")),
                 text(service, "restarts"),
                 took(service),
                 texts(service, "addresses"),
                 cause_of(service)}
            );
        }
    }

    AdminOptions admin_;
    bool json_ = false;
    bool watch_ = false;
    std::size_t answered_ = 0;
};

}  // namespace

std::unique_ptr<Command> make_svc_status() {
    return std::make_unique<SvcStatus>();
}

}  // namespace skywire::cli
