#include "sim/node.hpp"

#include "sim/detail/fabric.hpp"
#include "sim/detail/host.hpp"
#include "sim/detail/network.hpp"
#include "sim/detail/node_clock.hpp"
#include "sim/detail/node_log.hpp"

namespace skywire::sim {

Node::Node(
    detail::Fabric& fabric,
    std::unique_ptr<detail::Host> host,
    std::uint64_t seed,
    Executor loop,
    net::WorkerPool& workers,
    Faults& faults,
    log::Level log_level
)
    : host_(std::move(host)),
      clock_(std::make_unique<detail::NodeClock>(fabric.clock(), *host_)),
      log_(std::make_unique<detail::NodeLog>(*host_)),
      network_(std::make_unique<detail::HostNetwork>(*host_, *clock_)),
      random_(seed) {
    auto channel = std::make_shared<log::Channel>(host_->name, log_level, *log_);
    context_ = std::make_unique<net::Context>(
        std::move(loop),
        *clock_,
        random_,
        *network_,
        workers,
        metrics_,
        faults,
        log::Logger(std::move(channel))
    );
    fabric.add_host(*host_);
}

Node::~Node() = default;

const std::string& Node::name() const noexcept {
    return host_->name;
}

const std::string& Node::ip() const noexcept {
    return host_->ip;
}

net::Address Node::at(std::uint16_t port) const {
    return net::Address::tcp(host_->ip, port);
}

const net::Context& Node::context() const noexcept {
    return *context_;
}

MetricRegistry& Node::metrics() noexcept {
    return metrics_;
}

void Node::kill(Death death) {
    host_->kill(death);
}

void Node::start() {
    host_->start();
}

bool Node::alive() const noexcept {
    return host_->up();
}

void Node::freeze() {
    if (std::exchange(host_->frozen, true)) return;
    host_->fabric.add_event("frozen", host_.get());
}

void Node::thaw() {
    host_->thaw();
    clock_->thaw();
}

void Node::set_wall_skew(Duration skew) {
    clock_->set_skew(skew);
}

}  // namespace skywire::sim
