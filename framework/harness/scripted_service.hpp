#pragma once

#include "framework/harness/harness.hpp"
#include "framework/harness/test_services.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

/// For tests of the supervisor: services that do at each call what the test tells them.
namespace skywire::harness {

using framework::Service;
using framework::ServiceHost;

/// What a service does at each call; what is empty does nothing, well. Shared by all lives of the
/// service.
struct Script {
    std::function<Result<std::unique_ptr<Service>>(const framework::Block&)> make;
    std::function<Task<Result<>>(ServiceHost&)> start;
    std::function<Task<>(ServiceHost&, SteadyTime)> drain;
    std::function<Task<std::vector<std::string>>(ServiceHost&, SteadyTime)> stop;
    std::function<framework::HealthReport()> health;
    std::function<void(framework::UpstreamEvent)> upstream;
    std::vector<framework::External> externals;
};

class Scripted final : public Service {
 public:
    explicit Scripted(std::shared_ptr<Script> script) : script_(std::move(script)) {}

    Task<Result<>> start(ServiceHost& host) override {
        host_ = &host;
        if (script_->start) return script_->start(host);
        return ready(host);
    }
    Task<> drain(SteadyTime deadline) override {
        if (script_->drain) return script_->drain(*host_, deadline);
        return nothing();
    }
    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        if (script_->stop) return script_->stop(*host_, deadline);
        return none_late();
    }
    framework::HealthReport health() override {
        return script_->health ? script_->health() : framework::HealthReport{};
    }
    void upstream_changed(std::string_view, framework::UpstreamEvent event) override {
        if (script_->upstream) script_->upstream(event);
    }

 private:
    static Task<Result<>> ready(ServiceHost& host) {
        host.reached("listening");
        co_return Result<>();
    }
    static Task<> nothing() { co_return; }
    static Task<std::vector<std::string>> none_late() { co_return std::vector<std::string>(); }

    std::shared_ptr<Script> script_;
    ServiceHost* host_ = nullptr;
};

inline framework::ServiceType scripted_type(
    const std::string& name, std::shared_ptr<Script> script
) {
    framework::ServiceType type;
    type.name = name;
    type.summary = "does what a test tells it";
    type.milestones = {"listening", "registered"};
    type.externals = [script](const framework::Block&) { return script->externals; };
    type.make = [script](const framework::Block& block) -> Result<std::unique_ptr<Service>> {
        if (script->make) return script->make(block);
        return std::make_unique<Scripted>(script);
    };
    return type;
}

/// Test services, and "odd" ones that follow `odd`, "odder" ones that follow `odder`.
struct Scripts {
    std::shared_ptr<Script> odd = std::make_shared<Script>();
    std::shared_ptr<Script> odder = std::make_shared<Script>();

    framework::ServiceRegistry registry() const {
        framework::ServiceRegistry types = test_registry();
        types.add(scripted_type("odd", odd));
        types.add(scripted_type("odder", odder));
        return types;
    }
};

inline std::string blocks(const std::string& list, const std::string& supervisor = "{}") {
    return R"({"services": [)" + list + R"(], "supervisor": )" + supervisor + "}";
}

inline std::string detail_of(Harness& harness, const std::string& label, const std::string& event) {
    for (const auto& each : harness.deployment().timeline().events()) {
        if (each.label == label && each.event == event) return each.detail;
    }
    return {};
}

}  // namespace skywire::harness
