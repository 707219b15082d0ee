#include "store/store_suite.hpp"

#include <algorithm>
#include <set>

namespace skywire::store {
namespace {

using Strings = std::vector<std::string>;
using namespace std::chrono_literals;
using namespace std::string_literals;

Strings sorted(Strings strings) {
    std::sort(strings.begin(), strings.end());
    return strings;
}

void values(net::TestLoop& loop, Store& store) {
    CHECK(loop.run(store.get("absent")).value() == std::nullopt);
    must_apply(loop, store, SetValue{"v:1", "one"});
    CHECK(loop.run(store.get("v:1")).value() == "one");
    must_apply(loop, store, SetValue{"v:1", "other", 1h});
    CHECK(loop.run(store.get("v:1")).value() == "other");
    must_apply(loop, store, SetValue{"v:2", ""});
    CHECK(loop.run(store.get("v:2")).value() == "");
    const auto many = loop.run(store.get_many({"v:2", "absent", "v:1", "v:1"})).value();
    REQUIRE(many.size() == 4);
    CHECK(many[0] == "");
    CHECK(many[1] == std::nullopt);
    CHECK(many[2] == "other");
    CHECK(many[3] == "other");
    CHECK(loop.run(store.get_many({})).value().empty());
    must_apply(loop, store, Erase{"v:1"});
    must_apply(loop, store, Erase{"absent"});
    CHECK(loop.run(store.get("v:1")).value() == std::nullopt);
    CHECK(loop.run(store.ping()).has_value());
}

void sets(net::TestLoop& loop, Store& store) {
    CHECK(loop.run(store.members("s")).value().empty());
    CHECK(loop.run(store.count("s")).value() == 0);
    CHECK(loop.run(store.sample("s", 3)).value().empty());
    Batch batch;
    for (int i = 0; i < 20; ++i)
        batch.changes.push_back(AddToSet{"s", std::to_string(i)});
    batch.changes.push_back(AddToSet{"s", "7"});
    CHECK(loop.run(store.apply(batch)).value());
    CHECK(loop.run(store.count("s")).value() == 20);
    must_apply(loop, store, RemoveFromSet{"s", "0"});
    must_apply(loop, store, RemoveFromSet{"s", "absent"});
    must_apply(loop, store, RemoveFromSet{"absent", "absent"});
    const Strings members = loop.run(store.members("s")).value();
    CHECK(std::set<std::string>(members.begin(), members.end()).size() == 19);
    CHECK(std::count(members.begin(), members.end(), "0") == 0);

    std::set<std::string> seen;
    for (int i = 0; i < 200; ++i) {
        const Strings some = loop.run(store.sample("s", 5)).value();
        CHECK(std::set<std::string>(some.begin(), some.end()).size() == 5);
        seen.insert(some.begin(), some.end());
    }
    // Each of 19 is missed by 200 draws of 5 with a chance of 1e-26.
    CHECK(seen == std::set<std::string>(members.begin(), members.end()));
    CHECK(sorted(loop.run(store.sample("s", 19)).value()) == sorted(members));
    CHECK(sorted(loop.run(store.sample("s", 100)).value()) == sorted(members));
    CHECK(loop.run(store.sample("s", 0)).value().empty());

    Batch empty;
    for (const std::string& member : members) {
        empty.changes.push_back(RemoveFromSet{"s", member});
    }
    CHECK(loop.run(store.apply(empty)).value());
    CHECK(loop.run(store.count("s")).value() == 0);
    // Nothing is left of it: the key may hold a value now.
    must_apply(loop, store, AddToSet{"s", "again"});
    must_apply(loop, store, Erase{"s"});
    must_apply(loop, store, SetValue{"s", "a value"});
}

void expectations(net::TestLoop& loop, Store& store) {
    must_apply(loop, store, SetValue{"e:1", "old"});
    must_apply(loop, store, AddToSet{"e:set", "member"});
    Batch batch;
    batch.changes = {
        SetValue{"e:1", "new", 1h},
        SetValue{"e:2", "more"},
        AddToSet{"e:set", "other"},
        RemoveFromSet{"e:set", "member"},
        Erase{"e:3"}
    };
    for (const auto& [key, value] : std::vector<std::pair<std::string, std::optional<std::string>>>{
             {"e:1", "wrong"}, {"e:1", std::nullopt}, {"e:absent", ""}, {"e:absent", "value"}
         }) {
        batch.expected = {{"e:1", "old"}, {key, value}};
        CHECK_FALSE(loop.run(store.apply(batch)).value());
        CHECK(loop.run(store.get("e:1")).value() == "old");
        CHECK(loop.run(store.get("e:2")).value() == std::nullopt);
        CHECK(loop.run(store.members("e:set")).value() == Strings{"member"});
    }
    batch.expected = {{"e:1", "old"}, {"e:absent", std::nullopt}};
    CHECK(loop.run(store.apply(batch)).value());
    CHECK(loop.run(store.get("e:1")).value() == "new");
    CHECK(loop.run(store.get("e:2")).value() == "more");
    CHECK(loop.run(store.members("e:set")).value() == Strings{"other"});

    // Only an expectation, and nothing at all.
    Batch question;
    question.expected = {{"e:1", "new"}};
    CHECK(loop.run(store.apply(question)).value());
    CHECK(loop.run(store.apply(Batch())).value());
}

void counters(net::TestLoop& loop, Store& store) {
    CHECK(loop.run(store.increment("n")).value() == 1);
    CHECK(loop.run(store.increment("n")).value() == 2);
    CHECK(loop.run(store.get("n")).value() == "2");
    must_apply(loop, store, SetValue{"n", "41"});
    CHECK(loop.run(store.increment("n")).value() == 42);
    must_apply(loop, store, Erase{"n"});
    CHECK(loop.run(store.increment("n")).value() == 1);
    for (const char* text : {"", "x", "1x", "9223372036854775807", "99999999999999999999"}) {
        must_apply(loop, store, SetValue{"n", text});
        CHECK(loop.run(store.increment("n")).error() == make_error_code(errc::malformed));
        CHECK(loop.run(store.get("n")).value() == text);
    }
}

void binary(net::TestLoop& loop, Store& store) {
    std::string all;
    for (int i = 0; i < 256; ++i)
        all += static_cast<char>(i);
    const Strings texts{"\r\n"s, "\0"s, "a\0b"s, "$5\r\nhello\r\n"s, "\xff\xfe"s, all, ""s, " "s};
    for (const std::string& text : texts) {
        const std::string key = "b:" + text;
        must_apply(loop, store, SetValue{key, text});
        CHECK(loop.run(store.get(key)).value() == text);
        must_apply(loop, store, AddToSet{"b:set", text});
        Batch batch = one_value(key, text + text);
        batch.expected = {{key, text}};
        CHECK(loop.run(store.apply(batch)).value());
        CHECK(loop.run(store.get(key)).value() == text + text);
    }
    CHECK(sorted(loop.run(store.members("b:set")).value()) == sorted(texts));
    for (const std::string& text : texts)
        must_apply(loop, store, RemoveFromSet{"b:set", text});
    CHECK(loop.run(store.count("b:set")).value() == 0);

    const std::string large(3'000'000, 'x');
    must_apply(loop, store, SetValue{"b:large", large});
    CHECK(loop.run(store.get("b:large")).value() == large);
}

void wrong_kinds(net::TestLoop& loop, Store& store) {
    must_apply(loop, store, SetValue{"k:value", "v"});
    must_apply(loop, store, AddToSet{"k:set", "m"});
    const auto malformed = make_error_code(errc::malformed);
    CHECK(loop.run(store.get("k:set")).error() == malformed);
    CHECK(loop.run(store.get_many({"k:set", "k:value"})).value().front() == std::nullopt);
    CHECK(loop.run(store.members("k:value")).error() == malformed);
    CHECK(loop.run(store.sample("k:value", 1)).error() == malformed);
    CHECK(loop.run(store.count("k:value")).error() == malformed);
    CHECK(loop.run(store.increment("k:set")).error() == malformed);
    Batch batch;
    batch.changes = {AddToSet{"k:value", "m"}};
    CHECK(loop.run(store.apply(batch)).error() == malformed);
    batch.changes = {RemoveFromSet{"k:value", "m"}};
    CHECK(loop.run(store.apply(batch)).error() == malformed);

    // With an expectation nothing of it is done.
    batch.expected = {{"k:value", "v"}};
    batch.changes = {SetValue{"k:new", "v"}, AddToSet{"k:value", "m"}};
    CHECK(loop.run(store.apply(batch)).error() == malformed);
    CHECK(loop.run(store.get("k:new")).value() == std::nullopt);
    batch.expected = {{"k:set", "v"}};
    batch.changes = {SetValue{"k:new", "v"}};
    CHECK(loop.run(store.apply(batch)).error() == malformed);

    // What the batch itself turns into the right kind is right.
    batch.expected = {{"k:value", "v"}};
    batch.changes = {Erase{"k:value"}, AddToSet{"k:value", "m"}, SetValue{"k:set", "now a value"}};
    CHECK(loop.run(store.apply(batch)).value());
    CHECK(loop.run(store.members("k:value")).value() == Strings{"m"});
    CHECK(loop.run(store.get("k:set")).value() == "now a value");

    batch = one_value("k:negative", "v", -1ns);
    CHECK(loop.run(store.apply(batch)).error() == make_error_code(errc::out_of_range));
    must_apply(loop, store, SetValue{"k:forever", "v", Duration::max()});
    CHECK(loop.run(store.get("k:forever")).value() == "v");
}

}  // namespace

void must_apply(net::TestLoop& loop, Store& store, Change change) {
    Batch batch;
    batch.changes.push_back(std::move(change));
    REQUIRE(loop.run(store.apply(std::move(batch))).value());
}

Batch one_value(std::string key, std::string value, Duration ttl) {
    Batch batch;
    batch.changes.push_back(SetValue{std::move(key), std::move(value), ttl});
    return batch;
}

void check_store_behaviour(net::TestLoop& loop, Store& store) {
    values(loop, store);
    sets(loop, store);
    expectations(loop, store);
    counters(loop, store);
    binary(loop, store);
    wrong_kinds(loop, store);
}

}  // namespace skywire::store
