#include "services/config_bootstrapper/service.hpp"

#include "net/timer.hpp"
#include "services/common/http_service.hpp"
#include "services/config_bootstrapper/config.hpp"
#include "services/config_bootstrapper/input_file.hpp"
#include "services/config_bootstrapper/lookups.hpp"

namespace skywire::services {
namespace {

using config_bootstrapper::Config;
using config_bootstrapper::Document;
using config_bootstrapper::Part;

/// How often what was looked up is looked up again, and what was not answered is asked again.
constexpr std::chrono::minutes kRefresh{5};
constexpr std::chrono::seconds kRetry{5};

class ConfigBootstrapper final : public HttpWork {
 public:
    ConfigBootstrapper(const HttpParts& parts, Config config)
        : parts_(parts), config_(std::move(config)), http_(parts.context) {
        http::Router& router = parts.surface.router();
        router.on(http::Method::get, "/", [this](http::Request&) { return page(all_); });
        router.on(http::Method::get, "/dmsghttp", [this](http::Request&) {
            return page(dmsghttp_);
        });
    }

    Task<Result<>> open() override {
        if (!config_.config_path.empty()) {
            const auto read = co_await read_file();
            if (!read) co_return read.error();
        }
        document_ = config_bootstrapper::completed(config_.said, parts_.host.deployment_blocks());
        for (const Part part : config_bootstrapper::kParts)
            if (!document_.url(part).empty()) named_.insert(part);
        config_bootstrapper::add_domain(document_, config_.domain);
        write();
        make_discovery();
        parts_.scope.spawn("lookups", [this] { return look_up(); });
        co_return Result<>();
    }

    Task<std::vector<std::string>> stop(SteadyTime) override {
        http_.close();
        co_return std::vector<std::string>();
    }

 private:
    using Body = std::shared_ptr<const std::string>;

    /// A missing file is no error: the reference's defaults apply.
    Task<Result<>> read_file() {
        auto read = co_await parts_.context.workers.run(
            [path = config_.config_path, said = config_.said]() mutable -> Result<Document> {
                const auto taken = config_bootstrapper::read_input_file(path, said);
                if (!taken) return taken.error();
                return std::move(said);
            }
        );
        if (read) {
            config_.said = std::move(*read);
            co_return Result<>();
        }
        if (read.error() != make_error_code(errc::not_found))
            co_return read.error().within("config_path");
        log::warn(
            parts_.context.logger, "config_path.missing", log::kv("path", config_.config_path)
        );
        co_return Result<>();
    }

    /// By whatever way the service's own client has; without one over plain HTTP. Not needed where
    /// the block names the servers.
    void make_discovery() {
        if (!config_.said.dmsg_servers.empty()) return;
        if (parts_.presence != nullptr) {
            discovery_ = &parts_.presence->client().discovery();
            return;
        }
        if (!named_.contains(Part::dmsg_discovery)) return;
        auto made =
            dmsg::make_http_discovery(parts_.context, http_, document_.url(Part::dmsg_discovery));
        if (!made) return;
        own_discovery_ = std::move(*made);
        discovery_ = own_discovery_.get();
    }

    Task<> look_up() {
        config_bootstrapper::Lookups lookups(parts_.context, http_, discovery_);
        while (true) {
            const bool complete = co_await lookups.update(document_, named_);
            write();
            const Duration pause = complete ? Duration(kRefresh) : Duration(kRetry);
            const bool slept = co_await net::sleep_for(parts_.context.clock, pause);
            if (!slept) co_return;
        }
    }

    void write() {
        all_ = std::make_shared<const std::string>(config_bootstrapper::to_json(document_));
        dmsghttp_ =
            std::make_shared<const std::string>(config_bootstrapper::to_dmsghttp_json(document_));
    }

    Task<http::Response> page(Body body) {
        http::Response response = http::Response::json(200, {});
        response.shared_body = std::move(body);
        co_return response;
    }

    HttpParts parts_;
    Config config_;
    Document document_;
    /// Parts whose URLs are of this deployment, and not made from the domain.
    std::set<Part> named_;
    Body all_;
    Body dmsghttp_;
    http::Client http_;
    std::unique_ptr<dmsg::DiscoveryClient> own_discovery_;
    dmsg::DiscoveryClient* discovery_ = nullptr;
};

}  // namespace

framework::ServiceType config_bootstrapper_type() {
    framework::ServiceType type = http_service_type("config-bootstrapper");
    type.summary = "tells visors which services there are and how they are reached";
    type.fields = config_bootstrapper::config_fields();
    type.check = config_bootstrapper::check_config;
    // It keeps nothing.
    type.externals = nullptr;
    type.make = [](const framework::Block& block) -> Result<std::unique_ptr<framework::Service>> {
        SystemRandom random;
        Config config = config_bootstrapper::read_config(block, random);
        HttpServiceOptions options = http_service_options("config-bootstrapper", config);
        return make_http_service(
            std::move(options),
            [config = std::move(config)](const HttpParts& parts) -> std::unique_ptr<HttpWork> {
                return std::make_unique<ConfigBootstrapper>(parts, config);
            }
        );
    };
    return type;
}

}  // namespace skywire::services
