#include "services/network_visualizer/service.hpp"

#include "services/common/http_service.hpp"
#include "services/network_visualizer/config.hpp"
#include "services/network_visualizer/copy.hpp"
#include "services/network_visualizer/neighbour.hpp"
#include "services/network_visualizer/reader.hpp"
#include "services/network_visualizer/routes.hpp"
#include "services/network_visualizer/upstream.hpp"

namespace skywire::services {
namespace {

using network_visualizer::Config;
using network_visualizer::Copy;
using network_visualizer::Part;
using network_visualizer::Reader;
using network_visualizer::Upstream;

constexpr std::string_view kLoopback = "127.0.0.1";
/// Of all feeds together: 100,000 visors are far below.
constexpr std::size_t kObjectsMax = 200'000;
constexpr std::size_t kFeedBytesMax = std::size_t{64} << 20U;

/// The type of the service that lists the part.
std::string_view upstream_type(Part part) noexcept {
    switch (part) {
        case Part::services:
            return "service-discovery";
        case Part::clients:
            return "dmsg-discovery";
        case Part::transports:
            return "transport-discovery";
    }
    return "";
}

const std::string& configured_url(const Config& config, Part part) noexcept {
    switch (part) {
        case Part::services:
            return config.service_discovery;
        case Part::clients:
            return config.dmsg_discovery;
        case Part::transports:
            break;
    }
    return config.transport_discovery;
}

/// Where a service is found.
struct Place {
    /// Empty: nowhere.
    std::string url;
    std::optional<crypto::PublicKey> key;
};

/// `on_dmsg`: one that is only there can be reached, too.
Place place_beside(const std::vector<framework::DeploymentBlock>& blocks, Part part, bool on_dmsg) {
    for (const framework::DeploymentBlock& block : blocks) {
        const auto& address = block.facts.health_address;
        const auto& key = block.facts.public_key;
        if (block.type != upstream_type(part)) continue;
        if (!address && key && on_dmsg) return {"dmsg://" + key->to_text(), key};
        if (!address) continue;
        net::Address reachable = *address;
        if (reachable.host.empty() || reachable.host == "0.0.0.0" || reachable.host == "::")
            reachable.host = kLoopback;
        return {"http://" + reachable.to_string(), key};
    }
    return {};
}

class NetworkVisualizer final : public HttpWork {
 public:
    NetworkVisualizer(
        const HttpParts& parts, Config config, std::shared_ptr<transport::TransportView> view
    )
        : parts_(parts),
          config_(std::move(config)),
          view_(std::move(view)),
          services_(parts.context, Part::services),
          clients_(parts.context, Part::clients),
          transports_(parts.context, Part::transports),
          routes_({&services_, &clients_, &transports_}) {
        routes_.add_to(parts.surface.router());
    }

    /// Without an upstream it starts all the same, and its health says so.
    Task<Result<>> open() override {
        const auto blocks = parts_.host.deployment_blocks();
        if (config_.feeds && config_.dmsg && parts_.presence != nullptr)
            feeds_ = std::make_unique<Feeds>(dialling_context(), config_.dmsg->keys);
        for (Copy* copy : {&services_, &clients_, &transports_})
            watch(*copy, blocks);
        co_return Result<>();
    }

    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        if (neighbour_) neighbour_->close();
        for (const auto& upstream : upstreams_)
            upstream->close();
        for (const auto& reader : readers_)
            reader->close();
        std::vector<std::string> late;
        if (!feeds_) co_return late;
        late = co_await feeds_->manager.close(deadline);
        for (std::string& name : co_await feeds_->node.close(deadline))
            late.push_back(std::move(name));
        co_return late;
    }

    void add_checks(framework::HealthReport& report) override {
        for (const Copy* copy : {&services_, &clients_, &transports_})
            report.checks.push_back(copy->check());
    }

 private:
    /// What reads feeds: a node that listens nowhere.
    struct Feeds {
        Feeds(const net::Context& context, const crypto::KeyPair& keys)
            : node(context, cxo::NodeOptions(keys)), manager(context, node, options(context)) {}

        static cxo::SubscriptionManagerOptions options(const net::Context& context) {
            cxo::SubscriptionManagerOptions made;
            made.route = [context](const crypto::PublicKey& publisher, std::uint16_t port) {
                return cxo::dmsg_route(context, publisher, port);
            };
            made.limits.objects_max = kObjectsMax;
            made.limits.bytes_max = kFeedBytesMax;
            return made;
        }

        cxo::Node node;
        cxo::SubscriptionManager manager;
    };

    net::Context dialling_context() const {
        net::Network& network =
            parts_.presence != nullptr ? parts_.presence->network() : parts_.context.network;
        return with_network(parts_.context, network);
    }

    void watch(Copy& copy, const std::vector<framework::DeploymentBlock>& blocks) {
        const Part part = copy.part();
        Place place{configured_url(config_, part), std::nullopt};
        if (part == Part::transports && place.url.empty() && view_ && view_->published("")) {
            neighbour_ =
                std::make_unique<network_visualizer::Neighbour>(parts_.context, copy, *view_);
            parts_.scope.spawn("neighbour", [work = neighbour_.get()] { return work->run(); });
            return;
        }
        const bool on_dmsg = parts_.presence != nullptr;
        if (place.url.empty()) place = place_beside(blocks, part, on_dmsg);
        if (place.url.empty()) {
            copy.failed(
                network_visualizer::Origin::http,
                std::string(upstream_type(part)),
                fail(errc::not_found, "neither a URL nor a block beside says where it is")
            );
            return;
        }
        ask(copy, place);
        if (feeds_) read(copy, std::move(place));
    }

    void ask(Copy& copy, const Place& place) {
        Upstream::Options options;
        options.url = place.url;
        options.refresh = config_.refresh;
        upstreams_.push_back(
            std::make_unique<Upstream>(dialling_context(), copy, std::move(options))
        );
        parts_.scope.spawn(
            std::string(upstream_type(copy.part())),
            [work = upstreams_.back().get()] { return work->run(); }
        );
    }

    void read(Copy& copy, Place place) {
        Reader::Options options;
        options.publisher = place.key;
        options.url = std::move(place.url);
        readers_.push_back(
            std::make_unique<Reader>(dialling_context(), feeds_->manager, copy, std::move(options))
        );
        parts_.scope.spawn(
            std::string(network_visualizer::feed_name(copy.part())),
            [work = readers_.back().get()] { return work->run(); }
        );
    }

    HttpParts parts_;
    Config config_;
    std::shared_ptr<transport::TransportView> view_;
    Copy services_;
    Copy clients_;
    Copy transports_;
    network_visualizer::Routes routes_;
    std::unique_ptr<network_visualizer::Neighbour> neighbour_;
    std::vector<std::unique_ptr<Upstream>> upstreams_;
    /// Null: no feeds are read.
    std::unique_ptr<Feeds> feeds_;
    std::vector<std::unique_ptr<Reader>> readers_;
};

}  // namespace

framework::ServiceType network_visualizer_type(std::shared_ptr<transport::TransportView> view) {
    framework::ServiceType type = http_service_type("network-visualizer");
    type.summary = "draws the live network: services, dmsg-servers with clients, transports";
    type.fields = network_visualizer::config_fields();
    for (const Part part : network_visualizer::kParts)
        type.edges.push_back(
            {.upstream_type = std::string(upstream_type(part)), .milestone = "http"}
        );
    type.check = network_visualizer::check_config;
    // It keeps nothing.
    type.externals = nullptr;
    type.make = [view = std::move(view)](const framework::Block& block
                ) -> Result<std::unique_ptr<framework::Service>> {
        SystemRandom random;
        Config config = network_visualizer::read_config(block, random);
        HttpServiceOptions options = http_service_options("network-visualizer", config);
        return make_http_service(
            std::move(options),
            [config = std::move(config),
             view](const HttpParts& parts) -> std::unique_ptr<HttpWork> {
                return std::make_unique<NetworkVisualizer>(parts, config, view);
            }
        );
    };
    return type;
}

}  // namespace skywire::services
