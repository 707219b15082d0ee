#include "cli/service_client.hpp"
#include "cli/table.hpp"
#include "crypto/keys.hpp"

#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::string_view kType = "address-resolver";

class ArResolve final : public Command {
 public:
    std::vector<std::string> path() const override { return {"cli", "ar", "resolve"}; }
    std::string summary() const override { return "Ask where a visor is reached"; }
    std::string details() const override {
        return "The request is signed: with --sk or --keyfile, else with a new key.\n"
               "\n"
               "Examples:\n"
               "  skywire cli ar resolve stcpr 024ec474...\n"
               "  skywire cli ar resolve sudph 024ec474... --json\n"
               "\n" +
               std::string(kServiceHelp);
    }

    std::vector<Option> options() override {
        auto all = options_.options();
        all.push_back(
            {"TYPE", "TYPE", "stcpr or sudph", &type_, ValueKind::choice, {"stcpr", "sudph"}, true}
        );
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
        const auto answer = co_await client.signed_get("/resolve/" + type_ + "/" + key_);
        if (!answer && answer.error() == make_error_code(errc::not_found))
            co_return fail(errc::not_found, "no " + type_ + " binding of this key");
        co_return show_answer(session, options_, answer, [&](const json::value& binding) {
            print_binding(session.io.out, binding);
            return Result<>();
        });
    }

    static void print_binding(std::ostream& out, const json::value& binding) {
        for (const char* member :
             {"remote_addr", "remote_addr_v6", "port", "public_ip", "public_ip_v6", "addresses"}) {
            const std::string text = text_of(binding, member);
            if (!text.empty()) out << fmt::format("{:<15} {}\n", member, text);
        }
    }

    ServiceOptions options_;
    std::string type_;
    std::string key_;
};

class ArList final : public Command {
 public:
    std::vector<std::string> path() const override { return {"cli", "ar", "list"}; }
    std::string summary() const override { return "List the visors with a binding"; }
    std::string details() const override {
        return "Example:\n  skywire cli ar list\n\n" + std::string(kServiceHelp);
    }
    std::vector<Option> options() override { return options_.options(); }

    int run(Session& session) override {
        return run_service(session, *this, options_, kType, [&](ServiceClient& client) {
            return print(client, session);
        });
    }

 private:
    Task<Result<>> print(ServiceClient& client, Session& session) {
        const auto answer = co_await client.get("/transports");
        co_return show_answer(session, options_, answer, [&](const json::value& types) {
            print_keys(session.io.out, types);
            return Result<>();
        });
    }

    static void print_keys(std::ostream& out, const json::value& types) {
        Table table({"TYPE", "KEY"});
        if (types.is_object()) {
            for (const auto& [type, keys] : types.get_object()) {
                if (!keys.is_array()) continue;
                for (const json::value& key : keys.get_array())
                    if (key.is_string())
                        table.add({std::string(type), std::string(key.get_string())});
            }
        }
        table.print(out);
    }

    ServiceOptions options_;
};

}  // namespace

std::unique_ptr<Command> make_cli_ar_resolve() {
    return std::make_unique<ArResolve>();
}

std::unique_ptr<Command> make_cli_ar_list() {
    return std::make_unique<ArList>();
}

}  // namespace skywire::cli
