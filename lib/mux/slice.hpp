#pragma once

#include "base/bytes.hpp"

#include <atomic>
#include <cstddef>
#include <deque>
#include <span>
#include <utility>
#include <vector>

/// Bytes on their way through a multiplexer: read once from a socket, written once to another, and
/// in between only referred to.
namespace skywire::mux {

/// What one read of a socket may bring.
inline constexpr std::size_t kChunkBytes = 64 * 1024;

class Slice;

/// Memory that is being filled; slices of it share it and free it with the last of them.
/// References may be dropped on any thread.
class Chunk {
 public:
    explicit Chunk(std::size_t capacity = kChunkBytes);
    ~Chunk();
    Chunk(Chunk&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
    Chunk& operator=(Chunk&&) = delete;

    std::span<std::byte> bytes() noexcept;
    /// A part of it; the part must not be written to any more.
    Slice slice(std::size_t offset, std::size_t size) const;

    struct Block;

 private:
    Block* block_;
};

/// A shared view into a chunk.
class Slice {
 public:
    Slice() = default;
    ~Slice();
    Slice(const Slice& other) noexcept;
    Slice(Slice&& other) noexcept;
    Slice& operator=(Slice other) noexcept;

    /// In a chunk of its own of just that size.
    static Slice copy_of(ByteSpan bytes);

    ByteSpan bytes() const noexcept { return bytes_; }
    std::size_t size() const noexcept { return bytes_.size(); }
    bool empty() const noexcept { return bytes_.empty(); }
    /// The size of the memory that this slice keeps alive.
    std::size_t chunk_size() const noexcept;

    void remove_prefix(std::size_t count) noexcept { bytes_ = bytes_.subspan(count); }
    Slice first(std::size_t count) const;

 private:
    friend class Chunk;
    Slice(Chunk::Block* block, ByteSpan bytes) noexcept;

    Chunk::Block* block_ = nullptr;
    ByteSpan bytes_;
};

/// A queue of bytes in slices. Small pieces are copied together, so that what is queued never
/// keeps more than about twice its size alive; large ones are kept as they are. Empty, it owns no
/// memory.
class ByteQueue {
 public:
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

    void append(ByteSpan copied);
    void append(Slice slice);
    /// Takes over everything of `other`.
    void append(ByteQueue&& other);

    /// Takes at most `count` bytes off the front, as another queue; slices are cut, not copied.
    ByteQueue take(std::size_t count);
    /// Copies at most into.size() bytes off the front; how many.
    std::size_t read(std::span<std::byte> into) noexcept;
    void remove_prefix(std::size_t count) noexcept;
    void clear() noexcept;

    /// The bytes at the front that lie together.
    ByteSpan front() const noexcept;
    /// Adds the pieces in order to `into`, at most `count_max` of them.
    void gather(std::vector<ByteSpan>& into, std::size_t count_max) const;

 private:
    std::deque<Slice> slices_;
    std::size_t size_ = 0;
};

}  // namespace skywire::mux
