#pragma once

#include "cxo/message.hpp"
#include "cxo/tree.hpp"

#include <memory>
#include <vector>

namespace skywire::cxo {

inline constexpr std::size_t kMadeMax = std::size_t{1} << 20;

/// A version of a feed as it is told to subscribers: the Root, signed and encoded once for all of
/// them, the tree, which lives as long as somebody may ask for its objects, and the objects that
/// are new in it, which go ahead of the Root to who is up to date (section 6 rule 11).
struct Announcement {
    SignedRoot root;
    /// Type and body of the Root message.
    Bytes message;
    Tree tree;
    /// Empty where they are more than kMadeMax bytes: nobody sends so much ahead.
    std::vector<ObjectPtr> made;
    /// Sum of the bytes of `made`.
    std::size_t made_bytes = 0;
};

using AnnouncementPtr = std::shared_ptr<const Announcement>;

}  // namespace skywire::cxo
