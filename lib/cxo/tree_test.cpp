#include "cxo/tree.hpp"

#include "base/random.hpp"
#include "base/test.hpp"
#include "cxo/test_tree.hpp"

#include <fmt/format.h>

using namespace skywire;
using namespace skywire::cxo;
using namespace skywire::cxo::test;

namespace {

Hash hash_in(const json::value& each, std::string_view member) {
    const Bytes bytes = skywire::test::hex(skywire::test::text(each, member));
    Hash hash{};
    REQUIRE(bytes.size() == hash.size());
    std::copy(bytes.begin(), bytes.end(), hash.begin());
    return hash;
}

Model leaves_in(const json::value& each) {
    Model model;
    if (const auto* leaves = each.as_object().at("leaves").if_object()) {
        for (const auto& [path, value] : *leaves) {
            const Bytes bytes = skywire::test::hex(std::string(value.as_string()));
            model[std::string(path)] = as_text(bytes);
        }
        return model;
    }
    // The large one names its rule instead: k00000.. with its number in two bytes.
    const auto count = each.as_object().at("leaf_count").to_number<unsigned>();
    for (unsigned i = 0; i < count; ++i)
        model[fmt::format("k{:05}", i)] = {static_cast<char>(i & 255), static_cast<char>(i >> 8)};
    return model;
}

std::string flat_name(unsigned i) {
    return fmt::format("k{:06}", i);
}

Tree flat(ObjectIndex& index, unsigned count) {
    std::vector<Change> changes;
    changes.reserve(count);
    for (unsigned i = 0; i < count; ++i)
        changes.push_back(
            put(flat_name(i), fmt::format("a value of 49 bytes or thereabouts, {:>13}", i))
        );
    return Tree(index).apply(std::move(changes)).value().tree;
}

Tree::Applied with(const Tree& tree, Change change) {
    std::vector<Change> changes;
    changes.push_back(std::move(change));
    return tree.apply(std::move(changes)).value();
}

/// The costs of section 12: a new value in the middle, one more at the end, one more in front.
struct Costs {
    std::size_t value;
    std::size_t append;
    std::size_t front;
    bool operator==(const Costs&) const = default;
};

Costs costs_of(const Tree& tree, unsigned count) {
    return {
        with(tree, put(flat_name(count / 2), "new")).made.size(),
        with(tree, put(flat_name(count), "new")).made.size(),
        with(tree, put("a", "new")).made.size()
    };
}

}  // namespace

TEST_CASE("tree: the recorded trees, every object byte for byte, and back from the objects") {
    const json::value file = skywire::test::vectors("cxo/tree_objects.json");
    for (const json::value& each : file.as_array()) {
        INFO(skywire::test::text(each, "title"));
        std::map<Hash, Bytes> recorded;
        for (const json::value& object : each.at("objects_in_creation_order").as_array())
            recorded[hash_in(object, "hash")] =
                skywire::test::hex(skywire::test::text(object, "hex"));
        const Model model = leaves_in(each);

        ObjectIndex index;
        const Tree tree = build(index, model);
        CHECK(tree.hash() == hash_in(each, "root_treenode_hash"));
        CHECK(tree.count() == model.size());
        const Objects objects = objects_of(tree);
        REQUIRE(objects.size() == recorded.size());
        for (const auto& [hash, bytes] : recorded) {
            REQUIRE(objects.contains(hash));
            CHECK(std::ranges::equal(objects.at(hash)->bytes(), bytes));
        }

        // One after another, from the back, in the end the same.
        Tree grown(index);
        for (auto leaf = model.rbegin(); leaf != model.rend(); ++leaf)
            grown = with(grown, put(leaf->first, leaf->second)).tree;
        CHECK(grown.root() == tree.root());

        ObjectIndex other;
        auto assembled = Assembler(other, recorded).node(tree.hash());
        REQUIRE(assembled);
        const Tree read(other, std::move(*assembled));
        CHECK(model_of(read) == model);
        CHECK(difference(tree, read).empty());
    }
}

TEST_CASE("tree: a changed value makes the objects on its path, an insertion the list behind it") {
    ObjectIndex index;
    CHECK(costs_of(flat(index, 1'000), 1'000) == Costs{5, 5, 70});
    CHECK(costs_of(flat(index, 10'000), 10'000) == Costs{6, 6, 672});
    CHECK(index.size() == 0);
    {
        const Tree tree = flat(index, 100'000);
        CHECK(index.size() == 106'670);
        CHECK(costs_of(tree, 100'000) == Costs{7, 7, 6'672});
        CHECK(index.size() == 106'670);
    }
    CHECK(index.size() == 0);
    CHECK(index.bytes() == 0);
}

TEST_CASE("tree: in 256 directories an insertion costs its own directory") {
    ObjectIndex index;
    std::vector<Change> changes;
    changes.reserve(100'000);
    for (unsigned i = 0; i < 100'000; ++i)
        changes.push_back(put(fmt::format("{:02x}/{}", i % 256, flat_name(i)), fmt::to_string(i)));
    const Tree tree = Tree(index).apply(std::move(changes)).value().tree;
    CHECK(index.size() == 107'698);
    CHECK(with(tree, put("40/" + flat_name(0x40 + 256 * 20), "new")).made.size() == 9);
    CHECK(with(tree, put("00/a", "new")).made.size() == 34);
}

TEST_CASE("tree: what moves by whole branches is taken as it is") {
    ObjectIndex index;
    const Tree tree = flat(index, 10'000);
    // One goes and one comes 100 places behind: what is outside of them stays.
    std::vector<Change> changes;
    changes.push_back(gone(flat_name(5'000)));
    changes.push_back(put(flat_name(5'100) + "x", "new"));
    const auto swapped = tree.apply(std::move(changes)).value();
    CHECK(swapped.made.size() < 20);
    CHECK(swapped.tree.count() == 10'000);
    CHECK(difference(tree, swapped.tree).size() == 2);
    // Sixteen in front go: all branches above the entries stay, those above them do not.
    changes.clear();
    for (unsigned i = 0; i < 16; ++i)
        changes.push_back(gone(flat_name(i)));
    const auto shifted = tree.apply(std::move(changes)).value();
    CHECK(shifted.made.size() == 39 + 3 + 1 + 1);
    CHECK(model_of(shifted.tree).begin()->first == flat_name(16));
}

TEST_CASE("tree: leaves are found, walked and counted") {
    ObjectIndex index;
    const Model model{{"a", "1"}, {"a-b", "2"}, {"b/c/d", "3"}, {"b/c/e", "4"}, {"b/x", "5"}};
    const Tree tree = build(index, model);
    CHECK(model_of(tree) == model);
    CHECK(tree.count() == 5);
    CHECK(tree.leaf_bytes() == 5);
    CHECK(as_text(tree.get("b/c/e").value()) == "4");
    CHECK_FALSE(tree.get("b/c"));
    CHECK_FALSE(tree.get("b/c/e/f"));
    CHECK_FALSE(tree.get(""));
    CHECK_FALSE(tree.get("b/"));
    CHECK_FALSE(tree.get("/b"));
    CHECK_FALSE(tree.get("c"));
    CHECK(model_of(tree, "b") == Model{{"b/c/d", "3"}, {"b/c/e", "4"}, {"b/x", "5"}});
    CHECK(model_of(tree, "b/c/") == Model{{"b/c/d", "3"}, {"b/c/e", "4"}});
    CHECK(model_of(tree, "b/x") == Model{{"b/x", "5"}});
    CHECK(model_of(tree, "b/c/d/e").empty());
    CHECK(model_of(tree, "b//c").empty());
    int seen = 0;
    tree.walk("", [&](std::string_view, ByteSpan) { return ++seen < 3; });
    CHECK(seen == 3);
    CHECK(is_below("b/c", "b"));
    CHECK(is_below("b/c", "b/"));
    CHECK(is_below("b", "b"));
    CHECK(is_below("b", ""));
    CHECK_FALSE(is_below("bc", "b"));
    CHECK_FALSE(is_below("b", "b/c"));
}

TEST_CASE("tree: changes are made all or none") {
    ObjectIndex index;
    const Tree tree = build(index, {{"a", "1"}, {"b/c", "2"}});
    const auto refused = [&](std::vector<Change> changes) {
        changes.insert(changes.begin(), put("z", "never"));
        const auto applied = tree.apply(std::move(changes));
        REQUIRE_FALSE(applied);
        return applied.error().code();
    };
    CHECK(refused({put("", "x")}) == errc::malformed);
    CHECK(refused({put("/a", "x")}) == errc::malformed);
    CHECK(refused({put("a/", "x")}) == errc::malformed);
    CHECK(refused({gone("b//c")}) == errc::malformed);
    CHECK(refused({put(std::string(kNameMax + 1, 'n'), "x")}) == errc::malformed);
    std::string deep = "d";
    for (std::size_t i = 1; i < kSegmentsMax; ++i)
        deep += "/d";
    CHECK(tree.apply({put(deep, "x")}));
    CHECK(refused({put(deep + "/d", "x")}) == errc::malformed);
    CHECK(refused({put("x", "")}) == errc::out_of_range);
    CHECK(refused({Change{"x", Bytes(kLeafMax + 1)}}) == errc::out_of_range);
    CHECK(refused({put("a/x", "x")}) == errc::wrong_state);
    CHECK(refused({put("b", "x")}) == errc::wrong_state);
    CHECK(refused({put("n", "x"), put("n/m", "x")}) == errc::wrong_state);
    CHECK(refused({put("n/m", "x"), put("n", "x")}) == errc::wrong_state);
    CHECK(index.size() == objects_of(tree).size());

    // A leaf becomes a directory and the other way round where the other goes at the same time.
    CHECK(
        model_of(tree.apply({gone("a"), put("a/x", "3")}).value().tree) ==
        Model{{"a/x", "3"}, {"b/c", "2"}}
    );
    CHECK(
        model_of(tree.apply({put("b", "3"), gone("b/c")}).value().tree) ==
        Model{{"a", "1"}, {"b", "3"}}
    );
    // The last one of a path counts.
    CHECK(
        model_of(tree.apply({put("a", "x"), put("a", "y"), put("n", "x"), gone("n")}).value().tree
        ) == Model{{"a", "y"}, {"b/c", "2"}}
    );
    // Nothing happens.
    for (const Change& change : {gone("b"), gone("x"), gone("x/y"), gone("a/x"), put("a", "1")}) {
        const auto applied = with(tree, change);
        CHECK(applied.tree.root() == tree.root());
        CHECK(applied.made.empty());
    }
}

TEST_CASE("tree: all below a path goes, and directories that become empty") {
    ObjectIndex index;
    const Tree tree = build(index, {{"a/b/c", "1"}, {"a/b/d", "2"}, {"e", "3"}});
    CHECK(model_of(tree.remove_below("a").value().tree) == Model{{"e", "3"}});
    CHECK(model_of(tree.remove_below("a/b").value().tree) == Model{{"e", "3"}});
    CHECK(model_of(tree.remove_below("a/b/d").value().tree) == Model{{"a/b/c", "1"}, {"e", "3"}});
    CHECK(tree.remove_below("a/x").value().tree.root() == tree.root());
    CHECK(tree.remove_below("a//x").error().code() == errc::malformed);
    const Tree empty = tree.remove_below("").value().tree;
    CHECK(empty.empty());
    CHECK(empty.root() == Tree(index).root());
    CHECK(empty.remove_below("").value().made.empty());
    CHECK(
        tree.apply({gone("a/b/c"), gone("a/b/d"), gone("e")}).value().tree.root() == empty.root()
    );
}

namespace {

/// A few names, so that they meet; flat ones, so that lists grow deep.
std::string random_path(Random& random, bool wide) {
    if (wide) return fmt::format("w/{:03}", random.below(600));
    std::string path;
    for (std::uint64_t i = 0, depth = 1 + random.below(3); i < depth; ++i) {
        if (i > 0) path += '/';
        path += fmt::format("{}", "abc-/"[random.below(4)]);
        if (random.below(3) == 0) path += fmt::format("{}", random.below(40));
    }
    return path;
}

/// Nothing where a leaf would be a directory too.
std::optional<Model> after(Model model, const std::vector<Change>& changes) {
    for (const Change& change : changes) {
        if (change.value)
            model[change.path] = as_text(*change.value);
        else
            model.erase(change.path);
    }
    for (auto leaf = model.begin(); leaf != model.end(); ++leaf) {
        const auto next = std::next(leaf);
        if (next != model.end() && next->first.starts_with(leaf->first + '/')) return std::nullopt;
    }
    return model;
}

using Differences = std::vector<std::pair<std::string, std::optional<std::string>>>;

Differences expected(const Model& before, const Model& after, std::string_view prefix) {
    std::map<std::string, std::optional<std::string>, PathOrder> all;
    for (const auto& [path, value] : before)
        all[path] = std::nullopt;
    for (const auto& [path, value] : after)
        all[path] = value;
    Differences found;
    for (const auto& [path, value] : all) {
        const auto old = before.find(path);
        const bool same = old != before.end() && value == old->second;
        if (!same && is_below(path, prefix)) found.emplace_back(path, value);
    }
    return found;
}

Differences found(const Tree& before, const Tree& after, std::string_view prefix) {
    Differences texts;
    for (const Difference& each : difference(before, after, prefix)) {
        texts.emplace_back(each.path, std::nullopt);
        if (each.value) texts.back().second = as_text(*each.value);
    }
    return texts;
}

/// What is new must have been said, in an order in which whoever has the old tree can use it.
void check_made(const Tree& before, const Tree::Applied& applied) {
    const Objects old = objects_of(before);
    const Objects now = objects_of(applied.tree);
    std::set<Hash> said;
    std::set<Hash> named{applied.tree.hash()};
    for (const ObjectPtr& object : applied.made) {
        CHECK(now.contains(object->hash()));
        CHECK(named.contains(object->hash()));
        for (const ObjectPtr& child : object->children())
            named.insert(child->hash());
        said.insert(object->hash());
    }
    for (const auto& [hash, object] : now)
        CHECK((old.contains(hash) || said.contains(hash)));
}

}  // namespace

TEST_CASE("tree: random changes against a map, and against trees made from nothing") {
    const auto seed = GENERATE(1U, 2U, 3U, 4U);
    INFO("seed " << seed);
    SeededRandom random(seed);
    ObjectIndex index;
    Tree tree(index);
    Model model;
    int refused = 0;
    for (int round = 0; round < 80; ++round) {
        std::vector<Change> changes;
        const bool wide = random.below(2) == 0;
        const bool mostly_gone = random.below(3) == 0;
        for (std::uint64_t i = 0, count = 1 + random.below(wide ? 60 : 6); i < count; ++i) {
            const std::string path = random_path(random, wide);
            if (random.below(4) == 0 || (mostly_gone && random.below(4) != 0))
                changes.push_back(gone(path));
            else
                changes.push_back(put(path, fmt::to_string(random.below(1000))));
        }
        const auto wanted = after(model, changes);
        const auto applied = tree.apply(changes);
        REQUIRE(applied.has_value() == wanted.has_value());
        if (!wanted) {
            CHECK(applied.error().code() == errc::wrong_state);
            ++refused;
            continue;
        }
        REQUIRE(model_of(applied->tree) == *wanted);
        CHECK(applied->tree.count() == wanted->size());
        for (const std::string_view prefix : {"", "w", "a", "b/a", "w/017"}) {
            INFO("prefix " << prefix);
            REQUIRE(found(tree, applied->tree, prefix) == expected(model, *wanted, prefix));
            REQUIRE(found(applied->tree, tree, prefix) == expected(*wanted, model, prefix));
        }
        check_made(tree, *applied);
        ObjectIndex other;
        REQUIRE(build(other, *wanted).hash() == applied->tree.hash());
        tree = applied->tree;
        model = *wanted;
    }
    CHECK(refused > 0);
    // Nothing else is held.
    CHECK(index.size() == objects_of(tree).size());
}

TEST_CASE("tree: a difference does not look into what is shared") {
    ObjectIndex index;
    ObjectIndex other;
    const Tree tree = flat(index, 10'000);
    const Tree copy = flat(other, 10'000);
    const Tree changed =
        with(with(copy, put(flat_name(77), "x")).tree, gone(flat_name(9'000))).tree;
    CHECK(difference(tree, copy).empty());
    const auto found = difference(tree, changed);
    REQUIRE(found.size() == 2);
    CHECK(found[0].path == flat_name(77));
    CHECK(as_text(found[0].value.value()) == "x");
    CHECK(found[1].path == flat_name(9'000));
    CHECK_FALSE(found[1].value);
    CHECK(difference(tree, changed, "nowhere").empty());
}
