#include "crypto/aead.hpp"

#include "base/random.hpp"
#include "base/test.hpp"

#include <algorithm>
#include <array>

using namespace skywire;
using crypto::Aead;
using crypto::AeadInput;

namespace {

Aead::Key key_of(const Bytes& bytes) {
    return Aead::Key(bytes.data(), Aead::kKeySize);
}

Bytes seal(Aead& aead, const AeadInput& input) {
    Bytes out(input.data.size() + Aead::kTagSize);
    aead.seal(input, out);
    return out;
}

struct Sizes {
    std::size_t data;
    std::size_t associated;
};

}  // namespace

TEST_CASE("aead: the example of RFC 8439, appendix A.5, whose nonce begins with zeros") {
    const Bytes key = test::hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
    const Bytes associated = test::hex("f33388860000000000004e91");
    const std::string_view plaintext =
        "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, "
        "replaced, or obsoleted by other documents at any time. It is inappropriate to use "
        "Internet-Drafts as reference material or to cite them other than as /\xe2\x80\x9cwork in "
        "progress./\xe2\x80\x9d";
    const Bytes sealed = test::hex(
        "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e38"
        "2d26b0bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f9"
        "82b1ff37c8559797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d"
        "46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04"
        "b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049"
        "e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709b"
        "eead9d67890cbb22392336fea1851f38"
    );
    const AeadInput input{0x0807060504030201, as_bytes(plaintext), associated};
    Aead aead(key_of(key));
    CHECK(to_hex(seal(aead, input)) == to_hex(sealed));
    Bytes once(sealed.size());
    crypto::aead_seal(key_of(key), input, once);
    CHECK(once == sealed);
    Bytes opened(plaintext.size());
    REQUIRE(aead.open({input.nonce, sealed, associated}, opened));
    CHECK(as_text(opened) == plaintext);
}

TEST_CASE("aead: what is sealed opens again, in place and out of place, in any order of calls") {
    SeededRandom random(1);
    Bytes key(Aead::kKeySize);
    random.fill(key);
    Aead aead(key_of(key));
    const std::array<Sizes, 8> all{
        {{0, 0}, {0, 5}, {1, 0}, {15, 32}, {64, 1}, {192, 0}, {4070, 0}, {70'000, 13}}
    };
    std::uint64_t nonce = 0;
    for (const Sizes sizes : all) {
        Bytes data(sizes.data);
        Bytes associated(sizes.associated);
        random.fill(data);
        random.fill(associated);
        ++nonce;
        Bytes sealed = seal(aead, {nonce, data, associated});

        Bytes in_place = data;
        in_place.resize(data.size() + Aead::kTagSize);
        const ByteSpan start = ByteSpan(in_place).first(data.size());
        aead.seal({nonce, start, associated}, in_place);
        CHECK(in_place == sealed);

        Bytes opened(data.size());
        CHECK(crypto::aead_open(key_of(key), {nonce, sealed, associated}, opened));
        CHECK(opened == data);
        CHECK_FALSE(aead.open({nonce + 1, sealed, associated}, opened));
        REQUIRE(aead.open({nonce, sealed, associated}, sealed));
        sealed.resize(data.size());
        CHECK(sealed == data);
    }
}

TEST_CASE("aead: every bit counts, and nothing comes of a forged text") {
    SeededRandom random(2);
    Bytes key(Aead::kKeySize);
    random.fill(key);
    Aead aead(key_of(key));
    Bytes data(40);
    random.fill(data);
    Bytes associated(3);
    Bytes sealed = seal(aead, {7, data, associated});
    Bytes opened(data.size());
    for (std::byte& byte : sealed) {
        byte ^= std::byte{0x10};
        CHECK_FALSE(aead.open({7, sealed, associated}, opened));
        CHECK(opened == Bytes(data.size()));
        byte ^= std::byte{0x10};
    }
    associated[2] = std::byte{1};
    CHECK_FALSE(aead.open({7, sealed, associated}, opened));
    associated[2] = std::byte{0};
    for (std::size_t size = 0; size < sealed.size(); ++size) {
        const AeadInput cut{7, ByteSpan(sealed).first(size), associated};
        CHECK_FALSE(aead.open(cut, opened));
        CHECK_FALSE(crypto::aead_open(key_of(key), cut, opened));
    }
    CHECK(aead.open({7, sealed, associated}, opened));
}

TEST_CASE("aead: contexts of different keys do not meet") {
    const Bytes first(Aead::kKeySize, std::byte{1});
    const Bytes second(Aead::kKeySize, std::byte{2});
    Aead a(key_of(first));
    Aead b(key_of(second));
    const Bytes data(100, std::byte{3});
    const Bytes sealed = seal(a, {1, data, {}});
    Bytes out(data.size());
    CHECK_FALSE(b.open({1, sealed, {}}, out));
    CHECK_FALSE(crypto::aead_open(key_of(second), {1, sealed, {}}, out));
    CHECK(crypto::aead_open(key_of(first), {1, sealed, {}}, out));
    Aead moved = std::move(a);
    CHECK(moved.open({1, sealed, {}}, out));
}
