#include "base/clock.hpp"
#include "base/json.hpp"
#include "cli/admin_client.hpp"
#include "framework/json_writer.hpp"

#include <fmt/format.h>

namespace skywire::cli {

namespace {

/// A label as one segment of a path.
std::string escaped(std::string_view label) {
    std::string path;
    for (const char c : label) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        path += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return path;
}

/// stop, start and restart.
class SvcControl final : public Command {
 public:
    struct Words {
        std::string name;
        std::string summary;
        std::string details;
        std::string done;
    };

    explicit SvcControl(Words words) : words_(std::move(words)) {}

    std::vector<std::string> path() const override { return {"svc", words_.name}; }
    std::string summary() const override { return words_.summary; }
    std::string details() const override {
        return words_.details +
               fmt::format(
                   "\n\nExample:\n  skywire svc {} stun --config deployment.json\n\n", words_.name
               ) +
               kAdminHelp;
    }

    std::vector<Option> options() override {
        std::vector<Option> options = admin_.options();
        options.insert(
            options.begin(), {"NAME", "NAME", "The service's label", &name_, {}, {}, true}
        );
        return options;
    }

    int run(Session& session) override {
        AdminClient client;
        if (auto found = client.find(admin_, session); !found) {
            return failure(session, *this, found.error());
        }
        const auto process = client.process_of(name_);
        if (!process) return failure(session, *this, process.error());
        const auto answer =
            client.post(*process, fmt::format("/services/{}/{}", escaped(name_), words_.name));
        if (!answer) return failure(session, *this, answer.error().message());
        session.io.out << fmt::format("{} {}\n", name_, words_.done);
        return kDone;
    }

 private:
    Words words_;
    AdminOptions admin_;
    std::string name_;
};

class SvcLogLevel final : public Command {
 public:
    std::vector<std::string> path() const override { return {"svc", "log-level"}; }
    std::string summary() const override { return "Change how much a running service logs"; }

    std::string details() const override {
        return "Without NAME and LEVEL all levels are shown. With --for the level falls back by\n"
               "itself.\n"
               "\n"
               "Examples:\n"
               "  skywire svc log-level --config deployment.json\n"
               "  skywire svc log-level dmsgd debug --for 60s --config deployment.json\n"
               "\n" +
               std::string(kAdminHelp);
    }

    std::vector<Option> options() override {
        std::vector<Option> options = admin_.options();
        options.insert(
            options.begin(),
            {{"NAME", "NAME", "The service's label", &name_},
             {"LEVEL",
              "LEVEL",
              "trace, debug, info, warn, error or off",
              &level_,
              ValueKind::choice,
              {"trace", "debug", "info", "warn", "error", "off"}}}
        );
        options.push_back({"--for", "DURATION", "As \"60s\" or \"1h30m\"; else for good", &for_});
        return options;
    }

    int run(Session& session) override {
        if (!name_.empty() && level_.empty()) {
            return usage_error(session, *this, "a LEVEL is required after NAME");
        }
        if (!for_.empty()) {
            if (auto duration = parse_duration(for_); !duration) {
                return usage_error(session, *this, "--for: " + duration.error().message());
            }
        }
        AdminClient client;
        if (auto found = client.find(admin_, session); !found) {
            return failure(session, *this, found.error());
        }
        if (name_.empty()) return show(session, client);
        framework::JsonWriter body;
        body.begin_object().member("service", name_).member("level", level_);
        if (!for_.empty()) body.member("expires", for_);
        body.end_object();
        const auto process = client.process_of(name_);
        if (!process) return failure(session, *this, process.error());
        const auto answer = client.post(*process, "/log-level", body.take());
        if (!answer) return failure(session, *this, answer.error().message());
        session.io.out << fmt::format(
            "{} logs at {}{}\n", name_, level_, for_.empty() ? "" : " for " + for_
        );
        return kDone;
    }

 private:
    int show(Session& session, AdminClient& client) {
        for (const auto& process : client.processes()) {
            const auto answer = client.get(process, "/log-level");
            if (!answer) return failure(session, *this, answer.error().message());
            session.io.out << answer->body_view();
        }
        return kDone;
    }

    AdminOptions admin_;
    std::string name_;
    std::string level_;
    std::string for_;
};

}  // namespace

std::unique_ptr<Command> make_svc_stop() {
    return std::make_unique<SvcControl>(SvcControl::Words{
        "stop",
        "Stop one service of a running deployment",
        "The service drains and stops, and stays down until it is started again.",
        "stopped"
    });
}

std::unique_ptr<Command> make_svc_start() {
    return std::make_unique<SvcControl>(SvcControl::Words{
        "start", "Start a service that was stopped or gave up", "Returns when it is ready.", "ready"
    });
}

std::unique_ptr<Command> make_svc_restart() {
    return std::make_unique<SvcControl>(SvcControl::Words{
        "restart",
        "Stop and start one service",
        "Services whose edge to it says so restart with it. Returns when it is ready again.",
        "ready again"
    });
}

std::unique_ptr<Command> make_svc_log_level() {
    return std::make_unique<SvcLogLevel>();
}

}  // namespace skywire::cli
