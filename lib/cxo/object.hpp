#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "crypto/hash.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

/// CXO: signed, content-addressed feeds, as protocol 3 has them. spec/cxo.md.
namespace skywire::cxo {

/// SHA-256 of an object's bytes: its name. All zero says "nothing".
using Hash = crypto::Digest;
inline constexpr Hash kNil{};

/// More is refused by the network's publishers, and by us wherever it comes from (section 6 rule
/// 9).
inline constexpr std::size_t kObjectMax = std::size_t{16} << 20;
/// What a publisher of ours takes as one leaf.
inline constexpr std::size_t kLeafMax = std::size_t{12} << 20;
inline constexpr std::size_t kNameMax = 1024;
/// What is kept beside the bytes of an object, about: many small ones cost more than they say.
inline constexpr std::size_t kBesideObject = 400;
/// Children of one node of a list (section 3.4). Readers take 2 to 1024.
inline constexpr std::uint32_t kDegree = 16;

/// What the bytes of an object are; they do not say it themselves.
enum class Kind : std::uint8_t {
    /// The hash of a list, or nil: a directory.
    node,
    /// The top of a list: depth, degree, length, children.
    list,
    /// A node inside a list: length, children.
    branch,
    /// One child of a directory: its name, and a directory or a leaf.
    entry,
};

class ObjectIndex;

/// An immutable object and those that it names, which live as long as it does. Made by ObjectIndex
/// alone. Two trees that hold equal parts share them.
class Object : public std::enable_shared_from_this<Object> {
    struct Table;
    struct Token {};

 public:
    Object(Token, Table& table, Kind kind, const Hash& hash, Bytes bytes);
    ~Object();
    Object(const Object&) = delete;
    Object& operator=(const Object&) = delete;

    const Hash& hash() const noexcept { return hash_; }
    Kind kind() const noexcept { return kind_; }
    ByteSpan bytes() const noexcept { return bytes_; }
    /// In the order of the bytes; none for an empty directory and for an entry with a leaf.
    const std::vector<std::shared_ptr<const Object>>& children() const noexcept {
        return children_;
    }

    /// Leaves at or below, each as often as it is reached: a directory may be named in many places,
    /// so that few objects can say more leaves than anybody has time for. Ends at the largest
    /// number.
    std::uint64_t leaves() const noexcept { return leaves_; }
    /// This object and those below, counted the same way: what it costs to hold them, at most.
    std::uint64_t objects() const noexcept { return objects_; }
    /// Bytes of these leaves, counted the same way.
    std::uint64_t leaf_bytes() const noexcept { return leaf_bytes_; }
    /// Bytes of the paths of these leaves, from here on, counted the same way: what it costs to
    /// name all of them. Names inside each other make this grow faster than anything on the wire.
    std::uint64_t path_bytes() const noexcept { return path_bytes_; }
    /// Directories inside each other, at or below; 0 for a leaf's entry.
    std::uint32_t levels() const noexcept { return levels_; }
    /// The most children that a list or a branch has, at or below in the same directory.
    std::uint32_t fan_out() const noexcept { return fan_out_; }
    /// The name of an entry, or of the first one at or below a list or a branch.
    std::string_view first_name() const noexcept;

 private:
    friend class ObjectIndex;
    void adopt(std::vector<std::shared_ptr<const Object>> children);

    Table* table_;
    Hash hash_;
    Kind kind_;
    std::uint16_t fan_out_ = 0;
    std::uint32_t levels_ = 0;
    std::uint64_t leaves_ = 0;
    std::uint64_t objects_ = 1;
    std::uint64_t leaf_bytes_ = 0;
    std::uint64_t path_bytes_ = 0;
    /// The bytes of the first entry: what a search compares, without going down to it.
    const std::byte* first_entry_ = nullptr;
    Bytes bytes_;
    std::vector<std::shared_ptr<const Object>> children_;
};

using ObjectPtr = std::shared_ptr<const Object>;

/// Finds objects by their hash for as long as somebody holds them, and makes each only once. An
/// index and its objects are used on one event loop; objects may outlive their index.
class ObjectIndex {
 public:
    ObjectIndex();
    ~ObjectIndex();
    ObjectIndex(const ObjectIndex&) = delete;
    ObjectIndex& operator=(const ObjectIndex&) = delete;

    /// The object of these bytes: the one there is, or a new one. `children` are those that the
    /// bytes name, which the caller has checked: `make_checked` does.
    ObjectPtr make(Kind kind, Bytes bytes, std::vector<ObjectPtr> children);
    /// The same where the hash is known.
    ObjectPtr make(Kind kind, const Hash& hash, Bytes bytes, std::vector<ObjectPtr> children);

    /// For bytes from outside, children before parents: `hash` is theirs (that alone the caller has
    /// checked), and all must fit: the layout, the hashes and kinds of the children, the shape of
    /// lists, names in order and none twice, no empty directory inside another. errc::malformed.
    Result<ObjectPtr> make_checked(
        Kind kind, const Hash& hash, Bytes bytes, std::vector<ObjectPtr> children
    );

    /// Null where nobody holds it.
    ObjectPtr find(const Hash& hash) const;
    ObjectPtr find(const Hash& hash, Kind kind) const;

    std::size_t size() const noexcept;
    /// Sum of the objects' bytes.
    std::size_t bytes() const noexcept;
    /// And what is kept beside these bytes.
    std::size_t memory() const noexcept { return bytes() + size() * kBesideObject; }

 private:
    Object::Table* table_;
};

// What the bytes say (section 3.4). Views live as long as the bytes. errc::malformed with a
// sentence for whatever the layouts do not allow, trailing bytes too.

/// Of a directory: its list, or nil where it is empty.
Result<Hash> read_node(ByteSpan bytes);

/// Lists are left-packed: of all trees with this degree the flattest, and every node full but the
/// last of each level. So depth, degree and length say all of the shape.
struct ListView {
    /// Levels of branches between these children and the entries: 0 where they are entries.
    std::uint32_t depth = 0;
    std::uint32_t degree = kDegree;
    /// Entries below.
    std::uint32_t length = 0;
    /// 32 bytes a child, never nil.
    ByteSpan children;

    std::size_t size() const noexcept { return children.size() / sizeof(Hash); }
    Hash at(std::size_t index) const noexcept;
    /// Entries at or below the child there.
    std::uint32_t length_at(std::size_t index) const noexcept;
    Kind child_kind() const noexcept { return depth == 0 ? Kind::entry : Kind::branch; }
};
/// With the whole shape checked.
Result<ListView> read_list(ByteSpan bytes);
/// The branch that is child `index` of `parent`: checked against what the parent's shape says.
Result<ListView> read_branch(ByteSpan bytes, const ListView& parent, std::size_t index);
/// A branch by itself: depth and degree are not told.
Result<ListView> read_branch(ByteSpan bytes);

struct EntryView {
    std::string_view name;
    /// Nil where the child is a leaf.
    Hash directory = kNil;
    ByteSpan leaf;
};
/// A name is 1 to kNameMax bytes without '/'; a child is a directory, or a leaf of at least a byte.
Result<EntryView> read_entry(ByteSpan bytes);

Bytes write_node(const Hash& list);
Bytes write_list(std::uint32_t depth, std::uint32_t length, const std::vector<ObjectPtr>& children);
Bytes write_branch(std::uint32_t length, const std::vector<ObjectPtr>& children);
Bytes write_entry(std::string_view name, const Hash& directory, ByteSpan leaf);

// Of objects, whose bytes are known to be good.

EntryView entry_of(const Object& entry) noexcept;
/// The name of an entry, or of the last one at or below a list or a branch.
std::string_view last_name(const Object& object) noexcept;
/// Entries at or below a list or a branch, without those of directories inside; 1 for an entry.
std::uint32_t length_of(const Object& object) noexcept;
/// Levels of branches between a list or a branch and the entries: 0 where the children are entries.
std::uint32_t depth_of(const Object& object) noexcept;

/// The one schema registry that all trees of the network have: 564 bytes, an object that must be
/// served like any other (section 3.3).
ByteSpan registry() noexcept;
const Hash& registry_hash() noexcept;
/// The schema that a Root's reference to a directory names.
const Hash& node_schema() noexcept;

}  // namespace skywire::cxo
