#include "framework/admin_address.hpp"

#include "base/temporary_folder.hpp"
#include "base/test.hpp"

#include <cstdlib>
#include <filesystem>

#include <sys/stat.h>
#include <unistd.h>

namespace skywire::framework {
namespace {

/// A folder of this test's own, and the environment variable put back behind it.
class Fixture {
 public:
    Fixture() {
        if (const char* value = std::getenv("XDG_RUNTIME_DIR")) before_ = value;
    }
    ~Fixture() {
        if (before_) {
            setenv("XDG_RUNTIME_DIR", before_->c_str(), 1);
        } else {
            unsetenv("XDG_RUNTIME_DIR");
        }
    }

    test::TemporaryFolder folder;

 private:
    std::optional<std::string> before_;
};

std::string folder_of(const net::Address& address) {
    return std::filesystem::path(address.path).parent_path().string();
}

std::string name_of(const net::Address& address) {
    return std::filesystem::path(address.path).filename().string();
}

TEST_CASE("admin address: file and labels make the name, the environment the folder") {
    const Fixture f;
    setenv("XDG_RUNTIME_DIR", f.folder.path().c_str(), 1);
    const auto address = default_admin_address("/etc/skywire/a.json", {});
    CHECK(address.kind == net::Address::Kind::unix_socket);
    CHECK(folder_of(address) == f.folder.path());
    CHECK(name_of(address).size() == std::string("skywire-0123456789abcdef.sock").size());
    CHECK(default_admin_address("/etc/skywire/a.json", {}) == address);
    CHECK(default_admin_address("/etc/./skywire/x/../a.json", {}) == address);
    CHECK(default_admin_address("/etc/skywire/b.json", {}) != address);
    const auto one = default_admin_address("/etc/skywire/a.json", {"sd"});
    CHECK(one != address);
    CHECK(default_admin_address("/etc/skywire/a.json", {"sd", "tpd"}) != one);
    CHECK(default_admin_address("/etc/skywire/a.json", {"s", "d"}) != one);

    const std::string here = std::filesystem::current_path().string();
    CHECK(default_admin_address("a.json", {}) == default_admin_address(here + "/a.json", {}));
}

TEST_CASE("admin address: a runtime folder that is not ours alone, or too long, is passed over") {
    const Fixture f;
    setenv("XDG_RUNTIME_DIR", f.folder.path().c_str(), 1);
    ::chmod(f.folder.path().c_str(), 0777);
    CHECK(folder_of(default_admin_address("a.json", {})) != f.folder.path());
    ::chmod(f.folder.path().c_str(), 0700);
    CHECK(folder_of(default_admin_address("a.json", {})) == f.folder.path());

    const std::string deep = f.folder.path() + "/" + std::string(90, 'x');
    std::filesystem::create_directory(deep);
    ::chmod(deep.c_str(), 0700);
    setenv("XDG_RUNTIME_DIR", deep.c_str(), 1);
    CHECK(folder_of(default_admin_address("a.json", {})) != deep);
    unsetenv("XDG_RUNTIME_DIR");
    CHECK(folder_of(default_admin_address("a.json", {})) != f.folder.path());
}

TEST_CASE("admin address: a command tries every place, with the same name") {
    const Fixture f;
    setenv("XDG_RUNTIME_DIR", f.folder.path().c_str(), 1);
    const auto candidates = admin_address_candidates("a.json", {"sd"});
    REQUIRE(candidates.size() >= 2);
    CHECK(candidates.front() == default_admin_address("a.json", {"sd"}));
    CHECK(folder_of(candidates.back()) == "/tmp/skywire-" + std::to_string(geteuid()));
    for (const auto& each : candidates)
        CHECK(name_of(each) == name_of(candidates.front()));
}

TEST_CASE("admin address: the socket's folder is made private, and refused where it is open") {
    const Fixture f;
    const std::string folder = f.folder / "new";
    REQUIRE(prepare_socket_folder(folder + "/a.sock").has_value());
    struct stat status{};
    REQUIRE(::stat(folder.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0700);
    CHECK(prepare_socket_folder(folder + "/a.sock").has_value());
    CHECK(prepare_socket_folder("/tmp/a.sock").has_value());

    ::chmod(folder.c_str(), 0777);
    const auto open = prepare_socket_folder(folder + "/a.sock");
    REQUIRE_FALSE(open.has_value());
    CHECK(open.error().code() == errc::forbidden);

    CHECK_FALSE(prepare_socket_folder(f.folder / "no/such/a.sock").has_value());
    const auto long_path = prepare_socket_folder("/tmp/" + std::string(120, 'x'));
    REQUIRE_FALSE(long_path.has_value());
    CHECK(long_path.error().code() == errc::out_of_range);
}

}  // namespace
}  // namespace skywire::framework
