// Where the graph comes from: lists over HTTP, records in a store, a list of the same process.

#include "services/route_finder/source.hpp"

#include "base/test.hpp"
#include "http/server.hpp"
#include "services/common/upstream_url.hpp"
#include "services/route_finder/test_finder.hpp"
#include "store/memory.hpp"

namespace skywire::route_finder {
namespace {

std::string list_of(const std::vector<transport::Entry>& entries) {
    std::string text = "[";
    for (const transport::Entry& entry : entries)
        text += (text.size() > 1 ? "," : "") + transport::to_json(entry);
    return text + "]\n";
}

std::string record_of(const transport::Entry& entry, const std::string& latency) {
    return fmt::format(
        R"({{"id":"{}","edge_a":"{}","edge_b":"{}","type":"{}","label":"{}","lat_min":0,)"
        R"("lat_max":0,"lat_avg":{},"bandwidth":0,"last_update":1700000000}})",
        entry.id.to_text(),
        entry.edges[0],
        entry.edges[1],
        entry.type,
        entry.label,
        latency
    );
}

/// A transport-discovery of one route.
class Lister {
 public:
    explicit Lister(TestFinder& finder)
        : finder_(finder), server_(finder.loop.context, router_, {}) {
        router_.on(http::Method::get, "/all-transports", [this](http::Request& request) {
            return answer(request);
        });
        const auto any = net::Address::tcp("127.0.0.1", 0);
        server_.serve(finder.loop.network.listen(finder.loop.context.loop, any).value());
    }
    ~Lister() { finder_.loop.run(server_.stop(finder_.clock.now() + std::chrono::seconds(10))); }
    Lister(const Lister&) = delete;
    Lister& operator=(const Lister&) = delete;

    std::string url() const { return "http://" + server_.addresses().front().to_string(); }

    std::string list;
    std::string tag;
    unsigned status = 200;
    int asked = 0;
    int unchanged = 0;

 private:
    Task<http::Response> answer(http::Request& request) {
        ++asked;
        if (!tag.empty() && request.fields.get("If-None-Match") == tag) {
            ++unchanged;
            co_return http::Response::empty(304);
        }
        auto response = http::Response::of(status, "text/plain", list);
        if (!tag.empty()) response.fields.set("ETag", tag);
        co_return response;
    }

    TestFinder& finder_;
    http::Router router_;
    http::Server server_;
};

std::unique_ptr<GraphSource> url_source(TestFinder& finder, const std::string& url) {
    return make_url_source(
        finder.loop.context, finder.graph, url, services::parse_upstream_url(url).value()
    );
}

std::uint64_t refreshes(TestFinder& finder, std::string outcome) {
    return finder.loop.metrics
        .counter("route_finder_refreshes_total", "", {{"outcome", std::move(outcome)}})
        .value();
}

}  // namespace

TEST_CASE("route-finder lists: entries are read, and those that are none are left out") {
    KeyCache keys;
    auto made = graph_of_list(list_of(recorded_transports()), keys);
    REQUIRE(made);
    CHECK(made->graph->transports() == 5);
    CHECK(made->unreadable == 0);
    CHECK(graph_of_list("null\n", keys)->graph->transports() == 0);
    CHECK(graph_of_list("[]", keys)->graph->transports() == 0);
    const std::string good = transport::to_json(joins(1, 2));
    const auto mixed = graph_of_list(
        "[7,null,{},\"x\"," + good +
            R"(,{"t_id":"zz","edges":["a","b"]},{"t_id":7,"edges":7,"type":7},[[]],)"
            R"({"t_id":"a872fa00-6ac5-0fe1-a6b8-b7c074ea5d97","edges":[null]}])",
        keys
    );
    REQUIRE(mixed);
    CHECK(mixed->graph->transports() == 1);
    CHECK(mixed->unreadable == 8);
    for (const char* text : {"", "[", "{}", "7", "[] x", "[{]", "nul"}) {
        INFO(text);
        CHECK_FALSE(graph_of_list(text, keys));
    }
}

TEST_CASE("route-finder lists: latencies of records count") {
    KeyCache keys;
    const auto made = graph_of_records(
        {record_of(joins(1, 2), "1500.5"),
         record_of(joins(2, 3), "0"),
         record_of(joins(3, 4), "1e300"),
         record_of(joins(4, 5), "\"x\""),
         "",
         "[]"},
        keys
    );
    CHECK(made.unreadable == 2);
    const auto latency = [&](int from) {
        return made.graph->links(*made.graph->find(visor(from)))[0].latency_us;
    };
    CHECK(latency(1) == 1500);
    CHECK(latency(5) == kUnmeasuredLatencyUs);
    CHECK(made.graph->transports() == 4);
}

TEST_CASE("route-finder sources: a URL is asked again only for what has changed") {
    TestFinder finder;
    Lister lister(finder);
    const auto source = url_source(finder, lister.url());
    CHECK(source->place() == lister.url());
    CHECK(source->polled());
    lister.list = list_of(recorded_transports());
    lister.tag = "\"1\"";
    finder.loop.run(source->refresh());
    REQUIRE(finder.graph.current() != nullptr);
    CHECK(finder.graph.current()->transports() == 5);
    finder.loop.run(source->refresh());
    CHECK(lister.unchanged == 1);
    lister.list = list_of({joins(1, 2)});
    lister.tag = "\"2\"";
    finder.loop.run(source->refresh());
    CHECK(finder.graph.current()->transports() == 1);
    // A discovery that knows no tags: the text tells.
    lister.tag.clear();
    finder.loop.run(source->refresh());
    CHECK(refreshes(finder, "changed") == 2);
    CHECK(refreshes(finder, "unchanged") == 2);
    lister.list = "null\n";
    finder.loop.run(source->refresh());
    CHECK(finder.graph.current()->transports() == 0);
}

TEST_CASE("route-finder sources: what a URL fails with is told, and the last list stays") {
    TestFinder finder;
    Lister lister(finder);
    const auto source = url_source(finder, lister.url() + "/");
    lister.list = list_of(recorded_transports());
    finder.loop.run(source->refresh());
    lister.status = 500;
    finder.loop.run(source->refresh());
    CHECK(finder.graph.check("x").detail == "x: status 500");
    lister.status = 200;
    lister.list = "<html>";
    finder.loop.run(source->refresh());
    CHECK(finder.graph.check("x").status == framework::Check::Status::warn);
    CHECK(finder.graph.current()->transports() == 5);
    CHECK(refreshes(finder, "failed") == 2);
    // What was not taken is not taken for known.
    lister.list = list_of(recorded_transports());
    finder.loop.run(source->refresh());
    CHECK(finder.graph.check("x").status == framework::Check::Status::pass);
    const auto nobody = url_source(finder, "http://127.0.0.1:1");
    finder.loop.run(nobody->refresh());
    CHECK(refreshes(finder, "failed") == 3);
}

TEST_CASE("route-finder sources: the records of a store") {
    TestFinder finder;
    const auto store = store::make_memory_store(finder.loop.context);
    const auto source =
        make_store_source(finder.loop.context, finder.graph, *store, "redis://there/1");
    CHECK(source->place() == "redis://there/1");
    finder.loop.run(source->refresh());
    REQUIRE(finder.graph.current() != nullptr);
    CHECK(finder.graph.current()->transports() == 0);
    store::Batch batch;
    for (const transport::Entry& entry : recorded_transports()) {
        const std::string id = entry.id.to_text();
        batch.changes.push_back(store::AddToSet{"transport-discovery:tp:_index", id});
        // One has expired, and is in the index still.
        if (id != joins(5, 6).id.to_text())
            batch.changes.push_back(
                store::SetValue{"transport-discovery:tp:" + id, record_of(entry, "20000"), {}}
            );
    }
    const auto applied = finder.loop.run(store->apply(std::move(batch)));
    CHECK(applied);
    // A store that knows no numbers of changes is read again after a while.
    finder.loop.run(source->refresh());
    CHECK(finder.graph.current()->transports() == 0);
    finder.clock.advance(std::chrono::seconds(5));
    finder.loop.run(source->refresh());
    CHECK(finder.graph.current()->transports() == 4);
    CHECK(finder.loop.run(store->close(finder.clock.now())));
    finder.loop.run(source->refresh());
    CHECK(finder.graph.check("x").status == framework::Check::Status::warn);
    CHECK(finder.graph.current()->transports() == 4);
}

TEST_CASE("route-finder sources: a change that its writer has numbered is seen at once") {
    TestFinder finder;
    const auto store = store::make_memory_store(finder.loop.context);
    const auto source = make_store_source(finder.loop.context, finder.graph, *store, "there");
    const auto add = [&](const transport::Entry& entry, const std::string& number) {
        const std::string id = entry.id.to_text();
        store::Batch batch;
        batch.changes.push_back(store::AddToSet{"transport-discovery:tp:_index", id});
        batch.changes.push_back(
            store::SetValue{"transport-discovery:tp:" + id, record_of(entry, "0"), {}}
        );
        batch.changes.push_back(store::SetValue{"transport-discovery:change:" + number, id, {}});
        const auto applied = finder.loop.run(store->apply(std::move(batch)));
        CHECK(applied);
    };
    const auto transports = [&] {
        finder.loop.run(source->refresh());
        return finder.graph.current()->transports();
    };
    CHECK(finder.loop.run(store->increment("transport-discovery:changes")).value() == 1);
    add(joins(1, 2), "1");
    CHECK(transports() == 1);
    CHECK(transports() == 1);
    CHECK(refreshes(finder, "unchanged") == 1);
    // The number is there before the change is.
    CHECK(finder.loop.run(store->increment("transport-discovery:changes")).value() == 2);
    CHECK(transports() == 1);
    add(joins(2, 3), "2");
    CHECK(transports() == 2);
    CHECK(transports() == 2);
    CHECK(refreshes(finder, "unchanged") == 2);
    CHECK(finder.loop.run(store->close(finder.clock.now())));
}

TEST_CASE("route-finder sources: a list of the same process, change by change") {
    TestFinder finder;
    transport::TransportView view;
    std::vector<transport::Entry> listed = recorded_transports();
    auto publication = view.publish("tpd", finder.loop.context.loop, [&listed] { return listed; });
    const auto source = make_view_source(finder.loop.context, finder.graph, view);
    CHECK_FALSE(source->polled());
    finder.loop.run(source->refresh());
    finder.loop.settle();
    REQUIRE(finder.graph.current() != nullptr);
    CHECK(finder.graph.current()->transports() == 5);
    publication->put(joins(7, 8));
    publication->remove(joins(1, 2).id);
    publication->remove(joins(2, 3, transport::kSudph).id);
    finder.loop.settle();
    CHECK(finder.graph.current()->transports() == 4);
    CHECK(finder.graph.current()->find(visor(7)));
    // However long nothing changes: it would have told.
    finder.clock.advance(std::chrono::hours(24));
    CHECK(finder.graph.current() != nullptr);
    CHECK(finder.graph.check("x").status == framework::Check::Status::pass);
    // A discovery that has been restarted publishes anew.
    CHECK(source->trouble().empty());
    publication.reset();
    CHECK(source->trouble() == "it does not run: the last list answers");
    CHECK(finder.graph.current()->transports() == 4);
    listed = {joins(1, 9)};
    publication = view.publish("tpd", finder.loop.context.loop, [&listed] { return listed; });
    finder.loop.settle();
    CHECK(finder.graph.current()->transports() == 1);
}

}  // namespace skywire::route_finder
