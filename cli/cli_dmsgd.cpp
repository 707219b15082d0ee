#include "cli/service_client.hpp"
#include "cli/table.hpp"
#include "crypto/keys.hpp"

#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::string_view kType = "dmsg-discovery";

/// What a dmsg-discovery lists: keys, or entries of servers.
class DmsgdList final : public Command {
 public:
    enum class What { clients, visors, servers };

    explicit DmsgdList(What what) : what_(what) {}

    std::vector<std::string> path() const override { return {"cli", "dmsgd", name()}; }
    std::string summary() const override {
        switch (what_) {
            case What::clients:
                return "List the keys of all dmsg clients";
            case What::visors:
                return "List the keys of those that are visors";
            case What::servers:
                return "List all dmsg-servers";
        }
        return {};
    }
    std::string details() const override {
        return "Example:\n  skywire cli dmsgd " + name() + "\n\n" + std::string(kServiceHelp);
    }
    std::vector<Option> options() override { return options_.options(); }

    int run(Session& session) override {
        return run_service(session, *this, options_, kType, [&](ServiceClient& client) {
            return print(client, session);
        });
    }

 private:
    std::string name() const {
        switch (what_) {
            case What::clients:
                return "clients";
            case What::visors:
                return "visors";
            case What::servers:
                return "servers";
        }
        return {};
    }

    std::string target() const {
        switch (what_) {
            case What::clients:
                return "/dmsg-discovery/entries";
            case What::visors:
                return "/dmsg-discovery/visorEntries";
            case What::servers:
                return "/dmsg-discovery/all_servers";
        }
        return {};
    }

    Task<Result<>> print(ServiceClient& client, Session& session) {
        const auto answer = co_await client.get(target());
        co_return show_answer(session, options_, answer, [&](const json::value& list) {
            if (what_ == What::servers) {
                print_servers(session.io.out, list);
            } else {
                print_keys(session.io.out, list);
                const bool none = !list.is_array() || list.get_array().empty();
                if (none) session.io.err << fmt::format("no {} are registered\n", name());
            }
            return Result<>();
        });
    }

    static void print_keys(std::ostream& out, const json::value& keys) {
        if (!keys.is_array()) return;
        for (const json::value& key : keys.get_array())
            if (key.is_string()) out << std::string_view(key.get_string()) << '\n';
    }

    static void print_servers(std::ostream& out, const json::value& entries) {
        Table table({"KEY", "ADDRESS", "FREE", "TYPE"});
        if (entries.is_array()) {
            for (const json::value& entry : entries.get_array()) {
                const json::value* server =
                    entry.is_object() ? entry.get_object().if_contains("server") : nullptr;
                if (server == nullptr) continue;
                table.add(
                    {text_of(entry, "static"),
                     text_of(*server, "address"),
                     text_of(*server, "availableSessions"),
                     text_of(*server, "serverType")}
                );
            }
        }
        table.print(out);
    }

    What what_;
    ServiceOptions options_;
};

class DmsgdEntry final : public Command {
 public:
    std::vector<std::string> path() const override { return {"cli", "dmsgd", "entry"}; }
    std::string summary() const override { return "Print a key's entry, as it was handed out"; }
    std::string details() const override {
        return "For people: skywire dmsg disc entry.\n"
               "\n"
               "Example:\n"
               "  skywire cli dmsgd entry 024ec474...\n"
               "\n" +
               std::string(kServiceHelp);
    }

    std::vector<Option> options() override {
        auto all = options_.options();
        all.push_back({"KEY", "KEY", "66 hex digits", &key_, ValueKind::text, {}, true});
        return all;
    }

    int run(Session& session) override {
        const auto key = parse_key(key_);
        if (!key) return usage_error(session, *this, key.error().message());
        return run_service(session, *this, options_, kType, [&](ServiceClient& client) {
            return print(client, session);
        });
    }

 private:
    Task<Result<>> print(ServiceClient& client, Session& session) {
        const auto answer = co_await client.get("/dmsg-discovery/entry/" + key_);
        if (!answer) co_return answer.error();
        session.io.out << answer->body_view() << '\n';
        co_return Result<>();
    }

    ServiceOptions options_;
    std::string key_;
};

}  // namespace

std::unique_ptr<Command> make_cli_dmsgd_clients() {
    return std::make_unique<DmsgdList>(DmsgdList::What::clients);
}

std::unique_ptr<Command> make_cli_dmsgd_visors() {
    return std::make_unique<DmsgdList>(DmsgdList::What::visors);
}

std::unique_ptr<Command> make_cli_dmsgd_servers() {
    return std::make_unique<DmsgdList>(DmsgdList::What::servers);
}

std::unique_ptr<Command> make_cli_dmsgd_entry() {
    return std::make_unique<DmsgdEntry>();
}

}  // namespace skywire::cli
