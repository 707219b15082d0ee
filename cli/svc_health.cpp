#include "cli/admin_client.hpp"
#include "cli/config_source.hpp"
#include "cli/service_client.hpp"
#include "cli/table.hpp"
#include "framework/json_writer.hpp"
#include "net/scope.hpp"
#include "services/stun_server/stun_client.hpp"

#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::uint16_t kHttpPort = 80;
constexpr std::string_view kDiscoveryType = "dmsg-discovery";
constexpr std::string_view kServerType = "dmsg-server";
constexpr std::string_view kStunType = "stun-server";

/// What is known of one block.
struct Row {
    /// Which question it answers: GET /health at its address or by its key, or where a STUN server
    /// sees us.
    enum class Question { none, http, dmsg, binding };

    std::string label;
    std::string type;
    Question question = Question::none;
    net::Address asked;
    std::optional<crypto::PublicKey> key;
    bool ok = false;
    Duration latency{};
    std::string version;
    std::string error;
};

class SvcHealth final : public Command {
 public:
    std::vector<std::string> path() const override { return {"svc", "health"}; }
    std::string summary() const override { return "Ask every service of a file for its health"; }
    std::string details() const override {
        return "One line per block: whether it answers, how long that took, version and key.\n"
               "Blocks with an address are asked GET /health there, those with a key alone over\n"
               "dmsg (with --dmsg all that have one), a STUN server for our address. Services on\n"
               "other machines are asked like those here. With --here the processes on this\n"
               "machine that run the file are asked instead whether their services are ready;\n"
               "--only then chooses the process started with these labels, else rows of those\n"
               "that run them.\n"
               "\n"
               "Examples:\n"
               "  skywire svc health --config deployment.json\n"
               "  skywire svc health --config default --dmsg\n"
               "  skywire svc health --config deployment.json --only tpd,sd --json\n"
               "  skywire svc health --config deployment.json --here\n"
               "\n"
               "Exit code: 0 when all that were asked have answered (with --here: are ready), 1\n"
               "when not.";
    }

    std::vector<Option> options() override {
        std::vector<Option> all{
            config_option(config_, "The deployment file; \"default\" is the built-in one"),
            only_option(only_, "Ask only the blocks with these labels"),
            {"--dmsg", "", "Ask by the services' keys, over dmsg", &over_dmsg_},
            {"--here", "", "Ask the processes on this machine by their admin sockets", &here_},
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
        if (here_) return run_here(session);
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
        return all_ok() ? kDone : kFailed;
    }

 private:
    /// What a container's health check asks: neither names nor the network have a part in it.
    int run_here(Session& session) {
        AdminOptions options;
        options.config = config_;
        options.only = only_;
        options.only_among_others = true;
        AdminClient client;
        if (auto found = client.find(options, session); !found)
            return failure(session, *this, found.error());
        bool ready = true;
        bool whole = true;
        for (const AdminClient::Process& process : client.processes()) {
            SystemClock clock;
            const SteadyTime begun = clock.now();
            // 503 is the answer of a deployment that is not ready.
            const auto answer = client.get(process, "/health", 503);
            if (!answer) return failure(session, *this, answer.error());
            const auto health = read_health(process, *answer);
            if (!health) return failure(session, *this, health.error());
            ready = ready && answer->status == 200;
            whole = add_rows(*health, process.address, clock.now() - begun) && whole;
        }
        // Their own word counts, unless it is about services that were not asked, too.
        if (add_missing(client) || !whole) ready = all_ok();
        print(session);
        return ready ? kDone : kFailed;
    }

    /// Of the labels that were asked for: without --only the others may be in other containers.
    /// Whether there are any.
    bool add_missing(const AdminClient& client) {
        bool any = false;
        for (const std::string& label : as_set(only_)) {
            const bool known = std::any_of(rows_.begin(), rows_.end(), [&](const Row& row) {
                return row.label == label;
            });
            if (known) continue;
            Row row;
            row.label = label;
            for (const AdminClient::Missing& block : client.missing())
                if (block.label == label) row.type = block.type;
            row.question = Row::Question::http;
            row.error = "no process here";
            rows_.push_back(std::move(row));
            any = true;
        }
        return any;
    }

    bool all_ok() const {
        return std::all_of(rows_.begin(), rows_.end(), [](const Row& row) {
            return row.ok || row.question == Row::Question::none;
        });
    }

    /// Whether these are all services of the process.
    bool add_rows(const json::object& health, const net::Address& asked, Duration latency) {
        const std::set<std::string> only = as_set(only_);
        bool whole = true;
        for (const json::value& service : health.at("services").as_array()) {
            Row row;
            row.label = text_of(service, "label");
            if (!only.empty() && !only.contains(row.label)) {
                whole = false;
                continue;
            }
            row.type = text_of(service, "type");
            row.question = Row::Question::http;
            row.asked = asked;
            const std::string state = text_of(service, "state");
            // Degraded ones serve.
            row.ok = state == "ready" || state == "degraded";
            row.latency = latency;
            if (const auto* build = health.if_contains("build_info"))
                row.version = text_of(*build, "version");
            row.error = text_of(service, "root_cause");
            if (row.error.empty()) row.error = text_of(service, "reason");
            rows_.push_back(std::move(row));
        }
        return whole;
    }

    void read_blocks(const framework::DeploymentConfig& config) {
        const std::set<std::string> only = as_set(only_);
        const bool named = !dmsg_.discovery.empty() || !dmsg_.servers.empty();
        for (const framework::BlockConfig& block : config.blocks) {
            const auto& address = block.facts.health_address;
            if (block.type->name == kDiscoveryType && address && !named) {
                dmsg_.discovery = "http://" + dialled(*address).to_string();
                discovery_label_ = block.label;
            }
            if (!only.empty() && !only.contains(block.label)) continue;
            Row row;
            row.label = block.label;
            row.type = block.type->name;
            row.key = key_of_block(block);
            const bool by_key = row.key && row.type != kServerType;
            if (by_key && (over_dmsg_ || !address)) {
                row.question = Row::Question::dmsg;
                row.asked = net::Address::tcp(row.key->to_text(), kHttpPort);
            } else if (address) {
                row.question = Row::Question::http;
                row.asked = dialled(*address);
            } else if (row.type == kStunType && !block.facts.ports.empty()) {
                row.question = Row::Question::binding;
                row.asked = dialled(block.facts.ports.front().address);
            }
            rows_.push_back(std::move(row));
        }
    }

    Task<Result<>> ask_all(DmsgWorld& world) {
        net::Scope scope(world.context().loop);
        scope.spawn("dmsg", [this, &world] { return ask_over_dmsg(world); });
        for (Row& row : rows_) {
            if (row.question == Row::Question::http)
                scope.spawn(row.label, [this, &world, &row] { return ask_at_address(world, row); });
            if (row.question == Row::Question::binding)
                scope.spawn(row.label, [&world, &row] { return ask_binding(world, row); });
        }
        co_await scope.wait_empty();
        // Cancelled: what still runs uses the rows.
        co_await asio::this_coro::reset_cancellation_state();
        co_await scope.close(world.context().clock);
        co_return Result<>();
    }

    Task<> ask_over_dmsg(DmsgWorld& world) {
        std::vector<Row*> rows;
        for (Row& row : rows_) {
            if (row.question == Row::Question::dmsg) rows.push_back(&row);
        }
        if (rows.empty()) co_return;
        net::Scope connecting(world.context().loop);
        Result<> connected = fail(errc::unavailable, "the dmsg-discovery does not answer");
        connecting.spawn("connect", [&]() -> Task<> {
            auto outcome = co_await world.connect();
            if (!connecting.closing()) connected = std::move(outcome);
        });
        connecting_ = &connecting;
        co_await connecting.wait_empty();
        const auto state = co_await asio::this_coro::cancellation_state;
        const bool interrupted = state.cancelled() != asio::cancellation_type::none;
        co_await asio::this_coro::reset_cancellation_state();
        connecting_ = nullptr;
        co_await connecting.close(world.context().clock);
        if (interrupted) co_return;
        net::Scope scope(world.context().loop);
        for (Row* const row : rows) {
            if (connected) {
                scope.spawn(row->label, [&world, row] { return ask_health(world, *row); });
            } else {
                row->error = connected.error().message();
            }
        }
        co_await scope.wait_empty();
        co_await asio::this_coro::reset_cancellation_state();
        co_await scope.close(world.context().clock);
    }

    /// Where the dmsg-discovery does not answer there is no session to wait for.
    Task<> ask_at_address(DmsgWorld& world, Row& row) {
        co_await ask_health(world, row);
        const bool needed = row.label == discovery_label_ && connecting_ != nullptr;
        if (needed && !row.ok) connecting_->cancel();
    }

    static Task<> ask_binding(DmsgWorld& world, Row& row) {
        const SteadyTime begun = world.context().clock.now();
        const auto answer =
            co_await stun::ask_binding(world.context(), row.asked, world.deadline());
        row.latency = world.context().clock.now() - begun;
        row.ok = answer.has_value();
        if (!answer) row.error = answer.error().message();
    }

    static Task<> ask_health(DmsgWorld& world, Row& row) {
        Clock& clock = world.context().clock;
        http::ClientRequest request;
        request.address = row.asked;
        request.target = "/health";
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
        if (row.question == Row::Question::none) return "-";
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
                 row.type.empty() ? "-" : row.type,
                 status(row),
                 row.ok ? format_milliseconds(row.latency) : "-",
                 row.version.empty() ? "-" : row.version,
                 row.key ? row.key->to_text() : "-",
                 row.asked.host.empty() ? "-" : row.asked.to_string(),
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
            const bool asked = row.question != Row::Question::none;
            out.member("status", asked ? status(row) : "none");
            if (row.ok) out.duration("latency", row.latency);
            if (!row.version.empty()) out.member("version", row.version);
            if (row.key) out.member("public_key", row.key->to_text());
            if (asked && row.asked != net::Address()) out.member("address", row.asked.to_string());
            if (!row.error.empty()) out.member("error", row.error);
            out.end_object();
        }
        out.end_array();
        session.io.out << out.take();
    }

    std::string config_;
    std::vector<std::string> only_;
    bool over_dmsg_ = false;
    bool here_ = false;
    bool json_ = false;
    DmsgOptions dmsg_;
    /// Of the block whose discovery we use.
    std::string discovery_label_;
    std::vector<Row> rows_;
    /// Of the session, while it is being made.
    net::Scope* connecting_ = nullptr;
};

}  // namespace

std::unique_ptr<Command> make_svc_health() {
    return std::make_unique<SvcHealth>();
}

}  // namespace skywire::cli
