#include "cli/feed_reader.hpp"
#include "cli/service_client.hpp"
#include "cli/table.hpp"
#include "cxo/leaf.hpp"
#include "net/deadline.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::cli {
namespace {

/// How long the feed is looked for before HTTP is asked.
constexpr std::chrono::seconds kFeedPatience{5};

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
        return "Read from the feed of the service-discovery, else over HTTP; where it comes from "
               "and\n"
               "how old it is goes to standard error. Over HTTP alone: with --http, --url, --dmsg, "
               "and\n"
               "what the service itself picks (--count, or --json of a part).\n"
               "\n"
               "Examples:\n"
               "  skywire cli sd vpn\n"
               "  skywire cli sd proxy --country DE --count 10\n"
               "  skywire cli sd visor --json\n"
               "\n" +
               std::string(kServiceHelp);
    }

    std::vector<Option> options() override {
        auto all = options_.options();
        all.push_back({"--http", "", "Do not look for the feed", &http_});
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
        const bool part = !country_.empty() || !version_.empty();
        const bool picked = !count_.empty() || (options_.json && part);
        if (http_ || picked || options_.over_dmsg || !options_.url.empty())
            return ask_service(session);
        FeedOptions feed;
        feed.config = options_.config;
        const auto place = find_feed(session, feed, cxo::kServicesFeed);
        if (!place && place.error() == make_error_code(errc::not_found))
            return ask_service(session);
        if (!place) return failure(session, *this, place.error());
        const bool on_dmsg = !options_.dmsg.discovery.empty() || !options_.dmsg.servers.empty();
        if (!on_dmsg && place->discovery.empty()) return ask_service(session);
        DmsgOptions dmsg = options_.dmsg;
        if (dmsg.discovery.empty() && dmsg.servers.empty()) dmsg.discovery = place->discovery;
        return run_dmsg(session, *this, dmsg, [&](DmsgWorld& world) {
            return read(world, *place, session);
        });
    }

 private:
    int ask_service(Session& session) {
        return run_service(
            session,
            *this,
            options_,
            "service-discovery",
            [&](ServiceClient& client) { return ask(client, session, ""); }
        );
    }

    /// What visors call it when they register.
    std::string registered_type() const { return type_ == "proxy" ? "skysocks" : type_; }

    std::string target() const {
        std::string made = "/api/services?type=" + registered_type();
        if (!country_.empty()) made += "&country=" + query_escaped(country_);
        if (!version_.empty()) made += "&version=" + query_escaped(version_);
        if (!count_.empty()) made += "&quantity=" + count_;
        return made;
    }

    Task<Result<>> ask(ServiceClient& client, Session& session, std::string why) {
        const auto answer = co_await client.get(target());
        if (answer) session.io.err << "over HTTP, just now" << why << '\n';
        co_return show(session, answer);
    }

    Result<> show(Session& session, const Result<http::Response>& answer) const {
        return show_answer(session, options_, answer, [&](const json::value& entries) {
            print_entries(session.io.out, entries);
            return Result<>();
        });
    }

    Task<Result<>> read(DmsgWorld& world, const FeedPlace& place, Session& session) {
        FeedReader reader(world);
        std::string source;
        const SteadyTime now = world.context().clock.now();
        const SteadyTime deadline = std::min(world.deadline(), now + kFeedPatience);
        const auto list = co_await net::with_deadline(
            world.context().clock, deadline, read_feed(world, reader, place, deadline, source)
        );
        // Also after an interrupt.
        co_await asio::this_coro::reset_cancellation_state();
        co_await reader.close();
        if (list) {
            session.io.err << source << '\n';
            co_return show(session, http::Response::json(200, *list));
        }
        const std::string why = fmt::format(" (the feed: {})", list.error().message());
        const auto url = parse_service_url(place.health);
        if (!url) co_return list.error();
        ServiceClient client(world, *url);
        const auto done = co_await ask(client, session, why);
        if (!done) co_return done.error().within(place.health + why);
        co_return done;
    }

    /// All of the type, as JSON.
    Task<Result<std::string>> read_feed(
        DmsgWorld& world,
        FeedReader& reader,
        const FeedPlace& place,
        SteadyTime deadline,
        std::string& source
    ) const {
        const auto connected = co_await world.connect();
        if (!connected) co_return connected.error();
        const auto reading = co_await reader.read_once(place, deadline);
        if (!reading) co_return reading.error();
        source = source_of(world, *reading);
        const std::string type = fmt::format("services/{}", registered_type());
        if (const auto leaf = reading->tree.get(type + "/all")) co_return cxo::read_frame(*leaf);
        bool others = false;
        reading->tree.walk(type, [&others](std::string_view, ByteSpan) {
            others = true;
            return false;
        });
        if (others) co_return fail(errc::unsupported, "it has another layout");
        co_return std::string("[]");
    }

    bool shows(const json::value& entry) const {
        const json::value* geo =
            entry.is_object() ? entry.get_object().if_contains("geo") : nullptr;
        const std::string country = geo == nullptr ? "" : text_of(*geo, "country");
        return (country_.empty() || country == country_) &&
               (version_.empty() || text_of(entry, "version") == version_);
    }

    void print_entries(std::ostream& out, const json::value& entries) const {
        Table table({"ADDRESS", "VERSION", "COUNTRY", "REGION"});
        // `null` is an empty list.
        if (entries.is_array()) {
            for (const json::value& entry : entries.get_array()) {
                if (!shows(entry)) continue;
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
        table.print(out);
    }

    ServiceOptions options_;
    std::string type_;
    std::string country_;
    std::string version_;
    std::string count_;
    bool http_ = false;
};

}  // namespace

std::unique_ptr<Command> make_cli_sd() {
    return std::make_unique<Sd>();
}

}  // namespace skywire::cli
