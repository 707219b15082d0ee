#pragma once

#include "base/bytes.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

/// Bytes on their way through a multiplexer: read once from a socket, written once to another, and
/// in between only referred to.
namespace skywire::mux {

/// What one read of a socket may bring. Not a multiple of a page: where source and destination of a
/// copy lie a few bytes apart within their pages, some processors copy at a fifteenth of their
/// speed, and a stream in chunks of whole pages that begins so goes on so. With its malloc header a
/// chunk is just below 64 KiB.
inline constexpr std::size_t kChunkBytes = 64 * 1024 - 64;

class Slice;

/// Memory that is being filled; slices of it share it and free it with the last of them.
/// References may be dropped on any thread. Not initialised; each thread keeps a few free chunks of
/// kChunkBytes for its next ones.
class Chunk {
 public:
    explicit Chunk(std::size_t capacity = kChunkBytes);
    ~Chunk();
    Chunk(Chunk&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
    Chunk& operator=(Chunk&&) = delete;

    std::span<std::byte> bytes() noexcept;
    /// A part of it; the part must not be written to any more.
    Slice slice(std::size_t offset, std::size_t size) const;
    /// No slice of it is left: all of it may be written to again.
    bool unique() const noexcept;

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
    friend class ByteQueue;
    Slice(Chunk::Block* block, ByteSpan bytes) noexcept;

    Chunk::Block* block_ = nullptr;
    ByteSpan bytes_;
};

/// A queue of bytes in slices. Pieces of some hundred bytes are copied together, larger ones are
/// only referred to, so that what is forwarded at once is never copied. What is to stay for a while
/// is made small by `compact`; without it a queue may keep a few chunks more alive than that.
/// Empty, it owns no memory.
class ByteQueue {
 public:
    ByteQueue() = default;
    ~ByteQueue() = default;
    ByteQueue(const ByteQueue& other);
    ByteQueue(ByteQueue&& other) noexcept;
    ByteQueue& operator=(ByteQueue other) noexcept;

    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    /// The memory that its slices keep alive, shared or not.
    std::size_t pinned() const noexcept { return pinned_; }

    void append(ByteSpan copied);
    void append(Slice slice);
    /// Takes over everything of `other`.
    void append(ByteQueue&& other);

    /// Takes at most `count` bytes off the front, as another queue; slices are cut, not copied.
    ByteQueue take(std::size_t count);
    /// Takes at most `count_max` pieces off the front.
    ByteQueue take_pieces(std::size_t count_max);
    /// Copies at most into.size() bytes off the front; how many.
    std::size_t read(std::span<std::byte> into) noexcept;
    void remove_prefix(std::size_t count) noexcept;
    void clear() noexcept;

    /// Where more than about twice the bytes queued is kept alive, copies the pieces that are to
    /// blame. Costs nothing otherwise.
    void compact();

    /// The bytes at the front that lie together.
    ByteSpan front() const noexcept;
    /// Adds the pieces in order to `into`, at most `count_max` of them.
    void gather(std::vector<ByteSpan>& into, std::size_t count_max) const;
    /// The same into an array; how many.
    std::size_t gather(std::span<ByteSpan> into) const noexcept;

 private:
    struct Piece {
        Slice slice;
        /// Memory kept alive by this piece; 0 where the piece before it is of the same chunk.
        std::size_t charge = 0;
    };

    std::size_t count() const noexcept { return pieces_.size() - first_; }
    void add(Slice slice, std::size_t charge);
    /// Drops the piece at the front; what follows it in the same chunk takes over its charge.
    Piece pop();
    void start_tail(std::size_t capacity);
    void release() noexcept;

    /// Those before first_ are taken already.
    std::vector<Piece> pieces_;
    std::size_t first_ = 0;
    std::size_t size_ = 0;
    std::size_t pinned_ = 0;
    /// Where the next copied bytes go: memory of this queue alone behind tail_used_.
    Slice tail_;
    std::size_t tail_used_ = 0;
};

}  // namespace skywire::mux
