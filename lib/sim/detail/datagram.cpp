#include "sim/detail/fabric.hpp"
#include "sim/detail/network.hpp"

#include <algorithm>

#include <boost/asio/error.hpp>
#include <fmt/format.h>

namespace skywire::sim::detail {
namespace {

// The largest payload of UDP over IPv4.
constexpr std::size_t kPayloadMax = 65507;
// What a socket holds before it is read; more is dropped.
constexpr std::size_t kQueueMax = 1024;

void deliver(Path& path, const net::Address& to, DatagramState::Packet packet) {
    Fabric& fabric = path.from.fabric;
    const std::size_t bytes = packet.payload.size();
    const auto drop = [&](const char* why) {
        fabric.add_event("datagram is lost", &path.from, &path.to, 0, bytes, why);
    };
    if (path.blocked()) return drop("(cut)");
    DatagramState* socket = path.to.find_datagram(to.host, to.port);
    if (socket == nullptr) return drop("(nobody there)");
    if (socket->queue.size() >= kQueueMax) return drop("(queue is full)");
    fabric.add_event("datagram arrives", &path.from, &path.to, 0, bytes);
    socket->queue.push_back(std::move(packet));
    socket->ready.notify();
}

class SimDatagram final : public net::Datagram {
 public:
    explicit SimDatagram(std::shared_ptr<DatagramState> state) : state_(std::move(state)) {}
    ~SimDatagram() override { SimDatagram::close(); }
    SimDatagram(const SimDatagram&) = delete;
    SimDatagram& operator=(const SimDatagram&) = delete;

    Task<Result<Received>> receive(std::span<std::byte> into) override {
        const auto state = state_;
        while (true) {
            if (state->closed) co_return fail(errc::closed, {});
            if (!state->queue.empty() && !state->host.frozen) {
                const auto packet = std::move(state->queue.front());
                state->queue.pop_front();
                Received received;
                received.size = std::min(into.size(), packet.payload.size());
                received.from = packet.from;
                std::copy_n(packet.payload.data(), received.size, into.data());
                co_return received;
            }
            state->receiving = true;
            const bool notified = co_await state->ready.wait();
            state->receiving = false;
            if (!notified) co_return fail(errc::cancelled, {});
        }
    }

    Task<Result<>> send(ByteSpan payload, const net::Address& to) override {
        const std::string ip = literal(to.host);
        if (ip.empty() || to.kind != net::Address::Kind::tcp) {
            co_return fail(
                errc::malformed, fmt::format("send to {}: not an IP literal", to.to_string())
            );
        }
        if (state_->closed) co_return fail(errc::closed, {});
        if (payload.size() > kPayloadMax) {
            co_return Error(asio::error::make_error_code(asio::error::message_size));
        }
        Host& from = state_->host;
        Fabric& fabric = from.fabric;
        Host* target = is_loopback(ip) ? &from : fabric.host_at(ip);
        fabric.add_event("sends a datagram", &from, target, 0, payload.size());
        if (target == nullptr) co_return Result<>();
        Path& path = fabric.path(from, *target);
        const LinkOptions& options = fabric.options(path);
        const auto source = net::Address::tcp(is_loopback(ip) ? ip : from.ip, state_->local.port);
        const int copies = fabric.chance(options.packet_replay_probability) ? 2 : 1;
        for (int i = 0; i < copies; ++i) {
            if (fabric.chance(options.packet_loss_probability)) {
                fabric.add_event("datagram is lost", &from, target, 0, payload.size());
                continue;
            }
            fabric.schedule(
                fabric.arrival(path, payload.size()) - fabric.clock().now(),
                [&path,
                 to = net::Address::tcp(ip, to.port),
                 packet = DatagramState::Packet{Bytes(payload.begin(), payload.end()), source}] {
                    deliver(path, to, packet);
                }
            );
        }
        co_return Result<>();
    }

    const net::Address& local() const noexcept override { return state_->local; }
    void close() noexcept override { close_datagram(*state_); }

 private:
    std::shared_ptr<DatagramState> state_;
};

}  // namespace

std::unique_ptr<net::Datagram> make_datagram(std::shared_ptr<DatagramState> state) {
    return std::make_unique<SimDatagram>(std::move(state));
}

}  // namespace skywire::sim::detail
