#pragma once

#include "base/temporary_folder.hpp"
#include "net/test_port.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

/// A real redis-server for tests. Only tests include this.
namespace skywire::store {

/// A redis-server of this test alone, in a folder of its own, ended by the destructor (and by
/// the kernel, where the test dies first). Constructed means: it answers.
///
/// It listens on a unix socket, or at a port of 127.0.0.1. It keeps its folder, socket and port
/// over `stop`, `kill` and `start`; its data with `appendonly`.
class RedisServer {
 public:
    struct Options {
        bool tcp = false;
        /// Every change is on disk before it is acknowledged.
        bool appendonly = false;
        std::string password;
        /// More arguments: {"--maxmemory", "2mb"}.
        std::vector<std::string> more;
    };

    RedisServer() : RedisServer(Options()) {}
    explicit RedisServer(Options options) : options_(std::move(options)) {
        if (options_.tcp) port_.emplace();
        start();
    }
    ~RedisServer() { kill(); }
    RedisServer(const RedisServer&) = delete;
    RedisServer& operator=(const RedisServer&) = delete;

    static bool installed() { return ::access(kProgram, X_OK) == 0; }

    /// With the password where one is set: "redis://:secret@127.0.0.1:1234", "unix:///tmp/x.sock".
    std::string url() const {
        const std::string user = options_.password.empty() ? "" : ":" + options_.password + "@";
        if (port_) return "redis://" + user + port_->address().to_string();
        return "unix://" + user + socket_path();
    }
    /// 0 where it listens on a unix socket.
    std::uint16_t port() const noexcept { return port_ ? port_->number() : 0; }
    std::string socket_path() const { return folder_ / "redis.sock"; }
    const std::string& folder() const noexcept { return folder_.path(); }
    pid_t pid() const noexcept { return pid_; }

    /// Starts it (again) and waits until it answers.
    void start() {
        if (pid_ != 0) return;
        spawn();
        for (int tries = 0; !answers(); ++tries) {
            int status = 0;
            if (::waitpid(pid_, &status, WNOHANG) == pid_) {
                pid_ = 0;
                throw std::runtime_error("redis-server ended at once, see " + folder_ / "log");
            }
            if (tries > 3000) throw std::runtime_error("redis-server does not answer");
            ::poll(nullptr, 0, 10);
        }
    }

    /// Asks it to end and waits for that.
    void stop() { end_with(SIGTERM); }
    /// Ends it in the middle of whatever it does.
    void kill() { end_with(SIGKILL); }
    /// Freezes it: connections stay, nothing is answered.
    void pause() { ::kill(pid_, SIGSTOP); }
    void resume() { ::kill(pid_, SIGCONT); }

    /// Sends one command as a line of text on a connection of its own; what comes back first.
    std::string command(const std::string& line) const {
        const int fd = dial();
        if (fd < 0) throw std::runtime_error("cannot connect to redis-server");
        std::string lines = line + "\r\n";
        if (!options_.password.empty()) lines = "AUTH " + options_.password + "\r\n" + lines;
        std::string answer = exchange(fd, lines);
        ::close(fd);
        if (!options_.password.empty()) answer.erase(0, std::string_view("+OK\r\n").size());
        return answer;
    }

 private:
    static constexpr const char* kProgram = "/usr/bin/redis-server";
    // Ends the server when the test dies without a destructor.
    static constexpr const char* kReaper = "/usr/bin/setpriv";

    std::vector<std::string> arguments() const {
        std::vector<std::string> words;
        if (::access(kReaper, X_OK) == 0) words = {kReaper, "--pdeathsig", "KILL"};
        words.insert(words.end(), {kProgram, "--port", std::to_string(port())});
        words.insert(words.end(), {"--bind", "127.0.0.1", "--dir", folder_.path(), "--save", ""});
        words.insert(words.end(), {"--logfile", folder_ / "log", "--daemonize", "no"});
        if (!port_) words.insert(words.end(), {"--unixsocket", socket_path()});
        if (options_.appendonly) {
            words.insert(words.end(), {"--appendonly", "yes", "--appendfsync", "always"});
        }
        if (!options_.password.empty()) {
            words.insert(words.end(), {"--requirepass", options_.password});
        }
        words.insert(words.end(), options_.more.begin(), options_.more.end());
        return words;
    }

    void spawn() {
        std::vector<std::string> words = arguments();
        std::vector<char*> argv;
        argv.reserve(words.size() + 1);
        for (std::string& word : words)
            argv.push_back(word.data());
        argv.push_back(nullptr);
        posix_spawn_file_actions_t files;
        ::posix_spawn_file_actions_init(&files);
        ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        ::posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        const int failed = ::posix_spawn(&pid_, argv[0], &files, nullptr, argv.data(), environ);
        ::posix_spawn_file_actions_destroy(&files);
        if (failed != 0) {
            pid_ = 0;
            throw std::runtime_error(std::string("cannot start redis-server: ") + strerror(failed));
        }
    }

    void end_with(int signal) {
        if (pid_ == 0) return;
        ::kill(pid_, signal);
        ::kill(pid_, SIGCONT);
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
        pid_ = 0;
    }

    /// A blocking connection, or -1.
    int dial() const {
        sockaddr_in tcp{};
        sockaddr_un local{};
        const sockaddr* to = nullptr;
        socklen_t size = 0;
        if (port_) {
            tcp.sin_family = AF_INET;
            tcp.sin_port = htons(port_->number());
            tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            to = reinterpret_cast<const sockaddr*>(&tcp);
            size = sizeof tcp;
        } else {
            local.sun_family = AF_UNIX;
            socket_path().copy(local.sun_path, sizeof local.sun_path - 1);
            to = reinterpret_cast<const sockaddr*>(&local);
            size = sizeof local;
        }
        const int fd = ::socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (::connect(fd, to, size) == 0) return fd;
        ::close(fd);
        return -1;
    }

    static std::string exchange(int fd, const std::string& lines) {
        // Long enough never to matter, short enough that a hanging server fails the test.
        const timeval limit{30, 0};
        ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        if (::send(fd, lines.data(), lines.size(), MSG_NOSIGNAL) < 0) return {};
        ::shutdown(fd, SHUT_WR);
        std::string answer;
        char buffer[4096];
        for (ssize_t got = 0; (got = ::recv(fd, buffer, sizeof buffer, 0)) > 0;) {
            answer.append(buffer, static_cast<std::size_t>(got));
        }
        return answer;
    }

    /// Any answer but "loading": one about a missing password comes from a server that is ready.
    bool answers() const {
        const int fd = dial();
        if (fd < 0) return false;
        const std::string answer = exchange(fd, "PING\r\n");
        ::close(fd);
        return !answer.empty() && !answer.starts_with("-LOADING");
    }

    Options options_;
    test::TemporaryFolder folder_;
    std::optional<net::TestPort> port_;
    pid_t pid_ = 0;
};

}  // namespace skywire::store
