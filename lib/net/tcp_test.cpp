#include "base/temporary_folder.hpp"
#include "base/test.hpp"
#include "net/deadline.hpp"
#include "net/port_owner.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"
#include "net/test_port.hpp"

#include <fstream>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

using namespace skywire;
using namespace skywire::net;
using namespace std::chrono_literals;

namespace {

const Address kAnyPort = Address::tcp("127.0.0.1", 0);

Task<Result<std::string>> read_all(Stream& stream) {
    std::string all;
    std::array<std::byte, 4096> buffer{};
    while (true) {
        const auto size = co_await stream.read_some(buffer);
        if (!size) co_return size.error();
        if (*size == 0) co_return all;
        all += as_text(ByteSpan(buffer).first(*size));
    }
}

/// Writes back what comes until the peer ends.
Task<> echo(Stream& stream) {
    Bytes buffer(16384);
    while (true) {
        const auto size = co_await stream.read_some(buffer);
        if (!size || *size == 0) break;
        const auto written = co_await stream.write(ByteSpan(buffer).first(*size));
        if (!written) break;
    }
    stream.close();
}

struct Fixture {
    /// Two connected ends.
    void connect(const Address& at) {
        listener = loop.network.listen(loop.ioc.get_executor(), at).value();
        const auto server = [this]() -> Task<> {
            auto accepted = co_await listener->accept();
            near = std::move(accepted).value();
        };
        const auto client = [this]() -> Task<> {
            auto dialled = co_await loop.network.dial(loop.ioc.get_executor(), listener->local());
            far = std::move(dialled).value();
        };
        scope.spawn("server", server);
        scope.spawn("client", client);
        loop.run_until([this] { return scope.size() == 0; });
    }

    std::string socket_path() const { return folder / "s"; }

    ManualClock clock;
    TestLoop loop{&clock};
    test::TemporaryFolder folder;
    std::unique_ptr<Listener> listener;
    std::unique_ptr<Stream> near;
    std::unique_ptr<Stream> far;
    Scope scope{loop.ioc.get_executor()};
};

bool exists(const std::string& path) {
    struct stat status{};
    return ::lstat(path.c_str(), &status) == 0;
}

}  // namespace

TEST_CASE_METHOD(Fixture, "tcp: both ends know both addresses") {
    connect(kAnyPort);
    CHECK(listener->local().port != 0);
    CHECK(near->local() == listener->local());
    CHECK(far->remote() == listener->local());
    CHECK(near->remote() == far->local());
    CHECK(near->remote().host == "127.0.0.1");
}

TEST_CASE_METHOD(Fixture, "tcp: all interfaces take v4 peers and show them as v4") {
    listener = loop.network.listen(loop.ioc.get_executor(), Address::tcp("", 0)).value();
    CHECK(listener->local().host.empty());
    const auto work = [this]() -> Task<> {
        const auto to = Address::tcp("127.0.0.1", listener->local().port);
        auto dialled = co_await loop.network.dial(loop.ioc.get_executor(), to);
        far = std::move(dialled).value();
        auto accepted = co_await listener->accept();
        near = std::move(accepted).value();
    };
    loop.run(work());
    CHECK(near->remote().host == "127.0.0.1");
    CHECK(near->local().host == "127.0.0.1");
}

TEST_CASE_METHOD(Fixture, "tcp: a name is looked up, and all its addresses tried") {
    listener = loop.network.listen(loop.ioc.get_executor(), Address::tcp("localhost", 0)).value();
    const auto work = [this]() -> Task<> {
        const auto to = Address::tcp("localhost", listener->local().port);
        auto dialled = co_await loop.network.dial(loop.ioc.get_executor(), to);
        CHECK(dialled.has_value());
        // A name that no resolver knows (RFC 6761).
        auto unknown =
            co_await loop.network.dial(loop.ioc.get_executor(), Address::tcp("x.invalid", 1));
        REQUIRE(!unknown);
        CHECK_THAT(unknown.error().message(), Catch::Contains("dial x.invalid:1: resolve"));
    };
    loop.run(work());
}

TEST_CASE_METHOD(Fixture, "tcp: echo of more than the kernel buffers, gathered from two views") {
    connect(kAnyPort);
    std::string head(3 << 20, 'h');
    std::string tail(2 << 20, 't');
    scope.spawn("echo", [this] { return echo(*near); });
    scope.spawn("writer", [&]() -> Task<> {
        const auto written = co_await far->write(as_bytes(head), as_bytes(tail));
        CHECK(written.has_value());
    });
    const auto reader = [&]() -> Task<std::string> {
        std::string all;
        Bytes buffer(65536);
        while (all.size() < head.size() + tail.size()) {
            const auto size = co_await far->read_some(buffer);
            if (!size || *size == 0) break;
            all += as_text(ByteSpan(buffer).first(*size));
        }
        co_return all;
    };
    CHECK((loop.run(reader()) == head + tail));
    far->close();
    loop.run_until([this] { return scope.size() == 0; });
}

TEST_CASE_METHOD(Fixture, "tcp: the peer's end is 0, again and again") {
    connect(kAnyPort);
    const auto work = [this]() -> Task<> {
        const auto written = co_await far->write(as_bytes("last words"));
        CHECK(written.has_value());
        far->close();
        const auto all = co_await read_all(*near);
        CHECK(all.value() == "last words");
        const auto again = co_await read_all(*near);
        CHECK(again.value().empty());
    };
    loop.run(work());
}

TEST_CASE_METHOD(Fixture, "tcp: close ends a read, a write and an accept under way") {
    connect(kAnyPort);
    std::vector<errc> answers;
    const auto note = [&](const Error& error) {
        if (error == make_error_code(errc::closed)) answers.push_back(errc::closed);
    };
    const std::string much(64 << 20, 'x');
    scope.spawn("reader", [&]() -> Task<> {
        const auto all = co_await read_all(*near);
        if (!all) note(all.error());
    });
    scope.spawn("writer", [&]() -> Task<> {
        const auto written = co_await near->write(as_bytes(much));
        if (!written) note(written.error());
    });
    scope.spawn("acceptor", [&]() -> Task<> {
        const auto accepted = co_await listener->accept();
        if (!accepted) note(accepted.error());
    });
    loop.settle();
    CHECK(scope.size() == 3);
    near->close();
    listener->close();
    near->close();
    loop.run_until([this] { return scope.size() == 0; });
    CHECK(answers.size() == 3);
    const auto later = [&]() -> Task<> {
        const auto all = co_await read_all(*near);
        note(all.error());
        const auto written = co_await near->write(as_bytes("x"));
        note(written.error());
        const auto accepted = co_await listener->accept();
        note(accepted.error());
    };
    loop.run(later());
    CHECK(answers.size() == 6);
}

TEST_CASE_METHOD(Fixture, "tcp: who had connected before a close is still handed out") {
    listener = loop.network.listen(loop.ioc.get_executor(), kAnyPort).value();
    std::vector<std::unique_ptr<Stream>> dialled;
    dialled.reserve(2);
    for (int i = 0; i < 2; ++i) {
        dialled.push_back(
            loop.run(loop.network.dial(loop.ioc.get_executor(), listener->local())).value()
        );
    }
    listener->close();
    for (const auto& peer : dialled) {
        const auto accepted = loop.run(listener->accept());
        REQUIRE(accepted);
        CHECK((*accepted)->remote() == peer->local());
        (*accepted)->close();
        CHECK(loop.run(read_all(*peer)).value().empty());
    }
    CHECK(loop.run(listener->accept()).error() == make_error_code(errc::closed));
}

TEST_CASE_METHOD(Fixture, "tcp: a read that is cancelled loses nothing") {
    connect(kAnyPort);
    std::array<std::byte, 100> buffer{};
    std::optional<Result<std::size_t>> result;
    scope.spawn("reader", [&]() -> Task<> {
        result = co_await with_deadline(clock, clock.now() + 1s, near->read_some(buffer));
    });
    loop.settle();
    clock.advance(1s);
    loop.run_until([&] { return result.has_value(); });
    CHECK(result->error() == make_error_code(errc::timed_out));
    const auto work = [&]() -> Task<> {
        const auto written = co_await far->write(as_bytes("hello"));
        CHECK(written.has_value());
        const auto size = co_await near->read_some(buffer);
        CHECK(as_text(ByteSpan(buffer).first(size.value())) == "hello");
    };
    loop.run(work());
}

TEST_CASE_METHOD(Fixture, "tcp: writing to a peer that is gone is an error, not a signal") {
    connect(kAnyPort);
    far->close();
    const auto work = [this]() -> Task<Error> {
        const std::string part(65536, 'x');
        while (true) {
            const auto written = co_await near->write(as_bytes(part));
            if (!written) co_return written.error();
        }
    };
    const Error error = loop.run(work());
    CHECK(error.code().category() == boost::system::system_category());
}

TEST_CASE_METHOD(Fixture, "tcp: a refused dial names the address and the reason") {
    const TestPort port;
    const Address gone = port.address();
    listener = loop.network.listen(loop.ioc.get_executor(), gone).value();
    listener->close();
    const auto work = [&]() -> Task<> {
        const auto dialled = co_await loop.network.dial(loop.ioc.get_executor(), gone);
        REQUIRE(!dialled);
        CHECK(dialled.error() == ErrorCode(asio::error::connection_refused));
        CHECK(dialled.error().message() == "dial " + gone.to_string() + ": Connection refused");
    };
    loop.run(work());
}

TEST_CASE_METHOD(Fixture, "tcp: a port that is taken names who holds it") {
    listener = loop.network.listen(loop.ioc.get_executor(), kAnyPort).value();
    const Address taken = listener->local();
    const std::string holder = "held by process " + std::to_string(::getpid()) + ", \"";
    for (const std::string host : {"127.0.0.1", "0.0.0.0", ""}) {
        CAPTURE(host);
        const auto again =
            loop.network.listen(loop.ioc.get_executor(), Address::tcp(host, taken.port));
        REQUIRE(!again);
        CHECK(again.error() == ErrorCode(asio::error::address_in_use));
        CHECK_THAT(again.error().message(), Catch::Contains("Address already in use"));
        CHECK_THAT(again.error().message(), Catch::Contains(holder));
    }
    const auto other = boost::asio::ip::make_address("127.0.0.2");
    CHECK(!find_port_owner(PortKind::tcp_listener, other, taken.port));
    CHECK(!find_port_owner(PortKind::udp, other, taken.port));
}

TEST_CASE_METHOD(Fixture, "test port: no other program gets it, whether a test listens or not") {
    const TestPort port;
    for (int life = 0; life < 2; ++life) {
        CHECK(bind_error(port.number()) == EADDRINUSE);
        connect(port.address());
        CHECK(far->remote() == port.address());
        CHECK(bind_error(port.number()) == EADDRINUSE);
        near->close();
        far->close();
        listener->close();
    }
}

TEST_CASE_METHOD(Fixture, "tcp: an accept without descriptors fails and works again later") {
    listener = loop.network.listen(loop.ioc.get_executor(), kAnyPort).value();
    const auto dial = [this]() -> Task<> {
        auto dialled = co_await loop.network.dial(loop.ioc.get_executor(), listener->local());
        far = std::move(dialled).value();
    };
    const auto accept = [this]() -> Task<Result<std::unique_ptr<Stream>>> {
        return listener->accept();
    };
    // Once before the limit falls: the sanitizers open a pipe at the first sight of a type.
    loop.run(dial());
    CHECK(loop.run(accept()).has_value());
    loop.run(dial());
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const int next = ::dup(0);
    ::close(next);
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(next);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    const auto refused = loop.run(accept());
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    REQUIRE(!refused);
    CHECK(refused.error() == ErrorCode(asio::error::no_descriptors));
    CHECK(loop.run(accept()).has_value());
}

TEST_CASE_METHOD(Fixture, "unix socket: echo, private file, removed on close") {
    const Address at = Address::unix_path(socket_path());
    connect(at);
    struct stat status{};
    REQUIRE(::lstat(at.path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(far->remote() == at);
    scope.spawn("echo", [this] { return echo(*near); });
    const auto work = [this]() -> Task<> {
        const auto written = co_await far->write(as_bytes("ping"), as_bytes("pong"));
        CHECK(written.has_value());
        std::array<std::byte, 100> buffer{};
        const auto size = co_await far->read_some(buffer);
        CHECK(as_text(ByteSpan(buffer).first(size.value())) == "pingpong");
        far->close();
    };
    loop.run(work());
    loop.run_until([this] { return scope.size() == 0; });
    listener->close();
    CHECK(!exists(at.path));
}

TEST_CASE_METHOD(Fixture, "unix socket: one that somebody answers on is refused") {
    const Address at = Address::unix_path(socket_path());
    listener = loop.network.listen(loop.ioc.get_executor(), at).value();
    const auto again = loop.network.listen(loop.ioc.get_executor(), at);
    REQUIRE(!again);
    CHECK(again.error() == ErrorCode(asio::error::address_in_use));
    CHECK_THAT(
        again.error().message(), Catch::Contains("held by process " + std::to_string(::getpid()))
    );
    CHECK(exists(at.path));
}

TEST_CASE_METHOD(Fixture, "unix socket: a stale file gives way, another file does not") {
    const Address at = Address::unix_path(socket_path());
    const int stale = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    at.path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(stale, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    ::close(stale);
    REQUIRE(exists(at.path));
    listener = loop.network.listen(loop.ioc.get_executor(), at).value();
    listener->close();
    CHECK(!exists(at.path));

    std::ofstream(at.path) << "precious";
    const auto refused = loop.network.listen(loop.ioc.get_executor(), at);
    REQUIRE(!refused);
    CHECK_THAT(refused.error().message(), Catch::Contains("not a socket"));
    CHECK(exists(at.path));
}

TEST_CASE_METHOD(Fixture, "unix socket: close leaves a successor's file") {
    const Address at = Address::unix_path(socket_path());
    listener = loop.network.listen(loop.ioc.get_executor(), at).value();
    REQUIRE(::unlink(at.path.c_str()) == 0);
    const auto successor = loop.network.listen(loop.ioc.get_executor(), at).value();
    listener->close();
    CHECK(exists(at.path));
}
