#include "cxo/detail/requests.hpp"

#include "base/assert.hpp"

#include <algorithm>

namespace skywire::cxo::detail {
namespace {

/// Holes that are not worth moving the rest for.
constexpr std::size_t kHoles = 16;

}  // namespace

void Requests::add(std::uint32_t seq, const Request& request) {
    // Holes make room first; so many at once that each is paid for by its answer.
    if (slots_.size() == slots_.capacity() && slots_.size() - waiting_ > slots_.size() / 2) {
        std::erase_if(slots_, [](const Slot& slot) { return !slot.waits; });
        first_ = 0;
    }
    slots_.push_back({request, seq});
    ++waiting_;
}

std::size_t Requests::place_of(std::uint32_t seq) const noexcept {
    if (first_ < slots_.size() && slots_[first_].seq == seq) return first_;
    const auto from = slots_.begin() + static_cast<std::ptrdiff_t>(first_);
    // Numbers go round: what counts is how far behind the first one they are.
    const std::uint32_t base = from == slots_.end() ? 0 : from->seq;
    const auto found = std::ranges::lower_bound(
        from, slots_.end(), seq - base, {}, [base](const Slot& slot) { return slot.seq - base; }
    );
    const bool is_it = found != slots_.end() && found->seq == seq && found->waits;
    return static_cast<std::size_t>((is_it ? found : slots_.end()) - slots_.begin());
}

const Request* Requests::find(std::uint32_t seq) const noexcept {
    const std::size_t place = place_of(seq);
    return place == slots_.size() ? nullptr : &slots_[place].request;
}

void Requests::erase(std::uint32_t seq) {
    remove(place_of(seq));
}

Request Requests::pop() {
    const Request request = oldest();
    remove(first_);
    return request;
}

void Requests::remove(std::size_t place) {
    SKY_ASSERT(place < slots_.size() && slots_[place].waits);
    slots_[place].waits = false;
    if (--waiting_ == 0) {
        slots_ = std::vector<Slot>();
        first_ = 0;
        return;
    }
    while (!slots_[first_].waits)
        ++first_;
    // Who answers all but the oldest leaves holes behind it.
    if (slots_.size() - first_ <= 2 * waiting_ + kHoles) return;
    std::erase_if(slots_, [](const Slot& slot) { return !slot.waits; });
    first_ = 0;
}

}  // namespace skywire::cxo::detail
