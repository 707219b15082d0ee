#include "services/stun_server/service.hpp"

#include "services/stun_server/config.hpp"
#include "services/stun_server/stun_server.hpp"

#include <memory>

namespace skywire::services {
namespace {

constexpr std::string_view kListening = "listening";

/// What makes the server a supervised service. It lives from `make` to the end of `stop`; all calls
/// come on its own event loop.
class StunService final : public framework::Service {
 public:
    explicit StunService(stun::Config config) : config_(config) {}

    Task<Result<>> start(framework::ServiceHost& host) override {
        server_ = std::make_unique<stun::Server>(host.context(), config_);
        if (const auto bound = server_->bind(); !bound) co_return bound.error();
        for (const bool second_ip : {false, true}) {
            for (const bool second_port : {false, true}) {
                const auto socket = server_->addresses().of({second_ip, second_port});
                host.note("bound", "udp " + stun::to_string(socket));
            }
        }
        server_->serve([&host](Error error) { host.exited(std::move(error)); });
        host.reached(kListening);
        co_return Result<>();
    }

    /// Every request is answered at once: nothing is under way that could end by itself.
    Task<> drain(SteadyTime) override { co_return; }

    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        std::vector<std::string> late;
        if (server_) late = co_await server_->stop(deadline);
        co_return late;
    }

    framework::HealthReport health() override {
        framework::Check sockets;
        sockets.name = "sockets";
        if (!server_ || !server_->serving()) {
            sockets.status = framework::Check::Status::fail;
            sockets.detail = "no requests are read";
        }
        return {{std::move(sockets)}};
    }

 private:
    stun::Config config_;
    std::unique_ptr<stun::Server> server_;
};

}  // namespace

framework::ServiceType stun_server_type() {
    framework::ServiceType type;
    type.name = "stun-server";
    type.summary = "tells clients their address as seen from outside (STUN, UDP)";
    type.fields = stun::config_fields();
    type.milestones = {std::string(kListening)};
    type.check = stun::check_config;
    type.facts = stun::config_facts;
    type.make = [](const framework::Block& block) -> Result<std::unique_ptr<framework::Service>> {
        return std::make_unique<StunService>(stun::read_config(block));
    };
    return type;
}

}  // namespace skywire::services
