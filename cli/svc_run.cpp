#include "cli/config_source.hpp"
#include "cli/serve.hpp"
#include "framework/admin_address.hpp"

namespace skywire::cli {

namespace {

class SvcRun final : public Command {
 public:
    std::vector<std::string> path() const override { return {"svc", "run"}; }
    std::string summary() const override { return "Start the services of a deployment file"; }

    std::string details() const override {
        return "Starts every service of the file in one process, each as soon as what it needs is\n"
               "there, and runs until SIGTERM, SIGHUP or Ctrl-C: then services end in reverse\n"
               "order and what did not end in time is named. A second signal (0.2 s later or\n"
               "more) ends the process at once.\n"
               "\n"
               "Examples:\n"
               "  skywire svc run --config deployment.json\n"
               "  skywire svc run --config default            the built-in file, all on loopback\n"
               "  skywire svc run --config deployment.json --only dmsgd,stun\n"
               "\n"
               "Exit code: 0 after an orderly stop; 1 where the file has errors, services gave up\n"
               "and so ended it, something did not stop, or the exit was forced.";
    }

    std::vector<Option> options() override {
        return {
            config_option(config_, "The deployment file; \"default\" is the built-in one"),
            only_option(only_, "Start only the blocks with these labels"),
            {"--admin", "ADDR", "Admin listener: unix:PATH or HOST:PORT, over the file's", &admin_},
            {"--list", "", "Print the types of services this binary knows, and end", &list_},
        };
    }

    int run(Session& session) override {
        if (list_) {
            print_types(session);
            return kDone;
        }
        if (config_.empty()) {
            return usage_error(
                session, *this, "--config FILE is required (\"default\" is the built-in file)"
            );
        }
        framework::Deployment::Options options;
        if (!admin_.empty()) {
            auto address = net::Address::parse(admin_);
            if (!address)
                return usage_error(session, *this, "--admin: " + address.error().message());
            options.admin_address = std::move(*address);
        }
        options.only = as_set(only_);
        options.leave_unstopped = true;

        auto loaded = load_config(config_, session.registry);
        print_problems(session.io.err, config_, loaded.problems);
        if (!loaded.config) {
            return failure(session, *this, config_ + " has errors; nothing was started");
        }
        if (config_ == kBuiltInName && !options.admin_address &&
            !loaded.config->supervisor.admin_addr) {
            options.admin_address =
                framework::default_admin_address(std::string(kBuiltInAdminPath), options.only);
        }
        if (loaded.config->supervisor.state_dir.empty()) {
            loaded.config->supervisor.state_dir = default_state_dir();
        }
        return serve(session, *this, std::move(*loaded.config), std::move(options));
    }

 private:
    std::string config_;
    std::vector<std::string> only_;
    std::string admin_;
    bool list_ = false;
};

}  // namespace

std::unique_ptr<Command> make_svc_run() {
    return std::make_unique<SvcRun>();
}

}  // namespace skywire::cli
