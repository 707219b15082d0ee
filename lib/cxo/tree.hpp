#pragma once

#include "cxo/object.hpp"

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::cxo {

/// Segments of a path, of ours at least.
inline constexpr std::size_t kSegmentsMax = 64;

/// What happens at one path: a value, or nothing any more.
struct Change {
    /// Segments joined by '/', none of them empty.
    std::string path;
    std::optional<Bytes> value;
};

/// One version of a feed's content: an ordered map from paths to leaves, and at the same time the
/// objects that say it on the wire. A value: copies share all objects, a changed copy shares what
/// did not change. Directories that become empty are gone; an empty leaf says "absent" on the wire
/// and is refused here.
class Tree {
 public:
    /// Empty. The index outlives all trees made from it.
    explicit Tree(ObjectIndex& index);
    /// Of a directory object that is complete.
    Tree(ObjectIndex& index, ObjectPtr root);

    const ObjectPtr& root() const noexcept { return root_; }
    const Hash& hash() const noexcept { return root_->hash(); }
    bool empty() const noexcept { return root_->children().empty(); }

    /// The leaf; lives as long as some tree that has it. Nothing for a directory.
    std::optional<ByteSpan> get(std::string_view path) const;

    /// Leaves at or below the path of a directory (or the leaf there), in order; "" is all. A
    /// trailing '/' is tolerated. The visitor ends it with false.
    /// The order of paths is that of their segments, as bytes: "a", "a/b", "a-b".
    using Visit = std::function<bool(std::string_view path, ByteSpan leaf)>;
    void walk(std::string_view prefix, const Visit& visit) const;

    /// Leaves, and the sum of their bytes.
    std::size_t count() const noexcept { return root_->leaves(); }
    std::size_t leaf_bytes() const noexcept { return root_->leaf_bytes(); }

    /// Applies all changes at once, later ones of a path over earlier ones, or none. A new value
    /// costs the objects on its path; a name that comes or goes costs the list behind it too
    /// (section 12). A removal of what is not there changes nothing.
    /// errc::malformed for a bad path (an empty segment, one above kNameMax, more than
    /// kSegmentsMax), errc::out_of_range for a leaf that is empty or above kLeafMax,
    /// errc::wrong_state where a leaf would be a directory too.
    struct Applied;
    Result<Applied> apply(std::vector<Change> changes) const;

    /// All leaves at or below `path` removed; "" is all. errc::malformed for a bad path.
    Result<Applied> remove_below(std::string_view path) const;

 private:
    ObjectIndex* index_;
    ObjectPtr root_;
};

struct Tree::Applied {
    Tree tree;
    /// The objects that the new tree has and the old one had not (or had elsewhere), parents
    /// before children.
    std::vector<ObjectPtr> made;
};

/// What leads from one tree to another, in order of paths; equal parts cost nothing. Values are
/// views into the trees. No value: the path is gone.
struct Difference {
    std::string path;
    std::optional<ByteSpan> value;
};
std::vector<Difference> difference(
    const Tree& before, const Tree& after, std::string_view prefix = {}
);

/// True where `path` is `prefix` or lies below it, by whole segments; "" has all below it.
bool is_below(std::string_view path, std::string_view prefix) noexcept;

}  // namespace skywire::cxo
