#include "base/bytes.hpp"

#include "base/random.hpp"
#include "base/test.hpp"

#include <array>

using namespace skywire;

namespace {

Bytes of(std::initializer_list<int> values) {
    Bytes bytes;
    for (const int value : values)
        bytes.push_back(static_cast<std::byte>(value));
    return bytes;
}

}  // namespace

TEST_CASE("bytes: hex is written in lower case and read in either") {
    CHECK(to_hex({}).empty());
    CHECK(to_hex(of({0x00, 0x0f, 0xa0, 0xff})) == "000fa0ff");
    Bytes bytes;
    REQUIRE(from_hex("000FA0ff", bytes));
    CHECK(bytes == of({0x00, 0x0f, 0xa0, 0xff}));
    REQUIRE(from_hex("", bytes));
    CHECK(bytes.empty());
}

TEST_CASE("bytes: malformed hex is refused and leaves the target as it was") {
    Bytes bytes = of({1, 2});
    for (const std::string_view text :
         {"0", "0g", "g0", "00 ", "0x", "\xff\xff", "/0", ":0", "@0", "`0"}) {
        CHECK_FALSE(from_hex(text, bytes));
        CHECK(bytes == of({1, 2}));
    }
}

TEST_CASE("bytes: base64 of RFC 4648 section 10, both ways") {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kCases{{
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    }};
    for (const auto& [plain, coded] : kCases) {
        CHECK(to_base64(as_bytes(plain)) == coded);
        Bytes bytes;
        REQUIRE(from_base64(coded, bytes));
        CHECK(as_text(bytes) == plain);
    }
}

TEST_CASE("bytes: base64 with wrong padding, digits or spare bits is refused") {
    Bytes bytes = of({7});
    for (const std::string_view text :
         {"Z",
          "Zg",
          "Zg=",
          "Zg===",
          "====",
          "=Zg=",
          "Z===",
          "Zh==",
          "Zm9=",
          "Zm 8",
          "Zm-_",
          "Zg==Zg=="}) {
        INFO(text);
        CHECK_FALSE(from_base64(text, bytes));
        CHECK(bytes == of({7}));
    }
}

TEST_CASE("bytes: every length goes through hex and base64 and back") {
    SeededRandom random(1);
    for (std::size_t size = 0; size < 70; ++size) {
        Bytes bytes(size);
        random.fill(bytes);
        Bytes back;
        REQUIRE(from_hex(to_hex(bytes), back));
        CHECK(back == bytes);
        REQUIRE(from_base64(to_base64(bytes), back));
        CHECK(back == bytes);
    }
}

TEST_CASE("bytes: comparison in constant time tells what == tells") {
    CHECK(equal_in_constant_time({}, {}));
    CHECK(equal_in_constant_time(of({1, 2}), of({1, 2})));
    CHECK_FALSE(equal_in_constant_time(of({1, 2}), of({1, 3})));
    CHECK_FALSE(equal_in_constant_time(of({1, 2}), of({1})));
}

TEST_CASE("bytes: text and bytes view each other") {
    const std::string text("a\0b", 3);
    CHECK(as_bytes(text).size() == 3);
    CHECK(as_text(as_bytes(text)) == text);
}

TEST_CASE("random: a seed gives the same bytes again, bounds hold") {
    SeededRandom a(42);
    SeededRandom b(42);
    for (int i = 0; i < 100; ++i)
        CHECK(a.next_u64() == b.next_u64());
    for (int i = 0; i < 1000; ++i) {
        CHECK(a.below(3) < 3);
        const double unit = a.next_unit();
        CHECK((unit >= 0 && unit < 1));
    }
    CHECK(a.below(1) == 0);
    SystemRandom system;
    std::array<std::byte, 32> first{};
    std::array<std::byte, 32> second{};
    system.fill(first);
    system.fill(second);
    CHECK(first != second);
}
