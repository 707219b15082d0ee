#include "cli/config_source.hpp"
#include "cli/service_client.hpp"
#include "cli/table.hpp"
#include "framework/json_writer.hpp"
#include "net/scope.hpp"

#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::uint16_t kHttpPort = 80;
constexpr std::string_view kDiscoveryType = "dmsg-discovery";

/// What is known of one block.
struct Row {
    std::string label;
    std::string type;
    /// Whom to ask; nothing: it answers no such question.
    std::optional<http::Url> url;
    std::optional<crypto::PublicKey> key;
    bool ok = false;
    Duration latency{};
    std::string version;
    /// "127.0.0.1:9090" or "KEY:80"
    std::string address;
    std::string error;
};

class SvcHealth final : public Command {
 public:
    std::vector<std::string> path() const override { return {"svc", "health"}; }
    std::string summary() const override { return "Ask every service of a file for its health"; }
    std::string details() const override {
        return "One line per block: whether GET /health answers, how long that took, version and\n"
               "key. With --dmsg each is asked by its key over dmsg, and so are those that have\n"
               "no address. Services on other machines are asked like those here.\n"
               "\n"
               "Examples:\n"
               "  skywire svc health --config deployment.json\n"
               "  skywire svc health --config default --dmsg\n"
               "  skywire svc health --config deployment.json --only tpd,sd --json\n"
               "\n"
               "Exit code: 0 when all that were asked have answered, 1 when not.";
    }

    std::vector<Option> options() override {
        std::vector<Option> all{
            config_option(config_, "The deployment file; \"default\" is the built-in one"),
            only_option(only_, "Ask only the blocks with these labels"),
            {"--dmsg", "", "Ask by the services' keys, over dmsg", &over_dmsg_},
            {"--json", "", "Print a JSON array", &json_},
        };
        for (Option& option : dmsg_.options())
            all.push_back(std::move(option));
        return all;
    }

    int run(Session& session) override {
        if (config_.empty()) {
            return usage_error(
                session, *this, "--config FILE is required (\"default\" is the built-in file)"
            );
        }
        const auto loaded = load_config(config_, session.registry);
        if (!loaded.config) {
            print_problems(session.io.err, config_, loaded.problems);
            return kFailed;
        }
        for (const std::string& label : only_) {
            if (loaded.config->find(label) == nullptr) {
                return usage_error(
                    session, *this, "--only: " + quote_peer_text(label) + " is no block"
                );
            }
        }
        read_blocks(*loaded.config);
        const int code =
            run_dmsg(session, *this, dmsg_, [this](DmsgWorld& world) { return ask_all(world); });
        if (code != kDone) return code;
        print(session);
        const bool healthy = std::all_of(rows_.begin(), rows_.end(), [](const Row& row) {
            return row.ok || !row.url;
        });
        return healthy ? kDone : kFailed;
    }

 private:
    void read_blocks(const framework::DeploymentConfig& config) {
        const std::set<std::string> only = as_set(only_);
        const bool named = !dmsg_.discovery.empty() || !dmsg_.servers.empty();
        for (const framework::BlockConfig& block : config.blocks) {
            const auto& address = block.facts.health_address;
            if (block.type->name == kDiscoveryType && address && !named)
                dmsg_.discovery = "http://" + dialled(*address).to_string();
            if (!only.empty() && !only.contains(block.label)) continue;
            Row row;
            row.label = block.label;
            row.type = block.type->name;
            row.key = key_of_block(block);
            http::Url url;
            url.target = "/health";
            if (over_dmsg_ && row.key && row.type != "dmsg-server") {
                url.address = net::Address::tcp(row.key->to_text(), kHttpPort);
                row.url = url;
            } else if (address) {
                url.address = dialled(*address);
                row.url = url;
            }
            if (row.url) row.address = row.url->address.to_string();
            rows_.push_back(std::move(row));
        }
    }

    Task<Result<>> ask_all(DmsgWorld& world) {
        if (over_dmsg_) {
            const auto connected = co_await world.connect();
            if (!connected) co_return connected.error();
        }
        net::Scope scope(world.context().loop);
        for (Row& row : rows_)
            scope.spawn(row.label, [&world, &row] { return ask(world, row); });
        co_await scope.wait_empty();
        // Cancelled: what still runs uses the rows.
        co_await asio::this_coro::reset_cancellation_state();
        Clock& clock = world.context().clock;
        (void)co_await scope.close(clock, clock.now(), SteadyTime::max());
        co_return Result<>();
    }

    static Task<> ask(DmsgWorld& world, Row& row) {
        const std::optional<http::Url>& url = row.url;
        if (!url) co_return;
        Clock& clock = world.context().clock;
        http::ClientRequest request;
        request.address = url->address;
        request.target = url->target;
        request.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(world.timeout());
        const SteadyTime begun = clock.now();
        const auto answer = expect_ok(co_await world.http().send(std::move(request)));
        row.latency = clock.now() - begun;
        if (!answer) {
            row.error = answer.error().message();
            co_return;
        }
        row.ok = true;
        const auto health = parse_json(answer->body_view());
        if (!health || !health->is_object()) co_return;
        const json::object& members = health->get_object();
        if (const auto* build = members.if_contains("build_info"))
            row.version = text_of(*build, "version");
        std::string key = text_of(*health, "public_key");
        if (key.empty()) key = text_of(*health, "dmsg_address");
        const auto named = crypto::PublicKey::from_text_not_null(key.substr(0, key.find(':')));
        if (named) row.key = *named;
    }

    static std::string status(const Row& row) {
        if (!row.url) return "-";
        return row.ok ? "ok" : "fail";
    }

    void print(Session& session) const {
        if (json_) {
            print_json(session);
            return;
        }
        Table table({"SERVICE", "TYPE", "STATUS", "LATENCY", "VERSION", "KEY", "ADDRESS", "CAUSE"});
        for (const Row& row : rows_) {
            table.add(
                {row.label,
                 row.type,
                 status(row),
                 row.ok ? format_milliseconds(row.latency) : "-",
                 row.version.empty() ? "-" : row.version,
                 row.key ? row.key->to_text() : "-",
                 row.address.empty() ? "-" : row.address,
                 row.error}
            );
        }
        table.print(session.io.out);
    }

    void print_json(Session& session) const {
        framework::JsonWriter out;
        out.begin_array();
        for (const Row& row : rows_) {
            out.begin_object();
            out.member("service", row.label);
            out.member("type", row.type);
            out.member("status", row.url ? status(row) : "none");
            if (row.ok) out.duration("latency", row.latency);
            if (!row.version.empty()) out.member("version", row.version);
            if (row.key) out.member("public_key", row.key->to_text());
            if (!row.address.empty()) out.member("address", row.address);
            if (!row.error.empty()) out.member("error", row.error);
            out.end_object();
        }
        out.end_array();
        session.io.out << out.take();
    }

    std::string config_;
    std::vector<std::string> only_;
    bool over_dmsg_ = false;
    bool json_ = false;
    DmsgOptions dmsg_;
    std::vector<Row> rows_;
};

}  // namespace

std::unique_ptr<Command> make_svc_health() {
    return std::make_unique<SvcHealth>();
}

}  // namespace skywire::cli
