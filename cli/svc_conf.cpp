#include "cli/config_source.hpp"
#include "cli/services_config.hpp"

#include <fmt/format.h>

namespace skywire::cli {
namespace {

class SvcConf final : public Command {
 public:
    std::vector<std::string> path() const override { return {"svc", "conf"}; }
    std::string summary() const override { return "Print what visors are told of a deployment"; }
    std::string details() const override {
        return "The services config of a deployment file: URLs, keys and servers, as its\n"
               "config-bootstrapper answers them, once under \"prod\" and once under \"test\", as\n"
               "the existing network's programs read it (SKYDEPLOY). Asks and starts nothing.\n"
               "\n"
               "Examples:\n"
               "  skywire svc conf --config deployment.json > services-config.json\n"
               "  skywire svc conf dmsghttp          only the ways over dmsg\n"
               "  skywire svc conf http              only those over plain HTTP";
    }

    std::vector<Option> options() override {
        return {
            config_option(config_, "The deployment file (default: the built-in one)"),
            {"FORM",
             "FORM",
             "dmsghttp or http; both ways without it",
             &form_,
             ValueKind::choice,
             {"dmsghttp", "http"}},
        };
    }

    int run(Session& session) override {
        const std::string file = config_.empty() ? std::string(kBuiltInName) : config_;
        const auto loaded = load_config(file, session.registry);
        if (!loaded.config) {
            print_problems(session.io.err, file, loaded.problems);
            return failure(session, *this, file + " has errors");
        }
        using config_bootstrapper::Ways;
        Ways ways = Ways::all;
        if (form_ == "dmsghttp") ways = Ways::dmsg;
        if (form_ == "http") ways = Ways::http;
        auto text = services_config(*loaded.config, ways);
        if (!text) return failure(session, *this, text.error().message());
        session.io.out << *text;
        return kDone;
    }

 private:
    std::string config_;
    std::string form_;
};

}  // namespace

std::unique_ptr<Command> make_svc_conf() {
    return std::make_unique<SvcConf>();
}

}  // namespace skywire::cli
