#include "sim/detail/network.hpp"

#include "base/assert.hpp"
#include "net/timer.hpp"
#include "sim/detail/connection.hpp"
#include "sim/detail/fabric.hpp"

#include <algorithm>
#include <cerrno>

#include <boost/asio/error.hpp>
#include <fmt/format.h>

namespace skywire::sim::detail {
namespace {

// Linux: SYNs after 1, 3, 7, 15, 31 and 63 s; timed out after 127 s.
constexpr Duration kFirstSynAgain = std::chrono::seconds(1);
constexpr int kSyns = 7;
// Connections a listener holds before it is asked for them; more SYNs are not answered.
constexpr std::size_t kBacklog = 4096;

Error down(const Host& host) {
    return fail(errc::unavailable, host.name + " is down");
}

template <class State>
bool in_use(const std::map<Host::Port, State*>& bound, const Host::Port& wanted) {
    return std::any_of(bound.begin(), bound.end(), [&](const auto& entry) {
        const auto& [ip, port] = entry.first;
        return port == wanted.second && (ip == wanted.first || ip.empty() || wanted.first.empty());
    });
}

class SimListener final : public net::Listener {
 public:
    explicit SimListener(std::shared_ptr<ListenerState> state) : state_(std::move(state)) {}
    ~SimListener() override { SimListener::close(); }
    SimListener(const SimListener&) = delete;
    SimListener& operator=(const SimListener&) = delete;

    Task<Result<std::unique_ptr<net::Stream>>> accept() override {
        const auto state = state_;
        while (true) {
            if (state->closed) {
                co_return fail(errc::closed, "accept on " + state->local.to_string() + ": closed");
            }
            if (!state->queue.empty() && !state->host.frozen) {
                auto stream = std::move(state->queue.front());
                state->queue.pop_front();
                co_return std::move(stream);
            }
            state->accepting = true;
            const bool notified = co_await state->ready.wait();
            state->accepting = false;
            if (!notified) co_return fail(errc::cancelled, {});
        }
    }

    const net::Address& local() const noexcept override { return state_->local; }
    void close() noexcept override { close_listener(*state_); }

 private:
    std::shared_ptr<ListenerState> state_;
};

/// A line of the report on who waits, as long as a dial is under way.
class DialNote {
 public:
    DialNote(Fabric& fabric, std::string line)
        : fabric_(fabric), place_(fabric.dials().insert(fabric.dials().end(), std::move(line))) {}
    ~DialNote() { fabric_.dials().erase(place_); }
    DialNote(const DialNote&) = delete;
    DialNote& operator=(const DialNote&) = delete;

 private:
    Fabric& fabric_;
    std::list<std::string>::iterator place_;
};

}  // namespace

Result<Host::Port> HostNetwork::bindable(const net::Address& address) const {
    if (address.kind != net::Address::Kind::tcp) {
        return fail(errc::unsupported, address.to_string() + ": no unix sockets in a simulation");
    }
    if (!host_.up()) return down(host_);
    if (address.host.empty()) return Host::Port({}, address.port);
    const std::string name = address.host == "localhost" ? "127.0.0.1" : address.host;
    std::string ip = literal(name);
    for (const Host* host : host_.fabric.resolve(name))
        if (host == &host_) ip = host->ip;
    if (ip == "0.0.0.0" || ip == "::")
        ip.clear();
    else if (ip != host_.ip && !is_loopback(ip)) {
        return Error(
            ErrorCode(EADDRNOTAVAIL, boost::system::system_category()),
            fmt::format("{}: not an address of {}", address.to_string(), host_.name)
        );
    }
    return Host::Port(ip, address.port);
}

Result<std::unique_ptr<net::Listener>> HostNetwork::listen(
    Executor loop, const net::Address& address
) {
    const auto refused = [&](const Error& error) {
        return error.within("listen on " + address.to_string());
    };
    auto port = bindable(address);
    if (!port) return refused(port.error());
    if (port->second == 0) port->second = host_.next_port();
    if (in_use(host_.listeners, *port)) {
        return refused(asio::error::make_error_code(asio::error::address_in_use));
    }
    auto state = std::make_shared<ListenerState>(loop, host_);
    state->local =
        net::Address::tcp(address.host == "localhost" ? port->first : address.host, port->second);
    host_.listeners[*port] = state.get();
    host_.fabric.add_event("listens", &host_, nullptr, 0, 0, state->local.to_string());
    return make_listener(std::move(state));
}

Result<std::vector<HostNetwork::Target>> HostNetwork::targets(const std::string& host) const {
    if (host == "localhost") return std::vector<Target>{{&host_, "127.0.0.1"}, {&host_, "::1"}};
    const std::string ip = literal(host);
    if (!ip.empty()) {
        return std::vector<Target>{{is_loopback(ip) ? &host_ : host_.fabric.host_at(ip), ip}};
    }
    std::vector<Target> found;
    for (Host* known : host_.fabric.resolve(host))
        found.push_back({known, known->ip});
    if (found.empty()) {
        const auto ec = asio::error::make_error_code(asio::error::host_not_found);
        return Error(ec, fmt::format("resolve {}: {}", quote_peer_text(host), ec.message()));
    }
    return found;
}

Task<Result<std::unique_ptr<net::Stream>>> HostNetwork::dial(Executor, net::Address address) {
    const std::string what = "dial " + address.to_string();
    if (address.kind != net::Address::Kind::tcp) {
        co_return fail(errc::unsupported, what + ": no unix sockets in a simulation");
    }
    if (!host_.up()) co_return down(host_).within(what);
    const auto candidates = targets(address.host);
    if (!candidates) co_return candidates.error().within(what);
    const DialNote note(host_.fabric, host_.name + " dials " + address.to_string());
    host_.fabric.add_event("dials", &host_, nullptr, 0, 0, address.to_string());
    Error last;
    for (const Target& target : *candidates) {
        auto stream = co_await connect(target, address.port);
        if (stream) co_return std::move(stream);
        last = stream.error();
        if (last == make_error_code(errc::cancelled)) break;
    }
    host_.fabric.add_event(
        "dial fails", &host_, nullptr, 0, 0, address.to_string() + ": " + last.message()
    );
    co_return last.within(what);
}

Task<Result<std::unique_ptr<net::Stream>>> HostNetwork::connect(Target target, std::uint16_t port) {
    Fabric& fabric = host_.fabric;
    net::Timer timer(fabric.loop(), clock_);
    Duration again = kFirstSynAgain;
    for (int syn = 0; syn < kSyns; ++syn, again *= 2) {
        const SteadyTime next = clock_.now() + again;
        // Somewhere on the way the SYN, or its answer, may get lost; then the next one goes out.
        while (target.host != nullptr) {
            Path& there = fabric.path(host_, *target.host);
            Path& back = fabric.path(*target.host, host_);
            if (fabric.chance(fabric.options(there).packet_loss_probability)) break;
            if (!co_await timer.wait_until(fabric.arrival(there, 0))) {
                co_return fail(errc::cancelled, {});
            }
            if (there.blocked() || target.host->power == Host::Power::off) break;
            ListenerState* listener = target.host->find_listener(target.ip, port);
            if (listener != nullptr && listener->queue.size() >= kBacklog) break;
            const std::weak_ptr<ListenerState> found =
                listener == nullptr ? std::weak_ptr<ListenerState>() : listener->weak_from_this();
            if (fabric.chance(fabric.options(back).packet_loss_probability)) break;
            if (!co_await timer.wait_until(fabric.arrival(back, 0))) {
                co_return fail(errc::cancelled, {});
            }
            if (back.blocked()) break;
            if (!host_.up()) co_return down(host_);
            if (listener == nullptr) {
                co_return Error(asio::error::make_error_code(asio::error::connection_refused));
            }
            auto connection = std::make_shared<Connection>(
                fabric,
                host_,
                net::Address::tcp(is_loopback(target.ip) ? target.ip : host_.ip, host_.next_port()),
                *target.host,
                net::Address::tcp(target.ip, port),
                found
            );
            fabric.add_event("connects", &host_, target.host, connection->number());
            connection->begin();
            co_return make_stream(std::move(connection), Connection::kDialler);
        }
        if (!co_await timer.wait_until(next)) co_return fail(errc::cancelled, {});
    }
    co_return Error(asio::error::make_error_code(asio::error::timed_out));
}

Result<std::unique_ptr<net::Datagram>> HostNetwork::bind_udp(
    Executor loop, const net::Address& address
) {
    const auto refused = [&](const Error& error) {
        return error.within("bind udp " + address.to_string());
    };
    auto port = bindable(address);
    if (!port) return refused(port.error());
    if (port->second == 0) port->second = host_.next_port();
    if (in_use(host_.datagrams, *port)) {
        return refused(asio::error::make_error_code(asio::error::address_in_use));
    }
    auto state = std::make_shared<DatagramState>(loop, host_);
    state->local =
        net::Address::tcp(address.host == "localhost" ? port->first : address.host, port->second);
    host_.datagrams[*port] = state.get();
    return make_datagram(std::move(state));
}

std::unique_ptr<net::Listener> make_listener(std::shared_ptr<ListenerState> state) {
    return std::make_unique<SimListener>(std::move(state));
}

}  // namespace skywire::sim::detail
