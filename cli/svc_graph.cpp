#include "cli/admin_client.hpp"
#include "cli/config_source.hpp"
#include "framework/graph_export.hpp"

#include <fmt/format.h>

namespace skywire::cli {

namespace {

class SvcGraph final : public Command {
 public:
    std::vector<std::string> path() const override { return {"svc", "graph"}; }
    std::string summary() const override { return "Show which service waits for which"; }

    std::string details() const override {
        return "Prints the start order of a file as Graphviz DOT or JSON. With --live (or "
               "--admin)\n"
               "the running process is asked, and states and start durations are in it.\n"
               "\n"
               "Examples:\n"
               "  skywire svc graph --config deployment.json | dot -Tsvg > graph.svg\n"
               "  skywire svc graph --config deployment.json --live --format json\n"
               "\n" +
               std::string(kAdminHelp);
    }

    std::vector<Option> options() override {
        std::vector<Option> options = admin_.options();
        options.push_back(
            {"--format", "FORMAT", "dot or json", &format_, ValueKind::choice, {"dot", "json"}}
        );
        options.push_back({"--live", "", "Ask the running process", &live_});
        return options;
    }

    int run(Session& session) override {
        if (live_ || !admin_.admin.empty()) return run_live(session);
        if (admin_.config.empty()) {
            return usage_error(session, *this, "--config FILE or --admin ADDR is required");
        }
        const auto loaded = load_config(admin_.config, session.registry);
        if (!loaded.config) {
            print_problems(session.io.err, admin_.config, loaded.problems);
            return kFailed;
        }
        const framework::Graph graph(loaded.config->blocks);
        session.io.out
            << (format_ == "json" ? framework::graph_json(graph, nullptr)
                                  : framework::graph_dot(graph, nullptr));
        return kDone;
    }

 private:
    int run_live(Session& session) {
        AdminClient client;
        if (auto found = client.find(admin_, session); !found) {
            return failure(session, *this, found.error());
        }
        for (const auto& process : client.processes()) {
            const auto answer = client.get(process, "/graph?format=" + format_);
            if (!answer) return failure(session, *this, answer.error().message());
            session.io.out << answer->body_view();
        }
        return kDone;
    }

    AdminOptions admin_;
    std::string format_ = "dot";
    bool live_ = false;
};

}  // namespace

std::unique_ptr<Command> make_svc_graph() {
    return std::make_unique<SvcGraph>();
}

}  // namespace skywire::cli
