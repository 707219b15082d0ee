#pragma once

#include "cxo/tree.hpp"

#include <map>
#include <set>
#include <string>

/// For tests of trees: the slow obvious model, and objects taken apart and put together.
namespace skywire::cxo::test {

/// The order of paths: by segments.
struct PathOrder {
    static int rank(char c) { return c == '/' ? -1 : static_cast<unsigned char>(c); }
    bool operator()(std::string_view a, std::string_view b) const {
        for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
            if (a[i] != b[i]) return rank(a[i]) < rank(b[i]);
        }
        return a.size() < b.size();
    }
};

using Model = std::map<std::string, std::string, PathOrder>;

inline Bytes to_bytes(std::string_view text) {
    const ByteSpan bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

inline Change put(std::string path, std::string_view value) {
    return {std::move(path), to_bytes(value)};
}

inline Change gone(std::string path) {
    return {std::move(path), std::nullopt};
}

inline Model model_of(const Tree& tree, std::string_view prefix = {}) {
    Model model;
    tree.walk(prefix, [&](std::string_view path, ByteSpan leaf) {
        model.emplace_hint(model.end(), path, as_text(leaf));
        return true;
    });
    return model;
}

/// All at once into an empty tree.
inline Tree build(ObjectIndex& index, const Model& model) {
    std::vector<Change> changes;
    changes.reserve(model.size());
    for (const auto& [path, value] : model)
        changes.push_back(put(path, value));
    return Tree(index).apply(std::move(changes)).value().tree;
}

using Objects = std::map<Hash, ObjectPtr>;

inline void collect(const ObjectPtr& object, Objects& into) {
    if (!into.emplace(object->hash(), object).second) return;
    for (const ObjectPtr& child : object->children())
        collect(child, into);
}

inline Objects objects_of(const Tree& tree) {
    Objects objects;
    collect(tree.root(), objects);
    return objects;
}

/// A tree from nothing but bytes, every one of them checked.
class Assembler {
 public:
    Assembler(ObjectIndex& index, const std::map<Hash, Bytes>& bytes)
        : index_(index), bytes_(bytes) {}

    Result<ObjectPtr> node(const Hash& hash) {
        const auto list_hash = read_node(bytes_.at(hash));
        if (!list_hash) return list_hash.error();
        if (*list_hash == kNil) return make(Kind::node, hash, {});
        auto made = list(*list_hash);
        if (!made) return made;
        return make(Kind::node, hash, {std::move(*made)});
    }

 private:
    Result<ObjectPtr> make(Kind kind, const Hash& hash, std::vector<ObjectPtr> children) {
        return index_.make_checked(kind, hash, bytes_.at(hash), std::move(children));
    }

    Result<ObjectPtr> list(const Hash& hash) {
        const auto view = read_list(bytes_.at(hash));
        if (!view) return view.error();
        return with_children(Kind::list, hash, *view);
    }

    Result<ObjectPtr> with_children(Kind kind, const Hash& hash, const ListView& view) {
        std::vector<ObjectPtr> children;
        for (std::size_t i = 0; i < view.size(); ++i) {
            auto child = view.depth == 0 ? entry(view.at(i)) : branch(view, i);
            if (!child) return child;
            children.push_back(std::move(*child));
        }
        return make(kind, hash, std::move(children));
    }

    Result<ObjectPtr> branch(const ListView& parent, std::size_t index) {
        const Hash hash = parent.at(index);
        const auto view = read_branch(bytes_.at(hash), parent, index);
        if (!view) return view.error();
        return with_children(Kind::branch, hash, *view);
    }

    Result<ObjectPtr> entry(const Hash& hash) {
        const auto view = read_entry(bytes_.at(hash));
        if (!view) return view.error();
        if (view->directory == kNil) return make(Kind::entry, hash, {});
        auto inside = node(view->directory);
        if (!inside) return inside;
        return make(Kind::entry, hash, {std::move(*inside)});
    }

    ObjectIndex& index_;
    const std::map<Hash, Bytes>& bytes_;
};

}  // namespace skywire::cxo::test
