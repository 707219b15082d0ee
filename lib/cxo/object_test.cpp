#include "cxo/object.hpp"

#include "base/test.hpp"
#include "cxo/detail/encoding.hpp"
#include "cxo/test_tree.hpp"

#include <fmt/format.h>

using namespace skywire;
using namespace skywire::cxo;
using namespace skywire::cxo::test;

namespace {

Bytes leaf_bytes(std::string_view name, std::string_view value) {
    return write_entry(name, kNil, as_bytes(value));
}

ObjectPtr leaf(ObjectIndex& index, std::string_view name, std::string_view value = "v") {
    return index.make(Kind::entry, leaf_bytes(name, value), {});
}

std::vector<ObjectPtr> leaves(ObjectIndex& index, unsigned from, unsigned to) {
    std::vector<ObjectPtr> made;
    for (unsigned i = from; i < to; ++i)
        made.push_back(leaf(index, fmt::format("n{:04}", i)));
    return made;
}

Result<ObjectPtr> checked(
    ObjectIndex& index, Kind kind, Bytes bytes, std::vector<ObjectPtr> children
) {
    const Hash hash = crypto::sha256(bytes);
    return index.make_checked(kind, hash, std::move(bytes), std::move(children));
}

/// A list as somebody else may write one.
Bytes list_bytes(
    std::uint32_t depth,
    std::uint32_t degree,
    std::uint32_t length,
    const std::vector<ObjectPtr>& children
) {
    Bytes bytes = write_list(depth, length, children);
    bytes[4] = static_cast<std::byte>(degree);
    bytes[5] = static_cast<std::byte>(degree >> 8);
    return bytes;
}

template <class T>
bool is_malformed(const Result<T>& result) {
    return !result && result.error().code() == errc::malformed;
}

Bytes cut(const Bytes& bytes, std::size_t size) {
    Bytes made = bytes;
    made.resize(size);
    return made;
}

}  // namespace

TEST_CASE("encoding: the recorded values, read and written") {
    const json::value file = skywire::test::vectors("cxo/encoder_basic.json");
    const Bytes recorded = skywire::test::hex(skywire::test::text(file, "hex"));
    detail::Writer writer;
    writer.number(std::uint8_t{1});
    writer.number(std::uint8_t{0xfe});
    writer.number(static_cast<std::uint16_t>(-2));
    writer.number(std::uint32_t{0x01020304});
    writer.number(static_cast<std::uint64_t>(-1));
    writer.number(std::uint64_t{0x1122334455667788});
    writer.counted("sky");
    writer.counted(skywire::test::hex("010203"));
    writer.number(std::uint32_t{3});
    for (const std::string_view each : {"a", "", "ccc"})
        writer.counted(each);
    writer.bytes(skywire::test::hex("09080706"));
    CHECK(to_hex(writer.take()) == to_hex(recorded));

    detail::Reader reader(recorded);
    CHECK(reader.number<std::uint8_t>() == 1);
    CHECK(reader.number<std::uint8_t>() == 0xfe);
    CHECK(static_cast<std::int16_t>(reader.number<std::uint16_t>()) == -2);
    CHECK(reader.number<std::uint32_t>() == 0x01020304);
    CHECK(static_cast<std::int64_t>(reader.number<std::uint64_t>()) == -1);
    CHECK(reader.number<std::uint64_t>() == 0x1122334455667788);
    CHECK(as_text(reader.counted()) == "sky");
    CHECK(to_hex(reader.counted()) == "010203");
    REQUIRE(reader.number<std::uint32_t>() == 3);
    CHECK(as_text(reader.counted()) == "a");
    CHECK(as_text(reader.counted()).empty());
    CHECK(as_text(reader.counted()) == "ccc");
    CHECK(to_hex(reader.array<4>()) == "09080706");
    CHECK(reader.done());
    // Once something is missing nothing is right any more.
    CHECK(reader.number<std::uint8_t>() == 0);
    CHECK_FALSE(reader.ok());
    CHECK(reader.bytes(0).empty());
    CHECK_FALSE(reader.done());
    CHECK(to_hex(crypto::sha256(as_bytes("abc"))) == skywire::test::text(file, "sha256_of_abc"));
}

TEST_CASE("object: the registry is the recorded one") {
    const json::value file = skywire::test::vectors("cxo/registry_treestore.json");
    CHECK(to_hex(registry()) == skywire::test::text(file, "registry_encoded"));
    CHECK(crypto::sha256(registry()) == registry_hash());
    CHECK(to_hex(registry_hash()) == skywire::test::text(file, "registry_ref"));
    const json::value& node = file.at("schemas").at(1);
    CHECK(skywire::test::text(node, "Name") == "cxo.treestore.TreeNode");
    CHECK(to_hex(node_schema()) == skywire::test::text(node, "Ref"));
    CHECK(
        crypto::sha256(skywire::test::hex(skywire::test::text(node, "Encoded"))) == node_schema()
    );
}

TEST_CASE("object: of the recorded objects any flipped byte is refused, or means something else") {
    const json::value file = skywire::test::vectors("cxo/tree_objects.json");
    std::size_t refused = 0;
    for (const std::size_t number : {0U, 1U, 3U}) {
        const json::value& each = file.at(number);
        std::map<Hash, Bytes> recorded;
        for (const json::value& object : each.at("objects_in_creation_order").as_array()) {
            Bytes bytes = skywire::test::hex(skywire::test::text(object, "hex"));
            recorded[crypto::sha256(bytes)] = std::move(bytes);
        }
        ObjectIndex index;
        const Bytes hash = skywire::test::hex(skywire::test::text(each, "root_treenode_hash"));
        Hash root;
        std::copy(hash.begin(), hash.end(), root.begin());
        const Tree tree(index, Assembler(index, recorded).node(root).value());
        for (const auto& [name, object] : objects_of(tree)) {
            for (std::size_t i = 0; i < object->bytes().size(); ++i) {
                Bytes damaged(object->bytes().begin(), object->bytes().end());
                damaged[i] ^= std::byte{1};
                const auto made = checked(index, object->kind(), damaged, object->children());
                if (!made) {
                    CHECK(is_malformed(made));
                    ++refused;
                } else {
                    // A name, a value, a degree: whoever asked for the hash has not got it.
                    CHECK((object->kind() == Kind::entry || object->kind() == Kind::list));
                    CHECK((*made)->hash() != name);
                }
            }
        }
    }
    CHECK(refused > 2'000);
}

TEST_CASE("object: lengths that lie, trailing bytes, counts of any size") {
    ObjectIndex index;
    const Bytes entry = leaf_bytes("name", "value");
    const auto children = leaves(index, 0, 3);
    const Bytes list = write_list(0, 3, children);
    const Bytes branch = write_branch(3, children);
    CHECK(read_entry(entry));
    CHECK(read_list(list));
    CHECK(read_branch(branch));
    for (std::size_t size = 0; size < entry.size(); ++size)
        CHECK(is_malformed(read_entry(cut(entry, size))));
    for (std::size_t size = 0; size < list.size(); ++size)
        CHECK(is_malformed(read_list(cut(list, size))));
    for (std::size_t size = 0; size < branch.size(); ++size)
        CHECK(is_malformed(read_branch(cut(branch, size))));
    CHECK(is_malformed(read_entry(cut(entry, entry.size() + 1))));
    CHECK(is_malformed(read_list(cut(list, list.size() + 32))));
    CHECK(is_malformed(read_branch(cut(branch, branch.size() + 1))));
    CHECK(is_malformed(read_node(Bytes(31))));
    CHECK(is_malformed(read_node(Bytes(33))));
    CHECK(read_node(Bytes(32)).value() == kNil);
    Bytes many = list;
    std::fill_n(many.begin() + 12, 4, std::byte{0xff});
    CHECK(is_malformed(read_list(many)));
    std::fill_n(many.begin(), 16, std::byte{0xff});
    CHECK(is_malformed(read_list(many)));
    // A child that is nil.
    Bytes nil = list;
    std::fill(nil.end() - 32, nil.end(), std::byte{0});
    CHECK(is_malformed(read_list(nil)));
}

TEST_CASE("object: an entry is a leaf or a directory, under a name") {
    const Hash somewhere = crypto::sha256(as_bytes("x"));
    CHECK(read_entry(write_entry("n", somewhere, {})).value().directory == somewhere);
    CHECK(as_text(read_entry(leaf_bytes("n", "v")).value().leaf) == "v");
    CHECK(is_malformed(read_entry(write_entry("n", kNil, {}))));
    CHECK(is_malformed(read_entry(write_entry("n", somewhere, as_bytes("v")))));
    CHECK(is_malformed(read_entry(leaf_bytes("", "v"))));
    CHECK(is_malformed(read_entry(leaf_bytes("a/b", "v"))));
    CHECK(read_entry(leaf_bytes(std::string(kNameMax, 'n'), "v")));
    CHECK(is_malformed(read_entry(leaf_bytes(std::string(kNameMax + 1, 'n'), "v"))));
}

TEST_CASE("object: a list has the shape that its numbers say") {
    ObjectIndex index;
    const auto three = leaves(index, 0, 3);
    const auto shape = [&](std::uint32_t depth, std::uint32_t degree, std::uint32_t length) {
        return read_list(list_bytes(depth, degree, length, three));
    };
    CHECK(shape(0, 16, 3));
    CHECK(shape(0, 3, 3));
    CHECK(shape(0, 1024, 3));
    CHECK(shape(1, 16, 33));
    CHECK(shape(1, 16, 48));
    CHECK(shape(7, 16, 0x2fffffff));
    CHECK(shape(20, 2, 3).has_error());
    CHECK(is_malformed(shape(0, 2, 3)));
    CHECK(is_malformed(shape(0, 1, 3)));
    CHECK(is_malformed(shape(0, 0, 3)));
    CHECK(is_malformed(shape(0, 1025, 3)));
    CHECK(is_malformed(shape(0, 16, 0)));
    CHECK(is_malformed(shape(0, 16, 4)));
    CHECK(is_malformed(shape(1, 16, 3)));
    CHECK(is_malformed(shape(1, 16, 32)));
    CHECK(is_malformed(shape(1, 16, 49)));
    CHECK(is_malformed(shape(8, 16, 0x2fffffff)));
    CHECK(is_malformed(shape(0xffffffff, 16, 3)));

    const auto list = shape(1, 16, 40).value();
    CHECK(list.length_at(0) == 16);
    CHECK(list.length_at(2) == 8);
    const auto sixteen = leaves(index, 0, 16);
    const auto eight = leaves(index, 0, 8);
    CHECK(read_branch(write_branch(16, sixteen), list, 0).value().depth == 0);
    CHECK(read_branch(write_branch(8, eight), list, 2));
    CHECK(is_malformed(read_branch(write_branch(8, eight), list, 0)));
    CHECK(is_malformed(read_branch(write_branch(16, eight), list, 0)));
    CHECK(is_malformed(read_branch(write_branch(16, sixteen), list, 2)));
    CHECK(is_malformed(read_branch(write_branch(16, sixteen), shape(0, 16, 3).value(), 0)));
    CHECK(is_malformed(read_branch(write_branch(2, three))));
    CHECK(is_malformed(read_branch(write_branch(0, {}))));
}

TEST_CASE("object: parts that do not belong together are refused") {
    ObjectIndex index;
    const auto a = leaf(index, "a");
    const auto b = leaf(index, "b");
    const auto list_of = [&](std::vector<ObjectPtr> children) {
        Bytes bytes = write_list(0, static_cast<std::uint32_t>(children.size()), children);
        return checked(index, Kind::list, std::move(bytes), std::move(children));
    };
    const auto list = list_of({a, b}).value();
    CHECK(is_malformed(list_of({b, a})));
    CHECK(is_malformed(list_of({a, a})));
    CHECK(is_malformed(list_of({a, leaf(index, "a", "another")})));
    CHECK(is_malformed(list_of({list})));
    CHECK(is_malformed(checked(index, Kind::list, write_list(0, 2, {a, b}), {a})));
    CHECK(is_malformed(checked(index, Kind::list, write_list(0, 2, {a, b}), {b, a})));

    const auto node = checked(index, Kind::node, write_node(list->hash()), {list}).value();
    CHECK(node->leaves() == 2);
    CHECK(node->objects() == 4);
    CHECK(node->levels() == 1);
    CHECK(is_malformed(checked(index, Kind::node, write_node(list->hash()), {})));
    CHECK(is_malformed(checked(index, Kind::node, write_node(a->hash()), {a})));
    CHECK(is_malformed(checked(index, Kind::node, write_node(kNil), {list})));
    const auto empty = checked(index, Kind::node, write_node(kNil), {}).value();

    const auto directory = write_entry("d", node->hash(), {});
    CHECK(checked(index, Kind::entry, directory, {node}).value()->levels() == 1);
    CHECK(is_malformed(checked(index, Kind::entry, directory, {})));
    CHECK(is_malformed(checked(index, Kind::entry, directory, {list})));
    CHECK(is_malformed(checked(index, Kind::entry, write_entry("d", empty->hash(), {}), {empty})));
    CHECK(is_malformed(checked(index, Kind::entry, leaf_bytes("n", "v"), {node})));
}

TEST_CASE("object: branches must be full, and in order across their borders") {
    ObjectIndex index;
    const auto branch = [&](std::vector<ObjectPtr> children, std::uint32_t length) {
        return checked(index, Kind::branch, write_branch(length, children), children);
    };
    const auto list = [&](std::uint32_t depth,
                          std::uint32_t degree,
                          std::uint32_t length,
                          std::vector<ObjectPtr> children) {
        return checked(index, Kind::list, list_bytes(depth, degree, length, children), children);
    };
    const auto first = branch(leaves(index, 0, 16), 16).value();
    const auto second = branch(leaves(index, 16, 32), 16).value();
    const auto rest = branch(leaves(index, 32, 35), 3).value();
    CHECK(list(1, 16, 35, {first, second, rest}).value()->leaves() == 35);
    CHECK(is_malformed(list(1, 16, 35, {second, first, rest})));
    CHECK(is_malformed(list(1, 16, 35, {first, rest, second})));
    CHECK(is_malformed(list(1, 16, 32, {first, first})));
    CHECK(is_malformed(branch({first, rest, second}, 35)));
    CHECK(is_malformed(branch({first, second}, 33)));
    CHECK(is_malformed(branch({first, leaf(index, "z")}, 17)));
    CHECK(is_malformed(branch(leaves(index, 0, 3), 4)));

    // Sixteen entries in two levels are right for degree 4 and for no other.
    std::vector<ObjectPtr> fours;
    fours.reserve(4);
    for (unsigned i = 0; i < 4; ++i)
        fours.push_back(branch(leaves(index, 4 * i, 4 * i + 4), 4).value());
    CHECK(list(1, 4, 16, fours));
    const auto of_fours = branch(fours, 16).value();
    CHECK(list(2, 4, 19, {of_fours, branch({branch(leaves(index, 16, 19), 3).value()}, 3).value()})
    );
    // Full by number, but with eight children where four are the most.
    const auto eights =
        branch(
            {branch(leaves(index, 0, 8), 8).value(), branch(leaves(index, 8, 16), 8).value()}, 16
        )
            .value();
    CHECK(is_malformed(
        list(2, 4, 17, {eights, branch({branch(leaves(index, 16, 17), 1).value()}, 1).value()})
    ));
    // The last one packed loosely.
    const auto loose =
        branch(
            {branch(leaves(index, 16, 18), 2).value(), branch(leaves(index, 18, 20), 2).value()}, 4
        )
            .value();
    CHECK(is_malformed(list(2, 4, 20, {of_fours, loose})));
}

TEST_CASE("index: an object is made once, found while it is held, and not any more after that") {
    ObjectIndex index;
    auto a = leaf(index, "a");
    const Hash hash = a->hash();
    CHECK(leaf(index, "a") == a);
    CHECK(index.find(hash) == a);
    CHECK(index.find(hash, Kind::entry) == a);
    CHECK_FALSE(index.find(hash, Kind::node));
    CHECK_FALSE(index.find(crypto::sha256(as_bytes("b"))));
    CHECK(index.size() == 1);
    CHECK(index.bytes() == a->bytes().size());
    a.reset();
    CHECK_FALSE(index.find(hash));
    CHECK(index.size() == 0);
    CHECK(index.bytes() == 0);
    CHECK(leaf(index, "a")->hash() == hash);
}

TEST_CASE("index: bytes that can be read in two ways make two objects") {
    ObjectIndex index;
    const Bytes bytes(32, std::byte{1});
    const auto one = index.make(Kind::node, bytes, {leaf(index, "a")});
    const auto other = index.make(Kind::branch, bytes, {leaf(index, "a")});
    CHECK(one != other);
    CHECK(index.find(one->hash()) == one);
    CHECK(index.make(Kind::node, bytes, {leaf(index, "a")}) == one);
    CHECK_FALSE(index.find(one->hash(), Kind::branch));
}

TEST_CASE("index: objects outlive it, and a deep tree falls without depth") {
    ObjectPtr deep;
    {
        ObjectIndex index;
        for (unsigned i = 0; i < 200'000; ++i) {
            std::vector<ObjectPtr> children;
            if (deep) children.push_back(std::move(deep));
            Bytes bytes = skywire::test::hex(fmt::format("{:08x}", i));
            deep = index.make(Kind::branch, std::move(bytes), std::move(children));
        }
        CHECK(index.size() == 200'000);
    }
    deep.reset();
}

TEST_CASE("object: a few objects that say more leaves than there are numbers") {
    ObjectIndex index;
    ObjectPtr inside = index.make(Kind::branch, Bytes(8), {leaf(index, "a"), leaf(index, "b")});
    for (unsigned i = 0; i < 80; ++i) {
        Bytes bytes = skywire::test::hex(fmt::format("{:08x}", i));
        inside = index.make(Kind::branch, std::move(bytes), {inside, inside});
    }
    CHECK(inside->leaves() == std::numeric_limits<std::uint64_t>::max());
    CHECK(inside->objects() == std::numeric_limits<std::uint64_t>::max());
    CHECK(inside->leaf_bytes() == std::numeric_limits<std::uint64_t>::max());
    CHECK(inside->path_bytes() == std::numeric_limits<std::uint64_t>::max());
    const ObjectPtr named =
        index.make(Kind::entry, write_entry("name", inside->hash(), {}), {inside});
    CHECK(named->path_bytes() == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("object: the bytes of all paths are those that a walk gives out") {
    ObjectIndex index;
    const auto applied = Tree(index).apply({
        {"a", Bytes(3)},
        {"dir/b", Bytes(1)},
        {"dir/cc", Bytes(1)},
        {"dir/deep/er/leaf", Bytes(1)},
        {"dir/deep/er/other", Bytes(1)},
    });
    REQUIRE(applied);
    std::size_t sum = 0;
    applied->tree.walk("", [&](std::string_view path, ByteSpan) {
        sum += path.size();
        return true;
    });
    CHECK(sum == 45);
    CHECK(applied->tree.root()->path_bytes() == sum);
    CHECK(Tree(index).root()->path_bytes() == 0);
}
