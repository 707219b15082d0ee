#include "base/test.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

using namespace skywire;
using namespace skywire::net;

namespace {

struct Fixture {
    explicit Fixture(std::size_t room = 8) {
        std::tie(a, b) = make_pipe(loop.ioc.get_executor(), room);
    }

    void start_writing(std::string head, std::string tail = {}) {
        scope.spawn("writer", [this, head, tail]() -> Task<> {
            written = co_await a->write(as_bytes(head), as_bytes(tail));
        });
        loop.settle();
    }

    /// Up to `room` bytes, or "end", or the error's sentence.
    std::string read(std::size_t room) {
        const auto work = [this, room]() -> Task<std::string> {
            Bytes buffer(room);
            const auto size = co_await b->read_some(buffer);
            if (!size) co_return size.error().message();
            if (*size == 0) co_return "end";
            co_return std::string(as_text(ByteSpan(buffer).first(*size)));
        };
        return loop.run(work());
    }

    TestLoop loop;
    std::unique_ptr<Stream> a;
    std::unique_ptr<Stream> b;
    std::optional<Result<>> written;
    Scope scope{loop.ioc.get_executor()};
};

}  // namespace

TEST_CASE_METHOD(Fixture, "pipe: a writer waits while the buffer is full") {
    start_writing("abcde", "fghijklm");
    CHECK(!written);
    CHECK(read(3) == "abc");
    loop.settle();
    CHECK(!written);
    CHECK(read(100) == "defghijk");
    loop.settle();
    CHECK(written);
    CHECK(read(100) == "lm");
    written.reset();
    start_writing("");
    CHECK(written);
}

TEST_CASE_METHOD(Fixture, "pipe: what was written before a close is read, then the end") {
    start_writing("abc");
    a->close();
    CHECK(read(100) == "abc");
    CHECK(read(100) == "end");
    CHECK(read(100) == "end");
    written.reset();
    start_writing("x");
    CHECK(written->error() == make_error_code(errc::closed));
    b->close();
    CHECK(read(1) == "closed");
}

TEST_CASE_METHOD(Fixture, "pipe: a close of either end ends a write under way") {
    const bool by_reader = GENERATE(true, false);
    start_writing("0123456789");
    CHECK(!written);
    (by_reader ? b : a)->close();
    loop.settle();
    REQUIRE(written);
    CHECK(written->error() == make_error_code(errc::closed));
}

TEST_CASE_METHOD(Fixture, "pipe: a close of either end ends a read under way") {
    const bool own = GENERATE(true, false);
    std::array<std::byte, 4> buffer{};
    std::optional<Result<std::size_t>> result;
    scope.spawn("reader", [&]() -> Task<> { result = co_await b->read_some(buffer); });
    loop.settle();
    CHECK(!result);
    (own ? b : a)->close();
    loop.settle();
    REQUIRE(result);
    if (own) {
        CHECK(result->error() == make_error_code(errc::closed));
    } else {
        CHECK(result->value() == 0);
    }
}

TEST_CASE_METHOD(Fixture, "pipe: an end may go while the other is used") {
    start_writing("abc");
    a.reset();
    CHECK(read(100) == "abc");
    CHECK(read(100) == "end");
}

TEST_CASE_METHOD(Fixture, "pipe: a cancelled read answers so and loses nothing") {
    std::array<std::byte, 4> buffer{};
    std::optional<Result<std::size_t>> result;
    scope.spawn("reader", [&]() -> Task<> { result = co_await b->read_some(buffer); });
    loop.settle();
    scope.cancel();
    loop.settle();
    REQUIRE(result);
    CHECK(result->error() == make_error_code(errc::cancelled));
    const auto work = [this]() -> Task<> {
        const auto done = co_await a->write(as_bytes("abc"));
        CHECK(done.has_value());
    };
    loop.run(work());
    CHECK(read(9) == "abc");
}

TEST_CASE("pipe: much through little room, all in order") {
    TestLoop loop;
    auto [a, b] = make_pipe(loop.ioc.get_executor(), 7);
    std::string sent;
    for (int i = 0; i < 1000; ++i)
        sent += std::to_string(i) + ",";
    std::string got;
    Scope scope(loop.ioc.get_executor());
    Stream& from = *a;
    Stream& to = *b;
    scope.spawn("writer", [&]() -> Task<> {
        const auto done = co_await from.write(as_bytes(sent));
        CHECK(done.has_value());
        from.close();
    });
    scope.spawn("reader", [&]() -> Task<> {
        Bytes buffer(5);
        while (true) {
            const auto size = co_await to.read_some(buffer);
            if (!size || *size == 0) break;
            got += as_text(ByteSpan(buffer).first(*size));
        }
    });
    loop.settle();
    CHECK(got == sent);
}
