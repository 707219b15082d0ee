#include "cxo/detail/place.hpp"
#include "cxo/tree.hpp"

#include <utility>

namespace skywire::cxo {
namespace {

bool is_same(const Object& a, const Object& b) noexcept {
    return &a == &b || (a.kind() == b.kind() && a.hash() == b.hash());
}

/// Goes over a list from left to right at whatever height it is told to.
class Cursor {
 public:
    explicit Cursor(const Object* list) {
        if (list != nullptr) places_.push_back({&list->children(), 0, depth_of(*list)});
    }

    bool at_end() const noexcept { return places_.empty(); }
    const Object& here() const noexcept {
        return *(*places_.back().children)[places_.back().index];
    }
    /// 0 at an entry.
    std::uint32_t height() const noexcept { return places_.back().height; }

    /// Past all that is at or below here.
    void next() {
        ++places_.back().index;
        while (places_.back().index == places_.back().children->size()) {
            places_.pop_back();
            if (places_.empty()) return;
            ++places_.back().index;
        }
    }

    /// To the first child of the branch here.
    void enter() { places_.push_back({&here().children(), 0, height() - 1}); }

 private:
    struct Place {
        const std::vector<ObjectPtr>* children;
        std::size_t index;
        std::uint32_t height;
    };
    std::vector<Place> places_;
};

class Differ {
 public:
    void entries(const Object* before, const Object* after, const std::string& path);
    void lists(const Object* before, const Object* after, const std::string& path);

    std::vector<Difference> take() { return std::move(found_); }

 private:
    void all(const Object& entry, const std::string& path, bool gone);
    void leaf(const std::string& path, std::optional<ByteSpan> value) {
        found_.push_back({path, value});
    }

    static std::string below(const std::string& path, const Object& entry) {
        std::string joined = path;
        if (!joined.empty()) joined += '/';
        joined += entry.first_name();
        return joined;
    }

    std::vector<Difference> found_;
};

/// The leaf, or all leaves of the directory.
void Differ::all(const Object& entry, const std::string& path, bool gone) {
    const auto value_of = [gone](ByteSpan value) {
        return gone ? std::optional<ByteSpan>() : std::optional(value);
    };
    if (entry.children().empty()) return leaf(path, value_of(entry_of(entry).leaf));
    const Object* const list = detail::list_of(entry);
    if (list == nullptr) return;
    std::string place = path;
    detail::walk_list(*list, place, [&](std::string_view each, ByteSpan value) {
        leaf(std::string(each), value_of(value));
        return true;
    });
}

/// Of one path; either may be null.
void Differ::entries(const Object* before, const Object* after, const std::string& path) {
    if (before != nullptr && after != nullptr) {
        const bool was_leaf = before->children().empty();
        const bool is_leaf = after->children().empty();
        if (!was_leaf && !is_leaf)
            return lists(detail::list_of(*before), detail::list_of(*after), path);
        if (was_leaf && is_leaf) return leaf(path, entry_of(*after).leaf);
        // The path itself comes before those below it.
        if (is_leaf) std::swap(before, after);
        const bool leaf_goes = was_leaf;
        all(*before, path, leaf_goes);
        return all(*after, path, !leaf_goes);
    }
    if (before != nullptr) all(*before, path, /*gone=*/true);
    if (after != nullptr) all(*after, path, /*gone=*/false);
}

void Differ::lists(const Object* before, const Object* after, const std::string& path) {
    Cursor old(before);
    Cursor now(after);
    while (!old.at_end() && !now.at_end()) {
        if (old.height() == now.height() && is_same(old.here(), now.here())) {
            old.next();
            now.next();
            continue;
        }
        const bool old_enters = old.height() > 0 && old.height() >= now.height();
        const bool now_enters = now.height() > 0 && now.height() >= old.height();
        if (old_enters) old.enter();
        if (now_enters) now.enter();
        if (old_enters || now_enters) continue;

        const Object& was = old.here();
        const Object& is = now.here();
        const int order = was.first_name().compare(is.first_name());
        entries(
            order <= 0 ? &was : nullptr,
            order >= 0 ? &is : nullptr,
            below(path, order <= 0 ? was : is)
        );
        if (order <= 0) old.next();
        if (order >= 0) now.next();
    }
    for (; !old.at_end(); old.height() > 0 ? old.enter() : old.next()) {
        if (old.height() == 0) all(old.here(), below(path, old.here()), /*gone=*/true);
    }
    for (; !now.at_end(); now.height() > 0 ? now.enter() : now.next()) {
        if (now.height() == 0) all(now.here(), below(path, now.here()), /*gone=*/false);
    }
}

}  // namespace

std::vector<Difference> difference(const Tree& before, const Tree& after, std::string_view prefix) {
    prefix = detail::without_slash(prefix);
    const Object* const was = detail::find_place(*before.root(), prefix);
    const Object* const is = detail::find_place(*after.root(), prefix);
    if (was != nullptr && is != nullptr && is_same(*was, *is)) return {};
    Differ differ;
    if (prefix.empty())
        differ.lists(detail::list_of(*was), detail::list_of(*is), {});
    else
        differ.entries(was, is, std::string(prefix));
    return differ.take();
}

}  // namespace skywire::cxo
