#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace skywire {

namespace asio = boost::asio;

/// A coroutine of ours. It takes its arguments by value, or is a member whose owner outlives it;
/// views may be parameters only where the caller awaits in the same statement.
template <class T = void>
using Task = asio::awaitable<T>;

using Executor = asio::any_io_executor;

/// The one completion token: errors come as values, `auto [ec, n] = co_await op(use_tuple)`.
inline constexpr auto use_tuple = asio::as_tuple(asio::use_awaitable);

}  // namespace skywire
