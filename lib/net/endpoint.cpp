#include "net/endpoint.hpp"

#include "net/event.hpp"

#include <cerrno>
#include <memory>

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace skywire::net::detail {
namespace {

using Resolver = asio::ip::tcp::resolver;

/// Outlives a cancelled wait: asio's resolver cannot break off a running getaddrinfo.
struct Lookup {
    explicit Lookup(Executor executor) : resolver(executor), event(executor) {}

    Resolver resolver;
    Event event;
    ErrorCode ec;
    Resolver::results_type results;
    bool ended = false;
};

Result<std::vector<asio::ip::address>> addresses_of(
    const std::string& host, const ErrorCode& ec, const Resolver::results_type& results
) {
    if (ec) return Error(ec, fmt::format("resolve {}: {}", quote_peer_text(host), ec.message()));
    std::vector<asio::ip::address> addresses;
    for (const auto& entry : results)
        addresses.push_back(entry.endpoint().address());
    if (addresses.empty()) {
        return fail(errc::not_found, fmt::format("resolve {}: no address", quote_peer_text(host)));
    }
    return addresses;
}

}  // namespace

asio::ip::address plain(const asio::ip::address& address) {
    if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
}

asio::ip::address_v6 mapped(const asio::ip::address& address) {
    if (address.is_v6()) return address.to_v6();
    return asio::ip::make_address_v6(asio::ip::v4_mapped, address.to_v4());
}

Address to_address(const asio::ip::address& address, std::uint16_t port) {
    return Address::tcp(plain(address).to_string(), port);
}

std::vector<asio::ip::address> literals(const std::string& host) {
    if (host == "localhost") {
        return {asio::ip::address_v4::loopback(), asio::ip::address_v6::loopback()};
    }
    ErrorCode ec;
    const auto address = asio::ip::make_address(host, ec);
    if (ec) return {};
    return {address};
}

Task<Result<std::vector<asio::ip::address>>> resolve(std::string host) {
    const Executor executor = co_await asio::this_coro::executor;
    const auto lookup = std::make_shared<Lookup>(executor);
    lookup->resolver
        .async_resolve(host, "", [lookup](const ErrorCode& ec, Resolver::results_type results) {
            lookup->ec = ec;
            lookup->results = std::move(results);
            lookup->ended = true;
            lookup->event.notify();
        });
    while (!lookup->ended) {
        const bool notified = co_await lookup->event.wait();
        if (!notified) co_return fail(errc::cancelled, {});
    }
    co_return addresses_of(host, lookup->ec, lookup->results);
}

Result<std::vector<asio::ip::address>> resolve_blocking(const std::string& host) {
    asio::io_context unused(1);
    Resolver resolver(unused);
    ErrorCode ec;
    const auto results = resolver.resolve(host, "", ec);
    return addresses_of(host, ec, results);
}

Error operation_error(const ErrorCode& ec, bool closed) {
    if (closed) return fail(errc::closed, {});
    if (ec == asio::error::operation_aborted) return fail(errc::cancelled, {});
    return ec;
}

ErrorCode last_error() {
    return {errno, boost::system::system_category()};
}

}  // namespace skywire::net::detail
