#include "dmsg/entry_rules.hpp"

#include "base/test.hpp"

using namespace skywire;
using namespace std::chrono_literals;
using dmsg::Entry;
using dmsg::EntryRules;
using dmsg::ReceivedEntry;

namespace {

/// The clock of the recorded exchanges.
const WallTime kNow(std::chrono::seconds(1'795'167'603));

crypto::KeyPair key_pair() {
    return crypto::deterministic_key_pair("dmsg-spec-server");
}

Entry server_entry(const std::string& address) {
    Entry entry;
    entry.version = dmsg::kEntryVersion;
    entry.timestamp = kNow.time_since_epoch().count();
    entry.static_key = key_pair().public_key;
    entry.server.emplace().address = address;
    entry.signature = "00";
    return entry;
}

dmsg::errc verdict(Entry entry, const EntryRules& rules, bool sign = true) {
    if (sign) dmsg::sign_entry(entry, key_pair().secret_key);
    const auto received = ReceivedEntry::parse(dmsg::to_json(entry)).value();
    const auto checked = dmsg::check_entry(received, rules);
    return checked ? dmsg::errc::ok : static_cast<dmsg::errc>(checked.error().code().value());
}

/// A discovery of one map: what the recorded bodies go through.
struct Discovery {
    std::map<crypto::PublicKey, std::string> stored;
    bool test_mode = true;

    std::string post(const std::string& body) {
        const auto result = try_post(body);
        if (!result) return answer(result.error().code().message(), result.error());
        return answer(*result, {});
    }

    std::string remove(const std::string& body) {
        const auto received = ReceivedEntry::parse(body);
        if (!received) return answer(received.error().code().message(), received.error());
        const auto checked = dmsg::check_entry(*received, {kNow, test_mode});
        if (!checked) return answer(checked.error().code().message(), checked.error());
        stored.erase(received->entry().static_key);
        return answer("deleted entry", {});
    }

 private:
    Result<std::string> try_post(const std::string& body) {
        const auto received = ReceivedEntry::parse(body);
        if (!received) return received.error();
        const auto checked = dmsg::check_entry(*received, {kNow, test_mode});
        if (!checked) return checked.error();
        const Entry& entry = received->entry();
        const auto old = stored.find(entry.static_key);
        if (old != stored.end()) {
            const auto before = ReceivedEntry::parse(old->second).value();
            const auto updated = dmsg::check_update(before.entry(), entry);
            if (!updated) return updated.error();
        }
        const bool first = old == stored.end();
        const std::string type =
            entry.server && entry.server->server_type.empty() ? "official" : "community";
        stored[entry.static_key] = received->stored_text(type);
        return std::string(first ? "wrote a new entry" : "wrote new entry iteration");
    }

    static std::string answer(const std::string& message, const Error& error) {
        const auto code = static_cast<dmsg::errc>(error.code().value());
        return fmt::format(R"({{"message":"{}","code":{}}})", message, dmsg::http_status(code));
    }
};

}  // namespace

TEST_CASE("entry rules: the recorded requests of a discovery get the recorded answers") {
    constexpr std::string_view kEntryPath = "/dmsg-discovery/entry/";
    Discovery discovery;
    std::size_t posts = 0;
    std::size_t reads = 0;
    const json::value file = test::vectors("dmsg/discovery_http.json");
    for (const json::value& each : file.at("exchanges").as_array()) {
        const std::string note = test::text(each, "note");
        const std::string method = test::text(each, "method");
        const std::string path = test::text(each, "path");
        const std::string expected = test::text(each, "response");
        const json::value* body_value = each.as_object().if_contains("body");
        const std::string body(body_value != nullptr ? body_value->as_string().c_str() : "");
        INFO(note);
        if (note.starts_with("production mode")) discovery = {{}, false};
        if (method == "POST" && path.starts_with(kEntryPath)) {
            ++posts;
            // Only the recording's vintage does not know the member: ours verifies over the text.
            if (note.find("protocol") != std::string::npos) {
                CHECK(
                    discovery.post(body) == R"({"message":"wrote new entry iteration","code":200})"
                );
                continue;
            }
            CHECK(discovery.post(body) == expected);
        } else if (method == "DELETE" && path == "/dmsg-discovery/entry") {
            CHECK(discovery.remove(body) == expected);
        } else if (method == "GET" && path.starts_with(kEntryPath) &&
                   each.at("status").as_int64() == 200) {
            ++reads;
            const auto key = crypto::PublicKey::from_text(path.substr(kEntryPath.size())).value();
            CHECK(discovery.stored[key] == expected);
        }
    }
    CHECK(posts >= 30);
    CHECK(reads >= 4);
}

TEST_CASE("entry rules: the first broken one is told, in the network's order") {
    const EntryRules rules{kNow};
    Entry entry = server_entry("127.0.0.1:1");
    entry.version.clear();
    entry.static_key = {};
    entry.timestamp = 0;
    entry.signature.clear();
    CHECK(verdict(entry, rules, false) == dmsg::errc::loopback_address);
    entry.server->address = "";
    CHECK(verdict(entry, rules, false) == dmsg::errc::no_version);
    entry.version = "x";
    CHECK(verdict(entry, rules, false) == dmsg::errc::no_signature);
    entry.signature = "x";
    CHECK(verdict(entry, rules, false) == dmsg::errc::no_static_key);
    entry.static_key = key_pair().public_key;
    CHECK(verdict(entry, rules, false) == dmsg::errc::no_server_address);
    entry.server->address = "192.0.2.1:1";
    CHECK(verdict(entry, rules, false) == dmsg::errc::outdated_timestamp);
    entry.timestamp = kNow.time_since_epoch().count();
    CHECK(verdict(entry, rules, false) == dmsg::errc::invalid_signature);
    CHECK(verdict(entry, rules) == dmsg::errc::ok);
    entry.server.reset();
    CHECK(verdict(entry, rules, false) == dmsg::errc::no_role);
}

TEST_CASE("entry rules: timestamps from 60 s ago to 5 s ahead, clients at any time") {
    const EntryRules rules{kNow};
    const auto at = [&](Duration offset) {
        Entry entry = server_entry("192.0.2.1:1");
        entry.timestamp = (kNow + offset).time_since_epoch().count();
        return verdict(entry, rules);
    };
    CHECK(at(-60s) == dmsg::errc::ok);
    CHECK(at(-60s - 1ns) == dmsg::errc::outdated_timestamp);
    CHECK(at(5s) == dmsg::errc::ok);
    CHECK(at(5s + 1ns) == dmsg::errc::outdated_timestamp);
    Entry entry = server_entry("192.0.2.1:1");
    for (const std::int64_t timestamp :
         {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}) {
        entry.timestamp = timestamp;
        entry.client.reset();
        CHECK(verdict(entry, rules) == dmsg::errc::outdated_timestamp);
        entry.client.emplace();
        CHECK(verdict(entry, rules) == dmsg::errc::ok);
    }
}

TEST_CASE("entry rules: test mode and load testing leave out what they say") {
    EntryRules rules{kNow};
    CHECK(verdict(server_entry("127.0.0.1:1"), rules) == dmsg::errc::loopback_address);
    rules.test_mode = true;
    CHECK(verdict(server_entry("127.0.0.1:1"), rules) == dmsg::errc::ok);
    Entry entry = server_entry("192.0.2.1:1");
    entry.timestamp = 1;
    rules.load_testing = true;
    CHECK(verdict(entry, rules, false) == dmsg::errc::ok);
    entry.version.clear();
    CHECK(verdict(entry, rules, false) == dmsg::errc::no_version);
}

TEST_CASE("entry rules: an update has a larger sequence and no smaller timestamp") {
    const auto update = [](std::uint64_t sequence, std::int64_t timestamp) {
        Entry stored;
        stored.sequence = 5;
        stored.timestamp = 100;
        Entry next;
        next.sequence = sequence;
        next.timestamp = timestamp;
        const auto checked = dmsg::check_update(stored, next);
        return checked ? dmsg::errc::ok : static_cast<dmsg::errc>(checked.error().code().value());
    };
    CHECK(update(6, 100) == dmsg::errc::ok);
    CHECK(update(900, 101) == dmsg::errc::ok);
    CHECK(update(5, 101) == dmsg::errc::wrong_sequence);
    CHECK(update(4, 99) == dmsg::errc::wrong_sequence);
    CHECK(update(6, 99) == dmsg::errc::older_timestamp);
}

TEST_CASE("entry rules: loopback is an empty host or a loopback literal, nothing else") {
    for (const std::string_view address :
         {":8081",
          "127.0.0.1:8081",
          "127.255.0.9:1",
          "[::1]:8081",
          "[127.0.0.1]:1",
          "[0:0:0:0:0:0:0:1]:1",
          "[::ffff:127.0.0.1]:1",
          "[]:1",
          "127.0.0.1:",
          ":"}) {
        INFO(address);
        CHECK(dmsg::is_loopback_address(address));
    }
    for (const std::string_view address :
         {"",
          "no-port",
          "localhost:8081",
          "127.0.0.1",
          "::1",
          "::1:8081",
          "[::1]",
          "[::1]8081",
          "[::1",
          "[[::1]]:1",
          "[::1]:[1",
          "[::1]:1]",
          "[::1%lo]:1",
          "127.0.0.1:1:2",
          "127.1:1",
          "0127.0.0.1:1",
          "10.0.0.1:8081",
          "192.0.2.7:8081",
          "0.0.0.0:1",
          "[::]:1",
          "[2001:db8::1]:1",
          "127.0.0.1 :1"}) {
        INFO(address);
        CHECK_FALSE(dmsg::is_loopback_address(address));
    }
    CHECK_FALSE(dmsg::is_loopback_address(std::string_view("127.0.0.1\0:1", 12)));
}
