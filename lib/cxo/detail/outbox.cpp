#include "cxo/detail/outbox.hpp"

#include "base/assert.hpp"

#include <algorithm>

namespace skywire::cxo::detail {

Note text_note(std::uint32_t rseq, std::string_view text) {
    constexpr std::size_t kTextMax = 256;
    return {Say::err, rseq, std::string(text.substr(0, kTextMax))};
}

void Notes::push(Note note) {
    // What was said already makes room for what waits.
    if (notes_.size() == notes_.capacity() && head_ > notes_.size() / 2) {
        notes_.erase(notes_.begin(), notes_.begin() + static_cast<std::ptrdiff_t>(head_));
        head_ = 0;
    }
    notes_.push_back(std::move(note));
}

Note Notes::pop() {
    Note note = std::move(notes_[head_++]);
    if (empty()) clear();
    return note;
}

// With the memory: an idle connection keeps none.
void Notes::clear() {
    notes_ = std::vector<Note>();
    head_ = 0;
}

void Notes::forget_root(const crypto::PublicKey& feed) {
    const auto from = notes_.begin() + static_cast<std::ptrdiff_t>(head_);
    const auto end = std::remove_if(from, notes_.end(), [&](const Note& note) {
        return note.say == Say::newest_root && std::get<crypto::PublicKey>(note.about) == feed;
    });
    notes_.erase(end, notes_.end());
    if (empty()) clear();
}

bool Batch::has_room() const noexcept {
    return bytes_ < kBytesMax && parts_.size() + 2 <= kPartsMax &&
           short_bytes_ + kFrameHead + sizeof(std::uint32_t) + kInline <= kShortMax;
}

void Batch::add(const std::array<std::byte, kFrameHead>& head, ByteSpan prefix, ByteSpan body) {
    const bool is_short = body.size() <= kInline;
    reserve_short(head.size() + prefix.size() + (is_short ? body.size() : 0));
    add_short(head);
    add_short(prefix);
    if (is_short) {
        add_short(body);
    } else {
        parts_.push_back(body);
        open_ = false;
    }
    bytes_ += head.size() + prefix.size() + body.size();
}

void Batch::reserve_short(std::size_t size) {
    const std::size_t last = short_.empty() ? 0 : short_.back().capacity();
    if (last > 0 && size <= last - short_.back().size()) return;
    short_.emplace_back().reserve(std::max({size, kShortFirst, std::min(2 * last, kShortMax / 2)}));
    open_ = false;
}

void Batch::add_short(ByteSpan bytes) {
    if (bytes.empty()) return;
    Bytes& into = short_.back();
    SKY_ASSERT(into.size() + bytes.size() <= into.capacity());
    const std::byte* const at = into.data() + into.size();
    into.insert(into.end(), bytes.begin(), bytes.end());
    short_bytes_ += bytes.size();
    if (open_) {
        parts_.back() = ByteSpan(parts_.back().data(), parts_.back().size() + bytes.size());
    } else {
        parts_.emplace_back(at, bytes.size());
        open_ = true;
    }
}

std::span<const ByteSpan> Batch::parts() {
    if (!turn_.empty()) return turn_;
    for (std::size_t given = 0; next_ < parts_.size() && given < kBytesMax;) {
        const ByteSpan rest = parts_[next_].subspan(offset_);
        const ByteSpan piece = rest.first(std::min(rest.size(), kBytesMax));
        turn_.push_back(piece);
        given += piece.size();
        offset_ = piece.size() < rest.size() ? offset_ + piece.size() : 0;
        if (offset_ == 0) ++next_;
    }
    return turn_;
}

bool Batch::advance() {
    turn_.clear();
    return next_ < parts_.size();
}

void Batch::clear() {
    short_ = std::vector<Bytes>();
    short_bytes_ = 0;
    parts_ = std::vector<ByteSpan>();
    turn_ = std::vector<ByteSpan>();
    next_ = 0;
    offset_ = 0;
    bytes_ = 0;
    open_ = false;
}

std::size_t Batch::memory() const noexcept {
    std::size_t bytes = short_.capacity() * sizeof(Bytes) +
                        (parts_.capacity() + turn_.capacity()) * sizeof(ByteSpan);
    for (const Bytes& each : short_)
        bytes += each.capacity();
    return bytes;
}

}  // namespace skywire::cxo::detail
