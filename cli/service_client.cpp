#include "cli/service_client.hpp"

#include "cli/config_source.hpp"
#include "framework/key_file.hpp"
#include "http/signed_request.hpp"

#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::string_view kDmsgScheme = "dmsg://";
constexpr std::uint16_t kHttpPort = 80;
constexpr std::size_t kAnswerBytesMax = 256U << 20U;

/// The way to a service of a deployment file.
struct Found {
    std::string url;
    /// Of the file's dmsg-discovery; empty: none.
    std::string discovery;
};

/// With --url the discovery alone.
Result<Found> find_in_file(
    const ServiceOptions& options, std::string_view type, const Session& session
) {
    const std::string file = options.config.empty() ? std::string(kBuiltInName) : options.config;
    const auto loaded = load_config(file, session.registry);
    if (!loaded.config) {
        print_problems(session.io.err, file, loaded.problems);
        return fail(errc::unavailable, file + " has errors");
    }
    Found found;
    found.url = options.url;
    for (const framework::BlockConfig& block : loaded.config->blocks) {
        const auto& address = block.facts.health_address;
        if (block.type->name == "dmsg-discovery" && address && found.discovery.empty())
            found.discovery = "http://" + dialled(*address).to_string();
        if (block.type->name != type || !found.url.empty()) continue;
        const auto key = key_of_block(block);
        if (options.over_dmsg && !key)
            return fail(errc::not_found, fmt::format("{}: {} has no key", file, block.label));
        if (options.over_dmsg) {
            found.url = fmt::format("{}{}:{}", kDmsgScheme, *key, kHttpPort);
        } else if (address) {
            found.url = "http://" + dialled(*address).to_string();
        }
    }
    if (found.url.empty()) {
        return fail(
            errc::not_found, fmt::format("{} has no {} with an address: use --url", file, type)
        );
    }
    return found;
}

/// What a service says of an error: {"error":"text"} or {"error":{"message":"text"}}, else the
/// body.
std::string words_of(const http::Response& response) {
    const auto parsed = parse_json(response.body_view());
    if (!parsed || !parsed->is_object()) return quote_peer_text(response.body_view());
    const json::value* said = parsed->get_object().if_contains("error");
    if (said != nullptr && said->is_object()) said = said->get_object().if_contains("message");
    if (said == nullptr) said = parsed->get_object().if_contains("message");
    if (said == nullptr || !said->is_string()) return quote_peer_text(response.body_view());
    return quote_peer_text(said->get_string());
}

/// One question; lives until it has been answered.
struct Asking {
    Task<Result<>> ask(DmsgWorld& world) const {
        if (over_dmsg) {
            const auto connected = co_await world.connect();
            if (!connected) co_return connected.error();
        }
        ServiceClient client(world, parsed);
        const auto done = co_await work(client);
        if (!done) co_return done.error().within(url);
        co_return done;
    }

    const std::string& url;
    const http::Url& parsed;
    bool over_dmsg;
    const std::function<Task<Result<>>(ServiceClient&)>& work;
};

}  // namespace

const char* const kServiceHelp =
    "Asked is the service of the deployment file (--config, else the built-in one), or --url.\n"
    "Over dmsg (--dmsg, or a URL dmsg://KEY) the discovery is that of the file, or --disc.";

std::vector<Option> ServiceOptions::options() {
    std::vector<Option> all{
        {"--url", "URL", "The service, http://HOST:PORT or dmsg://KEY", &url},
        config_option(config, "The deployment file whose service is asked"),
        {"--dmsg", "", "Ask by the service's key, over dmsg", &over_dmsg},
        {"--json", "", "Print the service's own answer", &json},
    };
    for (Option& option : dmsg.options())
        all.push_back(std::move(option));
    return all;
}

Task<Result<http::Response>> ServiceClient::send(
    http::Method method, std::string target, std::string body, http::Fields fields
) {
    http::ClientRequest request;
    request.method = method;
    request.address = url_.address;
    request.target = (url_.target == "/" ? "" : url_.target) + target;
    request.fields = std::move(fields);
    request.body = std::move(body);
    request.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(world_.timeout());
    request.response_bytes_max = kAnswerBytesMax;
    co_return co_await world_.http().send(std::move(request));
}

Task<Result<http::Response>> ServiceClient::get(std::string target) {
    co_return expect_ok(co_await send(http::Method::get, std::move(target)));
}

Task<Result<http::Response>> ServiceClient::signed_get(std::string target) {
    const crypto::KeyPair& keys = world_.keys();
    const auto answer = co_await get("/security/nonces/" + keys.public_key.to_text());
    if (!answer) co_return answer.error().within("the nonce of our key");
    const auto parsed = parse_json(answer->body_view());
    const json::value* next = nullptr;
    if (parsed && parsed->is_object()) next = parsed->get_object().if_contains("next_nonce");
    ErrorCode ec;
    const auto nonce = next != nullptr ? next->to_number<std::uint64_t>(ec) : 0;
    if (next == nullptr || ec)
        co_return fail(errc::unavailable, "the nonce of our key: " + words_of(*answer));
    http::Fields fields;
    http::sign_request(fields, keys, /*body=*/"", nonce);
    co_return expect_ok(
        co_await send(http::Method::get, std::move(target), /*body=*/{}, std::move(fields))
    );
}

Result<http::Response> expect_ok(Result<http::Response> response) {
    if (!response || response->status == 200) return response;
    const errc code = response->status == 404 ? errc::not_found : errc::unavailable;
    return fail(code, fmt::format("status {}: {}", response->status, words_of(*response)));
}

Result<> show_answer(
    Session& session,
    const ServiceOptions& options,
    const Result<http::Response>& answer,
    const std::function<Result<>(const json::value&)>& print
) {
    if (!answer) return answer.error();
    if (options.json) {
        const std::string_view body = answer->body_view();
        session.io.out << body << (body.ends_with('\n') ? "" : "\n");
        return {};
    }
    const auto parsed = parse_json(answer->body_view());
    if (!parsed) return fail(errc::unavailable, "the answer is no JSON: " + words_of(*answer));
    return print(*parsed);
}

std::string text_of(const json::value& object, std::string_view member) {
    if (!object.is_object()) return {};
    const json::value* value = object.get_object().if_contains(member);
    if (value == nullptr || value->is_null()) return {};
    return value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
}

Result<http::Url> parse_service_url(std::string_view text) {
    if (!text.starts_with(kDmsgScheme)) return http::Url::parse(text);
    const auto address = parse_dmsg_address(text, kHttpPort);
    if (!address) return address.error();
    http::Url url;
    url.address = net::Address::tcp(address->pk.to_text(), address->port);
    url.target = "/";
    return url;
}

std::optional<crypto::PublicKey> key_of_block(const framework::BlockConfig& block) {
    if (block.facts.public_key) return block.facts.public_key;
    const std::string path = block.block->text("keyfile");
    if (path.empty()) return std::nullopt;
    const auto file = framework::read_key_file(path);
    if (!file) return std::nullopt;
    return file->public_key;
}

net::Address dialled(net::Address address) {
    if (address.host.empty() || address.host == "0.0.0.0") address.host = "127.0.0.1";
    if (address.host == "::") address.host = "::1";
    return address;
}

int run_service(
    Session& session,
    const Command& command,
    const ServiceOptions& options,
    std::string_view type,
    std::function<Task<Result<>>(ServiceClient&)> work
) {
    DmsgOptions dmsg = options.dmsg;
    std::string url = options.url;
    const bool named = !dmsg.discovery.empty() || !dmsg.servers.empty();
    if (url.empty() || (url.starts_with(kDmsgScheme) && !named)) {
        const auto found = find_in_file(options, type, session);
        if (!found) return failure(session, command, found.error());
        url = found->url;
        if (!named) dmsg.discovery = found->discovery;
    }
    auto parsed = parse_service_url(url);
    if (!parsed) return usage_error(session, command, "--url: " + parsed.error().message());
    const bool over_dmsg = url.starts_with(kDmsgScheme);
    const Asking asking{url, *parsed, over_dmsg, work};
    return run_dmsg(session, command, dmsg, [&](DmsgWorld& world) { return asking.ask(world); });
}

}  // namespace skywire::cli
