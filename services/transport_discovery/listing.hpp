#pragma once

#include "transport/entry.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

/// The text of the whole list, kept in slabs: a change makes one slab's text anew when it is next
/// read, instead of the 11 MB that 50,000 transports are. Rendering a full slab takes about 0.2 ms.
namespace skywire::tpd {

class Listing {
 public:
    /// Which entries a list has.
    enum class Kind { all, without_self };
    static constexpr std::size_t kKinds = 2;
    static constexpr std::size_t kSlabEntries = 512;

    struct Place {
        std::uint32_t slab = 0;
        std::uint32_t slot = 0;
    };

    /// A slab's entries, each followed by a comma but for the last; empty where there are none.
    using Text = std::shared_ptr<const std::string>;

    /// A slab's text as a piece of a gzip stream: raw deflate blocks that end at a byte, and the
    /// check sum of the text.
    struct Packed {
        /// The text that was compressed: whether the slab has changed since.
        Text of;
        std::string deflated;
        std::uint32_t crc = 0;
    };

    /// `entry` stays where it is until `remove`.
    Place add(const transport::Entry& entry);
    void remove(Place place);
    /// The entry's text has changed.
    void touch(Place place);

    /// Slabs are never taken away; a reader that has seen n of them reads on at n.
    std::size_t slabs() const noexcept { return slabs_.size(); }
    Text text(std::size_t slab, Kind kind);
    /// The entries of a slab, some null; valid until the next change.
    const std::vector<const transport::Entry*>& entries(std::size_t slab) const {
        return slabs_[slab].entries;
    }

    /// Compressed earlier, null where it is not or no longer that of `text`.
    std::shared_ptr<const Packed> packed(std::size_t slab, Kind kind, const Text& text) const;
    void keep(std::size_t slab, Kind kind, std::shared_ptr<const Packed> packed);

 private:
    struct Slab {
        std::vector<const transport::Entry*> entries;
        std::array<Text, kKinds> texts;
        std::array<std::shared_ptr<const Packed>, kKinds> packed;
    };

    std::vector<Slab> slabs_;
    std::vector<Place> free_;
};

}  // namespace skywire::tpd
