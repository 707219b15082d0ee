#include "mux/slice.hpp"

#include "base/assert.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

namespace skywire::mux {

struct alignas(16) Chunk::Block {
    std::atomic<std::uint32_t> references{1};
    std::uint32_t capacity = 0;

    std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
};

namespace {

using Block = Chunk::Block;

/// Smaller pieces are cheaper to copy than to refer to (an atomic count, a part of a gathered
/// write).
constexpr std::size_t kCopiedMax = 512;
constexpr std::size_t kTailMin = 240;
constexpr std::size_t kTailMax = 16 * 1024;
/// What a queue may keep alive beyond twice its bytes before it compacts itself.
constexpr std::size_t kSlack = 4 * kChunkBytes;

#if __has_feature(address_sanitizer)
// A use after free must be seen.
constexpr std::size_t kKeptByThread = 0;
constexpr std::size_t kKeptByAll = 0;
#else
constexpr std::size_t kKeptByThread = 8;
constexpr std::size_t kKeptByAll = 32;
#endif

/// Free blocks that their threads had no room for. Where one loop fills chunks and another one
/// empties them (a relay between loops), the freed block goes back to be filled while it is still
/// in the processor's cache: without this a relayed GB costs 0.1 s more. Never destroyed.
class SharedCache {
 public:
    Block* take() noexcept {
        const std::lock_guard lock(mutex_);
        return count_ > 0 ? blocks_[--count_] : nullptr;
    }

    bool keep(Block* block) noexcept {
        const std::lock_guard lock(mutex_);
        if (count_ == blocks_.size()) return false;
        blocks_[count_++] = block;
        return true;
    }

 private:
    std::mutex mutex_;
    std::array<Block*, kKeptByAll> blocks_{};
    std::size_t count_ = 0;
};

constinit SharedCache shared_cache;

/// Free blocks of this thread. A chunk given back to malloc is often given back to the kernel, and
/// touching it again costs 16 page faults.
class Cache {
 public:
    ~Cache() {
        while (count_ > 0)
            std::free(blocks_[--count_]);
        // Slices may outlive it in other thread-local or static objects.
        closed_ = true;
    }

    Block* take() noexcept { return count_ > 0 ? blocks_[--count_] : shared_cache.take(); }

    bool keep(Block* block) noexcept {
        if (closed_) return false;
        if (count_ == blocks_.size()) return shared_cache.keep(block);
        blocks_[count_++] = block;
        return true;
    }

 private:
    std::array<Block*, kKeptByThread> blocks_;
    std::size_t count_ = 0;
    bool closed_ = false;
};

thread_local Cache cache;

Block* allocate(std::size_t capacity) {
    SKY_ASSERT(capacity <= UINT32_MAX);
    if (capacity == kChunkBytes) {
        if (Block* const block = cache.take()) {
            block->references.store(1, std::memory_order_relaxed);
            return block;
        }
    }
    void* const memory = std::malloc(sizeof(Block) + capacity);
    if (memory == nullptr) throw std::bad_alloc();
    Block* const block = new (memory) Block;
    block->capacity = static_cast<std::uint32_t>(capacity);
    return block;
}

void add_reference(Block* block) noexcept {
    if (block != nullptr) block->references.fetch_add(1, std::memory_order_relaxed);
}

void drop_reference(Block* block) noexcept {
    if (block == nullptr) return;
    if (block->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    if (block->capacity == kChunkBytes && cache.keep(block)) return;
    std::free(block);
}

}  // namespace

Chunk::Chunk(std::size_t capacity) : block_(allocate(capacity)) {}

Chunk::~Chunk() {
    drop_reference(block_);
}

std::span<std::byte> Chunk::bytes() noexcept {
    return {block_->data(), block_->capacity};
}

Slice Chunk::slice(std::size_t offset, std::size_t size) const {
    SKY_ASSERT(offset <= block_->capacity && size <= block_->capacity - offset);
    add_reference(block_);
    return {block_, ByteSpan(block_->data() + offset, size)};
}

bool Chunk::unique() const noexcept {
    return block_->references.load(std::memory_order_acquire) == 1;
}

Slice::Slice(Chunk::Block* block, ByteSpan bytes) noexcept : block_(block), bytes_(bytes) {}

Slice::~Slice() {
    drop_reference(block_);
}

Slice::Slice(const Slice& other) noexcept : block_(other.block_), bytes_(other.bytes_) {
    add_reference(block_);
}

Slice::Slice(Slice&& other) noexcept
    : block_(std::exchange(other.block_, nullptr)), bytes_(std::exchange(other.bytes_, {})) {}

Slice& Slice::operator=(Slice other) noexcept {
    std::swap(block_, other.block_);
    std::swap(bytes_, other.bytes_);
    return *this;
}

Slice Slice::copy_of(ByteSpan bytes) {
    Chunk chunk(bytes.size());
    if (!bytes.empty()) std::memcpy(chunk.bytes().data(), bytes.data(), bytes.size());
    return chunk.slice(0, bytes.size());
}

std::size_t Slice::chunk_size() const noexcept {
    return block_ == nullptr ? 0 : block_->capacity;
}

Slice Slice::first(std::size_t count) const {
    SKY_ASSERT(count <= bytes_.size());
    Slice part(*this);
    part.bytes_ = part.bytes_.first(count);
    return part;
}

ByteQueue::ByteQueue(const ByteQueue& other) {
    // The tail stays the other's own.
    pieces_.assign(
        other.pieces_.begin() + static_cast<std::ptrdiff_t>(other.first_), other.pieces_.end()
    );
    size_ = other.size_;
    pinned_ = other.pinned_;
}

ByteQueue::ByteQueue(ByteQueue&& other) noexcept
    : pieces_(std::exchange(other.pieces_, {})),
      first_(std::exchange(other.first_, 0)),
      size_(std::exchange(other.size_, 0)),
      pinned_(std::exchange(other.pinned_, 0)),
      tail_(std::exchange(other.tail_, {})),
      tail_used_(std::exchange(other.tail_used_, 0)) {}

ByteQueue& ByteQueue::operator=(ByteQueue other) noexcept {
    std::swap(pieces_, other.pieces_);
    std::swap(first_, other.first_);
    std::swap(size_, other.size_);
    std::swap(pinned_, other.pinned_);
    std::swap(tail_, other.tail_);
    std::swap(tail_used_, other.tail_used_);
    return *this;
}

void ByteQueue::add(Slice slice, std::size_t charge) {
    if (first_ > 16 && first_ * 2 > pieces_.size()) {
        pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(first_));
        first_ = 0;
    }
    if (pieces_.capacity() == 0) pieces_.reserve(4);
    size_ += slice.size();
    pinned_ += charge;
    pieces_.push_back({std::move(slice), charge});
}

ByteQueue::Piece ByteQueue::pop() {
    Piece piece = std::move(pieces_[first_]);
    ++first_;
    size_ -= piece.slice.size();
    const bool shared = count() > 0 && pieces_[first_].charge == 0 &&
                        pieces_[first_].slice.block_ == piece.slice.block_;
    if (shared) {
        pieces_[first_].charge = piece.charge;
        piece.charge = 0;
    } else {
        pinned_ -= piece.charge;
    }
    if (size_ == 0) release();
    return piece;
}

void ByteQueue::release() noexcept {
    std::vector<Piece>().swap(pieces_);
    first_ = 0;
    size_ = 0;
    pinned_ = 0;
    tail_ = {};
    tail_used_ = 0;
}

void ByteQueue::start_tail(std::size_t capacity) {
    Chunk chunk(capacity);
    tail_ = chunk.slice(0, capacity);
    tail_used_ = 0;
}

void ByteQueue::append(ByteSpan copied) {
    while (!copied.empty()) {
        if (tail_used_ == tail_.size()) {
            // Grows with what was copied before, so that the unused end stays in proportion.
            const std::size_t grown = std::clamp(2 * tail_.size(), kTailMin, kTailMax);
            start_tail(copied.size() > kTailMax ? kChunkBytes : std::max(copied.size(), grown));
        }
        const std::size_t size = std::min(copied.size(), tail_.size() - tail_used_);
        // This queue alone knows what lies behind tail_used_.
        std::memcpy(tail_.block_->data() + tail_used_, copied.data(), size);
        const ByteSpan bytes = tail_.bytes().subspan(tail_used_, size);
        tail_used_ += size;
        copied = copied.subspan(size);
        if (count() > 0) {
            Piece& last = pieces_.back();
            const ByteSpan before = last.slice.bytes();
            if (last.slice.block_ == tail_.block_ &&
                before.data() + before.size() == bytes.data()) {
                last.slice.bytes_ = {before.data(), before.size() + size};
                last.charge += size;
                size_ += size;
                pinned_ += size;
                continue;
            }
        }
        add_reference(tail_.block_);
        add(Slice(tail_.block_, bytes), size);
    }
}

void ByteQueue::append(Slice slice) {
    if (slice.empty()) return;
    if (slice.size() <= kCopiedMax && slice.size() * 2 < slice.chunk_size()) {
        append(slice.bytes());
        return;
    }
    std::size_t charge = slice.chunk_size();
    if (count() > 0) {
        Piece& last = pieces_.back();
        if (last.slice.block_ == slice.block_) {
            const ByteSpan before = last.slice.bytes();
            if (before.data() + before.size() == slice.bytes().data()) {
                last.slice.bytes_ = {before.data(), before.size() + slice.size()};
                size_ += slice.size();
                return;
            }
            charge = 0;
        }
    }
    add(std::move(slice), charge);
    if (pinned_ > 2 * size_ + kSlack) compact();
}

void ByteQueue::append(ByteQueue&& other) {
    if (empty()) {
        *this = std::move(other);
        return;
    }
    for (std::size_t i = other.first_; i < other.pieces_.size(); ++i)
        append(std::move(other.pieces_[i].slice));
    other.release();
}

ByteQueue ByteQueue::take(std::size_t count) {
    if (count >= size_) return std::exchange(*this, {});
    ByteQueue taken;
    while (count > 0) {
        Slice& slice = pieces_[first_].slice;
        if (slice.size() > count) {
            taken.add(slice.first(count), slice.chunk_size());
            remove_prefix(count);
            break;
        }
        count -= slice.size();
        Piece piece = pop();
        taken.append(std::move(piece.slice));
    }
    return taken;
}

ByteQueue ByteQueue::take_pieces(std::size_t count_max) {
    if (count_max >= count()) return std::exchange(*this, {});
    ByteQueue taken;
    taken.pieces_.reserve(count_max);
    const Block* before = nullptr;
    for (std::size_t i = 0; i < count_max; ++i) {
        Slice slice = pop().slice;
        const std::size_t charge = slice.block_ == before ? 0 : slice.chunk_size();
        before = slice.block_;
        taken.add(std::move(slice), charge);
    }
    return taken;
}

std::size_t ByteQueue::read(std::span<std::byte> into) noexcept {
    std::size_t done = 0;
    while (done < into.size() && size_ > 0) {
        const ByteSpan bytes = front();
        const std::size_t size = std::min(bytes.size(), into.size() - done);
        std::memcpy(into.data() + done, bytes.data(), size);
        done += size;
        remove_prefix(size);
    }
    return done;
}

void ByteQueue::remove_prefix(std::size_t count) noexcept {
    SKY_ASSERT(count <= size_);
    while (count > 0) {
        Slice& slice = pieces_[first_].slice;
        if (slice.size() > count) {
            slice.remove_prefix(count);
            size_ -= count;
            return;
        }
        count -= slice.size();
        pop();
    }
}

void ByteQueue::clear() noexcept {
    release();
}

void ByteQueue::compact() {
    if (pinned_ <= 2 * size_ + kTailMin) return;
    // A run: neighbours of one chunk. It stays where it uses half of its chunk.
    struct Run {
        std::size_t end = 0;
        std::size_t bytes = 0;
        bool stays = false;
    };
    std::vector<Run> runs;
    std::size_t copied = 0;
    for (std::size_t i = first_; i < pieces_.size();) {
        Run run{i, 0, false};
        const Block* const block = pieces_[i].slice.block_;
        while (run.end < pieces_.size() && pieces_[run.end].slice.block_ == block)
            run.bytes += pieces_[run.end++].slice.size();
        run.stays = run.bytes * 2 >= block->capacity;
        if (!run.stays) copied += run.bytes;
        i = run.end;
        runs.push_back(run);
    }
    ByteQueue smaller;
    if (copied > 0) smaller.start_tail(std::min(copied, kChunkBytes));
    std::size_t at = first_;
    for (const Run& run : runs) {
        std::size_t charge = run.stays ? pieces_[at].slice.chunk_size() : 0;
        for (; at < run.end; ++at) {
            if (run.stays) {
                smaller.add(std::move(pieces_[at].slice), std::exchange(charge, 0));
            } else {
                smaller.append(pieces_[at].slice.bytes());
            }
        }
    }
    *this = std::move(smaller);
}

ByteSpan ByteQueue::front() const noexcept {
    return count() == 0 ? ByteSpan() : pieces_[first_].slice.bytes();
}

void ByteQueue::gather(std::vector<ByteSpan>& into, std::size_t count_max) const {
    for (std::size_t i = first_; i < pieces_.size() && count_max > 0; ++i, --count_max)
        into.push_back(pieces_[i].slice.bytes());
}

std::size_t ByteQueue::gather(std::span<ByteSpan> into) const noexcept {
    const std::size_t size = std::min(into.size(), count());
    for (std::size_t i = 0; i < size; ++i)
        into[i] = pieces_[first_ + i].slice.bytes();
    return size;
}

}  // namespace skywire::mux
