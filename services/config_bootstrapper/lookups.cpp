#include "services/config_bootstrapper/lookups.hpp"

#include "base/json.hpp"
#include "dmsg/address.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::config_bootstrapper {
namespace {

constexpr std::chrono::milliseconds kTimeout{5'000};
constexpr std::size_t kHealthBytesMax = 64 * 1024;
constexpr std::size_t kServersMax = 512;

Counter& lookups(const net::Context& context, const char* outcome) {
    return context.metrics.counter(
        "config_bootstrapper_lookups_total",
        "Questions to the services of the deployment, by outcome.",
        {{"outcome", outcome}}
    );
}

}  // namespace

Lookups::Lookups(
    const net::Context& context, http::Client& client, dmsg::DiscoveryClient* discovery
)
    : context_(context),
      client_(client),
      discovery_(discovery),
      answered_(lookups(context, "answered")),
      failed_(lookups(context, "failed")) {}

bool Lookups::counted(bool answered) {
    (answered ? answered_ : failed_).add();
    return answered;
}

Task<bool> Lookups::update(Document& document, std::set<Part> asked) {
    bool complete = true;
    for (const Part part : asked) {
        if (!document.dmsg_url(part).empty() && !found_.contains(part)) continue;
        auto url = co_await dmsg_url_of(document.url(part));
        if (counted(url.has_value())) {
            found_.insert(part);
            document.dmsg_url(part) = std::move(*url);
        } else {
            complete = false;
        }
    }
    if (discovery_ == nullptr) co_return complete;
    auto known = co_await servers();
    if (!counted(known.has_value()) || known->empty()) co_return false;
    document.dmsg_servers = std::move(*known);
    co_return complete;
}

/// Empty where the service has no dmsg side.
Task<Result<std::string>> Lookups::dmsg_url_of(std::string url) {
    const auto parsed = http::Url::parse(url);
    // One that is reached over dmsg says it in its URL.
    if (!parsed) co_return std::string();
    http::ClientRequest request;
    request.address = parsed->address;
    request.target = "/health";
    request.timeout = kTimeout;
    request.response_bytes_max = kHealthBytesMax;
    const auto response = co_await client_.send(std::move(request));
    if (!response) co_return response.error();
    const auto health = parse_json(response->body_view());
    if (response->status != 200 || !health || !health->is_object())
        co_return fail(errc::unavailable, url + " has no health");
    const auto* const address = health->as_object().if_contains("dmsg_address");
    if (address == nullptr || !address->is_string()) co_return std::string();
    const auto named = dmsg::Address::parse(std::string_view(address->as_string()));
    if (!named || named->pk.is_null()) co_return fail(errc::malformed, url + ": its dmsg_address");
    co_return fmt::format("dmsg://{}:{}", named->pk, named->port);
}

Task<Result<std::vector<Server>>> Lookups::servers() {
    const auto entries = co_await discovery_->all_servers();
    if (!entries) co_return entries.error();
    std::vector<Server> servers;
    servers.reserve(std::min(entries->size(), kServersMax));
    for (const dmsg::Entry& entry : *entries) {
        const std::optional<dmsg::ServerInfo>& server = entry.server;
        if (server && servers.size() < kServersMax)
            servers.push_back({entry.static_key, server->address});
    }
    // The discovery's order means nothing: equal lists are to be equal texts.
    std::sort(servers.begin(), servers.end(), [](const Server& a, const Server& b) {
        return a.key < b.key;
    });
    co_return servers;
}

}  // namespace skywire::config_bootstrapper
