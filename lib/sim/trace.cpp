#include "sim/trace.hpp"

#include <iterator>

#include <fmt/format.h>

namespace skywire::sim {
namespace {

// FNV-1a.
constexpr std::uint64_t kPrime = 0x100000001b3;

void mix(std::uint64_t& digest, std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8)
        digest = (digest ^ ((value >> shift) & 0xff)) * kPrime;
}

void mix(std::uint64_t& digest, std::string_view text) {
    for (const char c : text)
        digest = (digest ^ static_cast<unsigned char>(c)) * kPrime;
    mix(digest, text.size());
}

}  // namespace

void Trace::add(Event event) {
    mix(digest_, static_cast<std::uint64_t>(event.at.count()));
    mix(digest_, event.what);
    mix(digest_, event.from);
    mix(digest_, event.to);
    mix(digest_, event.number);
    mix(digest_, event.bytes);
    mix(digest_, event.text);
    ++count_;
    events_.push_back(std::move(event));
    if (events_.size() > events_max_) events_.pop_front();
}

std::string Trace::to_string(std::size_t lines_max) const {
    std::string out;
    auto to = std::back_inserter(out);
    const std::size_t shown = std::min(lines_max, events_.size());
    if (count_ > shown) fmt::format_to(to, "({} earlier events)\n", count_ - shown);
    for (std::size_t i = events_.size() - shown; i < events_.size(); ++i) {
        const Event& event = events_[i];
        fmt::format_to(
            to,
            "{:4}.{:09} {}",
            event.at.count() / 1'000'000'000,
            event.at.count() % 1'000'000'000,
            event.from
        );
        if (!event.to.empty()) fmt::format_to(to, " -> {}", event.to);
        if (event.number != 0) fmt::format_to(to, " #{}", event.number);
        fmt::format_to(to, " {}", event.what);
        if (event.bytes != 0) fmt::format_to(to, " {} bytes", event.bytes);
        if (!event.text.empty()) fmt::format_to(to, " {}", event.text);
        out += '\n';
    }
    return out;
}

}  // namespace skywire::sim
