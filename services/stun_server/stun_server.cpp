#include "services/stun_server/stun_server.hpp"

#include <boost/asio/ip/address_v4.hpp>

namespace skywire::stun {
namespace {

/// What is longer is cut off: no request of the network's clients comes near it.
constexpr std::size_t kDatagramBytesMax = 1500;

/// How often a port picked by the system on one address is tried on the other one.
constexpr int kPickAttemptsMax = 16;

constexpr std::array<errc, 3> kIgnoreReasons{errc::too_short, errc::wrong_type, errc::wrong_length};

std::string ip_text(const std::array<std::uint8_t, 4>& ip) {
    return asio::ip::address_v4(ip).to_string();
}

std::optional<Endpoint> to_endpoint(const net::Address& address) {
    boost::system::error_code ec;
    const auto ip = asio::ip::make_address_v4(address.host, ec);
    if (ec) return std::nullopt;
    return Endpoint{ip.to_bytes(), address.port};
}

}  // namespace

Server::Server(const net::Context& context, Config config)
    : context_(context),
      config_(config),
      requests_(context.metrics.counter("stun_requests_total", "Binding requests answered.")),
      send_errors_(context.metrics.counter(
          "stun_send_errors_total", "Answers that the system refused to send."
      )),
      scope_(context.loop) {
    for (const errc code : kIgnoreReasons) {
        ignored_[static_cast<int>(code)] = &context.metrics.counter(
            "stun_ignored_total",
            "Datagrams that are no binding request, by reason.",
            {{"reason", std::string(reason(code))}}
        );
    }
}

Server::~Server() = default;

Result<std::unique_ptr<net::Datagram>> Server::bind_one(Socket which, std::uint16_t port) {
    const std::string ip = ip_text(config_.ips[which.second_ip ? 1 : 0]);
    const std::string_view key = which.second_ip ? "secondary_ip" : "primary_ip";
    auto socket = context_.network.bind_udp(context_.loop, net::Address::tcp(ip, port));
    if (socket) return socket;
    if (socket.error().code() == boost::system::errc::address_not_available) {
        return Error(
            socket.error().code(), fmt::format("{}: this machine has no address {}", key, ip)
        );
    }
    return socket.error().within(key);
}

Result<> Server::bind_port(bool second_port) {
    const std::uint16_t wanted = config_.ports[second_port ? 1 : 0];
    const int attempts = wanted == 0 ? kPickAttemptsMax : 1;
    Error last;
    for (int i = 0; i < attempts; ++i) {
        const Socket first{.second_ip = false, .second_port = second_port};
        const Socket second{.second_ip = true, .second_port = second_port};
        auto on_primary = bind_one(first, wanted);
        if (!on_primary) return on_primary.error();
        const std::uint16_t port = (*on_primary)->local().port;
        auto on_secondary = bind_one(second, port);
        if (!on_secondary) {
            last = on_secondary.error();
            if (last.code() != boost::system::errc::address_in_use) return last;
            continue;
        }
        addresses_.ports[second_port ? 1 : 0] = port;
        sockets_[first.index()] = std::move(*on_primary);
        sockets_[second.index()] = std::move(*on_secondary);
        return {};
    }
    return last;
}

Result<> Server::bind() {
    addresses_.ips = config_.ips;
    for (const bool second_port : {false, true}) {
        if (const auto bound = bind_port(second_port); !bound) {
            sockets_ = Sockets();
            return bound.error();
        }
    }
    return {};
}

void Server::serve(std::function<void(Error)> on_failure) {
    on_failure_ = std::move(on_failure);
    serving_ = true;
    for (const bool second_ip : {false, true}) {
        for (const bool second_port : {false, true}) {
            const Socket socket{.second_ip = second_ip, .second_port = second_port};
            scope_.spawn("stun " + to_string(addresses_.of(socket)), [this, socket] {
                return answer_requests(socket);
            });
        }
    }
}

Task<std::vector<std::string>> Server::stop(SteadyTime deadline) {
    serving_ = false;
    for (const auto& socket : sockets_) {
        if (socket) socket->close();
    }
    co_return co_await scope_.close(context_.clock, context_.clock.now(), deadline);
}

Task<> Server::answer_requests(Socket received_on) {
    net::Datagram& socket = *sockets_[received_on.index()];
    std::array<std::byte, kDatagramBytesMax> buffer{};
    while (true) {
        const auto received = co_await socket.receive(buffer);
        if (!serving_) co_return;
        if (!received) co_return broke(received.error());
        co_await answer_one(received_on, ByteSpan(buffer).first(received->size), received->from);
    }
}

Task<> Server::answer_one(Socket received_on, ByteSpan datagram, net::Address client) {
    const auto request = parse_request(datagram);
    if (!request) co_return ignored(request.error().code());
    const auto endpoint = to_endpoint(client);
    if (!endpoint) co_return;  // an IPv4 socket hears IPv4 peers alone
    const Answer answer = make_answer(*request, addresses_, received_on, *endpoint);
    requests_.add();
    // A full send buffer holds up the requests of this socket alone, until the kernel has sent.
    const auto sent = co_await sockets_[answer.from.index()]->send(answer.datagram, client);
    if (sent || !serving_) co_return;
    send_errors_.add();
    log::debug(
        context_.logger,
        "stun.send_failed",
        log::kv("to", client.to_string()),
        log::kv("error", sent.error().message())
    );
}

void Server::ignored(const ErrorCode& reason) {
    if (const auto found = ignored_.find(reason.value()); found != ignored_.end())
        found->second->add();
}

void Server::broke(Error error) {
    if (!std::exchange(serving_, false)) return;
    log::error(context_.logger, "stun.socket_broken", log::kv("error", error.message()));
    if (on_failure_) on_failure_(std::move(error));
}

}  // namespace skywire::stun
