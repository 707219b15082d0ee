#include "dmsg/entry.hpp"

#include "base/test.hpp"
#include "crypto/signature.hpp"

using namespace skywire;
using dmsg::Entry;
using dmsg::ReceivedEntry;

namespace {

constexpr std::string_view kAlice =
    "02f2de93b7e65b469cf8a974a1459f5b5ee38061aba3610c9436e3fe9a44e4cb07";
constexpr std::string_view kServer =
    "03cb48da90badc5f7fede977c87f601f5589293fc6eb38bbc6cb1107ddd086becb";

crypto::KeyPair alice() {
    return crypto::deterministic_key_pair("dmsg-spec-alice");
}

ReceivedEntry parse(std::string_view text) {
    return ReceivedEntry::parse(std::string(text)).value();
}

Entry client_entry() {
    Entry entry;
    entry.version = dmsg::kEntryVersion;
    entry.sequence = 7;
    entry.timestamp = 1'700'000'000'123'456'789;
    entry.static_key = alice().public_key;
    entry.client.emplace().delegated_servers.emplace().push_back(
        crypto::PublicKey::from_text(kServer).value()
    );
    return entry;
}

/// `members` as an entry's text, signed as it stands by alice.
std::string signed_as_it_stands(const std::string& members) {
    const auto signature = crypto::sign(alice().secret_key, as_bytes("{" + members + "}"));
    return "{" + members + ",\"signature\":\"" + signature.to_text() + "\"}";
}

std::string common_members() {
    return fmt::format(R"("version":"0.0.1","sequence":1,"timestamp":5,"static":"{}")", kAlice);
}

std::string refusal(std::string_view text) {
    const auto parsed = ReceivedEntry::parse(std::string(text));
    REQUIRE_FALSE(parsed.has_value());
    CHECK(parsed.error() == make_error_code(dmsg::errc::unexpected));
    CHECK(parsed.error().code().message() == "something unexpected happened");
    return parsed.error().message();
}

}  // namespace

TEST_CASE("entry: entries of all vintages, byte for byte in both directions") {
    const json::value file = test::vectors("dmsg/entry.json");
    for (const json::value& each : file.at("cases").as_array()) {
        INFO(test::text(each, "note"));
        const std::string wire_text = test::text(each, "wire_text");
        const ReceivedEntry received = parse(wire_text);
        CHECK(received.verify().has_value());
        CHECK(received.stored_text() == wire_text);

        Entry entry = received.entry();
        CHECK(dmsg::to_json(entry) == wire_text);
        CHECK(dmsg::signed_text(entry) == test::text(each, "signed_text"));
        CHECK(dmsg::verify_entry(entry).has_value());
        CHECK(entry.signature == test::text(each, "signature"));

        const auto digest = crypto::sha256(as_bytes(dmsg::signed_text(entry)));
        CHECK(to_hex(digest) == test::text(each, "digest"));
        const auto secret_key = crypto::SecretKey::from_text(test::text(each, "seckey")).value();
        crypto::Digest nonce;
        const Bytes nonce_bytes = test::hex(test::text(each, "nonce_k"));
        std::copy(nonce_bytes.begin(), nonce_bytes.end(), nonce.begin());
        const auto made = crypto::sign_digest_with_nonce(secret_key, digest, nonce).value();
        CHECK(made.to_text() == entry.signature);

        dmsg::sign_entry(entry, secret_key);
        CHECK(dmsg::verify_entry(entry).has_value());
        CHECK(parse(dmsg::to_json(entry)).entry() == entry);
    }
}

TEST_CASE("entry: every byte of a wire text flipped is refused or says the same as before") {
    const json::value file = test::vectors("dmsg/entry.json");
    for (const json::value& each : file.at("cases").as_array()) {
        INFO(test::text(each, "note"));
        const std::string good = test::text(each, "wire_text");
        const Entry entry = parse(good).entry();
        std::size_t accepted = 0;
        for (std::size_t i = 0; i < good.size(); ++i) {
            for (const char mask : {'\x01', '\x20'}) {
                std::string damaged = good;
                damaged[i] = static_cast<char>(damaged[i] ^ mask);
                const auto received = ReceivedEntry::parse(damaged);
                if (!received || !received->verify()) continue;
                // Other letter case, or the name of a member that is zero: the same entry still.
                INFO(damaged);
                ++accepted;
                Entry read = received->entry();
                for (char& c : read.signature) {
                    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
                }
                CHECK(read == entry);
            }
        }
        CHECK(accepted < good.size() / 2);
    }
}

TEST_CASE("entry: a list that was never set, an empty one, and empty texts") {
    Entry entry = client_entry();
    entry.client->delegated_servers->clear();
    CHECK(dmsg::signed_text(entry).ends_with(R"("client":{"delegated_servers":[]}})"));
    entry.client->delegated_servers.reset();
    CHECK(dmsg::signed_text(entry).ends_with(R"("client":{"delegated_servers":null}})"));
    CHECK(parse(dmsg::to_json(entry)).entry() == entry);
    CHECK(
        dmsg::to_json(Entry()) ==
        R"({"version":"","sequence":0,"timestamp":0,"static":")" + std::string(66, '0') + R"("})"
    );
    entry.server.emplace();
    CHECK(dmsg::signed_text(entry).ends_with(R"("server":{"address":"","availableSessions":0}})"));
}

TEST_CASE("entry: members in any order, any letter case, the last of duplicates, null and spaces") {
    Entry entry = client_entry();
    dmsg::sign_entry(entry, alice().secret_key);
    const std::string text = fmt::format(
        "\n{{ \"SIGNATURE\" : "
        "\"{}\",\t\"Client\":{{\"DELEGATED_servers\":[\"{}\"]}},\"sequence\":3,"
        "\"sequence\":7,\"sequence\":null,\"timestamp\":1700000000123456789,"
        "\"static\":\"{}\",\"unknown\":[1,{{\"x\":2}}],\"version\":\"0.0.1\",\"server\":null}}\n",
        entry.signature,
        kServer,
        "02F2DE93B7E65B469CF8A974A1459F5B5EE38061ABA3610C9436E3FE9A44E4CB07"
    );
    const ReceivedEntry received = parse(text);
    CHECK(received.entry() == entry);
    CHECK(received.verify().has_value());
    const std::string canonical = dmsg::to_json(entry);
    const std::string_view without_brace =
        std::string_view(canonical).substr(0, canonical.size() - 1);
    CHECK(received.stored_text() == std::string(without_brace) + R"(,"unknown":[1,{"x":2}]})");
    CHECK(parse(received.stored_text()).verify().has_value());
}

TEST_CASE("entry: text behind the value is ignored, as is white space around it") {
    Entry entry = client_entry();
    dmsg::sign_entry(entry, alice().secret_key);
    const std::string canonical = dmsg::to_json(entry);
    for (const std::string_view tail : {"\n", " x", "{}", "}"}) {
        const ReceivedEntry received = parse(canonical + std::string(tail));
        CHECK(received.verify().has_value());
        CHECK(received.stored_text() == canonical);
    }
    CHECK(parse(" " + canonical).verify().has_value());
}

TEST_CASE("entry: signed members of vintages to come verify and are kept in their places") {
    const std::string text = signed_as_it_stands(
        common_members() + R"(,"future":"a","server":{"address":"192.0.2.1:1","address_wt":"b",)"
                           R"("availableSessions":3,"dht_bootstrap":true})"
    );
    const ReceivedEntry received = parse(text);
    CHECK(received.verify().has_value());
    CHECK_FALSE(dmsg::verify_entry(received.entry()).has_value());
    CHECK(received.stored_text() == text);
    std::string typed = text;
    typed.replace(typed.find(",\"dht"), 0, ",\"serverType\":\"community\"");
    CHECK(received.stored_text("community") == typed);
    CHECK(
        parse(typed).stored_text("official").find(R"("serverType":"official","dht)") !=
        std::string::npos
    );
}

TEST_CASE("entry: unknown members of a text out of order are kept behind the known ones") {
    const ReceivedEntry received =
        parse(R"({"server":{"new":{ "a" : 1 },"availableSessions":2,"address":"h:1"},)"
              R"("client":{"x":null},"top":[]})");
    CHECK(
        received.stored_text("community") ==
        R"({"version":"","sequence":0,"timestamp":0,"static":")" + std::string(66, '0') +
            R"(","client":{"delegated_servers":null,"x":null},"server":{"address":"h:1",)"
            R"("availableSessions":2,"serverType":"community","new":{ "a" : 1 }},"top":[]})"
    );
}

TEST_CASE("entry: serverType is set, replaced and escaped") {
    const std::string head = "{" + common_members();
    const std::string bare = head + R"(,"server":{"address":"h:1","availableSessions":2}})";
    const std::string official =
        head + R"(,"server":{"address":"h:1","availableSessions":2,"serverType":"official"}})";
    CHECK(parse(bare).stored_text("official") == official);
    CHECK(parse(official).stored_text("official") == official);
    const std::string odd = parse(official).stored_text("a\"<b>");
    CHECK(
        odd == head + R"(,"server":{"address":"h:1","availableSessions":2,"serverType":"a\"<b>"}})"
    );
    CHECK(parse(odd).entry().server->server_type == "a\"<b>");
    // No place to put it behind: written anew.
    CHECK(
        parse(head + R"(,"server":{"address":"h:1"}})").stored_text("official") ==
        head + R"(,"server":{"address":"h:1","availableSessions":0,"serverType":"official"}})"
    );
    // A client has none.
    const std::string client = head + R"(,"client":{"delegated_servers":[]}})";
    CHECK(parse(client).stored_text("official") == client);
}

TEST_CASE("entry: null keys are read from zeros, empty text and null") {
    for (const std::string_view text : {"null", "\"\"", "\"000\""}) {
        const auto received =
            parse(fmt::format(R"({{"static":{0},"client":{{"delegated_servers":[{0}]}}}})", text));
        CHECK(received.entry().static_key.is_null());
        REQUIRE(received.entry().client->delegated_servers->size() == 1);
        CHECK(received.entry().client->delegated_servers->front().is_null());
        CHECK(received.stored_text() == dmsg::to_json(received.entry()));
        CHECK_FALSE(received.verify().has_value());
    }
    CHECK(parse("null").entry() == Entry());
    CHECK(parse("{}").entry() == Entry());
    CHECK_FALSE(parse("null").verify().has_value());
}

TEST_CASE("entry: wrong types, numbers that do not fit and malformed keys are refused") {
    for (const std::string_view member :
         {R"("version":1)",
          R"("version":{})",
          R"("sequence":"1")",
          R"("sequence":-1)",
          R"("sequence":1.0)",
          R"("sequence":1e2)",
          R"("sequence":18446744073709551616)",
          R"("timestamp":9223372036854775808)",
          R"("timestamp":true)",
          R"("client":[])",
          R"("client":"x")",
          R"("client":{"delegated_servers":{}})",
          R"("client":{"delegated_servers":[1]})",
          R"("server":1)",
          R"("server":{"address":1})",
          R"("server":{"availableSessions":"1"})",
          R"("server":{"availableSessions":1.5})",
          R"("server":{"serverType":[]})",
          R"("signature":1)",
          R"("protocol":false)",
          R"("client_type":[])"}) {
        INFO(member);
        CHECK(refusal("{" + std::string(member) + "}").starts_with("entry JSON, byte "));
    }
    for (const std::string_view text :
         {"", "{", "[]", "1", "\"\"", "{]", "{\"a\":1,}", "nul", "x", "{\"a\" 1}"}) {
        INFO(text);
        refusal(text);
    }
    CHECK(refusal(R"({"static":"zz"})") == "entry JSON, byte 14: Invalid public key");
    CHECK(refusal(R"({"static":"02aa"})") == "entry JSON, byte 16: Invalid public key length");
    refusal(R"({"client":{"delegated_servers":["02"]}})");
    refusal(R"({"static":5})");
    refusal("{\"x\":" + std::string(100, '[') + std::string(100, ']') + "}");
}

TEST_CASE("entry: only the static key's signature over the whole is accepted") {
    Entry entry = client_entry();
    dmsg::sign_entry(entry, alice().secret_key);
    const std::string good = dmsg::to_json(entry);
    CHECK(parse(good).verify().has_value());
    const auto refused = [](const Entry& each) {
        const auto verdict = parse(dmsg::to_json(each)).verify();
        REQUIRE_FALSE(verdict.has_value());
        CHECK(verdict.error() == make_error_code(dmsg::errc::invalid_signature));
    };
    Entry other = entry;
    other.sequence++;
    refused(other);
    other = entry;
    other.protocol = "smux";
    refused(other);
    other = entry;
    other.signature = "zz";
    refused(other);
    other.signature.clear();
    refused(other);
    other = entry;
    dmsg::sign_entry(other, crypto::deterministic_key_pair("dmsg-spec-bob").secret_key);
    refused(other);
    // The signed text with the signature in front, or a second one behind.
    const std::string rest = good.substr(0, good.find(",\"signature\"")).substr(1);
    CHECK(parse("{\"signature\":\"" + entry.signature + "\"," + rest + "}").verify().has_value());
    CHECK_FALSE(
        parse("{\"signature\":\"" + std::string(130, '1') + "\"," + rest + "}").verify().has_value()
    );
}

TEST_CASE("dmsg errors: every code has its own sentence, reason and status") {
    std::set<std::string> sentences;
    std::set<std::string_view> reasons;
    const int last = static_cast<int>(dmsg::errc::older_timestamp);
    for (int value = 0; value <= last; ++value) {
        const auto code = static_cast<dmsg::errc>(value);
        sentences.insert(make_error_code(code).message());
        reasons.insert(dmsg::reason(code));
        CHECK(dmsg::http_status(code) >= 200);
    }
    CHECK(sentences.size() == static_cast<std::size_t>(last) + 1);
    CHECK(reasons.size() == sentences.size());
    CHECK(dmsg::dmsg_category().message(9999) == "unknown");
}
