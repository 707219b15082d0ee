#include "cli/config_source.hpp"
#include "cli/serve.hpp"
#include "framework/json_writer.hpp"
#include "framework/key_file.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::string_view kLabel = "dmsg-server";

/// A dmsg-server's own file as a deployment of one block: its text in place, so that problems are
/// found where the reader looks for them.
Result<std::string> as_deployment(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    // A folder can be opened, but not read.
    if (in) in.peek();
    if (!in.is_open() || in.bad()) {
        return fail(
            errc::unavailable, fmt::format("{} cannot be read: {}", file, std::strerror(errno))
        );
    }
    std::ostringstream read;
    read << in.rdbuf();
    const std::string text = read.str();
    const std::size_t open = text.find('{');
    const std::size_t close = text.rfind('}');
    if (open == std::string::npos || close == std::string::npos || close < open)
        return fail(errc::malformed, file + " is no JSON object");
    const std::string_view members(text.data() + open + 1, close - open - 1);
    const bool empty = members.find_first_not_of(" \t\r\n") == std::string_view::npos;
    return fmt::format(
        R"({}{{"services":[{{"type":"dmsg-server","name":"{}"{}{}}}]}})",
        std::string_view(text).substr(0, open),
        kLabel,
        empty ? "" : ",",
        members
    );
}

class ServerStart final : public Command {
 public:
    std::vector<std::string> path() const override { return {"dmsg", "server", "start"}; }
    std::string summary() const override { return "Run one dmsg-server from a file of its own"; }
    std::string details() const override {
        return "The file is a dmsg-server's (skywire dmsg server config gen makes one), as the\n"
               "existing network's servers have it. The process is supervised as any deployment:\n"
               "skywire svc run says how it ends.\n"
               "\n"
               "Example:\n"
               "  skywire dmsg server start /etc/skywire/dmsg-server.json";
    }

    std::vector<Option> options() override {
        return {
            {"--admin", "ADDR", "Admin listener: unix:PATH or HOST:PORT", &admin_},
            {"FILE", "FILE", "The server's configuration", &file_, ValueKind::file, {}, true},
        };
    }

    int run(Session& session) override {
        auto text = as_deployment(file_);
        if (!text) return failure(session, *this, text.error().message());
        framework::Deployment::Options options;
        options.leave_unstopped = true;
        if (!admin_.empty()) {
            auto address = net::Address::parse(admin_);
            if (!address)
                return usage_error(session, *this, "--admin: " + address.error().message());
            options.admin_address = std::move(*address);
        }
        auto loaded = framework::load_deployment(file_, std::move(*text), session.registry);
        print_problems(session.io.err, file_, loaded.problems);
        if (!loaded.config)
            return failure(session, *this, file_ + " has errors; nothing was started");
        loaded.config->supervisor.state_dir = default_state_dir();
        return serve(session, *this, std::move(*loaded.config), std::move(options));
    }

 private:
    std::string file_;
    std::string admin_;
};

class ServerConfigGen final : public Command {
 public:
    std::vector<std::string> path() const override { return {"dmsg", "server", "config", "gen"}; }
    std::string summary() const override { return "Make a dmsg-server's file with a new key"; }
    std::string details() const override {
        return "Printed, or written to a new file of mode 0600 with --out.\n"
               "\n"
               "Example:\n"
               "  skywire dmsg server config gen --public-address 203.0.113.7:8081 -o server.json";
    }

    std::vector<Option> options() override {
        return {
            {"-o,--out", "FILE", "Where it goes; must not exist", &out_, ValueKind::file},
            {"--disc", "URL", "dmsg-discovery (default http://127.0.0.1:9090)", &discovery_},
            {"--local-address", "ADDR", "Where to listen (default :8081)", &local_},
            {"--public-address",
             "ADDR",
             "What to tell clients (default: where it listens)",
             &public_},
            {"--health-address", "ADDR", "Where /health is served (default :8082)", &health_},
        };
    }

    int run(Session& session) override {
        SystemRandom random;
        const crypto::KeyPair keys = crypto::generate_key_pair(random);
        framework::JsonWriter out;
        out.begin_object();
        out.member("public_key", keys.public_key.to_text());
        out.member("secret_key", keys.secret_key.reveal_text());
        out.member("discovery", discovery_);
        if (!public_.empty()) out.member("public_address", public_);
        out.member("local_address", local_);
        out.member("health_endpoint_address", health_);
        out.member("max_sessions", 2048);
        out.end_object();
        const std::string text = out.take();
        if (out_.empty()) {
            session.io.out << text;
            return kDone;
        }
        if (const auto written = framework::write_secret_file(out_, text, random); !written)
            return failure(session, *this, written.error().message());
        session.io.out << keys.public_key.to_text() << '\n';
        return kDone;
    }

 private:
    std::string out_;
    std::string discovery_ = "http://127.0.0.1:9090";
    std::string local_ = ":8081";
    std::string public_;
    std::string health_ = ":8082";
};

}  // namespace

std::unique_ptr<Command> make_dmsg_server_start() {
    return std::make_unique<ServerStart>();
}

std::unique_ptr<Command> make_dmsg_server_config_gen() {
    return std::make_unique<ServerConfigGen>();
}

}  // namespace skywire::cli
