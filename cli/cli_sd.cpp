#include "cli/service_client.hpp"
#include "cli/table.hpp"

#include <fmt/format.h>

namespace skywire::cli {
namespace {

/// Letters, digits and what stands in versions and countries; the rest escaped.
std::string query_escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                           (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
        if (plain) {
            out += c;
        } else {
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return out;
}

class Sd final : public Command {
 public:
    std::vector<std::string> path() const override { return {"cli", "sd"}; }
    std::string summary() const override { return "List the services that visors offer"; }
    std::string details() const override {
        return "Examples:\n"
               "  skywire cli sd vpn\n"
               "  skywire cli sd proxy --country DE --count 10\n"
               "  skywire cli sd visor --json\n"
               "\n" +
               std::string(kServiceHelp);
    }

    std::vector<Option> options() override {
        auto all = options_.options();
        all.push_back({"--country", "CODE", "Only there", &country_});
        all.push_back({"--with-version", "VERSION", "Only of visors of this version", &version_});
        all.push_back({"--count", "COUNT", "So many, picked at random", &count_});
        all.push_back(
            {"TYPE",
             "TYPE",
             "vpn, proxy or visor",
             &type_,
             ValueKind::choice,
             {"vpn", "proxy", "visor"},
             true}
        );
        return all;
    }

    int run(Session& session) override {
        if (!count_.empty()) {
            const auto count = parse_number("--count", count_, 1, 1'000'000);
            if (!count) return usage_error(session, *this, count.error().message());
        }
        return run_service(
            session,
            *this,
            options_,
            "service-discovery",
            [&](ServiceClient& client) { return print(client, session); }
        );
    }

 private:
    std::string target() const {
        // What visors call it when they register.
        std::string made = "/api/services?type=" + (type_ == "proxy" ? "skysocks" : type_);
        if (!country_.empty()) made += "&country=" + query_escaped(country_);
        if (!version_.empty()) made += "&version=" + query_escaped(version_);
        if (!count_.empty()) made += "&quantity=" + count_;
        return made;
    }

    Task<Result<>> print(ServiceClient& client, Session& session) {
        const auto answer = co_await client.get(target());
        if (!answer) co_return answer.error();
        if (options_.json) {
            session.io.out << answer->body_view();
            co_return Result<>();
        }
        const auto parsed = json_of(*answer);
        if (!parsed) co_return parsed.error();
        Table table({"ADDRESS", "VERSION", "COUNTRY", "REGION"});
        // `null` is an empty list.
        if (parsed->is_array()) {
            for (const json::value& entry : parsed->get_array()) {
                const json::value* geo =
                    entry.is_object() ? entry.get_object().if_contains("geo") : nullptr;
                table.add(
                    {text_of(entry, "address"),
                     text_of(entry, "version"),
                     geo == nullptr ? "" : text_of(*geo, "country"),
                     geo == nullptr ? "" : text_of(*geo, "region")}
                );
            }
        }
        table.print(session.io.out);
        co_return Result<>();
    }

    ServiceOptions options_;
    std::string type_;
    std::string country_;
    std::string version_;
    std::string count_;
};

}  // namespace

std::unique_ptr<Command> make_cli_sd() {
    return std::make_unique<Sd>();
}

}  // namespace skywire::cli
