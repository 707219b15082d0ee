#include "http/router.hpp"

#include "base/test.hpp"
#include "http/uri.hpp"
#include "net/test_loop.hpp"

using namespace skywire;
using namespace skywire::http;

namespace {

class Tester {
 public:
    /// A route that answers its own pattern and what it has captured.
    void on(Method method, const std::string& pattern) {
        router.on(method, pattern, [pattern](Request& request) { return show(pattern, request); });
    }

    Response ask(Method method, const std::string& target) {
        Request request = make(method, target);
        return loop.run(router.handle(request));
    }

    std::string body(Method method, const std::string& target) { return ask(method, target).body; }
    std::string get(const std::string& target) { return body(Method::get, target); }

    static Request make(Method method, const std::string& target) {
        Request request;
        request.method = method;
        request.target = target;
        request.path = percent_decode(target_path(target), Plus::literal).value();
        return request;
    }

    net::TestLoop loop;
    Router router;

 private:
    static Task<Response> show(std::string pattern, Request& request) {
        for (const auto& [name, value] : request.params)
            pattern += " " + name + "=" + value;
        co_return Response::of(200, "text/plain", pattern);
    }
};

}  // namespace

TEST_CASE("router: literals win over names, names over the rest") {
    Tester test;
    test.on(Method::get, "/");
    test.on(Method::get, "/entry/{pk}");
    test.on(Method::get, "/entry/batch");
    test.on(Method::get, "/entry/");
    test.on(Method::get, "/entry/{key}/clients");
    test.on(Method::get, "/files/*");
    test.on(Method::get, "/files/{name}/info");
    CHECK(test.get("/") == "/");
    CHECK(test.get("/entry/batch") == "/entry/batch");
    CHECK(test.get("/entry/02ab") == "/entry/{pk} pk=02ab");
    CHECK(test.get("/entry/") == "/entry/");
    CHECK(test.get("/entry/x/clients?y=1") == "/entry/{key}/clients key=x");
    CHECK(test.get("/entry/batch/clients") == "/entry/{key}/clients key=batch");
    CHECK(test.get("/files/") == "/files/* *=");
    CHECK(test.get("/files/a/b/c") == "/files/* *=a/b/c");
    CHECK(test.get("/files/a/info") == "/files/{name}/info name=a");
    CHECK(test.get("/files/a/info/b") == "/files/* *=a/info/b");
    for (const char* unknown :
         {"/entry",
          "/files",
          "/entry/x/",
          "/entry/x/y",
          "//",
          "/Entry/x",
          "/entry//clients",
          "/a/../entry/batch"}) {
        INFO(unknown);
        CHECK(test.ask(Method::get, unknown).status == 404);
    }
}

TEST_CASE("router: unknown paths and methods answer as the existing network's") {
    Tester test;
    test.on(Method::get, "/entry/{pk}");
    test.on(Method::post, "/entry/{key}");
    test.on(Method::delete_, "/entry/");
    const Response unknown = test.ask(Method::get, "/nothing");
    CHECK(unknown.status == 404);
    CHECK(unknown.body == "404 page not found\n");
    CHECK(unknown.fields.get("Content-Type") == "text/plain; charset=utf-8");
    CHECK(unknown.fields.get("X-Content-Type-Options") == "nosniff");
    const Response other = test.ask(Method::delete_, "/entry/x");
    CHECK(other.status == 405);
    CHECK(other.body.empty());
    CHECK(other.fields.get("Allow") == "GET, POST");
    CHECK_FALSE(other.fields.get("Content-Type"));
    CHECK(test.ask(Method::get, "/entry/").fields.get("Allow") == "DELETE");
    CHECK(test.body(Method::post, "/entry/x") == "/entry/{key} key=x");
}

TEST_CASE("router: a literal without the method leaves the request to the name") {
    Tester test;
    test.on(Method::post, "/entry/batch");
    test.on(Method::get, "/entry/{pk}");
    CHECK(test.get("/entry/batch") == "/entry/{pk} pk=batch");
    CHECK(test.ask(Method::put, "/entry/batch").fields.get("Allow") == "POST, GET");
}

TEST_CASE("router: HEAD is answered by GET where it has no handler") {
    Tester test;
    test.on(Method::get, "/a");
    test.on(Method::post, "/b");
    test.on(Method::get, "/c");
    test.on(Method::head, "/c");
    CHECK(test.ask(Method::head, "/a").status == 200);
    CHECK(test.ask(Method::head, "/b").status == 405);
    CHECK(test.ask(Method::head, "/c").status == 200);
}

TEST_CASE("router: an encoded slash does not end a segment") {
    Tester test;
    test.on(Method::get, "/entry/{pk}");
    test.on(Method::get, "/entry/a/b");
    test.on(Method::get, "/blank b/{x}");
    test.on(Method::get, "/files/*");
    CHECK(test.get("/entry/a/b") == "/entry/a/b");
    CHECK(test.get("/entry/a%2Fb") == "/entry/{pk} pk=a/b");
    CHECK(test.get("/entry%2fa/b") == "404 page not found\n");
    CHECK(test.get("/blank%20b/%2f%2F") == "/blank b/{x} x=//");
    CHECK(test.get("/files/a%2Fb/c") == "/files/* *=a/b/c");
    CHECK(test.get("/entry/%252F") == "/entry/{pk} pk=%2F");
    const std::string nul = test.get("/entry/a%00b");
    CHECK(nul == std::string("/entry/{pk} pk=a\0b", 18));
}

TEST_CASE("router: middlewares run around everything, the first one outermost") {
    Tester test;
    test.on(Method::get, "/a");
    const auto wrap = [](std::string name) -> Middleware {
        return [name](Request& request, const Handler& next) -> Task<Response> {
            Response response = co_await next(request);
            response.body = name + "(" + response.body + ")";
            co_return response;
        };
    };
    test.router.use(wrap("outer"));
    test.router.use(wrap("inner"));
    CHECK(test.get("/a") == "outer(inner(/a))");
    CHECK(test.get("/b") == "outer(inner(404 page not found\n))");
    test.router.use([](Request&, const Handler&) -> Task<Response> {
        co_return Response::of(403, "text/plain", "no");
    });
    Router moved = std::move(test.router);
    test.router = std::move(moved);
    CHECK(test.get("/a") == "outer(inner(no))");
}

TEST_CASE("router: the pattern of a request is a label that no peer can make up") {
    Tester test;
    test.on(Method::get, "/entry/{pk}");
    CHECK(test.router.pattern_of(Tester::make(Method::get, "/entry/02")) == "/entry/{pk}");
    CHECK(test.router.pattern_of(Tester::make(Method::post, "/entry/02")).empty());
    CHECK(test.router.pattern_of(Tester::make(Method::get, "/x")).empty());
    CHECK(test.ask(Method::options, "*").status == 404);
    CHECK(test.ask(Method::get, "").status == 404);
}
