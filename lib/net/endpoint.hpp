#pragma once

#include "base/result.hpp"
#include "net/address.hpp"
#include "net/task.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <boost/asio/ip/address.hpp>

/// Between our addresses and the system's, for the sources of this folder.
namespace skywire::net::detail {

/// A v4 address that a dual-stack socket shows as v6 (::ffff:a.b.c.d) as v4; others unchanged.
asio::ip::address plain(const asio::ip::address& address);

/// A v6 socket's view of an address: v4 becomes v4-mapped.
asio::ip::address_v6 mapped(const asio::ip::address& address);

Address to_address(const asio::ip::address& address, std::uint16_t port);

/// The addresses of a host that needs no look-up: a literal, or "localhost" (v4 first). Empty where
/// it does.
std::vector<asio::ip::address> literals(const std::string& host);

/// The addresses of a name, at least one. Cancelled: returns at once, the system's look-up runs on.
Task<Result<std::vector<asio::ip::address>>> resolve(std::string host);

/// The same, blocking: only for start-up.
Result<std::vector<asio::ip::address>> resolve_blocking(const std::string& host);

/// An operation's error as a value: errc::closed after our own close, errc::cancelled when the
/// coroutine was cancelled, else the system's code.
Error operation_error(const ErrorCode& ec, bool closed);

/// errno as an ErrorCode.
ErrorCode last_error();

}  // namespace skywire::net::detail
