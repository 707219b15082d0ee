#include "cli/config_source.hpp"
#include "cli/environment.hpp"
#include "cli/services_config.hpp"
#include "framework/key_file.hpp"
#include "net/address.hpp"

#include <filesystem>

#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::string_view kDeploymentFile = "deployment.json";
constexpr std::string_view kServicesFile = "services-config.json";
constexpr std::string_view kVisorsFile = "visors.json";

class SvcEnv final : public Command {
 public:
    std::vector<std::string> path() const override { return {"svc", "env"}; }
    std::string summary() const override { return "Make keys and files for a new deployment"; }
    std::string details() const override {
        return "One of three forms: --local (all on loopback, data in memory), --public HOST (one\n"
               "machine that others reach as HOST), --docker (containers named like the types of\n"
               "their services: dmsg-discovery, transport-discovery, ...).\n"
               "\n"
               "With --out three new files of mode 0600 are written, and nothing is overwritten:\n"
               "deployment.json for svc run, services-config.json for visors, visors.json with\n"
               "the keys of three visors. Without it the same is printed as one JSON object.\n"
               "\n"
               "Examples:\n"
               "  skywire svc env --local\n"
               "  skywire svc env --public tpd.example.org --stun-ip 203.0.113.7 \\\n"
               "      --stun-ip 203.0.113.8 --out /etc/skywire\n"
               "  skywire svc env --docker --redis redis://redis:6379 --out ./containers\n"
               "\n"
               "--keys e2e takes the public test keys, whose secrets everybody knows: for tests\n"
               "that compare, never for a network that others use.";
    }

    std::vector<Option> options() override {
        return {
            {"-l,--local", "", "All on this machine's loopback", &local_},
            {"-p,--public", "HOST", "One machine, reached under this name", &host_},
            {"-d,--docker", "", "Containers", &docker_},
            {"-n,--network", "NAME", "Name of the containers' network (default SKYNET)", &network_},
            {"--keys", "SET", "new or e2e (default new)", &keys_, ValueKind::choice, {"new", "e2e"}
            },
            {"--redis", "URL", "Keep the data there, in its databases 0 to 3", &redis_},
            {"--stun-ip", "IP", "Two addresses of the stun-server (repeatable)", &stun_ips_},
            {"-o,--out", "DIR", "The folder where the files go", &out_, ValueKind::file},
        };
    }

    int run(Session& session) override {
        if (auto problem = check(); !problem.empty()) return usage_error(session, *this, problem);
        SystemRandom random;
        const KeySet keys = keys_ == "e2e" ? e2e_keys() : new_keys(random);
        EnvironmentOptions options;
        options.form = local_ ? Form::local : docker_ ? Form::docker : Form::public_host;
        options.host = host_;
        options.redis = redis_;
        options.stun_ips = stun_ips_;
        const json::object deployment = make_deployment(options, keys);
        const std::string text = pretty(deployment);
        auto loaded =
            framework::load_deployment(std::string(kDeploymentFile), text, session.registry);
        if (!loaded.config) {
            print_problems(session.io.err, std::string(kDeploymentFile), loaded.problems);
            return failure(session, *this, "such a deployment has errors; nothing was written");
        }
        const auto services = services_config(*loaded.config, config_bootstrapper::Ways::all);
        if (!services) return failure(session, *this, services.error().message());
        const auto parsed = parse_json(*services);
        if (!parsed) return failure(session, *this, parsed.error().message());
        if (!out_.empty()) return write(session, random, text, *parsed, make_visors(keys));
        session.io.out << pretty(json::object{
            {"description", description()},
            {"deployment", deployment},
            {"services_config", *parsed},
            {"visors", make_visors(keys)},
        });
        return kDone;
    }

 private:
    /// What is wrong with the options; empty: nothing.
    std::string check() const {
        const int forms = (local_ ? 1 : 0) + (docker_ ? 1 : 0) + (host_.empty() ? 0 : 1);
        if (forms != 1) return "one of --local, --public HOST and --docker";
        if (!stun_ips_.empty() && stun_ips_.size() != 2) return "--stun-ip: two of them, or none";
        if (local_ && !redis_.empty())
            return "--redis: a local deployment keeps its data in memory";
        return {};
    }

    std::string description() const {
        if (local_) return "a deployment on loopback, data in memory";
        if (docker_) return fmt::format("containers in the network {}", network_);
        return "one machine, reached as " + host_;
    }

    int write(
        Session& session,
        Random& random,
        const std::string& deployment,
        const json::value& services,
        const json::array& visors
    ) {
        namespace fs = std::filesystem;
        std::error_code error;
        const bool made_folder = fs::create_directories(out_, error);
        if (error) return failure(session, *this, out_ + ": " + error.message());
        const std::vector<std::pair<std::string_view, std::string>> files{
            {kDeploymentFile, deployment},
            {kServicesFile, pretty(services)},
            {kVisorsFile, pretty(visors)},
        };
        for (const auto& [name, text] : files) {
            const std::string file = (fs::path(out_) / name).string();
            if (fs::exists(file, error)) {
                return failure(
                    session,
                    *this,
                    file + " exists already; name another folder, nothing was written"
                );
            }
        }
        std::vector<fs::path> made;
        made.reserve(files.size());
        for (const auto& [name, text] : files) {
            const std::string file = (fs::path(out_) / name).string();
            const auto written = framework::write_secret_file(file, text, random);
            if (!written) {
                // Half of a set of keys is of no use, and would be in the way of the next try.
                for (const fs::path& each : made)
                    fs::remove(each, error);
                if (made_folder) fs::remove(out_, error);
                return failure(session, *this, written.error().message());
            }
            made.emplace_back(file);
        }
        for (const fs::path& each : made)
            session.io.out << each.string() << '\n';
        return kDone;
    }

    bool local_ = false;
    bool docker_ = false;
    std::string host_;
    std::string network_ = "SKYNET";
    std::string keys_ = "new";
    std::string redis_;
    std::vector<std::string> stun_ips_;
    std::string out_;
};

}  // namespace

std::unique_ptr<Command> make_svc_env() {
    return std::make_unique<SvcEnv>();
}

}  // namespace skywire::cli
