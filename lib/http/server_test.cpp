#include "http/server.hpp"

#include "base/test.hpp"
#include "http/test_peer.hpp"

using namespace skywire;
using namespace skywire::http;
using namespace std::chrono_literals;
using Catch::Contains;
using Catch::EndsWith;
using Catch::StartsWith;
using skywire::http::test::Peer;
using skywire::http::test::Rig;

namespace {

Task<Response> hello(Request&) {
    co_return Response::of(200, "text/plain", "hello");
}

Task<Response> echo(Request& request) {
    co_return Response::of(200, "text/plain", request.body);
}

void add_routes(Router& router) {
    router.on(Method::get, "/hello", hello);
    router.on(Method::post, "/echo", echo);
    router.on(Method::get, "/who/{name}", [](Request& request) -> Task<Response> {
        co_return Response::of(200, "text/plain", std::string(request.param("name")));
    });
    router.on(Method::get, "/throw", [](Request&) -> Task<Response> {
        throw std::runtime_error("thrown by the handler");
        co_return Response();
    });
    router.on(Method::get, "/remote", [](Request& request) -> Task<Response> {
        co_return Response::of(200, "text/plain", request.remote.to_string());
    });
}

const std::string kHello = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
const std::string kHelloAnswer =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
    "Content-Length: 5\r\n\r\nhello";

std::string post(const std::string& body) {
    return "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}

std::size_t count(const std::string& text, const std::string& what) {
    std::size_t found = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
        ++found;
    return found;
}

}  // namespace

TEST_CASE("server: a request gets its answer and the connection stays") {
    Rig rig;
    add_routes(rig.router);
    const auto peer = rig.connect();
    CHECK(peer->talk(kHello) == kHelloAnswer);
    CHECK(peer->talk(kHello) == kHelloAnswer);
    CHECK_FALSE(peer->ended());
    CHECK(rig.server().connections() == 1);
    CHECK(rig.server().requests_under_way() == 0);
    auto& counter = rig.loop.metrics.counter(
        "http_requests_total", "", {{"server", "http"}, {"method", "GET"}, {"code", "200"}}
    );
    CHECK(counter.value() == 2);
    CHECK(rig.loop.metrics.gauge("http_connections", "", {{"server", "http"}}).value() == 1);
}

TEST_CASE("server: requests fed in pieces of any size get the same answers") {
    Rig rig;
    add_routes(rig.router);
    const std::string chunked =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5;ext=1\r\nfirst\r\n3\r\n222\r\n0\r\nTrailer: x\r\n\r\n";
    const std::string all = kHello + post("some body") + chunked + post("") + kHello;
    const auto whole = rig.connect();
    const std::string expected = whole->talk(all);
    CHECK(count(expected, "HTTP/1.1 200 OK") == 5);
    CHECK_THAT(expected, Contains("\r\n\r\nsome body") && Contains("\r\n\r\nfirst222"));
    for (std::size_t piece = 1; piece < all.size(); ++piece) {
        INFO("pieces of " << piece);
        const auto peer = rig.connect();
        REQUIRE(peer->talk(all, piece) == expected);
    }
}

TEST_CASE("server: pipelined requests are answered in order") {
    Rig rig;
    add_routes(rig.router);
    const auto peer = rig.connect();
    std::string requests;
    for (int i = 0; i < 200; ++i) {
        requests += "GET /who/" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
    }
    const std::string answers = peer->talk(requests);
    std::size_t at = 0;
    for (int i = 0; i < 200; ++i) {
        at = answers.find("\r\n\r\n" + std::to_string(i), at);
        REQUIRE(at != std::string::npos);
    }
}

TEST_CASE("server: the connection ends when the client asks for it, and with HTTP/1.0") {
    Rig rig;
    add_routes(rig.router);
    const auto asked = rig.connect();
    CHECK_THAT(
        asked->talk("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        Contains("Connection: close\r\n") && EndsWith("hello")
    );
    CHECK(asked->ended());
    const auto old = rig.connect();
    CHECK_THAT(
        old->talk("GET /hello HTTP/1.0\r\n\r\n"),
        StartsWith("HTTP/1.0 200 OK") && Contains("Connection: close\r\n")
    );
    CHECK(old->ended());
    const auto kept = rig.connect();
    CHECK_THAT(
        kept->talk("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        Contains("Connection: keep-alive\r\n")
    );
    CHECK_FALSE(kept->ended());
    CHECK(rig.server().connections() == 1);
}

TEST_CASE("server: HEAD gets the head of GET and no body") {
    Rig rig;
    add_routes(rig.router);
    const auto peer = rig.connect();
    CHECK_THAT(
        peer->talk("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n"),
        Contains("Content-Length: 5\r\n") && EndsWith("\r\n\r\n")
    );
    CHECK(peer->talk(kHello) == kHelloAnswer);
}

TEST_CASE("server: statuses without a body have no length") {
    Rig rig;
    rig.router.on(Method::get, "/none", [](Request&) -> Task<Response> {
        Response response = Response::of(204, "text/plain", "not sent");
        co_return response;
    });
    const auto peer = rig.connect();
    const std::string answer = peer->talk("GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_THAT(answer, StartsWith("HTTP/1.1 204 No Content\r\n") && EndsWith("\r\n\r\n"));
    CHECK_THAT(answer, !Contains("Content-Length"));
}

TEST_CASE("server: Expect: 100-continue is answered before the body") {
    Rig rig;
    add_routes(rig.router);
    const auto peer = rig.connect();
    const std::string head =
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    CHECK(peer->talk(head) == "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK_THAT(peer->talk("body"), StartsWith("HTTP/1.1 200 OK") && EndsWith("body"));
    // A client that does not wait is not told to go on.
    CHECK_THAT(peer->talk(head + "body"), StartsWith("HTTP/1.1 200 OK"));
    const auto other = rig.connect();
    CHECK_THAT(
        other->talk("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 4\r\n\r\n"),
        StartsWith("HTTP/1.1 417 ")
    );
    CHECK(rig.refused("expectation_failed") == 1);
}

TEST_CASE("server: what is no request, or could be cut in two ways, gets 400 and the end") {
    const std::vector<std::string> bad{
        "\r\n\r\n",
        "hello\r\n\r\n",
        "GET /hello\r\n\r\n",
        "GET /hello HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET /hello HTTP/1.1\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET hello HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: a\r\nbad name: x\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost : a\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    };
    Rig rig;
    add_routes(rig.router);
    std::uint64_t refused = 0;
    for (const std::string& bytes : bad) {
        INFO(bytes);
        const auto peer = rig.connect();
        const std::string answer = peer->talk(bytes);
        CHECK_THAT(answer, StartsWith("HTTP/1.1 400 Bad Request\r\n"));
        CHECK_THAT(answer, Contains("Connection: close\r\n") && EndsWith("400 Bad Request"));
        CHECK(rig.refused("malformed") == ++refused);
        rig.advance(1s);
        CHECK(peer->ended());
    }
    const auto peer = rig.connect();
    CHECK_THAT(
        peer->talk("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        StartsWith("HTTP/1.1 501 ")
    );
    CHECK(rig.refused("unsupported_coding") == 1);
}

TEST_CASE("server: a header above its limit gets 431, however it is fed") {
    Server::Options options;
    options.limits.header_bytes_max = 1000;
    Rig rig(options);
    add_routes(rig.router);
    const std::string long_line =
        "GET /hello HTTP/1.1\r\nHost: a\r\nX: " + std::string(2000, 'x') + "\r\n\r\n";
    const std::string long_target = "GET /" + std::string(5000, 'x') + " HTTP/1.1\r\n";
    std::string many = "GET /hello HTTP/1.1\r\nHost: a\r\n";
    for (int i = 0; i < 100; ++i)
        many += "X-Field: a value of it\r\n";
    std::uint64_t refused = 0;
    for (const std::string& bytes : {long_line, long_target, many}) {
        for (const std::size_t piece : {std::size_t{10}, std::size_t{26}, bytes.size()}) {
            const auto peer = rig.connect();
            const std::string answer = peer->talk(bytes, piece);
            REQUIRE_THAT(answer, StartsWith("HTTP/1.1 431 Request Header Fields Too Large\r\n"));
            CHECK(rig.refused("header_too_large") == ++refused);
        }
    }
    std::string fits = "GET /hello HTTP/1.1\r\nHost: a\r\n";
    for (int i = 0; i < 30; ++i)
        fits += "X-Field: a value of it\r\n";
    CHECK(rig.connect()->talk(fits + "\r\n") == kHelloAnswer);
}

TEST_CASE("server: a body above its limit gets 413 without being read") {
    Rig rig;
    add_routes(rig.router);
    const auto announced = rig.connect();
    const std::string head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n";
    announced->send(head + std::string(10485760, 'x'));
    const std::string answer = announced->take();
    CHECK_THAT(answer, StartsWith("HTTP/1.1 413 Request Entity Too Large\r\n"));
    CHECK_THAT(answer, Contains("text/plain") && EndsWith("Request Entity Too Large"));
    CHECK(announced->ended());
    CHECK(announced->bytes_sent() == 0);
    // One that waits to be told to go on is told at once.
    const auto waits = rig.connect();
    CHECK_THAT(
        waits->talk("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                    "Content-Length: 10485760\r\n\r\n"),
        StartsWith("HTTP/1.1 413 ")
    );
    // Chunks do not announce the whole.
    const auto chunked = rig.connect();
    std::string body = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (int i = 0; i < 40; ++i)
        body += "8000\r\n" + std::string(32768, 'x') + "\r\n";
    chunked->send(body);
    CHECK_THAT(chunked->take(), StartsWith("HTTP/1.1 413 "));
    CHECK(rig.refused("body_too_large") == 3);
    const std::string fits(1024 * 1024, 'y');
    CHECK_THAT(rig.connect()->talk(post(fits)), EndsWith(fits));
}

TEST_CASE("server: a request that takes too long gets 408 and the end") {
    Rig rig;
    add_routes(rig.router);
    const auto slow = rig.connect();
    slow->send("GET /hello HTTP/1.1\r\n");
    for (int i = 0; i < 11; ++i) {
        slow->send("X: y\r\n");
        rig.advance(250ms);
    }
    CHECK(slow->take().empty());
    CHECK(rig.server().requests_under_way() == 1);
    rig.advance(500ms);
    CHECK_THAT(slow->take(), StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
    CHECK(slow->ended());
    CHECK(rig.refused("slow_request") == 1);
    CHECK(rig.server().connections() == 0);

    const auto body = rig.connect();
    body->send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    rig.advance(4s);
    CHECK_THAT(body->take(), StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
    CHECK(body->ended());

    // The peer that sends on and does not read stays counted until it goes, too.
    const auto stuck = rig.connect(/*reads=*/false, /*pipe_bytes=*/64);
    stuck->send("GET /");
    rig.advance(4s);
    stuck->send("hello");
    CHECK(rig.server().connections() == 1);
    rig.advance(4s);
    CHECK(rig.server().connections() == 0);
    CHECK(rig.refused("slow_reader") == 1);
}

TEST_CASE("server: an idle connection is closed after the idle timeout") {
    Rig rig;
    add_routes(rig.router);
    const auto fresh = rig.connect();
    const auto used = rig.connect();
    rig.advance(20s);
    CHECK_THAT(used->talk(kHello), EndsWith("hello"));
    rig.advance(11s);
    CHECK(fresh->ended());
    CHECK(fresh->take().empty());
    CHECK_FALSE(used->ended());
    rig.advance(20s);
    CHECK(used->ended());
    CHECK(rig.refused("idle") == 2);
    CHECK(rig.server().connections() == 0);
    // Without connections nothing has to be woken up for.
    rig.advance(1s);
    CHECK(rig.clock.waiting() == 0);
}

TEST_CASE("server: a peer that does not take its answer is cut off") {
    Rig rig;
    rig.router.on(Method::get, "/large", [](Request&) -> Task<Response> {
        co_return Response::of(200, "text/plain", std::string(200'000, 'x'));
    });
    const auto peer = rig.connect(/*reads=*/false);
    peer->send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(rig.server().requests_under_way() == 1);
    rig.advance(4s);
    CHECK(rig.server().connections() == 0);
    CHECK(rig.refused("slow_reader") == 1);
}

TEST_CASE("server: a peer that leaves in the middle of its request is counted") {
    Rig rig;
    add_routes(rig.router);
    rig.connect()->send("GET /hel");
    CHECK(rig.refused("incomplete") == 1);
    CHECK(rig.server().connections() == 0);
}

TEST_CASE("server: connections above the limit are closed at once") {
    Server::Options options;
    options.limits.connections_max = 2;
    Rig rig(options);
    add_routes(rig.router);
    const auto first = rig.connect();
    auto second = rig.connect();
    const auto third = rig.connect();
    CHECK(third->ended());
    CHECK(rig.refused("connection_limit") == 1);
    CHECK(first->talk(kHello) == kHelloAnswer);
    second.reset();
    CHECK(rig.connect()->talk(kHello) == kHelloAnswer);
}

TEST_CASE("server: the limit of requests per connection closes it after the last one") {
    Server::Options options;
    options.limits.requests_per_connection_max = 2;
    Rig rig(options);
    add_routes(rig.router);
    const auto peer = rig.connect();
    const std::string answers = peer->talk(kHello + kHello + kHello);
    CHECK(count(answers, "HTTP/1.1 200 OK") == 2);
    CHECK(count(answers, "Connection: close") == 1);
    CHECK(peer->ended());
}

TEST_CASE("server: an exception of a handler is a 500 with an empty body") {
    Rig rig;
    add_routes(rig.router);
    const auto peer = rig.connect();
    const std::string answer = peer->talk("GET /throw HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_THAT(answer, StartsWith("HTTP/1.1 500 ") && Contains("Content-Length: 0\r\n"));
    CHECK(peer->talk(kHello) == kHelloAnswer);
    auto& failures =
        rig.loop.metrics.counter("http_handler_failures_total", "", {{"server", "http"}});
    CHECK(failures.value() == 1);
}

TEST_CASE("server: text of a peer in a field cannot add one") {
    Rig rig;
    rig.router.on(Method::get, "/who/{name}", [](Request& request) -> Task<Response> {
        Response response = Response::empty(200);
        response.fields.add("X-Name", std::string(request.param("name")));
        response.fields.add("Bad Name", "x");
        response.fields.add("Content-Length", "77");
        response.fields.add("Transfer-Encoding", "chunked");
        co_return response;
    });
    const auto peer = rig.connect();
    const std::string answer =
        peer->talk("GET /who/a%0d%0aSet-Cookie:%20b%00 HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_THAT(answer, Contains("X-Name: a  Set-Cookie: b \r\n") && !Contains("Bad Name"));
    CHECK_THAT(answer, Contains("Content-Length: 0\r\n") && !Contains("77"));
    CHECK_THAT(answer, !Contains("chunked"));
}

TEST_CASE("server: an upgrade is not taken, obsolete line folding is") {
    Rig rig;
    add_routes(rig.router);
    const auto peer = rig.connect();
    CHECK(
        peer->talk("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
                   "X-Folded: a\r\n b\r\n\r\n") == kHelloAnswer
    );
}

TEST_CASE("server: the PROXY header names the peer, and may be missing") {
    Server::Options options;
    options.accept_proxy_header = true;
    Rig rig(options);
    add_routes(rig.router);
    const std::string request = "GET /remote HTTP/1.1\r\nHost: a\r\n\r\n";
    for (const std::size_t piece : {std::size_t{1}, std::size_t{1000}}) {
        const auto v1 = rig.connect();
        const std::string header = "PROXY TCP4 192.0.2.1 127.0.0.1 4321 80\r\n";
        CHECK_THAT(v1->talk(header + request, piece), EndsWith("\r\n\r\n192.0.2.1:4321"));
        CHECK_THAT(v1->talk(request, piece), EndsWith("\r\n\r\n192.0.2.1:4321"));
        const auto none = rig.connect();
        CHECK_THAT(none->talk(request, piece), EndsWith("\r\n\r\nunix:pipe"));
    }
    const auto bad = rig.connect();
    CHECK(bad->talk("PROXY nonsense\r\n" + request).empty());
    CHECK(bad->ended());
    CHECK(rig.refused("proxy_header") == 1);
    const auto slow = rig.connect();
    slow->send("PROXY ");
    rig.advance(4s);
    CHECK(slow->ended());
}
