#include "net/event.hpp"

#include <utility>

namespace skywire::net {

Event::Event(Executor executor)
    : timer_(std::move(executor), asio::steady_timer::time_point::max()) {}

Task<bool> Event::wait() {
    // The timer never expires by itself: every end of the wait is a cancellation, by `notify` or by
    // the coroutine's owner, and the generation tells which.
    const std::uint64_t before = generation_;
    co_await timer_.async_wait(use_tuple);
    co_return generation_ != before;
}

void Event::notify() {
    ++generation_;
    timer_.cancel();
}

}  // namespace skywire::net
