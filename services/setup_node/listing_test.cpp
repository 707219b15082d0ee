#include "services/setup_node/listing.hpp"

#include "base/test.hpp"
#include "crypto/signature.hpp"
#include "http/server.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"
#include "sim/test.hpp"
#include "transport/entry.hpp"

#include <functional>

#include <boost/asio/post.hpp>

namespace skywire::setup_node {
namespace {

using namespace std::chrono_literals;

const crypto::KeyPair kOurs = crypto::deterministic_key_pair("setup");
const crypto::PublicKey kA = crypto::deterministic_key_pair("a").public_key;
const crypto::PublicKey kB = crypto::deterministic_key_pair("b").public_key;

/// A transport-discovery with one transport, which counts nonces as the network's does.
class Discovery {
 public:
    Discovery(const net::Context& context, const net::Address& at)
        : entry(transport::make_entry(kA, kB, "stcpr", "user")) {
        router_.on(http::Method::get, "/security/nonces/{pk}", [this](http::Request& request) {
            return nonces(request);
        });
        router_.on(http::Method::get, "/transports/{id}", [this](http::Request& request) {
            return transport(request);
        });
        server_ = std::make_unique<http::Server>(context, router_, http::Server::Options());
        auto listener = context.network.listen(context.loop, at).value();
        address = listener->local();
        server_->serve(std::move(listener));
    }
    Discovery(const Discovery&) = delete;
    Discovery& operator=(const Discovery&) = delete;

    auto stop(SteadyTime deadline) { return server_->stop(deadline); }

    net::Address address;
    transport::Entry entry;
    std::uint64_t nonce = 7;
    unsigned status = 0;
    std::string body;
    int nonces_told = 0;
    /// With the right number.
    std::vector<std::string> asked;

 private:
    Task<http::Response> nonces(http::Request& request) {
        ++nonces_told;
        CHECK(request.param("pk") == kOurs.public_key.to_text());
        co_return http::Response::json(
            200, fmt::format(R"({{"edge":"{}","next_nonce":{}}})", request.param("pk"), nonce)
        );
    }
    Task<http::Response> transport(http::Request& request) {
        const std::string digits = std::to_string(nonce);
        const auto signature =
            crypto::Signature::from_text(request.fields.get("SW-Sig").value_or(""));
        if (request.fields.get("SW-Nonce") != digits || !signature ||
            !crypto::verify(kOurs.public_key, as_bytes(digits), *signature)) {
            co_return http::Response::json(
                401, R"({"error":{"message":"SW-Nonce does not match","code":401}})"
            );
        }
        asked.emplace_back(request.param("id"));
        if (status != 0) co_return http::Response::json(status, body);
        if (request.param("id") != "id:" + entry.id.to_text())
            co_return http::Response::json(404, R"({"error":"transport not found"})");
        ++nonce;
        co_return http::Response::json(200, transport::to_json(entry));
    }

    http::Router router_;
    std::unique_ptr<http::Server> server_;
};

struct Rig {
    Rig()
        : world(1),
          discovery(world.node("tpd.example").context(), world.node("tpd.example").at(80)),
          context(world.node("setup").context()),
          http(context),
          listing(make_http_listing(context, http, "http://tpd.example:80", kOurs).value()) {}
    ~Rig() {
        http.close();
        world.run(discovery.stop(world.clock().now() + 10s));
    }

    Result<bool> lists(const router::Hop& hop) {
        return world.run(listing->lists(hop, world.clock().now() + 5s));
    }
    router::Hop hop() const { return {discovery.entry.id, kB, kA}; }

    sim::World world;
    Discovery discovery;
    net::Context context;
    http::Client http;
    std::unique_ptr<Listing> listing;
};

}  // namespace

TEST_CASE("setup-node listing: asks with one nonce after another") {
    Rig rig;
    CHECK(rig.lists(rig.hop()).value());
    CHECK(rig.lists(rig.hop()).value());
    CHECK(rig.discovery.nonces_told == 1);
    CHECK(rig.discovery.nonce == 9);
    router::Hop other = rig.hop();
    other.transport.bytes[0] ^= std::byte{1};
    CHECK_FALSE(rig.lists(other).value());
    // A 404 is not counted.
    CHECK(rig.lists(rig.hop()).value());
    CHECK(rig.discovery.nonces_told == 1);
    // The transport is there, and not between these two.
    other = rig.hop();
    other.from = kOurs.public_key;
    CHECK_FALSE(rig.lists(other).value());
    CHECK(rig.listing->trouble().empty());
}

TEST_CASE("setup-node listing: fetches a new nonce where its own is not the one") {
    Rig rig;
    CHECK(rig.lists(rig.hop()).value());
    rig.discovery.nonce += 1'000'000;
    CHECK(rig.lists(rig.hop()).value());
    CHECK(rig.discovery.nonces_told == 2);
}

TEST_CASE("setup-node listing: a discovery that answers with something else, or not at all") {
    Rig rig;
    for (const auto& [status, body] : std::vector<std::pair<unsigned, std::string>>{
             {500, "{}"}, {401, "{}"}, {200, "{"}, {200, "[]"}, {200, R"({"t_id":5})"}
         }) {
        INFO(status << " " << body);
        rig.discovery.status = status;
        rig.discovery.body = body;
        const auto listed = rig.lists(rig.hop());
        CHECK(listed.has_error());
        CHECK_FALSE(rig.listing->trouble().empty());
    }
    rig.discovery.status = 0;
    CHECK(rig.lists(rig.hop()).value());
    CHECK(rig.listing->trouble().empty());
    rig.world.isolate(rig.world.node("tpd.example"));
    const auto listed = rig.lists(rig.hop());
    CHECK(listed.error() == make_error_code(errc::timed_out));
    rig.world.heal();
    CHECK(rig.lists(rig.hop()).value());
}

TEST_CASE("setup-node listing: many at once share the nonce") {
    Rig rig;
    int listed = 0;
    net::Scope scope(rig.world.loop());
    for (int i = 0; i < 10; ++i) {
        scope.spawn("ask", [&rig, &listed]() -> Task<> {
            const auto answer =
                co_await rig.listing->lists(rig.hop(), rig.world.clock().now() + 5s);
            if (answer && *answer) ++listed;
        });
    }
    rig.world.run(scope.wait_empty());
    CHECK(listed == 10);
    CHECK(rig.discovery.nonces_told == 1);
}

TEST_CASE("setup-node listing: those who ask later wait behind those who asked before") {
    net::TestLoop loop;
    Discovery discovery(loop.context, net::Address::tcp("127.0.0.1", 0));
    http::Client http(loop.context);
    const std::string url = "http://" + discovery.address.to_string();
    const auto listing = make_http_listing(loop.context, http, url, kOurs).value();
    net::Scope scope(loop.context.loop);
    std::vector<std::string> asking;
    // One more in each turn of the loop, that in which the one before has its answer among them.
    const std::function<void()> ask = [&] {
        router::Hop hop{discovery.entry.id, kB, kA};
        hop.transport.bytes[0] = static_cast<std::byte>(asking.size() / 256);
        hop.transport.bytes[1] = static_cast<std::byte>(asking.size() % 256);
        asking.push_back("id:" + hop.transport.to_text());
        scope.spawn("ask", [&listing, hop]() -> Task<> {
            const auto listed = co_await listing->lists(hop, SteadyTime::max());
            CHECK(listed);
        });
        if (discovery.asked.size() < 5) asio::post(loop.ioc, ask);
    };
    ask();
    loop.run(scope.wait_empty());
    CHECK(asking.size() > 5);
    CHECK(discovery.asked == asking);
    http.close();
    loop.run(discovery.stop(loop.context.clock.now() + 10s));
}

TEST_CASE("setup-node listing: the list of a transport-discovery in the same process") {
    net::TestLoop loop;
    const auto view = std::make_shared<transport::TransportView>();
    const auto listing = make_view_listing(loop.context, view);
    const auto entry = transport::make_entry(kA, kB, "dmsg", "user");
    const router::Hop hop{entry.id, kB, kA};
    const auto lists = [&] { return loop.run(listing->lists(hop, SteadyTime::max())); };
    CHECK(lists().has_error());
    CHECK_FALSE(listing->trouble().empty());
    auto publication =
        view->publish("tpd", loop.context.loop, [] { return std::vector<transport::Entry>(); });
    loop.settle();
    CHECK_FALSE(lists().value());
    CHECK(listing->trouble().empty());
    publication->put(entry);
    loop.settle();
    CHECK(lists().value());
    publication->remove(entry.id);
    loop.settle();
    CHECK_FALSE(lists().value());
    publication.reset();
    loop.settle();
    CHECK(lists().has_error());
}

}  // namespace skywire::setup_node
