#include "cli/admin_client.hpp"

#include "cli/config_source.hpp"
#include "framework/admin_address.hpp"
#include "http/client.hpp"
#include "net/worker_pool.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace skywire::cli {

namespace {

constexpr std::chrono::milliseconds kLookTimeout{10'000};
/// A restart takes as long as draining, stopping and starting may.
constexpr std::chrono::milliseconds kChangeTimeout{180'000};

Result<std::string> read_token(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return fail(errc::not_found, fmt::format("token file {}: cannot be read", path));
    std::string text(std::istreambuf_iterator<char>(in), {});
    constexpr std::string_view kSpace = " \t\r\n";
    text.erase(0, text.find_first_not_of(kSpace));
    text.erase(text.find_last_not_of(kSpace) + 1);
    if (text.empty()) return fail(errc::malformed, fmt::format("token file {}: is empty", path));
    return text;
}

/// A TCP address may have somebody behind it. A unix socket has or has not: its file stays behind
/// where a process was killed.
bool may_listen(const net::Address& address) {
    if (address.kind != net::Address::Kind::unix_socket) return true;
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (address.path.size() >= sizeof name.sun_path) return false;
    std::copy(address.path.begin(), address.path.end(), name.sun_path);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return true;
    const int connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name);
    // Others than these (no permission, a full queue) are for the request itself to report.
    const bool gone = connected != 0 && (errno == ENOENT || errno == ECONNREFUSED);
    ::close(fd);
    return !gone;
}

std::optional<net::Address> first_there(const std::vector<net::Address>& candidates) {
    const auto found = std::find_if(candidates.begin(), candidates.end(), may_listen);
    if (found == candidates.end()) return std::nullopt;
    return *found;
}

/// The built-in file has one place, wherever the command is typed.
std::string admin_path(const std::string& config) {
    return config == kBuiltInName ? std::string(kBuiltInAdminPath) : config;
}

/// {"error": "..."} of an answer, or its text.
std::string error_text(const http::Response& response) {
    const auto parsed = parse_json(response.body_view());
    if (parsed && parsed->is_object()) {
        const auto* error = parsed->as_object().if_contains("error");
        if (error != nullptr && error->is_string()) return std::string(error->as_string());
    }
    return fmt::format("status {} {}", response.status, quote_peer_text(response.body_view()));
}

}  // namespace

const char* const kAdminHelp =
    "The process is found by the file it runs (--config, with --only where it was started with\n"
    "that), or by the address of its admin listener (--admin unix:PATH or HOST:PORT). Changes "
    "over\n"
    "TCP need the token of supervisor.admin_token_file.";

std::vector<Option> AdminOptions::options() {
    return {
        config_option(config, "The file the process runs; \"default\" is the built-in one"),
        only_option(only, "Labels the process was started with"),
        {"--admin", "ADDR", "Address of the admin listener, instead of --config", &admin},
        {"--token-file",
         "FILE",
         "Token for changes over TCP (else supervisor.admin_token_file)",
         &token_file,
         ValueKind::file},
    };
}

struct AdminClient::Impl {
    Impl()
        : workers(1, 16),
          client(net::Context(
              ioc.get_executor(), clock, random, network, workers, metrics, faults, log::Logger()
          )) {}

    ~Impl() {
        client.close();
        ioc.restart();
        ioc.poll();
    }

    asio::io_context ioc{1};
    SystemClock clock;
    SystemRandom random;
    net::SystemNetwork network;
    net::WorkerPool workers;
    MetricRegistry metrics;
    Faults faults;
    http::Client client;
};

AdminClient::AdminClient() : impl_(std::make_unique<Impl>()) {}

AdminClient::~AdminClient() = default;

Result<> AdminClient::find(const AdminOptions& options, Session& session) {
    if (!options.token_file.empty()) {
        auto token = read_token(options.token_file);
        if (!token) return token.error();
        token_ = std::move(*token);
    }
    if (!options.admin.empty()) {
        auto address = net::Address::parse(options.admin);
        if (!address) return address.error().within("--admin");
        processes_.push_back({std::move(*address), {}});
        return {};
    }
    if (options.config.empty()) {
        return fail(errc::malformed, "--config FILE or --admin ADDR is required");
    }
    return find_by_config(options, session);
}

Result<> AdminClient::find_by_config(const AdminOptions& options, Session& session) {
    const framework::LoadedConfig loaded = load_config(options.config, session.registry);
    // A file that somebody is editing still says which process is meant: its path does.
    if (!loaded.config) {
        session.io.err << fmt::format(
            "{}\n{}: has errors (skywire svc check); looking for its process all the same\n",
            loaded.problems.front().to_string(options.config),
            options.config
        );
    } else if (loaded.config->supervisor.admin_addr) {
        processes_.push_back({*loaded.config->supervisor.admin_addr, {}});
    }
    if (token_.empty() && loaded.config && !loaded.config->supervisor.admin_token_file.empty()) {
        // Not readable for everybody: without it there is still looking.
        if (auto token = read_token(loaded.config->supervisor.admin_token_file)) token_ = *token;
    }
    if (!processes_.empty()) return {};

    config_ = options.config;
    const std::string path = admin_path(options.config);
    const std::set<std::string> only = as_set(options.only);
    const auto candidates = framework::admin_address_candidates(path, only);
    auto address = first_there(candidates);
    const bool wider = only.empty() || options.only_among_others;
    if (!address && wider) address = first_there(framework::admin_address_candidates(path, {}));
    if (address) {
        processes_.push_back({*address, {}});
        return {};
    }
    if (wider && loaded.config) {
        for (const auto& block : loaded.config->blocks) {
            if (!only.empty() && !only.contains(block.label)) continue;
            const auto one = framework::admin_address_candidates(path, {block.label});
            if (const auto own = first_there(one)) {
                processes_.push_back({*own, block.label});
            } else {
                missing_.push_back({block.label, block.type->name});
            }
        }
    }
    if (!processes_.empty()) return {};
    return fail(
        errc::not_found,
        fmt::format(
            "no process runs {}{} (looked for {}; one started with --only LABELS is found with the "
            "same --only; --admin names that of another user's)",
            options.config,
            options.only.empty() ? "" : fmt::format(" --only {}", fmt::join(options.only, ",")),
            candidates.front().to_string()
        )
    );
}

Result<AdminClient::Process> AdminClient::process_of(const std::string& label) const {
    for (const Missing& block : missing_) {
        if (block.label != label) continue;
        return fail(
            errc::not_found,
            fmt::format(
                "no process here runs \"{}\" (skywire svc run --config {} --only {})",
                label,
                config_,
                label
            )
        );
    }
    const auto found = std::find_if(processes_.begin(), processes_.end(), [&](const auto& process) {
        return process.label == label;
    });
    return found == processes_.end() ? processes_.front() : *found;
}

Result<http::Response> AdminClient::get(
    const Process& process, const std::string& target, std::optional<unsigned> accepted
) {
    return send(process, http::Method::get, target, {}, kLookTimeout, accepted);
}

Result<http::Response> AdminClient::post(
    const Process& process, const std::string& target, std::string body
) {
    return send(process, http::Method::post, target, std::move(body), kChangeTimeout, {});
}

Result<http::Response> AdminClient::send(
    const Process& process,
    http::Method method,
    const std::string& target,
    std::string body,
    std::chrono::milliseconds timeout,
    std::optional<unsigned> accepted
) {
    http::ClientRequest request;
    request.method = method;
    request.address = process.address;
    request.target = target;
    request.body = std::move(body);
    request.timeout = timeout;
    if (!token_.empty()) request.fields.set("Authorization", "Bearer " + token_);
    std::optional<Result<http::Response>> outcome;
    asio::co_spawn(
        impl_->ioc,
        impl_->client.send(std::move(request)),
        [&outcome](std::exception_ptr error, Result<http::Response> response) {
            if (error) std::rethrow_exception(error);
            outcome.emplace(std::move(response));
        }
    );
    impl_->ioc.restart();
    while (!outcome && impl_->ioc.run_one() > 0) {
    }
    if (!outcome) return fail(errc::closed, "the request was lost");
    if (!*outcome) return outcome->error().within(process.address.to_string());
    const http::Response& response = **outcome;
    if (response.status / 100 != 2 && response.status != accepted) {
        return fail(errc::unavailable, error_text(response));
    }
    return std::move(**outcome);
}

Result<json::object> read_health(
    const AdminClient::Process& process, const http::Response& answer
) {
    const auto health = parse_json(answer.body_view(), 16);
    if (health && health->is_object()) {
        const auto* services = health->get_object().if_contains("services");
        if (services != nullptr && services->is_array()) return health->get_object();
    }
    return fail(
        errc::unavailable, "no admin listener of skywire at " + process.address.to_string()
    );
}

void AdminClient::pause(std::chrono::milliseconds time) {
    asio::steady_timer timer(impl_->ioc, time);
    timer.wait();
}

}  // namespace skywire::cli
