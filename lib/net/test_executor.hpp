#pragma once

#include "net/task.hpp"

#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>

/// An executor that finds no memory when the test says so.
namespace skywire::net {

/// Shared by the copies of an executor.
struct Shortage {
    /// What is handed over next throws std::bad_alloc, once.
    bool next = false;
};

/// Another executor, but for the shortage.
template <class Inner>
class ShortExecutor {
 public:
    ShortExecutor(Inner inner, std::shared_ptr<Shortage> shortage) noexcept
        : inner_(std::move(inner)), shortage_(std::move(shortage)) {}

    template <class Function>
    void execute(Function&& function) const {
        if (std::exchange(shortage_->next, false)) throw std::bad_alloc();
        inner_.execute(std::forward<Function>(function));
    }

    template <class Property>
    auto query(const Property& property) const
        -> decltype(asio::query(std::declval<const Inner&>(), property)) {
        return asio::query(inner_, property);
    }
    template <class Property>
    auto require(const Property& property) const -> ShortExecutor<
        std::decay_t<decltype(asio::require(std::declval<const Inner&>(), property))>> {
        return {asio::require(inner_, property), shortage_};
    }

    bool operator==(const ShortExecutor&) const noexcept = default;

 private:
    Inner inner_;
    std::shared_ptr<Shortage> shortage_;
};

inline Executor short_executor(asio::io_context& loop, std::shared_ptr<Shortage> shortage) {
    return ShortExecutor(loop.get_executor(), std::move(shortage));
}

}  // namespace skywire::net
