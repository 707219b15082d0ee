#pragma once

#include <cstddef>

namespace skywire {

/// Counts itself for as long as it lives: what is under way. `count` outlives it.
class Counted {
 public:
    explicit Counted(std::size_t& count) noexcept : count_(count) { ++count_; }
    ~Counted() { --count_; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

 private:
    std::size_t& count_;
};

}  // namespace skywire
