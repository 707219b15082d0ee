#include "framework/harness/ephemeral_network.hpp"

#include <fmt/format.h>

namespace skywire::harness {

namespace {

bool is_mapped(const net::Address& address) {
    return address.kind == net::Address::Kind::tcp && address.port != 0;
}

bool is_any(const std::string& host) {
    return host.empty() || host == "0.0.0.0" || host == "::";
}

/// Where the system is really asked to bind: never beyond loopback.
net::Address free_port_of(const net::Address& address) {
    return net::Address::tcp(is_any(address.host) ? "127.0.0.1" : address.host, 0);
}

Error system_failure(int code, std::string_view what, const net::Address& address) {
    const ErrorCode error(code, boost::system::system_category());
    return {error, fmt::format("{} {}: {}", what, address.to_string(), error.message())};
}

}  // namespace

/// Asked-for to real addresses. Used by all event loops.
class EphemeralNetwork::Table {
 public:
    /// False where the address is taken.
    bool add(const net::Address& asked, const net::Address& real) {
        const std::scoped_lock lock(mutex_);
        return real_.emplace(asked, real).second;
    }

    void remove(const net::Address& asked) {
        const std::scoped_lock lock(mutex_);
        real_.erase(asked);
    }

    bool contains(const net::Address& asked) const {
        const std::scoped_lock lock(mutex_);
        return real_.contains(asked);
    }

    /// Exactly this address, else one of all interfaces with this port.
    std::optional<net::Address> real_of(const net::Address& address) const {
        const std::scoped_lock lock(mutex_);
        const auto exact = real_.find(address);
        if (exact != real_.end()) return exact->second;
        for (const auto& [asked, real] : real_) {
            if (asked.port == address.port && is_any(asked.host)) return real;
        }
        // ":9090" and "localhost:9090" mean a listener at 127.0.0.1:9090 too.
        if (!is_any(address.host) && address.host != "localhost") return std::nullopt;
        const auto local = real_.find(net::Address::tcp("127.0.0.1", address.port));
        if (local != real_.end()) return local->second;
        return std::nullopt;
    }

    /// The asked-for address behind a real one; the real one itself where it is not ours.
    net::Address asked_of(const net::Address& address) const {
        const std::scoped_lock lock(mutex_);
        for (const auto& [asked, real] : real_) {
            if (real == address) return asked;
        }
        return address;
    }

    std::set<std::string> all() const {
        const std::scoped_lock lock(mutex_);
        std::set<std::string> addresses;
        for (const auto& entry : real_)
            addresses.insert(entry.first.to_string());
        return addresses;
    }

 private:
    mutable std::mutex mutex_;
    std::map<net::Address, net::Address> real_;
};

/// An asked-for address in a table, until it is forgotten.
class EphemeralNetwork::Mapping {
 public:
    Mapping(net::Address asked, std::shared_ptr<Table> table)
        : asked_(std::move(asked)), table_(std::move(table)) {}
    ~Mapping() { forget(); }
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;

    const net::Address& asked() const noexcept { return asked_; }
    const Table& table() const noexcept { return *table_; }
    void forget() noexcept {
        if (std::exchange(known_, false)) table_->remove(asked_);
    }

 private:
    net::Address asked_;
    std::shared_ptr<Table> table_;
    bool known_ = true;
};

class EphemeralNetwork::MappedListener final : public net::Listener {
 public:
    MappedListener(
        std::unique_ptr<net::Listener> real, net::Address asked, std::shared_ptr<Table> table
    )
        : real_(std::move(real)), mapping_(std::move(asked), std::move(table)) {}

    Task<Result<std::unique_ptr<net::Stream>>> accept() override { return real_->accept(); }
    Task<Result<std::unique_ptr<net::Stream>>> accept_on(Executor loop) override {
        return real_->accept_on(std::move(loop));
    }
    const net::Address& local() const noexcept override { return mapping_.asked(); }
    void close() noexcept override {
        real_->close();
        mapping_.forget();
    }

 private:
    std::unique_ptr<net::Listener> real_;
    Mapping mapping_;
};

class EphemeralNetwork::MappedDatagram final : public net::Datagram {
 public:
    MappedDatagram(
        std::unique_ptr<net::Datagram> real, net::Address asked, std::shared_ptr<Table> table
    )
        : real_(std::move(real)), mapping_(std::move(asked), std::move(table)) {}

    Task<Result<Received>> receive(std::span<std::byte> into) override {
        auto received = co_await real_->receive(into);
        if (received) received->from = mapping_.table().asked_of(received->from);
        co_return received;
    }

    Task<Result<>> send(ByteSpan payload, const net::Address& to) override {
        const net::Address real = mapping_.table().real_of(to).value_or(to);
        co_return co_await real_->send(payload, real);
    }

    const net::Address& local() const noexcept override { return mapping_.asked(); }
    void close() noexcept override {
        real_->close();
        mapping_.forget();
    }

 private:
    std::unique_ptr<net::Datagram> real_;
    Mapping mapping_;
};

EphemeralNetwork::EphemeralNetwork(Faults& faults)
    : faults_(faults), tcp_(std::make_shared<Table>()), udp_(std::make_shared<Table>()) {}

EphemeralNetwork::~EphemeralNetwork() = default;

Result<std::unique_ptr<net::Listener>> EphemeralNetwork::listen(
    Executor loop, const net::Address& address
) {
    if (auto fault = faults_.check("bind", address.to_string()); !fault) return fault.error();
    if (!is_mapped(address)) return system_.listen(loop, address);
    if (tcp_->contains(address)) return system_failure(EADDRINUSE, "listen at", address);
    auto real = system_.listen(loop, free_port_of(address));
    if (!real) return real.error();
    if (!tcp_->add(address, (*real)->local())) {
        return system_failure(EADDRINUSE, "listen at", address);
    }
    return std::make_unique<MappedListener>(std::move(*real), address, tcp_);
}

Task<Result<std::unique_ptr<net::Stream>>> EphemeralNetwork::dial(
    Executor loop, net::Address address
) {
    if (auto fault = faults_.check("dial", address.to_string()); !fault) co_return fault.error();
    if (!is_mapped(address)) co_return co_await system_.dial(loop, address);
    const auto real = tcp_->real_of(address);
    if (!real) {
        bool passes = false;
        {
            const std::scoped_lock lock(mutex_);
            passes = passing_.contains(address);
        }
        if (!passes) co_return system_failure(ECONNREFUSED, "dial", address);
    }
    co_return co_await system_.dial(loop, real.value_or(address));
}

Result<std::unique_ptr<net::Datagram>> EphemeralNetwork::bind_udp(
    Executor loop, const net::Address& address
) {
    if (auto fault = faults_.check("bind", address.to_string()); !fault) return fault.error();
    if (!is_mapped(address)) return system_.bind_udp(loop, address);
    if (udp_->contains(address)) return system_failure(EADDRINUSE, "bind UDP", address);
    auto real = system_.bind_udp(loop, free_port_of(address));
    if (!real) return real.error();
    if (!udp_->add(address, (*real)->local())) {
        return system_failure(EADDRINUSE, "bind UDP", address);
    }
    return std::make_unique<MappedDatagram>(std::move(*real), address, udp_);
}

std::optional<net::Address> EphemeralNetwork::real_address(const std::string& address) const {
    return tcp_->real_of(net::Address::parse(address).value());
}

std::optional<net::Address> EphemeralNetwork::real_udp_address(const std::string& address) const {
    return udp_->real_of(net::Address::parse(address).value());
}

void EphemeralNetwork::pass_through(const net::Address& address) {
    const std::scoped_lock lock(mutex_);
    passing_.insert(address);
}

std::set<std::string> EphemeralNetwork::listening() const {
    return tcp_->all();
}

}  // namespace skywire::harness
