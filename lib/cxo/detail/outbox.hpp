#pragma once

#include "cxo/announcement.hpp"
#include "cxo/message.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// What a link has to say: short notes of it that wait, and the parts that are being written.
namespace skywire::cxo::detail {

/// What a note becomes once there is room for it.
enum class Say : std::uint8_t {
    syn,
    ack,
    /// A feed says that it answers a Sub: the first Root's time runs from when it is written.
    ok,
    /// With the text.
    err,
    request_list,
    list,
    subscribe,
    unsubscribe,
    request_object,
    /// With the object, for as long as it is there for other reasons: a peer that reads nothing
    /// keeps nothing alive. Nothing: the registry.
    object,
    /// The newest version of a feed at the time when its turn comes, objects ahead of it.
    newest_root,
    /// The version that a feed, which was asked for, has when its turn comes.
    preview,
    peers,
};

struct Note {
    Say say = Say::err;
    /// The request that it answers.
    std::uint32_t rseq = 0;
    std::variant<
        std::monostate,
        std::weak_ptr<const Object>,
        /// While they are being written.
        ObjectPtr,
        AnnouncementPtr,
        crypto::PublicKey,
        Hash,
        std::string>
        about;
};

/// An Err; the text is cut to what a peer may want to read.
Note text_note(std::uint32_t rseq, std::string_view text);

/// First in, first out, without memory when empty.
class Notes {
 public:
    bool empty() const noexcept { return head_ == notes_.size(); }
    std::size_t size() const noexcept { return notes_.size() - head_; }
    void push(Note note);
    Note& front() noexcept { return notes_[head_]; }
    Note pop();
    void clear();
    /// Takes out the note of the newest Root of a feed.
    void forget_root(const crypto::PublicKey& feed);
    std::size_t memory() const noexcept { return notes_.capacity() * sizeof(Note); }

 private:
    std::vector<Note> notes_;
    std::size_t head_ = 0;
};

/// Parts of frames to be written together: heads and short bodies in one buffer, long bodies where
/// they are. Whoever adds a view keeps what it views.
class Batch {
 public:
    static constexpr std::size_t kBytesMax = std::size_t{256} << 10;
    static constexpr std::size_t kPartsMax = 128;
    static constexpr std::size_t kShortMax = 16 << 10;
    static constexpr std::size_t kShortFirst = 1 << 10;
    /// A body up to this is copied: less work than a part of its own.
    static constexpr std::size_t kInline = 256;

    bool empty() const noexcept { return bytes_ == 0; }
    /// For one frame more; none is added once parts were given out.
    bool has_room() const noexcept;
    /// `prefix` is short (a count in front of the body).
    void add(const std::array<std::byte, kFrameHead>& head, ByteSpan prefix, ByteSpan body);
    /// Ends adding: the next parts in order, less than twice kBytesMax together, a longer one cut.
    /// The same ones until `advance`, nothing once all were given out.
    std::span<const ByteSpan> parts();
    /// Past what `parts` gave out; false: that was all.
    bool advance();
    void clear();

    std::size_t memory() const noexcept;

 private:
    /// So much lies together from here on.
    void reserve_short(std::size_t size);
    void add_short(ByteSpan bytes);

    /// Each stays where it is, since `parts_` views it, and is larger than the one before: what is
    /// written mostly fits into the first, and a peer that is slow to take it costs no more.
    std::vector<Bytes> short_;
    std::size_t short_bytes_ = 0;
    std::size_t bytes_ = 0;
    std::vector<ByteSpan> parts_;
    /// Of these, given out now; so many before, and so much of the next.
    std::vector<ByteSpan> turn_;
    std::size_t next_ = 0;
    std::size_t offset_ = 0;
    /// The last part is the end of the last of `short_`.
    bool open_ = false;
};

}  // namespace skywire::cxo::detail
