#include "framework/key_file.hpp"

#include "base/temporary_folder.hpp"
#include "base/test.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/test_services.hpp"

#include <filesystem>

#include <sys/stat.h>

namespace skywire::framework {

namespace {

constexpr const char* kSecret = "b3f6706cb72215d3873ef92cc0c6037a47fe651112b1685017d6347eed0fb714";
constexpr const char* kPublic =
    "02857a87410b3709eddb99bc00508cc7cfeb588d5ed87e3ef9d2aac838ad49470a";

class Folder : public test::TemporaryFolder {
 public:
    std::string write(const std::string& text, mode_t mode = 0600) const {
        std::string path = TemporaryFolder::write("key", text);
        REQUIRE(::chmod(path.c_str(), mode) == 0);
        return path;
    }
    std::size_t count() const {
        std::size_t files = 0;
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(path())) {
            ++files;
        }
        return files;
    }
};

mode_t mode_of(const std::string& path) {
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("key file: the digits with white space around them are the key") {
    const Folder folder;
    for (const std::string& text :
         {std::string(kSecret),
          std::string(kSecret) + "\n",
          " \t\r\n" + std::string(kSecret) + " \r\n\n"}) {
        const auto key = read_key_file(folder.write(text));
        REQUIRE(key);
        CHECK(key->public_key.to_text() == kPublic);
        CHECK_FALSE(key->created);
        CHECK_FALSE(key->readable_by_others);
    }
}

TEST_CASE("key file: what holds no key is refused with its path, and without its content") {
    const Folder folder;
    SeededRandom random(1);
    const std::string zeros(64, '0');
    for (const std::string& text :
         {std::string(),
          std::string(" \n"),
          std::string("hunter2"),
          std::string(kSecret) + "00",
          std::string(63, 'a'),
          std::string(64, 'g'),
          zeros,
          std::string(64, 'f'),
          std::string(100'000, 'a'),
          std::string("\0\0", 2)}) {
        const std::string path = folder.write(text);
        const auto key = open_key_file(path, random);
        REQUIRE_FALSE(key);
        CHECK(key.error().message().find(path) != std::string::npos);
        CHECK(key.error().message().find("hunter2") == std::string::npos);
    }
    CHECK(folder.count() == 1);
}

TEST_CASE("key file: what is no regular file, or lies nowhere, is an error") {
    const Folder folder;
    SeededRandom random(1);
    CHECK_FALSE(open_key_file(folder / "", random));
    REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
    CHECK_FALSE(open_key_file(folder / "fifo", random));
    const auto nowhere = open_key_file(folder / "no/such/folder", random);
    REQUIRE_FALSE(nowhere);
    CHECK(nowhere.error().message().find("no/such/folder") != std::string::npos);
}

TEST_CASE("key file: a missing one is made, 0600, and used from then on") {
    const Folder folder;
    SeededRandom random(1);
    const std::string path = folder / "new";
    const auto made = open_key_file(path, random);
    REQUIRE(made);
    CHECK(made->created);
    CHECK(mode_of(path) == 0600);
    CHECK(folder.count() == 1);
    const auto again = open_key_file(path, random);
    REQUIRE(again);
    CHECK_FALSE(again->created);
    CHECK(again->public_key == made->public_key);
    CHECK(again->secret_key == made->secret_key);
}

TEST_CASE("key file: an existing one is never overwritten") {
    const Folder folder;
    SeededRandom random(1);
    const std::string path = folder.write(kSecret);
    const auto key = crypto::generate_key_pair(random);
    const auto written = write_key_file(path, key.secret_key, random);
    REQUIRE_FALSE(written);
    CHECK(written.error() == errc::wrong_state);
    CHECK(read_key_file(path)->public_key.to_text() == kPublic);
    CHECK(folder.count() == 1);
}

TEST_CASE("key file: permissions for others are told") {
    const Folder folder;
    CHECK(read_key_file(folder.write(kSecret, 0444))->readable_by_others == mode_t{0444});
    CHECK(read_key_file(folder.write(kSecret, 0640))->readable_by_others == mode_t{0640});
    CHECK_FALSE(read_key_file(folder.write(kSecret, 0400))->readable_by_others);
}

namespace {

std::string deployment_with(const std::string& members) {
    return R"({"services": [{"type": "test-service", "name": "a")" + members + "}]}";
}

std::optional<crypto::PublicKey> key_of(harness::Harness& harness) {
    return harness.deployment().config().find("a")->facts.public_key;
}

}  // namespace

TEST_CASE("key file: a block gets the key of its file; path and public key are logged once") {
    const Folder folder;
    const std::string path = folder / "a.key";
    const std::string text = deployment_with(R"(, "keyfile": ")" + path + "\"");
    std::string first;
    {
        harness::Harness harness(harness::test_registry(), text);
        REQUIRE(harness.boot());
        REQUIRE(key_of(harness));
        first = key_of(harness)->to_text();
        CHECK(harness.logged("key_file.created"));
        CHECK(harness.logged(path));
        CHECK(harness.logged(first));
        CHECK_FALSE(harness.logged(read_key_file(path)->secret_key.reveal_text()));
    }
    harness::Harness harness(harness::test_registry(), text);
    REQUIRE(harness.boot());
    CHECK(key_of(harness)->to_text() == first);
    CHECK_FALSE(harness.logged("key_file.created"));
    CHECK_FALSE(harness.logged("readable_by_others"));
}

TEST_CASE("key file: others may read it: warned with path and mode, not refused") {
    const Folder folder;
    const std::string path = folder.write(kSecret, 0444);
    harness::Harness harness(
        harness::test_registry(), deployment_with(R"(, "keyfile": ")" + path + "\"")
    );
    REQUIRE(harness.boot());
    CHECK(key_of(harness)->to_text() == kPublic);
    CHECK(harness.logged("key_file.readable_by_others"));
    CHECK(harness.logged("mode=0444"));
    CHECK(harness.logged(path));
}

TEST_CASE("key file: an inline secret key wins, and the file is left alone") {
    const Folder folder;
    harness::Harness harness(
        harness::test_registry(),
        deployment_with(
            R"(, "secret_key": ")" + std::string(kSecret) + R"(", "keyfile": ")" +
            folder / "a.key" + "\""
        )
    );
    REQUIRE(harness.boot());
    CHECK(key_of(harness)->to_text() == kPublic);
    CHECK(folder.count() == 0);
}

TEST_CASE("key file: a bad file, or one of another key, stops the start with block and path") {
    const Folder folder;
    const std::string path = folder.write("nonsense");
    {
        harness::Harness harness(
            harness::test_registry(), deployment_with(R"(, "keyfile": ")" + path + "\"")
        );
        const auto started = harness.start();
        REQUIRE_FALSE(started);
        CHECK(started.error().message().find("a: key file " + path) == 0);
    }
    folder.write(kSecret);
    harness::Harness harness(
        harness::test_registry(),
        deployment_with(
            R"(, "keyfile": ")" + path +
            R"(", "public_key": "035915c609f71d0c7df27df85ec698ceca0cb262590a54f732e3bbd0cc68d89282")"
        )
    );
    const auto started = harness.start();
    REQUIRE_FALSE(started);
    CHECK(started.error().message().find(path) != std::string::npos);
    CHECK(started.error().message().find(kPublic) != std::string::npos);
}

}  // namespace skywire::framework
