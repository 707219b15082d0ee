#pragma once

#include "base/clock.hpp"
#include "cxo/message.hpp"

#include <cstdint>
#include <variant>
#include <vector>

namespace skywire::cxo::detail {

/// A request of ours that was said.
struct Request {
    Type type = Type::ping;
    /// The feed of a Sub, the object of a RequestObject.
    std::variant<std::monostate, crypto::PublicKey, Hash> about;
    SteadyTime at{};
};

/// Requests without an answer, in the order in which they were said, by the numbers of their
/// frames. Answers come in about that order, so that these are a list with a few holes: of a new
/// copy thousands wait at a time. Without memory when empty.
class Requests {
 public:
    /// Each number is behind those before it, by less than 2^32 in all.
    void add(std::uint32_t seq, const Request& request);
    /// Null: none, or answered. Valid until `add` and `erase`.
    const Request* find(std::uint32_t seq) const noexcept;
    /// One that `find` has found.
    void erase(std::uint32_t seq);

    bool empty() const noexcept { return waiting_ == 0; }
    const Request& oldest() const noexcept { return slots_[first_].request; }
    /// Takes it out.
    Request pop();
    std::size_t memory() const noexcept { return slots_.capacity() * sizeof(Slot); }

 private:
    struct Slot {
        Request request;
        std::uint32_t seq = 0;
        bool waits = true;
    };

    /// The slot of that number, or one behind the last.
    std::size_t place_of(std::uint32_t seq) const noexcept;
    void remove(std::size_t place);

    std::vector<Slot> slots_;
    /// The oldest one that waits.
    std::size_t first_ = 0;
    std::size_t waiting_ = 0;
};

}  // namespace skywire::cxo::detail
