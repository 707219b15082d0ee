#include "cli/dmsg_world.hpp"
#include "cli/table.hpp"
#include "net/deadline.hpp"

#include <fmt/format.h>

namespace skywire::cli {
namespace {

std::string servers_of(const dmsg::Entry& entry) {
    std::string keys;
    if (!entry.client || !entry.client->delegated_servers) return keys;
    for (const auto& key : *entry.client->delegated_servers)
        keys += (keys.empty() ? "" : " ") + key.to_text();
    return keys;
}

void print_entry(std::ostream& out, const dmsg::Entry& entry) {
    const auto line = [&](std::string_view name, const std::string& value) {
        if (!value.empty()) out << fmt::format("{:<11} {}\n", name, value);
    };
    line("key", entry.static_key.to_text());
    line("sequence", std::to_string(entry.sequence));
    line("written", format_rfc3339(WallTime(std::chrono::nanoseconds(entry.timestamp))));
    line("client type", entry.client_type);
    line("protocol", entry.protocol);
    if (entry.client) line("reached by", servers_of(entry));
    if (entry.server) {
        line("address", entry.server->address);
        line("websocket", entry.server->address_ws);
        line("free", std::to_string(entry.server->available_sessions));
        line("type", entry.server->server_type);
    }
}

/// With servers alone the client makes up a discovery of them: nobody is asked.
std::string missing_discovery(const DmsgOptions& options) {
    const bool made_up = options.discovery.empty() && !options.servers.empty();
    return made_up ? "--server needs --disc here: it is the way to a discovery on dmsg" : "";
}

class DiscEntry final : public Command {
 public:
    std::vector<std::string> path() const override { return {"dmsg", "disc", "entry"}; }
    std::string summary() const override { return "Print a key's entry in the dmsg-discovery"; }
    std::string details() const override {
        return "Example:\n"
               "  skywire dmsg disc entry 0281a1029...  --disc http://127.0.0.1:9090";
    }

    std::vector<Option> options() override {
        auto all = options_.discovery_options();
        all.push_back({"--json", "", "Print the entry as it was handed out", &json_});
        all.push_back({"KEY", "KEY", "66 hex digits", &key_, ValueKind::text, {}, true});
        return all;
    }

    int run(Session& session) override {
        const auto key = parse_key(key_);
        if (!key) return usage_error(session, *this, key.error().message());
        if (const std::string error = missing_discovery(options_); !error.empty())
            return usage_error(session, *this, error);
        return run_dmsg(session, *this, options_, [&](DmsgWorld& world) {
            return print(world, session, *key);
        });
    }

 private:
    Task<Result<>> print(DmsgWorld& world, Session& session, crypto::PublicKey key) {
        const auto reached = co_await world.reach_discovery();
        if (!reached) co_return reached.error();
        const auto entry = co_await net::with_deadline(
            world.context().clock, world.deadline(), world.discovery().entry(key)
        );
        if (!entry) co_return entry.error();
        if (json_) {
            session.io.out << dmsg::to_json(*entry) << '\n';
        } else {
            print_entry(session.io.out, *entry);
        }
        co_return Result<>();
    }

    DmsgOptions options_;
    std::string key_;
    bool json_ = false;
};

class DiscServers final : public Command {
 public:
    std::vector<std::string> path() const override { return {"dmsg", "disc", "servers"}; }
    std::string summary() const override { return "List the dmsg-servers of a dmsg-discovery"; }
    std::string details() const override {
        return "Those with free sessions; with --all every one. Example:\n"
               "  skywire dmsg disc servers --disc http://127.0.0.1:9090";
    }

    std::vector<Option> options() override {
        auto all = options_.discovery_options();
        all.push_back({"--all", "", "Full ones, too", &all_});
        all.push_back({"--json", "", "Print a JSON array of the entries", &json_});
        return all;
    }

    int run(Session& session) override {
        if (const std::string error = missing_discovery(options_); !error.empty())
            return usage_error(session, *this, error);
        return run_dmsg(session, *this, options_, [&](DmsgWorld& world) {
            return print(world, session);
        });
    }

 private:
    Task<Result<>> print(DmsgWorld& world, Session& session) {
        const auto reached = co_await world.reach_discovery();
        if (!reached) co_return reached.error();
        dmsg::DiscoveryClient& discovery = world.discovery();
        const auto servers = co_await net::with_deadline(
            world.context().clock,
            world.deadline(),
            all_ ? discovery.all_servers() : discovery.available_servers()
        );
        if (!servers) co_return servers.error();
        if (json_) {
            std::string text = "[";
            for (const dmsg::Entry& entry : *servers)
                text += (text.size() > 1 ? "," : "") + dmsg::to_json(entry);
            session.io.out << text << "]\n";
            co_return Result<>();
        }
        Table table({"KEY", "ADDRESS", "FREE", "TYPE"});
        for (const dmsg::Entry& entry : *servers) {
            const std::optional<dmsg::ServerInfo>& server = entry.server;
            if (!server) continue;
            table.add(
                {entry.static_key.to_text(),
                 server->address,
                 std::to_string(server->available_sessions),
                 server->server_type}
            );
        }
        table.print(session.io.out);
        co_return Result<>();
    }

    DmsgOptions options_;
    bool all_ = false;
    bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_dmsg_disc_entry() {
    return std::make_unique<DiscEntry>();
}

std::unique_ptr<Command> make_dmsg_disc_servers() {
    return std::make_unique<DiscServers>();
}

}  // namespace skywire::cli
