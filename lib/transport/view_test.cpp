#include "transport/view.hpp"

#include "base/test.hpp"
#include "net/test_loop.hpp"

#include <algorithm>

using namespace skywire;
using transport::Entry;
using transport::TransportId;
using transport::TransportView;

namespace {

Entry entry(int number) {
    static const auto a = crypto::deterministic_key_pair("a").public_key;
    return transport::make_entry(a, a, "type " + std::to_string(number), "user");
}

/// Keeps the list as a follower does.
struct Copy {
    void take(const TransportView::Update& update) {
        ++updates;
        if (update.complete) {
            ++complete;
            list.clear();
        }
        for (const Entry& each : update.put) {
            std::erase_if(list, [&](const Entry& old) { return old.id == each.id; });
            list.push_back(each);
        }
        for (const TransportId& id : update.removed)
            std::erase_if(list, [&](const Entry& old) { return old.id == id; });
        version = update.version;
    }
    bool has(const Entry& wanted) const {
        return std::find(list.begin(), list.end(), wanted) != list.end();
    }

    std::vector<Entry> list;
    std::uint64_t version = 0;
    int updates = 0;
    int complete = 0;
};

/// A list with its publication.
struct Owner {
    Owner(TransportView& view, const std::string& label, Executor loop)
        : publication(view.publish(label, std::move(loop), [this] { return list; })) {}

    void put(const Entry& each) {
        list.push_back(each);
        publication->put(each);
    }
    void remove(const Entry& each) {
        std::erase(list, each);
        publication->remove(each.id);
    }

    std::vector<Entry> list;
    std::unique_ptr<TransportView::Publication> publication;
};

}  // namespace

TEST_CASE("transport view: a follower gets the whole list, then what changes") {
    net::TestLoop loop;
    TransportView view;
    Copy copy;
    const auto following =
        view.follow("", loop.context.loop, [&](const auto& update) { copy.take(update); });
    loop.settle();
    CHECK(copy.updates == 0);
    CHECK_FALSE(view.published(""));

    Owner owner(view, "tpd", loop.context.loop);
    owner.put(entry(1));
    loop.settle();
    CHECK(view.published("tpd"));
    CHECK_FALSE(view.published("other"));
    CHECK(copy.complete == 1);
    CHECK(copy.has(entry(1)));

    owner.put(entry(2));
    owner.put(entry(3));
    owner.remove(entry(3));
    owner.remove(entry(1));
    const int before = copy.updates;
    loop.settle();
    CHECK(copy.updates == before + 1);
    CHECK(copy.list == std::vector<Entry>{entry(2)});
    CHECK(copy.version == owner.publication->version());

    owner.remove(entry(2));
    owner.put(entry(2));
    loop.settle();
    CHECK(copy.list == std::vector<Entry>{entry(2)});
}

TEST_CASE("transport view: a restarted discovery sends the whole list again") {
    net::TestLoop loop;
    TransportView view;
    Copy copy;
    const auto following =
        view.follow("tpd", loop.context.loop, [&](const auto& update) { copy.take(update); });
    {
        Owner owner(view, "tpd", loop.context.loop);
        owner.put(entry(1));
        loop.settle();
        CHECK(copy.has(entry(1)));
    }
    CHECK_FALSE(view.published("tpd"));
    Owner other(view, "another", loop.context.loop);
    other.put(entry(7));
    Owner owner(view, "tpd", loop.context.loop);
    owner.put(entry(2));
    loop.settle();
    CHECK(copy.complete == 2);
    CHECK(copy.list == std::vector<Entry>{entry(2)});
}

TEST_CASE("transport view: who does not follow any more is told nothing") {
    net::TestLoop loop;
    TransportView view;
    Owner owner(view, "tpd", loop.context.loop);
    Copy copy;
    auto following =
        view.follow("", loop.context.loop, [&](const auto& update) { copy.take(update); });
    loop.settle();
    CHECK(copy.updates == 1);
    owner.put(entry(1));
    following.reset();
    loop.settle();
    CHECK(copy.updates == 1);
    owner.put(entry(2));
    loop.settle();
    CHECK(owner.publication->version() == 2);
}

TEST_CASE("transport view: a follower that falls behind gets the whole list once it catches up") {
    net::TestLoop loop;
    net::TestLoop slow;
    TransportView view;
    Owner owner(view, "tpd", loop.context.loop);
    Copy copy;
    const auto following =
        view.follow("", slow.context.loop, [&](const auto& update) { copy.take(update); });
    loop.settle();
    const int changes = static_cast<int>(TransportView::kPendingMax) * 2;
    for (int i = 0; i < changes; ++i) {
        owner.put(entry(i));
        loop.settle();
    }
    slow.settle();
    CHECK(copy.updates == static_cast<int>(TransportView::kPendingMax));
    loop.settle();
    slow.settle();
    CHECK(copy.complete == 2);
    CHECK(copy.list.size() == static_cast<std::size_t>(changes));
    owner.put(entry(changes));
    loop.settle();
    slow.settle();
    CHECK(copy.has(entry(changes)));
}
