#include "framework/supervisor.hpp"

#include "framework/supervisor_impl.hpp"

namespace skywire::framework {

std::string_view state_name(State state) noexcept {
    switch (state) {
        case State::starting:
            return "starting";
        case State::ready:
            return "ready";
        case State::degraded:
            return "degraded";
        case State::failed:
            return "failed";
        case State::stopping:
            return "stopping";
        case State::stopped:
            return "stopped";
    }
    return "unknown";
}

Supervisor::Supervisor(
    Environment environment, const DeploymentConfig& config, std::set<std::string> only
)
    : impl_(std::make_unique<Impl>(environment, config, std::move(only))) {}

Supervisor::~Supervisor() = default;

void Supervisor::start() {
    impl_->start();
}

Task<bool> Supervisor::wait_ready() {
    return impl_->wait_ready();
}

Task<> Supervisor::wait_down() {
    return impl_->wait_down();
}

void Supervisor::request_shutdown(std::string reason) {
    asio::post(impl_->home(), [impl = impl_.get(), reason = std::move(reason)] {
        impl->begin_shutdown(reason, /*failed=*/false);
    });
}

Task<Result<>> Supervisor::command(std::string label, Command command) {
    return impl_->command(std::move(label), command);
}

DeploymentStatus Supervisor::status() const {
    return impl_->status();
}

const Graph& Supervisor::graph() const noexcept {
    return impl_->graph();
}

const Timeline& Supervisor::timeline() const noexcept {
    return impl_->timeline();
}

std::vector<std::string> Supervisor::labels() const {
    return impl_->labels();
}

int Supervisor::exit_code() const noexcept {
    return impl_->exit_code();
}

const ShutdownReport& Supervisor::report() const noexcept {
    return impl_->report();
}

std::vector<std::string> Supervisor::still_running() const {
    return impl_->still_running();
}

}  // namespace skywire::framework
