// What the bytes of objects say, and how they are written: spec/cxo.md section 3.4.

#include "cxo/detail/encoding.hpp"
#include "cxo/object.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::cxo {
namespace {

constexpr std::uint32_t kDegreeMin = 2;
constexpr std::uint32_t kDegreeMax = 1024;

/// Entries of a full child of a node that is `depth` levels above them. No overflow: a depth for
/// which `length` is too short has been refused.
std::uint64_t full_child(std::uint32_t depth, std::uint32_t degree) noexcept {
    std::uint64_t entries = 1;
    for (std::uint32_t i = 0; i < depth; ++i)
        entries *= degree;
    return entries;
}

/// True for the depth of the flattest tree: its children cannot hold all, it itself can.
bool is_depth_of(std::uint32_t depth, std::uint32_t degree, std::uint32_t length) noexcept {
    std::uint64_t child = 1;
    for (std::uint32_t i = 0; i < depth; ++i) {
        if (child * degree >= length) return false;
        child *= degree;
    }
    return child * degree >= length;
}

Result<> check_size(const ListView& view) {
    const std::uint64_t full = full_child(view.depth, view.degree);
    const std::uint64_t size = (view.length + full - 1) / full;
    if (view.size() != size)
        return fail(
            errc::malformed,
            fmt::format(
                "{} children for {} entries, where {} are due", view.size(), view.length, size
            )
        );
    return {};
}

/// A count and as many hashes, to the end.
Result<ByteSpan> read_hashes(detail::Reader& reader) {
    const auto count = reader.number<std::uint32_t>();
    if (!reader.ok() || reader.rest().size() != std::uint64_t{count} * sizeof(Hash))
        return fail(
            errc::malformed,
            fmt::format("{} children announced, {} bytes there", count, reader.rest().size())
        );
    const ByteSpan hashes = reader.rest();
    for (std::size_t at = 0; at < hashes.size(); at += sizeof(Hash)) {
        const ByteSpan hash = hashes.subspan(at, sizeof(Hash));
        if (std::all_of(hash.begin(), hash.end(), [](std::byte b) { return b == std::byte{0}; }))
            return fail(errc::malformed, "a list with a child of no hash");
    }
    return hashes;
}

void write_hashes(detail::Writer& writer, const std::vector<ObjectPtr>& objects) {
    writer.number(static_cast<std::uint32_t>(objects.size()));
    for (const ObjectPtr& object : objects)
        writer.bytes(object->hash());
}

constexpr std::size_t kListHead = 4 + 4 + 4 + 4;
constexpr std::size_t kBranchHead = 4 + 4;

}  // namespace

Hash ListView::at(std::size_t index) const noexcept {
    Hash hash;
    const ByteSpan from = children.subspan(index * sizeof(Hash), sizeof(Hash));
    std::copy(from.begin(), from.end(), hash.begin());
    return hash;
}

std::uint32_t ListView::length_at(std::size_t index) const noexcept {
    const std::uint64_t full = full_child(depth, degree);
    return static_cast<std::uint32_t>(std::min(full, length - full * index));
}

Result<Hash> read_node(ByteSpan bytes) {
    detail::Reader reader(bytes);
    const Hash list = reader.array<sizeof(Hash)>();
    if (!reader.done()) return fail(errc::malformed, "a directory that is not 32 bytes");
    return list;
}

Result<ListView> read_list(ByteSpan bytes) {
    detail::Reader reader(bytes);
    ListView view;
    view.depth = reader.number<std::uint32_t>();
    view.degree = reader.number<std::uint32_t>();
    view.length = reader.number<std::uint32_t>();
    const auto hashes = read_hashes(reader);
    if (!hashes) return hashes.error();
    view.children = *hashes;
    if (view.degree < kDegreeMin || view.degree > kDegreeMax)
        return fail(errc::malformed, fmt::format("a list of degree {}", view.degree));
    if (view.length == 0) return fail(errc::malformed, "a list of nothing");
    if (!is_depth_of(view.depth, view.degree, view.length))
        return fail(
            errc::malformed,
            fmt::format("depth {} for a list of {} entries", view.depth, view.length)
        );
    if (auto checked = check_size(view); !checked) return checked.error();
    return view;
}

Result<ListView> read_branch(ByteSpan bytes) {
    detail::Reader reader(bytes);
    ListView view;
    view.length = reader.number<std::uint32_t>();
    const auto hashes = read_hashes(reader);
    if (!hashes) return hashes.error();
    view.children = *hashes;
    if (view.length < view.size() || view.size() == 0 || view.size() > kDegreeMax)
        return fail(
            errc::malformed,
            fmt::format("a branch of {} entries with {} children", view.length, view.size())
        );
    return view;
}

Result<ListView> read_branch(ByteSpan bytes, const ListView& parent, std::size_t index) {
    auto view = read_branch(bytes);
    if (!view) return view;
    const std::uint32_t due = parent.length_at(index);
    if (parent.depth == 0 || view->length != due)
        return fail(
            errc::malformed, fmt::format("a branch of {} entries instead of {}", view->length, due)
        );
    view->depth = parent.depth - 1;
    view->degree = parent.degree;
    if (auto checked = check_size(*view); !checked) return checked.error();
    return view;
}

Result<EntryView> read_entry(ByteSpan bytes) {
    detail::Reader reader(bytes);
    EntryView view;
    view.name = as_text(reader.counted());
    view.directory = reader.array<sizeof(Hash)>();
    view.leaf = reader.counted();
    if (!reader.done()) return fail(errc::malformed, "an entry whose lengths do not fit");
    if (view.name.empty() || view.name.size() > kNameMax ||
        view.name.find('/') != std::string_view::npos)
        return fail(
            errc::malformed, fmt::format("an entry's name: {}", quote_peer_text(view.name))
        );
    if (view.leaf.empty() == (view.directory == kNil))
        return fail(errc::malformed, "an entry that is not either a directory or a leaf");
    return view;
}

Bytes write_node(const Hash& list) {
    return {list.begin(), list.end()};
}

Bytes write_list(
    std::uint32_t depth, std::uint32_t length, const std::vector<ObjectPtr>& children
) {
    detail::Writer writer(kListHead + children.size() * sizeof(Hash));
    writer.number(depth);
    writer.number(kDegree);
    writer.number(length);
    write_hashes(writer, children);
    return writer.take();
}

Bytes write_branch(std::uint32_t length, const std::vector<ObjectPtr>& children) {
    detail::Writer writer(kBranchHead + children.size() * sizeof(Hash));
    writer.number(length);
    write_hashes(writer, children);
    return writer.take();
}

Bytes write_entry(std::string_view name, const Hash& directory, ByteSpan leaf) {
    detail::Writer writer(4 + name.size() + sizeof(Hash) + 4 + leaf.size());
    writer.counted(name);
    writer.bytes(directory);
    writer.counted(leaf);
    return writer.take();
}

EntryView entry_of(const Object& entry) noexcept {
    detail::Reader reader(entry.bytes());
    EntryView view;
    view.name = as_text(reader.counted());
    view.directory = reader.array<sizeof(Hash)>();
    view.leaf = reader.counted();
    return view;
}

std::string_view last_name(const Object& object) noexcept {
    const Object* at = &object;
    while (at->kind() != Kind::entry)
        at = at->children().back().get();
    return at->first_name();
}

std::uint32_t length_of(const Object& object) noexcept {
    switch (object.kind()) {
        case Kind::list:
            return detail::load<std::uint32_t>(object.bytes().data() + 8);
        case Kind::branch:
            return detail::load<std::uint32_t>(object.bytes().data());
        case Kind::node:
        case Kind::entry:
            break;
    }
    return 1;
}

std::uint32_t depth_of(const Object& object) noexcept {
    std::uint32_t depth = 0;
    const Object* at = &object;
    while (!at->children().empty() && at->children().front()->kind() == Kind::branch) {
        ++depth;
        at = at->children().front().get();
    }
    return depth;
}

}  // namespace skywire::cxo
