#pragma once

#include "framework/service.hpp"

#include <optional>
#include <string>
#include <vector>

namespace skywire::services {

/// Plays the supervisor to a service in a unit test; whole deployments are the harness's.
class TestHost final : public framework::ServiceHost {
 public:
    TestHost(net::Context context, std::string state_dir = {})
        : context_(std::move(context)), state_dir_(std::move(state_dir)) {}

    const net::Context& context() const noexcept override { return context_; }
    const std::string& label() const noexcept override { return label_; }
    void reached(std::string_view milestone) override { milestones.emplace_back(milestone); }
    Task<Result<>> wait_for_upstreams_of(std::string) override { co_return Result<>(); }
    void exited(Result<> outcome) override { exit = outcome; }
    const std::string& state_dir() const noexcept override { return state_dir_; }
    std::string metrics_text() const override { return "# metrics of the test\n"; }
    void note(std::string_view event, std::string detail) override {
        notes.push_back(std::string(event) + " " + detail);
    }

    std::vector<std::string> milestones;
    std::vector<std::string> notes;
    std::optional<Result<>> exit;

 private:
    net::Context context_;
    std::string label_ = "test";
    std::string state_dir_;
};

}  // namespace skywire::services
