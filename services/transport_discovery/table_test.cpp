#include "services/transport_discovery/table.hpp"

#include "base/test.hpp"
#include "http/gzip.hpp"
#include "services/transport_discovery/list_body.hpp"
#include "services/transport_discovery/rate_limit.hpp"
#include "services/transport_discovery/record.hpp"

#include <algorithm>
#include <random>
#include <set>

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;
using transport::Entry;

crypto::PublicKey key(int number) {
    static std::map<int, crypto::PublicKey> made;
    const auto [at, added] = made.try_emplace(number);
    if (added) at->second = crypto::deterministic_key_pair("k" + std::to_string(number)).public_key;
    return at->second;
}

Entry entry(int a, int b, int type = 0) {
    return transport::make_entry(key(a), key(b), "type" + std::to_string(type), "user");
}

std::string text_of(Listing& listing, Listing::Kind kind) {
    std::string all;
    for (std::size_t slab = 0; slab < listing.slabs(); ++slab) {
        const auto text = listing.text(slab, kind);
        if (text->empty()) continue;
        all += all.empty() ? "[" : ",";
        all += *text;
    }
    return all + "]";
}

}  // namespace

TEST_CASE("table: look-ups, counts and the list agree with a plain model under random changes") {
    std::mt19937 random(7);
    Table table({5min, 0s});
    std::map<transport::TransportId, Entry> model;
    std::map<crypto::PublicKey, std::size_t> held;
    Table::Events events;
    events.held = [&](const crypto::PublicKey& of, std::size_t count) { held[of] = count; };
    table.on_change(std::move(events));
    std::set<transport::TransportId> model_held;
    for (int step = 0; step < 4000; ++step) {
        Entry some = entry(
            static_cast<int>(random() % 12),
            static_cast<int>(random() % 12),
            static_cast<int>(random() % 10)
        );
        if (random() % 3 == 0) {
            CHECK(table.erase(some.id) == (model.erase(some.id) == 1));
            model_held.erase(some.id);
            continue;
        }
        if (random() % 4 == 0) some.label = "other";
        const bool is_held = random() % 2 == 0;
        const auto known = model.find(some.id);
        const auto put = table.put(some, is_held, SteadyTime{});
        if (known == model.end()) {
            CHECK(put == Table::Put::added);
        } else {
            const bool same = known->second.label == some.label;
            CHECK(put == (same ? Table::Put::renewed : Table::Put::changed));
        }
        model[some.id] = some;
        if (is_held) {
            model_held.insert(some.id);
        } else {
            model_held.erase(some.id);
        }
    }
    CHECK(table.size() == model.size());
    std::size_t by_type = 0;
    for (const auto& [type, count] : table.by_type())
        by_type += count;
    CHECK(by_type == model.size());
    for (int i = 0; i < 12; ++i) {
        std::set<transport::TransportId> expected;
        std::size_t expected_held = 0;
        for (const auto& [id, each] : model) {
            if (!each.has_edge(key(i))) continue;
            expected.insert(id);
            if (model_held.contains(id)) ++expected_held;
        }
        std::set<transport::TransportId> found;
        for (const Record* record : table.of_edge(EdgeKey(key(i))))
            found.insert(record->entry.id);
        CHECK(found == expected);
        CHECK(held[key(i)] == expected_held);
    }
    const auto list = transport::parse_entries(text_of(table.listing(), Listing::Kind::all));
    REQUIRE(list);
    CHECK((*list)->size() == model.size());
    for (const Entry& each : **list)
        CHECK(model.at(each.id) == each);
    const auto others =
        transport::parse_entries(text_of(table.listing(), Listing::Kind::without_self));
    REQUIRE(others);
    const auto self = [](const auto& each) { return each.second.to_self(); };
    const auto selves = std::count_if(model.begin(), model.end(), self);
    CHECK((*others)->size() == model.size() - static_cast<std::size_t>(selves));
}

TEST_CASE("table: what has ended is handed out once, and later where it was renewed") {
    Table table({5min, 0s});
    const SteadyTime start{};
    const Entry first = entry(1, 2);
    const Entry second = entry(1, 3);
    table.put(first, /*held=*/false, start);
    table.put(second, /*held=*/true, start);
    CHECK(table.take_ended(start + 5min - 1s, 10).empty());
    table.put(first, /*held=*/false, start + 1min);
    CHECK(table.take_ended(start + 5min, 10).empty());
    CHECK(table.take_ended(start + 6min, 10) == std::vector{first.id});
    CHECK(table.take_ended(start + 7min, 10).empty());
    table.look_again(first.id, start + 8min);
    CHECK(table.take_ended(start + 8min, 10) == std::vector{first.id});
    // Renewed, it is planned anew.
    table.put(first, /*held=*/false, start + 8min);
    CHECK(table.take_ended(start + 13min, 10) == std::vector{first.id});
    table.put(second, /*held=*/false, start + 8min);
    CHECK(table.take_ended(start + 13min, 10) == std::vector{second.id});
    CHECK(table.erase(first.id));
    CHECK_FALSE(table.erase(first.id));
}

TEST_CASE("listing: a change makes one slab's text anew") {
    Listing listing;
    std::vector<Entry> entries;
    entries.reserve(3 * Listing::kSlabEntries);
    for (std::size_t i = 0; i < entries.capacity(); ++i)
        entries.push_back(entry(1, 2, static_cast<int>(i)));
    std::vector<Listing::Place> places;
    for (const Entry& each : entries)
        places.push_back(listing.add(each));
    REQUIRE(listing.slabs() == 3);
    const auto first = listing.text(0, Listing::Kind::all);
    const auto second = listing.text(1, Listing::Kind::all);
    listing.remove(places[5]);
    CHECK(listing.text(0, Listing::Kind::all) != first);
    CHECK(listing.text(1, Listing::Kind::all) == second);
    // The place is used again.
    listing.add(entries[5]);
    CHECK(listing.slabs() == 3);
    CHECK(*listing.text(0, Listing::Kind::all) == *first);
}

TEST_CASE("packed stream: slabs compressed one by one are one gzip body") {
    Listing listing;
    std::vector<Entry> entries;
    entries.reserve(2 * Listing::kSlabEntries + 5);
    for (std::size_t i = 0; i < entries.capacity(); ++i) {
        entries.push_back(entry(1, 2, static_cast<int>(i)));
        listing.add(entries.back());
    }
    PackedStream stream;
    std::string body = PackedStream::head();
    for (std::size_t slab = 0; slab < listing.slabs(); ++slab) {
        const auto packed = pack(listing.text(slab, Listing::Kind::all));
        REQUIRE(packed);
        listing.keep(slab, Listing::Kind::all, packed);
        CHECK(listing.packed(slab, Listing::Kind::all, packed->of) == packed);
        body += stream.slab(slab == 0 ? "[" : ",", *packed);
    }
    body += stream.text("]\n");
    body += stream.tail();
    const auto plain = http::gunzip(body, 10'000'000);
    REQUIRE(plain);
    CHECK(*plain == text_of(listing, Listing::Kind::all) + "\n");
    CHECK(body.size() < plain->size() / 2);
    listing.touch({0, 0});
    CHECK_FALSE(listing.packed(0, Listing::Kind::all, listing.text(0, Listing::Kind::all)));
}

TEST_CASE("stored transport: both directions, what others write, what is damaged") {
    const StoredTransport stored{
        entry(1, 2), WallTime(std::chrono::seconds(1'795'167'376)), /*held=*/true
    };
    const std::string text = to_text(stored);
    CHECK(stored_transport(text).value() == stored);
    CHECK(text.ends_with(R"(,"label":"user","last_update":1795167376,"held":true})"));
    CHECK(text.starts_with(R"({"id":")"));
    // As a program of the network stores it.
    const std::string theirs = fmt::format(
        R"({{"id":"{}","edge_a":"{}","edge_b":"{}","type":"type0","label":"user","lat_min":0.5,)"
        R"("lat_max":1,"lat_avg":1,"bandwidth":7,"last_update":1795167376}})",
        stored.entry.id.to_text(),
        stored.entry.edges[0],
        stored.entry.edges[1]
    );
    const auto read = stored_transport(theirs);
    REQUIRE(read);
    CHECK(read->entry == stored.entry);
    CHECK_FALSE(read->held);
    for (std::size_t at = 0; at < text.size(); ++at) {
        std::string changed = text;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        if (const auto other = stored_transport(changed))
            CHECK(transport::check_entry(other->entry));
    }
    for (const std::string_view bad : {"", "{}", "[]", "7", R"({"id":"x"})"})
        CHECK_FALSE(stored_transport(bad));
}

TEST_CASE("rate limit: a burst, then the rate; each caller has his own") {
    RateLimit limit({30, 10});
    SteadyTime now{};
    for (int i = 0; i < 10; ++i)
        CHECK(limit.take("a", now));
    CHECK_FALSE(limit.take("a", now));
    CHECK(limit.take("b", now));
    now += 2s;
    CHECK(limit.take("a", now));
    CHECK_FALSE(limit.take("a", now));
    now += 1h;
    for (int i = 0; i < 10; ++i)
        CHECK(limit.take("a", now));
    CHECK_FALSE(limit.take("a", now));
    for (std::size_t i = 0; i < RateLimit::kBucketsMax + 10; ++i)
        limit.take(std::to_string(i), now);
    CHECK(limit.buckets() <= RateLimit::kBucketsMax);
    RateLimit off({0, 10});
    for (int i = 0; i < 100; ++i)
        CHECK(off.take("a", now));
    CHECK(off.buckets() == 0);
}

}  // namespace skywire::tpd
