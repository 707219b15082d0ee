#include "framework/key_file.hpp"

#include "base/bytes.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace skywire::framework {

namespace {

/// A key file has 65 bytes; white space around the digits is allowed, a novel is not.
constexpr std::size_t kFileBytesMax = 4096;

class Descriptor {
 public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    int get() const noexcept { return fd_; }

 private:
    int fd_;
};

Error system_error(const std::string& path, std::string_view doing) {
    const ErrorCode code(errno, boost::system::system_category());
    return {code, fmt::format("key file {}: {}: {}", path, doing, code.message())};
}

Error bad_file(const std::string& path, std::string_view why) {
    return fail(errc::malformed, fmt::format("key file {}: {}", path, why));
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view kSpace = " \t\r\n\v\f";
    const auto begin = text.find_first_not_of(kSpace);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

/// Overwrites what a secret went through.
struct Wiped {
    ~Wiped() { crypto::wipe(std::as_writable_bytes(std::span(bytes))); }
    std::array<char, kFileBytesMax + 1> bytes{};
};

Result<> write_all(int fd, std::string_view text, const std::string& path) {
    while (!text.empty()) {
        const ssize_t written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return system_error(path, "cannot write");
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    if (::fsync(fd) != 0) return system_error(path, "cannot flush");
    return {};
}

std::string folder_of(const std::string& path) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

/// Renames without replacing; a file system that cannot do that gets a plain rename, before which
/// the target was seen to be absent.
int rename_to_new(const std::string& from, const std::string& to) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -1;
    if (::access(to.c_str(), F_OK) == 0) {
        errno = EEXIST;
        return -1;
    }
    return ::rename(from.c_str(), to.c_str());
}

}  // namespace

Result<KeyFile> read_key_file(const std::string& path) {
    // Without O_NONBLOCK a FIFO would hold up the start.
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (file.get() < 0 && errno == ENOENT) {
        return fail(errc::not_found, fmt::format("key file {}: there is no such file", path));
    }
    if (file.get() < 0) return system_error(path, "cannot open");
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) return system_error(path, "cannot stat");
    if (!S_ISREG(status.st_mode)) return bad_file(path, "is not a regular file");

    Wiped buffer;
    std::size_t size = 0;
    while (size < buffer.bytes.size()) {
        const ssize_t got =
            ::read(file.get(), buffer.bytes.data() + size, buffer.bytes.size() - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return system_error(path, "cannot read");
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
    }
    const std::string_view digits = trimmed({buffer.bytes.data(), size});
    if (digits.empty()) return bad_file(path, "is empty");
    auto secret = crypto::SecretKey::from_text(digits);
    // The reason alone: nothing of the content goes into a message.
    if (!secret) {
        return bad_file(
            path,
            fmt::format(
                "holds no secret key ({} bytes that are not 64 hex digits of a number in range)",
                digits.size()
            )
        );
    }
    const crypto::PublicKey public_key = crypto::public_key_of(*secret);
    KeyFile key{*secret, public_key, /*created=*/false, std::nullopt};
    const mode_t mode = status.st_mode & 07777;
    if ((mode & 077) != 0) key.readable_by_others = mode;
    return key;
}

Result<> write_key_file(const std::string& path, const crypto::SecretKey& key, Random& random) {
    std::string line = key.reveal_text() + "\n";
    const auto written = write_secret_file(path, line, random);
    crypto::wipe(std::as_writable_bytes(std::span(line)));
    return written;
}

Result<> write_secret_file(const std::string& path, std::string_view text, Random& random) {
    if (::access(path.c_str(), F_OK) == 0) {
        return fail(errc::wrong_state, fmt::format("key file {}: exists already", path));
    }
    const std::string temporary = fmt::format("{}.{:016x}.tmp", path, random.next_u64());
    {
        const Descriptor file(
            ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)
        );
        if (file.get() < 0) return system_error(path, "cannot create");
        if (const auto written = write_all(file.get(), text, path); !written) {
            ::unlink(temporary.c_str());
            return written.error();
        }
    }
    if (rename_to_new(temporary, path) != 0) {
        const bool exists = errno == EEXIST;
        const Error error = system_error(path, "cannot rename into place");
        ::unlink(temporary.c_str());
        if (exists) {
            return fail(errc::wrong_state, fmt::format("key file {}: exists already", path));
        }
        return error;
    }
    // The name is on disk once its folder is.
    const Descriptor folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() >= 0) ::fsync(folder.get());
    return {};
}

Result<KeyFile> open_key_file(const std::string& path, Random& random) {
    auto found = read_key_file(path);
    if (found || found.error() != errc::not_found) return found;
    const crypto::KeyPair pair = crypto::generate_key_pair(random);
    const auto written = write_key_file(path, pair.secret_key, random);
    // Another process was faster: its key is the one.
    if (!written && written.error() == errc::wrong_state) return read_key_file(path);
    if (!written) return written.error();
    return KeyFile{pair.secret_key, pair.public_key, /*created=*/true, std::nullopt};
}

namespace {

bool knows_key(const BlockConfig& block, std::string_view name) {
    const FieldTable& fields = block.type->fields;
    return std::any_of(fields.begin(), fields.end(), [name](const Field& field) {
        return field.name == name;
    });
}

/// The path, or "" where the block has no key file to read.
std::string key_file_of(const BlockConfig& block) {
    const auto* member = block.block->value().find("keyfile");
    if (member == nullptr || member->value.kind != ConfigValue::Kind::string) return {};
    return member->value.text;
}

}  // namespace

Result<> resolve_key_files(
    DeploymentConfig& config,
    const std::set<std::string>& only,
    Random& random,
    const log::Logger& logger
) {
    for (BlockConfig& block : config.blocks) {
        if (!only.empty() && !only.contains(block.label)) continue;
        const std::string path = key_file_of(block);
        if (path.empty()) continue;
        if (!knows_key(block, "secret_key")) {
            log::warn(
                logger,
                "key_file.unused",
                log::kv("label", block.label),
                log::kv("path", path),
                log::kv("reason", fmt::format("{} has no key", block.type->name))
            );
            continue;
        }
        if (block.block->has("secret_key")) continue;
        const auto key = open_key_file(path, random);
        if (!key) return key.error().within(block.label);
        if (knows_key(block, "public_key") && block.block->has("public_key") &&
            block.block->public_key("public_key") != key->public_key) {
            return bad_file(path, fmt::format("has the key {}", key->public_key))
                .within(fmt::format("{}: public_key is another one", block.label));
        }
        if (key->created) {
            log::info(
                logger,
                "key_file.created",
                log::kv("label", block.label),
                log::kv("path", path),
                log::kv("public_key", key->public_key)
            );
        }
        if (key->readable_by_others) {
            log::warn(
                logger,
                "key_file.readable_by_others",
                log::kv("label", block.label),
                log::kv("path", path),
                log::kv("mode", fmt::format("{:04o}", *key->readable_by_others))
            );
        }
        auto with_key = std::make_shared<Block>(*block.block);
        with_key->use_secret_key(key->secret_key);
        block.block = with_key;
        if (block.type->facts) block.facts = block.type->facts(*with_key);
    }
    return {};
}

}  // namespace skywire::framework
