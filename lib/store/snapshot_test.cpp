#include "store/snapshot.hpp"

#include "base/temporary_folder.hpp"
#include "base/test.hpp"
#include "store/store_suite.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

namespace skywire::store {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::TemporaryFolder;

/// Names in the folder that begin with this.
std::vector<std::string> names(const TemporaryFolder& folder, const std::string& prefix) {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder.path())) {
        const std::string name = entry.path().filename();
        if (name.starts_with(prefix)) found.push_back(name);
    }
    std::sort(found.begin(), found.end());
    return found;
}

/// A loop with a still clock and faults.
struct World {
    World()
        : loop(&clock),
          context(
              loop.context.loop,
              clock,
              loop.random,
              loop.network,
              loop.workers,
              loop.metrics,
              faults,
              log::Logger()
          ) {}

    std::unique_ptr<SnapshotStore> open(const std::string& path, MemoryLimits limits = {}) {
        return loop.run(open_snapshot_store(context, path, limits)).value();
    }
    void close(Store& store) {
        const auto closed = loop.run(store.close(SteadyTime::max()));
        if (!closed) FAIL_CHECK(closed.error().message());
    }
    /// Moves the clock to the next flush and waits for its end, good or bad.
    void flush(SnapshotStore& store) {
        loop.settle();
        clock.advance(1s);
        loop.run_until([&] { return clock.waiting() > 0 || store.report().pending == 0; });
        loop.settle();
    }
    /// What a kill leaves: the files as they are now, elsewhere.
    static void copy_files(const std::string& from, const std::string& to) {
        for (const char* suffix : {"", "-wal"}) {
            if (fs::exists(from + suffix)) fs::copy_file(from + suffix, to + suffix);
        }
    }
    std::uint64_t count(const std::string& name) { return loop.metrics.counter(name, "").value(); }

    ManualClock clock;
    net::TestLoop loop;
    TestFaults faults;
    net::Context context;
};

std::string read_whole(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}
void write_whole(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

TEST_CASE("snapshot: behaves as every store does") {
    const TemporaryFolder folder;
    World world;
    const auto store = world.open(folder / "a.db");
    CHECK(store->kind() == "memory+sqlite");
    check_store_behaviour(world.loop, *store);
    world.close(*store);
    CHECK(world.loop.run(store->get("k")).error() == make_error_code(errc::closed));
}

TEST_CASE("snapshot: what was there at close is there again") {
    const TemporaryFolder folder;
    World world;
    {
        const auto store = world.open(folder / "new/deep/a.db");
        CHECK(store->report().loaded == 0);
        must_apply(world.loop, *store, SetValue{"forever", std::string("v\0\n", 3)});
        must_apply(world.loop, *store, SetValue{"hour", "v", 1h});
        must_apply(world.loop, *store, SetValue{"minute", "v", 1min});
        must_apply(world.loop, *store, SetValue{"", ""});
        must_apply(world.loop, *store, SetValue{"erased", "v"});
        must_apply(world.loop, *store, Erase{"erased"});
        must_apply(world.loop, *store, AddToSet{"set", "a"});
        must_apply(world.loop, *store, AddToSet{"set", "b"});
        must_apply(world.loop, *store, RemoveFromSet{"set", "a"});
        CHECK(world.loop.run(store->increment("n")).value() == 1);
        CHECK(world.loop.run(store->increment("n")).value() == 2);
        world.close(*store);
        CHECK(fs::exists(folder / "new/deep/a.db"));
        CHECK_FALSE(fs::exists(folder / "new/deep/a.db-wal"));
    }
    struct stat found{};
    REQUIRE(::stat((folder / "new/deep").c_str(), &found) == 0);
    CHECK((found.st_mode & 0777U) == 0700);
    REQUIRE(::stat((folder / "new/deep/a.db").c_str(), &found) == 0);
    CHECK((found.st_mode & 0777U) == 0600);

    // Time passes while nobody is there.
    world.clock.advance(30min);
    const auto store = world.open(folder / "new/deep/a.db");
    CHECK(store->report().loaded == 5);
    CHECK(store->report().expired == 1);
    CHECK(store->report().set_aside.empty());
    CHECK(world.loop.run(store->get("forever")).value() == std::string("v\0\n", 3));
    CHECK(world.loop.run(store->get("")).value() == "");
    CHECK(world.loop.run(store->get("hour")).value() == "v");
    CHECK(world.loop.run(store->get("minute")).value() == std::nullopt);
    CHECK(world.loop.run(store->get("erased")).value() == std::nullopt);
    CHECK(world.loop.run(store->members("set")).value() == std::vector<std::string>{"b"});
    CHECK(world.loop.run(store->increment("n")).value() == 3);
    world.clock.advance(30min);
    CHECK(world.loop.run(store->get("hour")).value() == std::nullopt);
    world.close(*store);

    // What had expired is gone from the file, too.
    const auto again = world.open(folder / "new/deep/a.db");
    CHECK(again->report().expired == 0);
    CHECK(again->report().loaded == 4);
    world.close(*again);
}

TEST_CASE("snapshot: a calendar set back does not lengthen a life, one set ahead ends it") {
    const TemporaryFolder folder;
    World world;
    auto store = world.open(folder / "a.db");
    must_apply(world.loop, *store, SetValue{"minute", "v", 1min});
    world.close(*store);
    world.clock.step_wall(-1000h);
    store = world.open(folder / "a.db");
    CHECK(world.loop.run(store->get("minute")).value() == "v");
    world.clock.advance(1min);
    CHECK(world.loop.run(store->get("minute")).value() == std::nullopt);
    must_apply(world.loop, *store, SetValue{"minute", "v", 1min});
    world.close(*store);
    world.clock.step_wall(2min);
    store = world.open(folder / "a.db");
    CHECK(store->report().expired == 1);
    world.close(*store);
}

TEST_CASE("snapshot: after a kill everything older than a second is there") {
    const TemporaryFolder folder;
    World world;
    const auto store = world.open(folder / "a.db");
    must_apply(world.loop, *store, SetValue{"k", "1"});
    must_apply(world.loop, *store, SetValue{"gone", "1"});
    must_apply(world.loop, *store, AddToSet{"set", "a"});
    world.flush(*store);
    CHECK(store->report().pending == 0);
    world.copy_files(folder / "a.db", folder / "first.db");

    must_apply(world.loop, *store, SetValue{"k", "2"});
    must_apply(world.loop, *store, SetValue{"k", "3"});
    must_apply(world.loop, *store, Erase{"gone"});
    must_apply(world.loop, *store, Erase{"set"});
    must_apply(world.loop, *store, AddToSet{"set", "b"});
    CHECK(store->report().pending > 0);
    world.copy_files(folder / "a.db", folder / "second.db");
    world.flush(*store);
    world.copy_files(folder / "a.db", folder / "third.db");
    world.close(*store);

    for (const char* name : {"first.db", "second.db"}) {
        const auto old = world.open(folder / name);
        CHECK(world.loop.run(old->get("k")).value() == "1");
        CHECK(world.loop.run(old->get("gone")).value() == "1");
        CHECK(world.loop.run(old->members("set")).value() == std::vector<std::string>{"a"});
        world.close(*old);
    }
    const auto last = world.open(folder / "third.db");
    CHECK(world.loop.run(last->get("k")).value() == "3");
    CHECK(world.loop.run(last->get("gone")).value() == std::nullopt);
    CHECK(world.loop.run(last->members("set")).value() == std::vector<std::string>{"b"});
    world.close(*last);
}

TEST_CASE("snapshot: what save has waited for is on disk, without waiting for the clock") {
    const TemporaryFolder folder;
    World world;
    const auto store = world.open(folder / "a.db");
    CHECK(world.loop.run(store->save()));
    must_apply(world.loop, *store, SetValue{"k", "1"});
    CHECK(world.loop.run(store->save()));
    world.copy_files(folder / "a.db", folder / "copy.db");
    const auto copy = world.open(folder / "copy.db");
    CHECK(world.loop.run(copy->get("k")).value() == "1");
    world.close(*copy);

    world.faults.failing_point = "disk";
    must_apply(world.loop, *store, SetValue{"k", "2"});
    CHECK(world.loop.run(store->save()).error() == make_error_code(errc::unavailable));
    world.faults.failing_point.clear();
    CHECK(world.loop.run(store->save()));
    world.close(*store);
    CHECK(world.loop.run(store->save()).error() == make_error_code(errc::closed));
}

TEST_CASE("snapshot: a batch behind a save that had nothing left to hurry is written as one") {
    const TemporaryFolder folder;
    World world;
    const auto store = world.open(folder / "a.db");
    // The only worker is held up: the flush goes on while `save` is called.
    std::promise<void> gate;
    bool held_up = true;
    asio::co_spawn(
        world.loop.ioc,
        world.loop.workers.run([&gate]() -> Result<> {
            gate.get_future().wait();
            return {};
        }),
        [&held_up](std::exception_ptr, const Result<>&) { held_up = false; }
    );
    world.loop.settle();
    must_apply(world.loop, *store, SetValue{"k", "1"});
    world.loop.settle();
    world.clock.advance(500ms);
    world.loop.settle();
    REQUIRE(world.loop.workers.queued() == 2);
    std::optional<Result<>> saved;
    asio::co_spawn(world.loop.ioc, store->save(), [&saved](std::exception_ptr, Result<> outcome) {
        saved = std::move(outcome);
    });
    world.loop.settle();
    CHECK_FALSE(saved);
    gate.set_value();
    world.loop.run_until([&] { return saved && !held_up; });
    CHECK(*saved);

    Batch batch;
    batch.changes.emplace_back(SetValue{"a", "1"});
    batch.changes.emplace_back(SetValue{"b", "1"});
    const bool applied = world.loop.run(store->apply(std::move(batch))).value();
    CHECK(applied);
    // Behind whatever the worker has been given.
    world.loop.run(world.loop.workers.run([]() -> Result<> { return {}; })).value();
    CHECK(store->report().pending == 2);
    world.copy_files(folder / "a.db", folder / "copy.db");
    const auto copy = world.open(folder / "copy.db");
    CHECK(world.loop.run(copy->get("k")).value() == "1");
    CHECK(world.loop.run(copy->get("a")).value() == std::nullopt);
    CHECK(world.loop.run(copy->get("b")).value() == std::nullopt);
    world.close(*copy);
    world.close(*store);
}

TEST_CASE("snapshot: between flushes nothing runs, so a store that is dropped is a kill") {
    const TemporaryFolder folder;
    World world;
    auto store = world.open(folder / "a.db");
    must_apply(world.loop, *store, SetValue{"k", "v"});
    world.flush(*store);
    CHECK(world.clock.waiting() == 0);
    store.reset();
    store = world.open(folder / "a.db");
    CHECK(world.loop.run(store->get("k")).value() == "v");
    world.close(*store);
}

TEST_CASE("snapshot: random changes, kills and restarts agree with a store that never ends") {
    const TemporaryFolder folder;
    World world;
    const auto model = make_memory_store(world.context);
    auto store = world.open(folder / "a.db");
    SeededRandom random(3);
    for (int step = 0; step < 1500; ++step) {
        const std::string key = std::to_string(random.below(20));
        const std::string set = "set" + std::to_string(random.below(3));
        const std::string member = std::to_string(random.below(10));
        const Duration ttl = std::chrono::seconds(random.below(4) * 50);
        Batch batch;
        switch (random.below(6)) {
            case 0:
                batch.changes = {Erase{key}};
                break;
            case 1:
                batch.changes = {AddToSet{set, member}};
                break;
            case 2:
                batch.changes = {RemoveFromSet{set, member}};
                break;
            case 3:
                batch.changes = {Erase{set}, AddToSet{set, member}};
                break;
            default:
                batch = one_value(key, std::to_string(step), ttl);
                break;
        }
        CHECK(world.loop.run(model->apply(batch)).value());
        CHECK(world.loop.run(store->apply(batch)).value());
        if (random.below(10) == 0) world.flush(*store);
        if (random.below(50) != 0) continue;
        while (store->report().pending > 0)
            world.flush(*store);
        if (random.below(2) == 0) world.close(*store);
        store.reset();
        world.clock.advance(std::chrono::seconds(random.below(30)));
        store = world.open(folder / "a.db");
        REQUIRE(store->report().set_aside.empty());
        for (int i = 0; i < 20; ++i) {
            const auto expected = world.loop.run(model->get(std::to_string(i))).value();
            REQUIRE(world.loop.run(store->get(std::to_string(i))).value() == expected);
        }
        for (const char* name : {"set0", "set1", "set2"}) {
            auto expected = world.loop.run(model->members(name)).value();
            auto members = world.loop.run(store->members(name)).value();
            std::sort(expected.begin(), expected.end());
            std::sort(members.begin(), members.end());
            REQUIRE(members == expected);
        }
    }
    world.close(*store);
}

TEST_CASE("snapshot: a full disk is said, tried again and costs nothing") {
    const TemporaryFolder folder;
    World world;
    auto store = world.open(folder / "a.db", {.entries_max = 100});
    must_apply(world.loop, *store, SetValue{"before", "v"});
    world.flush(*store);
    world.faults.failing_point = "disk";
    must_apply(world.loop, *store, SetValue{"k", "1"});
    must_apply(world.loop, *store, AddToSet{"set", "a"});
    world.flush(*store);
    CHECK(store->report().write_error == "a test says no");
    CHECK(world.faults.seen_subject == folder / "a.db");
    CHECK(world.count("store_snapshot_flush_errors_total") == 1);
    must_apply(world.loop, *store, SetValue{"k", "2"});
    must_apply(world.loop, *store, RemoveFromSet{"set", "a"});
    must_apply(world.loop, *store, AddToSet{"set", "b"});
    world.flush(*store);
    CHECK(world.count("store_snapshot_flush_errors_total") == 2);
    world.faults.failing_point.clear();
    world.flush(*store);
    CHECK(store->report().write_error.empty());
    CHECK(store->report().pending == 0);
    world.copy_files(folder / "a.db", folder / "copy.db");
    auto copy = world.open(folder / "copy.db");
    CHECK(world.loop.run(copy->get("k")).value() == "2");
    CHECK(world.loop.run(copy->members("set")).value() == std::vector<std::string>{"b"});
    world.close(*copy);

    // More keys come and go than may be kept waiting: the whole store is written then.
    world.faults.failing_point = "disk";
    for (int i = 0; i < 1000; ++i) {
        must_apply(world.loop, *store, SetValue{"passing" + std::to_string(i), "v"});
        must_apply(world.loop, *store, Erase{"passing" + std::to_string(i)});
        CHECK(store->report().pending <= 102);
    }
    must_apply(world.loop, *store, SetValue{"k", "3"});
    must_apply(world.loop, *store, Erase{"before"});
    world.flush(*store);
    world.faults.failing_point.clear();
    world.flush(*store);
    CHECK(store->report().pending == 0);
    world.close(*store);
    store = world.open(folder / "a.db");
    CHECK(store->report().loaded == 2);
    CHECK(world.loop.run(store->get("k")).value() == "3");

    // At close the loss is an error.
    must_apply(world.loop, *store, SetValue{"k", "4"});
    world.faults.failing_point = "disk";
    const auto closed = world.loop.run(store->close(SteadyTime::max()));
    CHECK(closed.error() == make_error_code(errc::unavailable));
}

TEST_CASE("snapshot: what cannot be opened says why") {
    const TemporaryFolder folder;
    World world;
    const auto store = world.open(folder / "a.db");
    const auto second = world.loop.run(open_snapshot_store(world.context, folder / "a.db"));
    CHECK(second.error() == make_error_code(errc::wrong_state));
    CHECK_THAT(second.error().message(), Catch::Contains("in use by another process (pid"));
    world.close(*store);

    write_whole(folder / "file", "x");
    const auto below = world.loop.run(open_snapshot_store(world.context, folder / "file/a.db"));
    CHECK(below.error() == make_error_code(errc::unavailable));
    CHECK_THAT(below.error().message(), Catch::Contains("there is a file"));
    fs::create_directory(folder / "folder.db");
    const auto taken = world.loop.run(open_snapshot_store(world.context, folder / "folder.db"));
    CHECK(taken.error() == make_error_code(errc::unavailable));
}

/// A closed snapshot with a few dozen rows, as bytes.
std::string sound_file(World& world, const TemporaryFolder& folder) {
    const auto store = world.open(folder / "sound.db");
    for (int i = 0; i < 60; ++i) {
        must_apply(world.loop, *store, SetValue{std::to_string(i), std::string(200, 'v'), 1h});
        must_apply(world.loop, *store, AddToSet{"set", std::to_string(i)});
    }
    world.close(*store);
    return read_whole(folder / "sound.db");
}

TEST_CASE("snapshot: a damaged file is set aside and a new one begun") {
    const TemporaryFolder folder;
    World world;
    const std::string sound = sound_file(world, folder);
    REQUIRE(sound.size() > 8192);
    const std::string path = folder / "a.db";
    std::size_t corrupt = 0;

    const auto check = [&](const std::string& bytes, bool must_be_found) {
        INFO(bytes.size() << " bytes");
        fs::remove(path);
        write_whole(path, bytes);
        auto store = world.open(path);
        const SnapshotReport report = store->report();
        if (must_be_found) CHECK_FALSE(report.set_aside.empty());
        if (report.set_aside.empty()) {
            // Then the damage lies where nothing is stored, and nothing is wrong or missing.
            CHECK(report.loaded == 120);
            for (int i = 0; i < 60; ++i) {
                CHECK(
                    world.loop.run(store->get(std::to_string(i))).value() == std::string(200, 'v')
                );
            }
        } else {
            ++corrupt;
            CHECK(report.loaded == 0);
            CHECK(report.set_aside.starts_with(path + ".corrupt.2023"));
            CHECK(read_whole(report.set_aside) == bytes);
            fs::remove(report.set_aside);
        }
        CHECK(world.count("store_snapshot_corrupt_total") == corrupt);
        // It works from here on.
        must_apply(world.loop, *store, SetValue{"new", "v"});
        world.close(*store);
        store = world.open(path);
        CHECK(store->report().set_aside.empty());
        CHECK(world.loop.run(store->get("new")).value() == "v");
        world.close(*store);
    };

    check(sound, false);
    CHECK(corrupt == 0);
    for (const std::size_t size :
         {std::size_t{1}, std::size_t{100}, std::size_t{4096}, sound.size() / 2, sound.size() - 1
         }) {
        check(sound.substr(0, size), true);
    }
    SeededRandom random(5);
    std::string noise(sound.size(), '\0');
    random.fill(std::as_writable_bytes(std::span(noise)));
    check(noise, true);
    check(std::string(8192, '\0'), true);
    check(sound.substr(0, 4096) + noise.substr(4096), true);

    // One byte of a stored value: SQLite does not see it, our CRC does.
    std::string flipped = sound;
    flipped[flipped.find("vvvvvvvv") + 3] = 'w';
    check(flipped, true);
    for (std::size_t at = 0; at < sound.size(); at += 1 + random.below(1200)) {
        flipped = sound;
        flipped[at] = static_cast<char>(flipped[at] ^ (1 << random.below(8)));
        INFO(at);
        check(flipped, false);
    }
    CHECK(corrupt > 10);

    // An empty file is a new one.
    const std::size_t before = corrupt;
    fs::remove(path);
    write_whole(path, "");
    const auto store = world.open(path);
    CHECK(store->report().set_aside.empty());
    CHECK(corrupt == before);
    world.close(*store);
}

TEST_CASE("snapshot: another application's database is not touched but set aside") {
    const TemporaryFolder folder;
    World world;
    const std::string path = folder / "a.db";
    for (const char* sql :
         {"CREATE TABLE theirs(x)",
          "PRAGMA application_id=1",
          "PRAGMA application_id=1397446995; "
          "PRAGMA user_version=2",
          "PRAGMA application_id=1397446995; PRAGMA user_version=1"}) {
        sqlite3* database = nullptr;
        REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
        REQUIRE(sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
        sqlite3_close(database);
        const auto store = world.open(path);
        CHECK_FALSE(store->report().set_aside.empty());
        world.close(*store);
        fs::remove(path);
    }
    // All four in the same second of a still clock: each has a name of its own.
    CHECK(names(folder, "a.db.corrupt.").size() == 4);
}

TEST_CASE("snapshot: damage found while running is set aside and the store written anew") {
    const TemporaryFolder folder;
    World world;
    const std::string path = folder / "a.db";
    const int rows = 20'000;
    const auto fill = [&](Store& store, const std::string& value) {
        Batch batch;
        for (int i = 0; i < rows; ++i) {
            batch.changes.push_back(SetValue{std::to_string(i), value + std::string(200, 'v')});
        }
        const auto applied = world.loop.run(store.apply(std::move(batch)));
        REQUIRE(applied.value());
    };
    auto store = world.open(path);
    fill(*store, "old");
    world.close(*store);
    store = world.open(path);
    CHECK(store->report().loaded == rows);
    // More than SQLite's cache holds: it must read the file again, and finds this.
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    const std::string noise(4096, 'x');
    const auto size = static_cast<off_t>(fs::file_size(path));
    for (off_t at = 4096; at < size; at += 4096)
        REQUIRE(::pwrite(fd, noise.data(), 4096, at) == 4096);
    ::close(fd);
    fill(*store, "new");
    while (store->report().pending > 0)
        world.flush(*store);
    CHECK(world.count("store_snapshot_corrupt_total") == 1);
    CHECK_FALSE(store->report().set_aside.empty());
    world.close(*store);
    store = world.open(path);
    CHECK(store->report().loaded == rows);
    CHECK(world.loop.run(store->get("7")).value() == "new" + std::string(200, 'v'));
    world.close(*store);
}

}  // namespace
}  // namespace skywire::store
