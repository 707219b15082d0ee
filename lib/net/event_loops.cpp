#include "net/event_loops.hpp"

#include "base/assert.hpp"

#include <string>

#include <pthread.h>

namespace skywire::net {

EventLoops::EventLoops(std::size_t count) {
    SKY_ASSERT(count > 0);
    for (std::size_t i = 0; i < count; ++i) {
        // One thread runs each loop, which saves asio the contention, not the locks.
        loops_.push_back(std::make_unique<asio::io_context>(1));
        guards_.push_back(asio::make_work_guard(*loops_.back()));
    }
}

EventLoops::~EventLoops() {
    stop();
    join();
}

Executor EventLoops::at(std::size_t index) const {
    return loops_[index]->get_executor();
}

Executor EventLoops::next() {
    return at(next_.fetch_add(1) % loops_.size());
}

void EventLoops::start() {
    SKY_ASSERT(threads_.empty());
    for (std::size_t i = 0; i < loops_.size(); ++i) {
        threads_.emplace_back([this, i] { loops_[i]->run(); });
        pthread_setname_np(threads_.back().native_handle(), ("loop-" + std::to_string(i)).c_str());
    }
}

void EventLoops::join() {
    for (auto& guard : guards_)
        guard.reset();
    for (auto& thread : threads_) {
        if (thread.joinable()) thread.join();
    }
    threads_.clear();
}

void EventLoops::stop() {
    for (auto& loop : loops_)
        loop->stop();
}

}  // namespace skywire::net
