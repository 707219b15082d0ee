// Bytes to a server, whole and in pieces: no input may crash it, hold a connection beyond its
// deadlines, or be answered differently because of where the pieces end.

#include "http/server.hpp"
#include "http/test_peer.hpp"

#include <cstdlib>

#include <fmt/format.h>

namespace {

using namespace skywire;
using namespace skywire::http;

Server::Options options() {
    Server::Options made;
    made.accept_proxy_header = true;
    made.gzip_from_bytes = 100;
    made.limits.header_bytes_max = 2000;
    made.limits.body_bytes_max = 2000;
    return made;
}

struct Fixture {
    Fixture() : rig(options()) {
        rig.router.on(Method::post, "/echo", [](Request& request) -> Task<Response> {
            co_return Response::of(200, "text/plain", request.body);
        });
        rig.router.on(Method::get, "/a/{name}", [](Request& request) -> Task<Response> {
            Response response = Response::of(200, "text/plain", request.query("q").value_or(""));
            response.fields.add("X-Name", std::string(request.param("name")));
            co_return response;
        });
        rig.router.on(Method::get, "/files/*", [](Request& request) -> Task<Response> {
            co_return Response::of(200, "text/plain", request.path);
        });
        rig.router.on(Method::get, "/stream", [](Request&) -> Task<Response> {
            Response response = Response::empty(200);
            response.stream = [](BodyWriter& body) -> Task<> {
                for (int i = 0; i < 3; ++i)
                    (void)co_await body.write("chunk");
            };
            co_return response;
        });
    }

    std::string talk(const std::string& bytes, std::size_t piece) {
        const auto peer = rig.connect();
        peer->send(bytes, piece);
        rig.advance(std::chrono::seconds(60));
        rig.advance(std::chrono::seconds(60));
        // Both runs happen at the same time of day: answers carry it.
        rig.clock.step_wall(-std::chrono::seconds(120));
        if (!peer->ended() || rig.server().connections() != 0) std::abort();
        return peer->take();
    }

    test::Rig rig;
};

/// Up to the first refusal: which one it is, and when, may depend on what has arrived.
std::string_view before_refusal(const std::string& answers) {
    std::size_t end = answers.size();
    for (const char* status : {" 400 Bad", " 408 ", " 413 ", " 417 ", " 431 ", " 501 ", " 100 "}) {
        end = std::min(end, answers.find(status));
    }
    return std::string_view(answers).substr(0, end);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Fixture fixture;
    if (size < 1 || size > 8192) return 0;
    const std::size_t piece = 1 + data[0];
    const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    const std::string whole = fixture.talk(bytes, std::string::npos);
    const std::string pieces = fixture.talk(bytes, piece);
    if (before_refusal(whole) != before_refusal(pieces)) {
        fmt::print(stderr, "whole:\n{}\npieces of {}:\n{}\n", whole, piece, pieces);
        std::abort();
    }
    return 0;
}
