// Trees. The first byte says how: the rest as the bytes of an object; as changes, against a map and
// against a tree made from nothing; as a plan of objects that somebody else has made, right or
// wrong, of which those that pass must be trees that can be walked, compared and changed.

#include "cxo/test_tree.hpp"

#include <cstdlib>

#include <fmt/format.h>

using namespace skywire;
using namespace skywire::cxo;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

class Input {
 public:
    explicit Input(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

    bool empty() const { return rest_.empty(); }
    std::uint8_t next() {
        if (rest_.empty()) return 0;
        const std::uint8_t value = rest_[0];
        rest_ = rest_.subspan(1);
        return value;
    }

 private:
    std::span<const std::uint8_t> rest_;
};

void read_views(ByteSpan bytes) {
    if (const auto list = read_list(bytes)) {
        std::uint64_t length = 0;
        for (std::size_t i = 0; i < list->size(); ++i) {
            check(list->at(i) != kNil);
            check(list->length_at(i) > 0);
            length += list->length_at(i);
            (void)read_branch(bytes, *list, i);
        }
        check(length == list->length);
    }
    if (const auto branch = read_branch(bytes)) check(branch->size() <= branch->length);
    if (const auto entry = read_entry(bytes)) {
        const Bytes again = write_entry(entry->name, entry->directory, entry->leaf);
        check(std::ranges::equal(again, bytes));
    }
    if (const auto list = read_node(bytes)) check(std::ranges::equal(write_node(*list), bytes));
}

std::string path_from(Input& input) {
    const std::uint8_t what = input.next();
    if (what < 128) return fmt::format("{:02x}", what);
    std::string path(1, "abcd"[what % 4]);
    if (what & 4) path += fmt::format("/{}", input.next() % 32);
    if (what & 8) path += "/x";
    return path;
}

/// Nothing where a leaf would be a directory too.
bool take_changes(test::Model& model, const std::vector<Change>& changes) {
    for (const Change& change : changes) {
        if (change.value)
            model[change.path] = as_text(*change.value);
        else
            model.erase(change.path);
    }
    const std::string* last = nullptr;
    for (const auto& [path, value] : model) {
        if (last != nullptr && path.starts_with(*last + '/')) return false;
        last = &path;
    }
    return true;
}

void check_difference(const Tree& before, const Tree& after) {
    test::Model model = test::model_of(before);
    const test::Model wanted = test::model_of(after);
    const std::string* last = nullptr;
    const auto found = difference(before, after);
    for (const Difference& each : found) {
        check(last == nullptr || test::PathOrder()(*last, each.path));
        last = &each.path;
        check(each.value ? model[each.path] != as_text(*each.value) : model.contains(each.path));
        if (each.value)
            model[each.path] = as_text(*each.value);
        else
            model.erase(each.path);
    }
    check(model == wanted);
}

void edit(Input input) {
    ObjectIndex index;
    Tree tree(index);
    test::Model model;
    while (!input.empty()) {
        std::vector<Change> changes;
        for (unsigned count = 1 + input.next() % 32; count > 0 && !input.empty(); --count) {
            const std::uint8_t value = input.next();
            const std::string path = path_from(input);
            changes.push_back(
                value < 96 ? test::gone(path) : test::put(path, fmt::to_string(value))
            );
        }
        test::Model wanted = model;
        const bool possible = take_changes(wanted, changes);
        const auto applied = tree.apply(std::move(changes));
        check(applied.has_value() == possible);
        if (!possible) continue;
        check(test::model_of(applied->tree) == wanted);
        check(applied->tree.count() == wanted.size());
        check(applied->made.empty() == (applied->tree.root() == tree.root()));
        check_difference(tree, applied->tree);
        tree = applied->tree;
        model = std::move(wanted);
    }
    ObjectIndex other;
    check(test::build(other, model).hash() == tree.hash());
    check(index.size() == test::objects_of(tree).size());
}

/// Objects over each other; references are numbers of those made before.
void assemble(Input input) {
    ObjectIndex index;
    std::vector<ObjectPtr> made;
    std::vector<ObjectPtr> nodes{Tree(index).root()};
    while (!input.empty() && made.size() < 400) {
        const auto kind = static_cast<Kind>(input.next() % 4);
        const std::uint8_t name = input.next();
        const std::uint8_t length = input.next();
        std::vector<ObjectPtr> children;
        const std::uint8_t from = input.next();
        const std::size_t count = input.next() % 20;
        for (std::size_t i = 0; i < count && from + i < made.size(); ++i)
            children.push_back(made[from + i]);
        Bytes bytes;
        switch (kind) {
            case Kind::node:
                children.resize(std::min<std::size_t>(children.size(), 1));
                bytes = write_node(children.empty() ? kNil : children[0]->hash());
                break;
            case Kind::list:
                bytes = write_list(name % 4, length, children);
                if (name & 128) bytes[4] = static_cast<std::byte>(2 + name % 5);
                break;
            case Kind::branch:
                bytes = write_branch(length, children);
                break;
            case Kind::entry: {
                children.resize(std::min<std::size_t>(children.size(), 1));
                const Hash inside = children.empty() ? kNil : children[0]->hash();
                const std::string value = children.empty() ? fmt::to_string(length) : "";
                bytes = write_entry(fmt::format("{:03}", name), inside, as_bytes(value));
                break;
            }
        }
        const Hash hash = crypto::sha256(bytes);
        auto object = index.make_checked(kind, hash, std::move(bytes), std::move(children));
        if (!object) {
            check(object.error().code() == errc::malformed);
            continue;
        }
        if (kind == Kind::node && (*object)->leaves() < 2'000) nodes.push_back(*object);
        made.push_back(std::move(*object));
    }
    for (std::size_t i = 0; i < nodes.size() && i < 20; ++i) {
        const Tree tree(index, nodes[i]);
        const test::Model model = test::model_of(tree);
        check(model.size() == tree.count());
        for (const auto& [path, value] : model) {
            const auto leaf = tree.get(path);
            check(leaf.has_value() && as_text(*leaf) == value);
        }
        check_difference(Tree(index, nodes[nodes.size() - 1 - i]), tree);
        // A name among the others, one before and one behind.
        for (const std::string_view name : {"!", "128x", "~"}) {
            const auto applied = tree.apply({test::put(std::string(name), "new")}).value();
            test::Model wanted = model;
            wanted[std::string(name)] = "new";
            check(test::model_of(applied.tree) == wanted);
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::span<const std::uint8_t> rest(data + 1, size - 1);
    if (data[0] % 3 == 0) read_views(std::as_bytes(rest));
    if (data[0] % 3 == 1) edit(Input(rest));
    if (data[0] % 3 == 2) assemble(Input(rest));
    return 0;
}
