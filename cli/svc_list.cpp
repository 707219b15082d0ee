#include "cli/config_source.hpp"
#include "cli/table.hpp"

#include <fmt/format.h>

namespace skywire::cli {

void print_types(Session& session) {
    session.io.out << "registered service types:\n";
    for (const std::string_view name : session.registry.names()) {
        session.io.out << "  " << name << '\n';
    }
}

namespace {

/// Without a file the same as svc run --list, with one its blocks.
class SvcList final : public Command {
 public:
    std::vector<std::string> path() const override { return {"svc", "list"}; }
    std::string summary() const override {
        return "List the types of services, or the blocks of a file";
    }

    std::string details() const override {
        return "Examples:\n"
               "  skywire svc list                            types this binary can run\n"
               "  skywire svc list --config deployment.json   label, type and addresses of each "
               "block";
    }

    std::vector<Option> options() override {
        return {config_option(config_, "List the blocks of this file")};
    }

    int run(Session& session) override {
        if (config_.empty()) {
            print_types(session);
            return kDone;
        }
        const auto loaded = load_config(config_, session.registry);
        if (!loaded.config) {
            print_problems(session.io.err, config_, loaded.problems);
            return kFailed;
        }
        Table table({"LABEL", "TYPE", "ADDRESSES"});
        for (const auto& block : loaded.config->blocks) {
            std::vector<std::string> addresses;
            for (const auto& port : block.facts.ports) {
                const bool udp = port.transport == framework::PortUse::Transport::udp;
                addresses.push_back(port.address.to_string() + (udp ? "/udp" : ""));
            }
            table.add({block.label, block.type->name, fmt::format("{}", fmt::join(addresses, " "))}
            );
        }
        table.print(session.io.out);
        return kDone;
    }

 private:
    std::string config_;
};

}  // namespace

std::unique_ptr<Command> make_svc_list() {
    return std::make_unique<SvcList>();
}

}  // namespace skywire::cli
