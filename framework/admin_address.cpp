#include "framework/admin_address.hpp"

#include "crypto/hash.hpp"

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace skywire::framework {

namespace {

/// With its terminating zero a path must fit into sockaddr_un.
constexpr std::size_t kSocketPathMax = sizeof(sockaddr_un::sun_path) - 1;

bool is_own_private_folder(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return false;
    return status.st_uid == ::geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool can_write(const char* folder) {
    return ::faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0;
}

/// /run/skywire, there (a service manager's RuntimeDirectory) or for us to make.
bool can_use_run() {
    struct stat status{};
    if (::lstat("/run/skywire", &status) != 0) return can_write("/run");
    return S_ISDIR(status.st_mode) && (status.st_mode & S_IWOTH) == 0 && can_write("/run/skywire");
}

/// Readable folders first; /tmp/skywire-UID is always the last.
std::vector<std::string> folders() {
    std::vector<std::string> found;
    const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
    if (runtime != nullptr && runtime[0] == '/' && is_own_private_folder(runtime)) {
        found.emplace_back(runtime);
    }
    if (can_use_run()) found.emplace_back("/run/skywire");
    found.push_back(fmt::format("/tmp/skywire-{}", ::geteuid()));
    return found;
}

std::string socket_name(const std::string& config_file, const std::set<std::string>& only) {
    std::error_code failed;
    std::filesystem::path path = std::filesystem::absolute(config_file, failed);
    if (failed) path = config_file;
    std::string identity = path.lexically_normal().string();
    // A zero byte is in no path and no label.
    for (const std::string& label : only)
        (identity += '\0') += label;
    const crypto::Digest digest = crypto::sha256(as_bytes(identity));
    return "skywire-" + to_hex(std::span(digest).first<8>()) + ".sock";
}

Error system_error(const std::string& what) {
    const ErrorCode code(errno, boost::system::system_category());
    return {code, fmt::format("{}: {}", what, code.message())};
}

}  // namespace

std::vector<net::Address> admin_address_candidates(
    const std::string& config_file, const std::set<std::string>& only
) {
    const std::string name = socket_name(config_file, only);
    std::vector<net::Address> candidates;
    for (const std::string& folder : folders()) {
        std::string path = folder + "/" + name;
        if (path.size() > kSocketPathMax) continue;
        candidates.push_back(net::Address::unix_path(std::move(path)));
    }
    return candidates;
}

net::Address default_admin_address(
    const std::string& config_file, const std::set<std::string>& only
) {
    // The folder in /tmp is short enough for any name.
    return admin_address_candidates(config_file, only).front();
}

Result<> prepare_socket_folder(const std::string& socket_path) {
    if (socket_path.size() > kSocketPathMax) {
        return fail(
            errc::out_of_range,
            fmt::format(
                "unix:{}: the path has {} bytes, a socket's may have {}",
                socket_path,
                socket_path.size(),
                kSocketPathMax
            )
        );
    }
    std::string folder = std::filesystem::path(socket_path).parent_path().string();
    if (folder.empty()) folder = ".";
    if (::mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
        // A read-only parent does not matter where the folder is there.
        struct stat status{};
        const int reason = errno;
        if (::stat(folder.c_str(), &status) != 0) {
            errno = reason;
            return system_error(fmt::format("cannot create the folder {}", folder));
        }
    }
    struct stat status{};
    if (::stat(folder.c_str(), &status) != 0) return system_error(folder);
    const uid_t us = ::geteuid();
    // Root may use anybody's folder; a folder of root's is trusted by all.
    if (status.st_uid != us && status.st_uid != 0 && us != 0) {
        return fail(
            errc::forbidden, fmt::format("the folder {} belongs to user {}", folder, status.st_uid)
        );
    }
    const bool sticky = (status.st_mode & S_ISVTX) != 0;
    if ((status.st_mode & S_IWOTH) != 0 && !sticky) {
        return fail(errc::forbidden, fmt::format("everybody may write to the folder {}", folder));
    }
    return {};
}

}  // namespace skywire::framework
