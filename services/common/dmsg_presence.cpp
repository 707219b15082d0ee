#include "services/common/dmsg_presence.hpp"

#include "base/assert.hpp"
#include "dmsg/control.hpp"

#include <fmt/format.h>

namespace skywire::services {
namespace {

using framework::Block;

constexpr std::string_view kDmsgScheme = "dmsg://";

/// The key of "dmsg://KEY:PORT"; null where the URL is none.
crypto::PublicKey key_of_url(std::string_view url) {
    if (!url.starts_with(kDmsgScheme)) return {};
    const auto address = dmsg::Address::parse(url.substr(kDmsgScheme.size()));
    return address ? address->pk : crypto::PublicKey();
}

dmsg::ClientOptions client_options(const framework::ServiceHost& host, const DmsgConfig& config) {
    dmsg::ClientOptions options(config.keys);
    options.sessions_min = config.sessions_count;
    options.server_type = config.server_type;
    options.servers = config.servers;
    if (const auto key = key_of_url(config.discovery_dmsg); !key.is_null())
        options.direct_keys.insert(key);
    for (const framework::DeploymentBlock& block : host.deployment_blocks())
        if (const auto& key = block.facts.public_key; key && !key->is_null())
            options.prompt_servers.insert(*key);
    return options;
}

}  // namespace

std::vector<dmsg::Entry> server_entries(const Block& block, std::string_view key) {
    std::vector<dmsg::Entry> entries;
    for (const Block& object : block.objects(key)) {
        dmsg::Entry entry;
        entry.version = dmsg::kEntryVersion;
        entry.static_key = object.public_key("static");
        entry.server = dmsg::ServerInfo{};
        entry.server->address = object.object("server").text("address");
        // It is not asked how many are free.
        entry.server->available_sessions = 1;
        entries.push_back(std::move(entry));
    }
    return entries;
}

std::optional<DmsgConfig> dmsg_config(const Block& block, const CommonConfig& common) {
    if (!common.secret_key) return std::nullopt;
    DmsgConfig config(crypto::KeyPair{common.public_key, *common.secret_key});
    config.port = static_cast<std::uint16_t>(block.integer("dmsg_port"));
    const Block dmsg = block.object("dmsg");
    config.discovery = dmsg.text("discovery");
    config.discovery_dmsg = dmsg.text("discovery_dmsg");
    config.sessions_count = static_cast<std::size_t>(dmsg.integer("sessions_count"));
    config.server_type = dmsg.text("server_type");
    config.servers = server_entries(dmsg, "servers");
    return config;
}

void check_dmsg(const Block& block, framework::Problems& problems) {
    const Block dmsg = block.object("dmsg");
    if (const std::string url = dmsg.text("discovery"); !url.empty()) {
        if (const auto parsed = http::Url::parse(url); !parsed)
            problems.push_back(dmsg.problem("discovery", parsed.error().message()));
    }
    if (const std::string url = dmsg.text("discovery_dmsg"); !url.empty()) {
        if (key_of_url(url).is_null()) {
            problems.push_back(dmsg.problem(
                "discovery_dmsg",
                fmt::format("{} is not of the form dmsg://KEY:PORT", quote_peer_text(url))
            ));
        }
    }
    for (const Block& entry : dmsg.objects("servers")) {
        const Block server = entry.object("server");
        const std::string address = server.text("address");
        const auto parsed = net::Address::parse(address);
        if (!parsed || parsed->host.empty() || parsed->kind != net::Address::Kind::tcp) {
            problems.push_back(entry.problem(
                "server",
                fmt::format("the server's address {} is not host:port", quote_peer_text(address))
            ));
        }
    }
}

net::Context with_network(const net::Context& context, net::Network& network) {
    return {
        context.loop,
        context.clock,
        context.random,
        network,
        context.workers,
        context.metrics,
        context.faults,
        context.logger
    };
}

DmsgPresence::DmsgPresence(
    framework::ServiceHost& host,
    const DmsgConfig& config,
    std::unique_ptr<dmsg::DiscoveryClient> own
)
    : context_(host.context()),
      port_(config.port),
      network_(context_.network),
      dmsg_context_(with_network(context_, network_)),
      http_(dmsg_context_),
      client_(
          context_, client_options(host, config), own ? std::move(own) : make_discovery(config)
      ),
      scope_(context_.loop) {
    network_.attach(&client_);
}

DmsgPresence::~DmsgPresence() = default;

std::unique_ptr<dmsg::DiscoveryClient> DmsgPresence::make_discovery(const DmsgConfig& config) {
    // check_dmsg has read the URLs.
    const auto at = [&](const std::string& url) {
        auto made = dmsg::make_http_discovery(dmsg_context_, http_, url);
        SKY_ASSERT(made);
        return std::move(*made);
    };
    if (config.discovery.empty() && config.discovery_dmsg.empty())
        return dmsg::make_static_discovery(config.servers);
    if (config.discovery_dmsg.empty()) return at(config.discovery);
    if (config.discovery.empty()) return at(config.discovery_dmsg);
    return dmsg::make_fallback_discovery(
        dmsg_context_, at(config.discovery_dmsg), at(config.discovery)
    );
}

void DmsgPresence::start() {
    client_.start();
    auto listener = client_.listen(dmsg::kControlPort);
    // Taken by nobody else: the port is the network's.
    SKY_ASSERT(listener);
    std::shared_ptr<net::Listener> shared = std::move(*listener);
    scope_.spawn("control", [this, shared] { return dmsg::serve_control(context_, shared); });
}

std::string DmsgPresence::address() const {
    return fmt::format("{}:{}", client_.key().to_text(), port_);
}

framework::Check DmsgPresence::check() const {
    using Status = framework::Check::Status;
    const std::string trouble = client_.trouble();
    if (trouble.empty()) return {"dmsg", Status::pass, {}};
    return {"dmsg", Status::warn, trouble};
}

Task<std::vector<std::string>> DmsgPresence::stop(SteadyTime deadline) {
    auto late = co_await client_.stop(deadline);
    http_.close();
    Clock& clock = context_.clock;
    for (std::string& name : co_await scope_.close(clock, clock.now(), deadline))
        late.push_back(std::move(name));
    co_return late;
}

}  // namespace skywire::services
