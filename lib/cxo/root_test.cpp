#include "cxo/root.hpp"

#include "base/test.hpp"

using namespace skywire;
using namespace skywire::cxo;

namespace {

crypto::KeyPair test_keys(std::string_view seed = "cxo root test") {
    return crypto::deterministic_key_pair(seed);
}

Root test_root() {
    Root root;
    root.tree = crypto::sha256(as_bytes("a directory"));
    root.feed = test_keys().public_key;
    root.nonce = 1'700'000'000'000'000'000;
    root.seq = 3;
    root.time = 1'700'000'001'000'000'000;
    root.previous = crypto::sha256(as_bytes("the one before"));
    return root;
}

ErrorCode refusal(const Root& root) {
    const auto decoded = decode_root(encode(root));
    REQUIRE_FALSE(decoded);
    return decoded.error().code();
}

/// As a publisher would sign it.
SignedRoot sign_bytes(SignedRoot root, Bytes value) {
    root.value = std::move(value);
    root.signature = crypto::sign_digest(test_keys().secret_key, hash_of(root)).value();
    return root;
}

// Offsets in the 193 bytes.
constexpr std::size_t kSchema = 4 + 32;
constexpr std::size_t kDescriptor = kSchema + 32;
constexpr std::size_t kRegistry = kDescriptor + 4;

}  // namespace

TEST_CASE("root: the recorded Roots, read, written, verified") {
    const json::value file = test::vectors("cxo/root.json");
    const auto feed = crypto::PublicKey::from_text(test::text(file, "publisher_pk")).value();
    const auto secret = crypto::SecretKey::from_text(test::text(file, "publisher_sk")).value();
    std::optional<Root> last;
    for (const json::value& each : file.at("roots").as_array()) {
        SignedRoot recorded;
        recorded.feed = feed;
        recorded.nonce = each.at("nonce").to_number<std::uint64_t>();
        recorded.seq = each.at("seq").to_number<std::uint64_t>();
        recorded.value = test::hex(test::text(each, "encoded"));
        recorded.signature =
            crypto::Signature::from_text(test::text(each, "sig_65_bytes_over_hash")).value();
        CHECK(to_hex(hash_of(recorded)) == test::text(each, "hash"));
        CHECK(crypto::verify_digest(feed, hash_of(recorded), recorded.signature));
        const auto root = check(recorded);
        if (each.at("refs").as_array().empty()) {
            // The older kind of feed, all in the descriptor.
            REQUIRE_FALSE(root);
            CHECK(root.error().code() == errc::unsupported);
            continue;
        }
        REQUIRE(root);
        CHECK(recorded.value.size() == 193);
        CHECK(encode(*root) == recorded.value);
        CHECK(decode_root(recorded.value).value() == *root);
        CHECK(to_hex(root->tree) == test::text(each.at("refs").at(0), "hash"));
        CHECK(root->feed == feed);
        CHECK(std::to_string(root->time) == test::text(each, "time_unix_ns"));
        CHECK(to_hex(root->previous) == test::text(each, "prev"));
        const SignedRoot ours = sign(*root, {feed, secret});
        CHECK(ours.value == recorded.value);
        CHECK(check(ours).value() == *root);
        if (last) CHECK(supersedes(*root, *last));
        last = *root;
    }
}

TEST_CASE("root: any flipped bit is refused") {
    const SignedRoot good = sign(test_root(), test_keys());
    REQUIRE(check(good));
    for (std::size_t i = 0; i < good.value.size(); ++i) {
        for (int bit = 0; bit < 8; ++bit) {
            SignedRoot damaged = good;
            damaged.value[i] ^= static_cast<std::byte>(1 << bit);
            INFO("byte " << i << " bit " << bit);
            CHECK_FALSE(check(damaged));
            const auto decoded = decode_root(damaged.value);
            if (decoded) CHECK(encode(*decoded) == damaged.value);
        }
    }
    for (std::size_t i = 0; i < crypto::Signature::kSize; ++i) {
        Bytes bytes(good.signature.bytes().begin(), good.signature.bytes().end());
        bytes[i] ^= std::byte{1};
        SignedRoot damaged = good;
        damaged.signature = crypto::Signature::from_bytes(bytes).value();
        CHECK_FALSE(check(damaged));
    }
    for (std::size_t size = 0; size < good.value.size(); ++size) {
        const auto decoded = decode_root(ByteSpan(good.value).first(size));
        REQUIRE_FALSE(decoded);
        CHECK(decoded.error().code() == errc::malformed);
    }
    Bytes longer = good.value;
    longer.push_back(std::byte{0});
    CHECK(decode_root(longer).error().code() == errc::malformed);
}

TEST_CASE("root: one that is filed under another feed or number is refused") {
    const SignedRoot good = sign(test_root(), test_keys());
    SignedRoot filed = good;
    filed.feed = test_keys("another").public_key;
    CHECK(check(filed).error().code() == errc::forbidden);

    // Its owner signs for it, which makes it no better.
    Root foreign = test_root();
    SignedRoot smuggled = sign(foreign, test_keys("another"));
    smuggled.feed = test_keys("another").public_key;
    CHECK(check(smuggled).error().code() == errc::forbidden);
    // Signed by somebody else.
    CHECK_FALSE(check(sign(foreign, test_keys("another"))));

    filed = good;
    filed.feed = crypto::PublicKey();
    CHECK(check(filed).error().code() == errc::malformed);
    filed = good;
    ++filed.nonce;
    CHECK(check(filed).error().code() == errc::malformed);
    filed = good;
    ++filed.seq;
    CHECK(check(filed).error().code() == errc::malformed);
}

TEST_CASE("root: without nonce, time, directory, or with a previous one that does not fit") {
    Root root = test_root();
    root.nonce = 0;
    CHECK(refusal(root) == errc::malformed);
    root = test_root();
    root.time = 0;
    CHECK(refusal(root) == errc::malformed);
    root = test_root();
    root.previous = kNil;
    CHECK(refusal(root) == errc::malformed);
    root.seq = 0;
    CHECK(decode_root(encode(root)).value() == root);
    root.previous = test_root().previous;
    CHECK(refusal(root) == errc::malformed);
    root = test_root();
    root.tree = kNil;
    CHECK(refusal(root) == errc::malformed);
    root = test_root();
    root.feed = crypto::PublicKey();
    CHECK(refusal(root) == errc::malformed);
}

TEST_CASE("root: of other feeds than trees") {
    const SignedRoot good = sign(test_root(), test_keys());
    const auto refused = [&](Bytes value) {
        const auto checked = check(sign_bytes(good, std::move(value)));
        REQUIRE_FALSE(checked);
        return checked.error().code();
    };
    Bytes value = good.value;
    value[kSchema] ^= std::byte{1};
    CHECK(refused(value) == errc::unsupported);
    value = good.value;
    value[kRegistry] ^= std::byte{1};
    CHECK(refused(value) == errc::unsupported);
    // A descriptor.
    value = good.value;
    value[kDescriptor] = std::byte{1};
    value.insert(value.begin() + kRegistry, std::byte{'x'});
    CHECK(refused(value) == errc::unsupported);
    // Two references, none, and more than there can be.
    value = good.value;
    value[0] = std::byte{2};
    value.insert(
        value.begin() + kDescriptor, good.value.begin() + 4, good.value.begin() + kDescriptor
    );
    CHECK(refused(value) == errc::unsupported);
    value = good.value;
    value[0] = std::byte{0};
    value.erase(value.begin() + 4, value.begin() + kDescriptor);
    CHECK(refused(value) == errc::unsupported);
    value = good.value;
    std::fill_n(value.begin(), 4, std::byte{0xff});
    CHECK(refused(value) == errc::malformed);
}

TEST_CASE("root: a higher number of its chain supersedes, or a newer chain") {
    const Root last = test_root();
    Root next = last;
    CHECK_FALSE(supersedes(next, last));
    ++next.time;
    CHECK_FALSE(supersedes(next, last));
    next.time = last.time - 5;
    ++next.seq;
    CHECK(supersedes(next, last));
    next = last;
    ++next.nonce;
    next.seq = 0;
    CHECK_FALSE(supersedes(next, last));
    ++next.time;
    CHECK(supersedes(next, last));
}
