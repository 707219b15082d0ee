#include "cli/config_source.hpp"

namespace skywire::cli {

namespace {

/// Commands that print one text that this binary carries or makes.
class Document final : public Command {
 public:
    using Make = std::string (*)(const framework::ServiceRegistry&);

    Document(std::string name, std::string summary, std::string details, Make make)
        : name_(std::move(name)),
          summary_(std::move(summary)),
          details_(std::move(details)),
          make_(make) {}

    std::vector<std::string> path() const override { return {"svc", name_}; }
    std::string summary() const override { return summary_; }
    std::string details() const override { return details_; }
    std::vector<Option> options() override { return {}; }
    int run(Session& session) override {
        session.io.out << make_(session.registry);
        return kDone;
    }

 private:
    std::string name_;
    std::string summary_;
    std::string details_;
    Make make_;
};

std::string built_in(const framework::ServiceRegistry&) {
    return std::string(built_in_deployment());
}

}  // namespace

std::unique_ptr<Command> make_svc_default() {
    return std::make_unique<Document>(
        "default",
        "Print the built-in deployment file",
        "Everything on loopback, in memory, with public test keys: a file to begin from.\n"
        "\n"
        "Example:\n"
        "  skywire svc default > deployment.json",
        built_in
    );
}

std::unique_ptr<Command> make_svc_schema() {
    return std::make_unique<Document>(
        "schema",
        "Print the JSON Schema of deployment files",
        "For editors that complete and check while one types; the same lies in\n"
        "configs/deployment.schema.json.",
        framework::deployment_json_schema
    );
}

std::unique_ptr<Command> make_svc_reference() {
    return std::make_unique<Document>(
        "reference",
        "Print every key of deployment files, in Markdown",
        "The same lies in docs/configuration.md.",
        framework::deployment_reference
    );
}

}  // namespace skywire::cli
