#include "transport/entry.hpp"

#include "base/test.hpp"

using namespace skywire;
using transport::Entry;
using transport::SignedEntry;
using transport::TransportId;

namespace {

struct Recorded {
    explicit Recorded(const json::value& vector)
        : a(crypto::PublicKey::from_text(test::text(vector, "a")).value()),
          b(crypto::PublicKey::from_text(test::text(vector, "b")).value()),
          entry(transport::make_entry(a, b, test::text(vector, "type"), test::text(vector, "label"))
          ) {}

    crypto::PublicKey a;
    crypto::PublicKey b;
    Entry entry;
};

crypto::KeyPair pair_of(const json::value& file, const crypto::PublicKey& key) {
    for (const auto& named : file.at("keys").as_object())
        if (test::text(named.value(), "public") == key.to_text())
            return crypto::deterministic_key_pair(test::text(named.value(), "seed"));
    throw std::runtime_error("no such key");
}

}  // namespace

TEST_CASE("transport entry: ids, edges and canonical bytes of the vectors") {
    const json::value file = test::vectors("services/transport_entry.json");
    for (const json::value& vector : file.at("vectors").as_array()) {
        const Recorded recorded(vector);
        const Entry& entry = recorded.entry;
        INFO(test::text(vector, "t_id"));
        CHECK(entry.id.to_text() == test::text(vector, "t_id"));
        CHECK(entry.edges[0].to_text() == vector.at("edges").at(0).as_string());
        CHECK(entry.edges[1].to_text() == vector.at("edges").at(1).as_string());
        CHECK(to_hex(transport::canonical_bytes(entry)) == test::text(vector, "entry_binary_hex"));
        CHECK(transport::id_of(recorded.b, recorded.a, entry.type) == entry.id);
        CHECK(transport::check_entry(entry));
        CHECK(entry.to_self() == (recorded.a == recorded.b));
    }
}

TEST_CASE("transport entry: JSON of the vectors in both directions, signatures verified") {
    const json::value file = test::vectors("services/transport_entry.json");
    for (const json::value& vector : file.at("vectors").as_array()) {
        const std::string text = test::text(vector, "signed_entry_json");
        INFO(text);
        const auto read = transport::signed_entry_of(parse_json(text).value());
        REQUIRE(read);
        CHECK(transport::to_json(*read) == text);
        CHECK(read->entry == Recorded(vector).entry);
        CHECK(transport::verify_entry(*read, /*both=*/true));
    }
}

TEST_CASE("transport entry: each byte that is signed counts") {
    const json::value file = test::vectors("services/transport_entry.json");
    const json::value& vector = file.at("vectors").as_array().front();
    const SignedEntry recorded =
        transport::signed_entry_of(parse_json(test::text(vector, "signed_entry_json")).value())
            .value();
    const Bytes canonical = transport::canonical_bytes(recorded.entry);
    const std::size_t type_at = canonical.size() - recorded.entry.type.size();
    for (std::size_t at = 0; at < canonical.size(); ++at) {
        INFO("byte " << at);
        Bytes changed = canonical;
        changed[at] ^= std::byte{1};
        const ByteSpan bytes = changed;
        SignedEntry entry = recorded;
        std::copy_n(changed.begin(), 16, entry.entry.id.bytes.begin());
        const auto first = crypto::PublicKey::from_bytes(bytes.subspan(16, 33));
        const auto second = crypto::PublicKey::from_bytes(bytes.subspan(49, 33));
        if (!first || !second) continue;
        entry.entry.edges = {*first, *second};
        entry.entry.type = as_text(bytes.subspan(type_at));
        CHECK_FALSE(transport::check_entry(entry.entry));
        const auto verified = transport::verify_entry(entry, /*both=*/false);
        CHECK(verified.error() == make_error_code(transport::errc::wrong_signature));
    }
    for (std::size_t slot = 0; slot < 2; ++slot) {
        for (std::size_t at = 0; at < crypto::Signature::kSize; ++at) {
            const ByteSpan bytes = recorded.signatures[slot].bytes();
            Bytes changed(bytes.begin(), bytes.end());
            // The lowest bit: the recovery id's upper bits are refused, too, but as a wrong form.
            changed[at] ^= std::byte{1};
            SignedEntry entry = recorded;
            entry.signatures[slot] = crypto::Signature::from_bytes(changed).value();
            INFO("signature " << slot << ", byte " << at);
            CHECK_FALSE(transport::verify_entry(entry, /*both=*/true));
        }
    }
}

TEST_CASE("transport entry: signing fills the slots of the key") {
    const json::value file = test::vectors("services/transport_entry.json");
    for (const json::value& vector : file.at("vectors").as_array()) {
        const Recorded recorded(vector);
        SignedEntry entry;
        entry.entry = recorded.entry;
        const auto missing = transport::verify_entry(entry, /*both=*/true);
        CHECK(missing.error() == make_error_code(transport::errc::no_signature));
        CHECK(transport::verify_entry(entry, /*both=*/false));
        REQUIRE(transport::sign_entry(entry, pair_of(file, recorded.a)));
        REQUIRE(transport::sign_entry(entry, pair_of(file, recorded.b)));
        CHECK(transport::verify_entry(entry, /*both=*/true));
        const auto other = crypto::deterministic_key_pair("nobody's edge");
        const auto refused = transport::sign_entry(entry, other);
        CHECK(refused.error() == make_error_code(transport::errc::not_an_edge));
    }
}

TEST_CASE("transport entry: what an entry may not be") {
    using transport::errc;
    const auto a = crypto::deterministic_key_pair("a").public_key;
    const auto b = crypto::deterministic_key_pair("b").public_key;
    const Entry good = transport::make_entry(a, b, "stcpr", "user");
    const auto error = [](const Entry& entry) { return transport::check_entry(entry).error(); };

    Entry swapped = good;
    std::swap(swapped.edges[0], swapped.edges[1]);
    CHECK(error(swapped) == make_error_code(errc::wrong_edges));
    Entry null = good;
    null.edges[0] = crypto::PublicKey();
    CHECK(error(null) == make_error_code(errc::wrong_edges));
    Entry typed = good;
    typed.type = "sudph";
    CHECK(error(typed) == make_error_code(errc::wrong_id));
    Entry labelled = good;
    labelled.label = "automatic";
    CHECK(transport::check_entry(labelled));
    labelled.label = std::string(transport::kLabelSizeMax + 1, 'x');
    CHECK(error(labelled) == make_error_code(errc::too_long));
    CHECK(transport::check_entry(transport::make_entry(a, a, "unknown type", "")));
}

TEST_CASE("transport id: the forms that are read, and the one that is written") {
    const std::string text = "a872fa00-6ac5-0fe1-a6b8-b7c074ea5d97";
    const TransportId id = TransportId::from_text(text).value();
    CHECK(id.to_text() == text);
    for (const std::string form :
         {"A872FA00-6AC5-0FE1-A6B8-B7C074EA5D97",
          "urn:uuid:a872fa00-6ac5-0fe1-a6b8-b7c074ea5d97",
          "URN:UUID:a872fa00-6ac5-0fe1-a6b8-b7c074ea5d97",
          "{a872fa00-6ac5-0fe1-a6b8-b7c074ea5d97}",
          "a872fa006ac50fe1a6b8b7c074ea5d97"}) {
        INFO(form);
        CHECK(TransportId::from_text(form).value() == id);
    }
    const auto message = [](std::string_view bad) {
        const auto read = TransportId::from_text(bad);
        REQUIRE_FALSE(read);
        CHECK(read.error() == make_error_code(transport::errc::invalid_id));
        return read.error().message();
    };
    CHECK(message("xyz") == "invalid UUID length: 3");
    CHECK(message("") == "invalid UUID length: 0");
    CHECK(message("a872fa00-6ac5-0fe1-a6b8-b7c074ea5d9x") == "invalid UUID format");
    CHECK(message("a872fa00x6ac5-0fe1-a6b8-b7c074ea5d97") == "invalid UUID format");
    CHECK(message("(a872fa00-6ac5-0fe1-a6b8-b7c074ea5d97)") == "invalid UUID format");
    CHECK(message("urn-uuid:a872fa00-6ac5-0fe1-a6b8-b7c074ea5d97") == "invalid UUID format");
    CHECK(message("a872fa006ac50fe1a6b8b7c074ea5d9-") == "invalid UUID format");
}

TEST_CASE("transport errors: every code has a sentence and a reason") {
    for (int value = 0; value <= static_cast<int>(transport::errc::too_long); ++value) {
        const auto code = static_cast<transport::errc>(value);
        CHECK(transport::make_error_code(code).message() != "unknown");
        CHECK(transport::reason(code) != "unknown");
    }
    CHECK(transport::transport_category().message(999) == "unknown");
}
