#include "http/client.hpp"

#include "base/test.hpp"
#include "http/server.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

#include <filesystem>

#include <unistd.h>

using namespace skywire;
using namespace skywire::http;
using namespace std::chrono_literals;

namespace {

/// A real server and a client on one loop.
class Pair {
 public:
    explicit Pair(const net::Address& at = net::Address::tcp("127.0.0.1", 0))
        : server(loop.context, router, {}), client(loop.context) {
        server.serve(loop.network.listen(loop.context.loop, at).value());
        address = server.addresses().front();
    }
    ~Pair() {
        client.close();
        loop.run(server.stop(loop.context.clock.now() + 10s));
    }

    ClientRequest request(Method method, std::string target, std::string body = {}) const {
        ClientRequest made;
        made.method = method;
        made.address = address;
        made.target = std::move(target);
        made.body = std::move(body);
        return made;
    }

    Result<Response> send(Method method, std::string target, std::string body = {}) {
        return loop.run(client.send(request(method, std::move(target), std::move(body))));
    }

    net::TestLoop loop;
    Router router;
    Server server;
    net::Address address;
    Client client;
};

/// A server made of what the test writes: answers each connection with one text.
class Script {
 public:
    explicit Script(net::TestLoop& loop) : loop_(loop), scope_(loop.context.loop) {
        const auto any = net::Address::tcp("127.0.0.1", 0);
        listener_ = loop.network.listen(loop.context.loop, any).value();
        scope_.spawn("script", [this] { return accept(); });
    }
    ~Script() {
        listener_->close();
        const auto now = loop_.context.clock.now();
        loop_.run(scope_.close(loop_.context.clock, now, now + 10s));
    }

    Result<Response> ask(
        std::string answer, Method method = Method::get, std::size_t response_bytes_max = 1000
    ) {
        answer_ = std::move(answer);
        Client client(loop_.context);
        ClientRequest request;
        request.method = method;
        request.address = listener_->local();
        request.response_bytes_max = response_bytes_max;
        return loop_.run(client.send(std::move(request)));
    }

    const net::Address& address() const { return listener_->local(); }
    int connections = 0;
    /// Requests that a connection answers before it is closed without an answer.
    int answers_per_connection = 1;

 private:
    Task<> accept() {
        for (;;) {
            auto stream = co_await listener_->accept();
            if (!stream) co_return;
            ++connections;
            const std::shared_ptr<net::Stream> peer = std::move(*stream);
            scope_.spawn("peer", [this, peer] { return answer(peer); });
        }
    }

    Task<> answer(std::shared_ptr<net::Stream> peer) {
        std::array<std::byte, 4096> buffer;
        for (int i = 0; i <= answers_per_connection; ++i) {
            const auto count = co_await peer->read_some(buffer);
            if (!count || *count == 0 || i == answers_per_connection) break;
            (void)co_await peer->write(as_bytes(answer_));
            if (answers_per_connection == 1) break;
        }
        peer->close();
    }

    net::TestLoop& loop_;
    std::unique_ptr<net::Listener> listener_;
    std::string answer_ = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    net::Scope scope_;
};

Task<Response> echo(Request& request) {
    Response response = Response::of(201, "text/plain", request.body);
    response.fields.add("X-Host", std::string(request.fields.get("Host").value_or("none")));
    co_return response;
}

}  // namespace

TEST_CASE("client: requests and answers over one kept connection") {
    Pair pair;
    pair.router.on(Method::post, "/echo", echo);
    pair.router.on(Method::get, "/echo", echo);
    for (int i = 0; i < 3; ++i) {
        const auto answer = pair.send(Method::post, "/echo", "body " + std::to_string(i));
        REQUIRE(answer);
        CHECK(answer->status == 201);
        CHECK(answer->body == "body " + std::to_string(i));
        CHECK(answer->fields.get("x-host") == pair.address.to_string());
    }
    CHECK(pair.server.connections() == 1);
    const auto head = pair.send(Method::head, "/echo");
    REQUIRE(head);
    CHECK(head->status == 201);
    CHECK(head->body.empty());
    CHECK(pair.send(Method::get, "/nothing")->status == 404);
    CHECK(pair.server.connections() == 1);
    const std::string large(900'000, 'x');
    CHECK(pair.send(Method::post, "/echo", large)->body == large);
}

TEST_CASE("client: many requests at once") {
    Pair pair;
    pair.router.on(Method::post, "/echo", echo);
    int right = 0;
    for (int i = 0; i < 20; ++i) {
        asio::co_spawn(
            pair.loop.ioc,
            pair.client.send(pair.request(Method::post, "/echo", std::to_string(i))),
            [&, i](std::exception_ptr, Result<Response> answer) {
                if (answer && answer->body == std::to_string(i)) ++right;
            }
        );
    }
    pair.loop.run_until([&] { return right == 20; });
    // Those above the limit of kept ones are closed.
    pair.loop.run_until([&] { return pair.server.connections() <= 4; });
    CHECK(right == 20);
}

TEST_CASE("client: streams and refusals of a real server") {
    Pair pair;
    pair.router.on(Method::get, "/stream", [](Request&) -> Task<Response> {
        Response response = Response::empty(200);
        response.stream = [](BodyWriter& body) -> Task<> {
            for (int i = 0; i < 100; ++i)
                (void)co_await body.write(std::string(1000, 'x'));
        };
        co_return response;
    });
    CHECK(pair.send(Method::get, "/stream")->body == std::string(100'000, 'x'));
    const auto refused = pair.send(Method::post, "/echo", std::string(2'000'000, 'x'));
    REQUIRE(refused);
    CHECK(refused->status == 413);
}

TEST_CASE("client: over a unix socket") {
    const std::string path =
        std::filesystem::temp_directory_path() / ("http_test." + std::to_string(getpid()));
    Pair pair(net::Address::unix_path(path));
    pair.router.on(Method::post, "/echo", echo);
    const auto answer = pair.send(Method::post, "/echo", "over unix");
    REQUIRE(answer);
    CHECK(answer->body == "over unix");
    CHECK(answer->fields.get("X-Host") == "localhost");
}

TEST_CASE("client: the ways in which an answer ends") {
    net::TestLoop loop;
    Script script(loop);
    CHECK(script.ask("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")->body == "ok");
    CHECK(script.ask("HTTP/1.1 200 OK\r\n\r\nuntil the end")->body == "until the end");
    CHECK(script.ask("HTTP/1.0 200 OK\r\n\r\n")->body.empty());
    CHECK(
        script
            .ask("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n"
                 "0\r\nX-Trailer: 1\r\n\r\n")
            ->body == "abc"
    );
    CHECK(script.ask("HTTP/1.1 204 No Content\r\n\r\n")->status == 204);
    CHECK(script.ask("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n")->body.empty());
    CHECK(script.ask("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Method::head)->body.empty());
    const auto after = script.ask(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n"
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    );
    REQUIRE(after);
    CHECK(after->body == "ok");
    CHECK_FALSE(after->fields.get("A"));
}

TEST_CASE("client: bad answers") {
    net::TestLoop loop;
    Script script(loop);
    const auto code = [&](const std::string& answer) {
        const auto result = script.ask(answer);
        return result ? ErrorCode() : result.error().code();
    };
    CHECK(code("nonsense\r\n\r\n") == make_error_code(errc::malformed));
    CHECK(code("HTTP/1.1 20 OK\r\n\r\n") == make_error_code(errc::malformed));
    CHECK(code("") == make_error_code(errc::closed));
    CHECK(code("HTTP/1.1 200 OK\r\n") == make_error_code(errc::closed));
    CHECK(code("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok") == make_error_code(errc::closed));
    CHECK(
        code("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n") ==
        make_error_code(errc::limit_reached)
    );
    CHECK(
        code("HTTP/1.1 200 OK\r\n\r\n" + std::string(1001, 'x')) ==
        make_error_code(errc::limit_reached)
    );
    CHECK(
        code("HTTP/1.1 200 OK\r\nX: " + std::string(70'000, 'x')) ==
        make_error_code(errc::limit_reached)
    );
    std::string interim;
    for (int i = 0; i < 20; ++i)
        interim += "HTTP/1.1 100 Continue\r\n\r\n";
    CHECK(code(interim) == make_error_code(errc::malformed));
}

TEST_CASE("client: a dead kept connection is replaced once, for idempotent methods") {
    net::TestLoop loop;
    Script script(loop);
    script.answers_per_connection = 2;
    Client client(loop.context);
    const auto send = [&](Method method) {
        ClientRequest request;
        request.method = method;
        request.address = script.address();
        return loop.run(client.send(std::move(request)));
    };
    // The third request finds the connection closed after it was sent.
    for (int i = 0; i < 6; ++i)
        CHECK(send(Method::get).has_value());
    CHECK(script.connections == 3);
    const auto post = send(Method::post);
    REQUIRE_FALSE(post);
    CHECK(post.error() == make_error_code(errc::closed));
}

TEST_CASE("client: a deadline ends the request") {
    ManualClock clock;
    net::TestLoop loop(&clock);
    const auto any = net::Address::tcp("127.0.0.1", 0);
    const auto listener = loop.network.listen(loop.context.loop, any).value();
    Client client(loop.context);
    ClientRequest request;
    request.address = listener->local();
    request.timeout = 5s;
    std::optional<Result<Response>> answer;
    asio::co_spawn(
        loop.ioc,
        client.send(std::move(request)),
        [&](std::exception_ptr, Result<Response> result) { answer = std::move(result); }
    );
    loop.run(listener->accept());
    CHECK_FALSE(answer);
    clock.advance(5s);
    loop.run_until([&] { return answer.has_value(); });
    REQUIRE_FALSE(*answer);
    CHECK(answer->error() == make_error_code(errc::timed_out));
    CHECK_THAT(answer->error().message(), Catch::Contains(listener->local().to_string()));
}

TEST_CASE("client: close ends requests under way") {
    Pair pair;
    net::Event never(pair.loop.context.loop);
    bool arrived = false;
    pair.router.on(Method::get, "/wait", [&](Request&) -> Task<Response> {
        arrived = true;
        co_await never.wait();
        co_return Response::empty(200);
    });
    std::optional<Result<Response>> answer;
    asio::co_spawn(
        pair.loop.ioc,
        pair.client.send(pair.request(Method::get, "/wait")),
        [&](std::exception_ptr, Result<Response> result) { answer = std::move(result); }
    );
    pair.loop.run_until([&] { return arrived; });
    pair.client.close();
    pair.loop.run_until([&] { return answer.has_value(); });
    REQUIRE_FALSE(*answer);
    CHECK(answer->error() == make_error_code(errc::closed));
    CHECK(pair.send(Method::get, "/wait").error() == make_error_code(errc::closed));
    never.notify();
    pair.loop.run_until([&] { return pair.server.connections() == 0; });
}

TEST_CASE("client: what would break the request is refused") {
    Pair pair;
    for (const char* target : {"", "/a b", "/a\r\nX: y", "/a\tb"}) {
        CHECK(pair.send(Method::get, target).error() == make_error_code(errc::malformed));
    }
    ClientRequest request = pair.request(Method::get, "/");
    request.address = net::Address::tcp("127.0.0.1", 1);
    CHECK_FALSE(pair.loop.run(pair.client.send(request)));
}

TEST_CASE("url: address and target") {
    const Url plain = Url::parse("http://example.org").value();
    CHECK(plain.address == net::Address::tcp("example.org", 80));
    CHECK(plain.target == "/");
    const Url full = Url::parse("HTTP://127.0.0.1:9090/a%20b/c?d=e%26#f").value();
    CHECK(full.address == net::Address::tcp("127.0.0.1", 9090));
    CHECK(full.target == "/a%20b/c?d=e%26");
    CHECK(Url::parse("http://[::1]:80/").value().address == net::Address::tcp("::1", 80));
    CHECK(Url::parse("http://a?x").value().target == "/?x");
    for (const char* bad :
         {"",
          "example.org",
          "https://a/",
          "http://",
          "http:///x",
          "http://u:p@a/",
          "http://a:0/",
          "http://a:99999/",
          "http://a b/",
          "http://a/%zz",
          "ftp://a"}) {
        INFO(bad);
        const auto parsed = Url::parse(bad);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error() == make_error_code(errc::malformed));
    }
}
