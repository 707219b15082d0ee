#include "base/result.hpp"

#include "base/build_info.hpp"
#include "base/fault.hpp"
#include "base/test.hpp"

using namespace skywire;

namespace {

Result<int> half(int value) {
    if (value % 2 != 0) return fail(errc::out_of_range, "3 is odd");
    return value / 2;
}

}  // namespace

TEST_CASE("result: carries a value or an error with its sentence") {
    CHECK(half(4).value() == 2);
    const auto failed = half(3);
    REQUIRE_FALSE(failed.has_value());
    CHECK(failed.error() == make_error_code(errc::out_of_range));
    CHECK(failed.error().message() == "3 is odd");
    CHECK(failed.error().within("entry 02ab").message() == "entry 02ab: 3 is odd");
    CHECK_THROWS_WITH(half(3).value(), "3 is odd");
}

TEST_CASE("result: an error without context speaks with its code's sentence") {
    CHECK(Error(make_error_code(errc::timed_out)).message() == "timed out");
    CHECK(Error(make_error_code(errc::not_found)).within("entry").message() == "entry: not found");
    CHECK(Error().code() == ErrorCode());
    CHECK(std::string(make_error_code(errc::closed).category().name()) == "skywire.base");
}

TEST_CASE("result: every code has its own sentence") {
    std::set<std::string> sentences;
    for (int value = 0; value <= static_cast<int>(errc::injected); ++value) {
        sentences.insert(base_category().message(value));
    }
    CHECK(sentences.size() == static_cast<std::size_t>(errc::injected) + 1);
    CHECK(sentences.count("unknown") == 0);
    CHECK(base_category().message(9999) == "unknown");
}

TEST_CASE("result: text of a peer is quoted, escaped and cut") {
    CHECK(quote_peer_text("abc") == R"("abc")");
    CHECK(quote_peer_text("a\"b\\c") == R"("a\"b\\c")");
    CHECK(quote_peer_text("\x1b[31m\n\xff") == R"("\x1b[31m\x0a\xff")");
    CHECK(quote_peer_text("abcdef", 3) == R"("abc...")");
    CHECK(quote_peer_text("") == R"("")");
}

TEST_CASE("build info: never empty") {
    CHECK_FALSE(build_info().version.empty());
    CHECK_FALSE(build_info().commit.empty());
    CHECK_FALSE(build_info().date.empty());
}

TEST_CASE("faults: production has none") {
    Faults faults;
    CHECK(faults.check("bind", "127.0.0.1:80").has_value());
}
