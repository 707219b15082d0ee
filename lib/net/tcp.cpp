// TCP and unix sockets of the machine: streams, listeners, dialling.

#include "base/assert.hpp"
#include "net/endpoint.hpp"
#include "net/network.hpp"
#include "net/port_owner.hpp"

#include <cerrno>
#include <deque>
#include <optional>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace skywire::net {
namespace {

using Tcp = asio::ip::tcp;
using Unix = asio::local::stream_protocol;

// The kernel cuts it to net.core.somaxconn (4096).
constexpr int kBacklog = 65535;
// What one stream may move without giving other coroutines of its loop a turn.
constexpr std::size_t kTurnBytes = 1 << 20;
// Parts handed to the kernel in one call.
constexpr std::size_t kGather = 64;

Address address_of(const Tcp::endpoint& endpoint) {
    return detail::to_address(endpoint.address(), endpoint.port());
}

Address address_of(const Unix::endpoint& endpoint) {
    return Address::unix_path(endpoint.path());
}

template <class Protocol>
class SocketStream final : public Stream {
 public:
    using Socket = asio::basic_stream_socket<Protocol, Executor>;

    SocketStream(Socket socket, Address local, Address remote)
        : socket_(std::move(socket)), local_(std::move(local)), remote_(std::move(remote)) {}
    ~SocketStream() override { SocketStream::close(); }
    SocketStream(const SocketStream&) = delete;
    SocketStream& operator=(const SocketStream&) = delete;

    Task<Result<std::size_t>> read_some(std::span<std::byte> into) override {
        SKY_ASSERT(!into.empty());
        if (closed_) co_return fail(errc::closed, {});
        // Asio tries the call first, too, but its completion always takes a turn of the loop.
        // Where the last read filled its buffer there is probably more: a GB in reads of 4 kB costs
        // the reader 0.43 s of CPU instead of 0.62 s.
        if (more_ && turn_bytes_ < kTurnBytes) {
            const ssize_t size =
                ::recv(socket_.native_handle(), into.data(), into.size(), MSG_DONTWAIT);
            if (size > 0) co_return have_read(static_cast<std::size_t>(size), into.size());
        }
        const auto [ec, size] =
            co_await socket_.async_read_some(asio::buffer(into.data(), into.size()), use_tuple);
        turn_bytes_ = 0;
        if (ec == asio::error::eof && !closed_) co_return std::size_t{0};
        if (ec) co_return detail::operation_error(ec, closed_);
        co_return have_read(size, into.size());
    }

    Task<Result<>> write(ByteSpan head, ByteSpan tail) override {
        const std::array<ByteSpan, 2> parts{head, tail};
        co_return co_await SocketStream::write_all(parts);
    }

    Task<Result<>> write_all(std::span<const ByteSpan> parts) override {
        // Bytes of parts.front() that are written already.
        std::size_t done = 0;
        while (true) {
            while (!parts.empty() && done == parts.front().size()) {
                parts = parts.subspan(1);
                done = 0;
            }
            if (parts.empty()) co_return Result<>();
            if (closed_) co_return fail(errc::closed, {});
            const ssize_t size = send_now(parts, done);
            if (size < 0) {
                if (errno == EINTR) continue;
                if (errno != EAGAIN && errno != EWOULDBLOCK) co_return Error(detail::last_error());
                const auto [ec] = co_await socket_.async_wait(Socket::wait_write, use_tuple);
                written_bytes_ = 0;
                if (ec) co_return detail::operation_error(ec, closed_);
                continue;
            }
            auto sent = static_cast<std::size_t>(size);
            written_bytes_ += sent;
            while (sent > 0) {
                const std::size_t here = std::min(sent, parts.front().size() - done);
                done += here;
                sent -= here;
                if (done < parts.front().size()) break;
                parts = parts.subspan(1);
                done = 0;
            }
            if (written_bytes_ >= kTurnBytes) {
                written_bytes_ = 0;
                co_await asio::post(socket_.get_executor(), asio::use_awaitable);
            }
        }
    }

    Task<Result<>> wait_readable() override {
        if (closed_) co_return fail(errc::closed, {});
        const auto [ec] = co_await socket_.async_wait(Socket::wait_read, use_tuple);
        turn_bytes_ = 0;
        if (ec) co_return detail::operation_error(ec, closed_);
        more_ = true;
        co_return Result<>();
    }

    void close() noexcept override {
        if (closed_) return;
        closed_ = true;
        ErrorCode ignored;
        socket_.shutdown(Socket::shutdown_both, ignored);
        socket_.close(ignored);
    }

    const Address& local() const noexcept override { return local_; }
    const Address& remote() const noexcept override { return remote_; }

 private:
    std::size_t have_read(std::size_t size, std::size_t room) noexcept {
        more_ = size == room;
        turn_bytes_ += size;
        return size;
    }

    /// One call for as many parts as fit, without the first `done` bytes.
    ssize_t send_now(std::span<const ByteSpan> parts, std::size_t done) noexcept {
        std::array<iovec, kGather> views;
        std::size_t count = 0;
        for (ByteSpan part : parts) {
            if (count == views.size()) break;
            part = part.subspan(std::exchange(done, 0));
            if (part.empty()) continue;
            // sendmsg does not write through iov_base.
            views[count].iov_base = const_cast<std::byte*>(part.data());
            views[count].iov_len = part.size();
            ++count;
        }
        msghdr message{};
        message.msg_iov = views.data();
        message.msg_iovlen = count;
        return ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }

    Socket socket_;
    Address local_;
    Address remote_;
    std::size_t turn_bytes_ = 0;
    std::size_t written_bytes_ = 0;
    bool more_ = false;
    bool closed_ = false;
};

template <class Protocol>
std::unique_ptr<Stream> make_stream(
    typename SocketStream<Protocol>::Socket socket, const Address* known_remote
) {
    ErrorCode ignored;
    if constexpr (std::is_same_v<Protocol, Tcp>) {
        socket.set_option(Tcp::no_delay(true), ignored);
    }
    const auto local = socket.local_endpoint(ignored);
    Address remote;
    if (known_remote != nullptr) {
        remote = *known_remote;
    } else {
        // The peer may be gone already; the stream says so when it is read.
        ErrorCode gone;
        const auto endpoint = socket.remote_endpoint(gone);
        if (!gone) remote = address_of(endpoint);
    }
    return std::make_unique<SocketStream<Protocol>>(
        std::move(socket), address_of(local), std::move(remote)
    );
}

/// The file of a listening unix socket: removed on close, where it is still this socket's.
class SocketFile {
 public:
    explicit SocketFile(std::string path) : path_(std::move(path)) {
        struct stat status{};
        if (::lstat(path_.c_str(), &status) == 0) identity_ = {status.st_dev, status.st_ino};
    }

    void remove() noexcept {
        struct stat status{};
        if (path_.empty() || ::lstat(path_.c_str(), &status) != 0) return;
        if (identity_ == std::pair(status.st_dev, status.st_ino)) ::unlink(path_.c_str());
    }

 private:
    std::string path_;
    std::pair<dev_t, ino_t> identity_{};
};

/// After `close` it still hands out the connections that the machine had taken for it by then:
/// closing resets them, and who dialled could not tell that from an answer that was lost.
template <class Protocol>
class SocketListener final : public Listener {
 public:
    using Acceptor = asio::basic_socket_acceptor<Protocol, Executor>;
    using Socket = typename SocketStream<Protocol>::Socket;

    SocketListener(Acceptor acceptor, Address local, std::optional<SocketFile> file)
        : acceptor_(std::move(acceptor)), local_(std::move(local)), file_(std::move(file)) {}
    ~SocketListener() override { SocketListener::close(); }
    SocketListener(const SocketListener&) = delete;
    SocketListener& operator=(const SocketListener&) = delete;

    Task<Result<std::unique_ptr<Stream>>> accept() override {
        return accept_on(acceptor_.get_executor());
    }

    Task<Result<std::unique_ptr<Stream>>> accept_on(Executor loop) override {
        if (closed_) co_return take_late(std::move(loop));
        Socket socket(loop);
        typename Protocol::endpoint peer;
        const auto [ec] = co_await acceptor_.async_accept(socket, peer, use_tuple);
        if (ec && closed_) co_return take_late(std::move(loop));
        if (ec) {
            const Error error = detail::operation_error(ec, closed_);
            co_return error.within(fmt::format("accept on {}", local_.to_string()));
        }
        const Address remote = address_of(peer);
        co_return make_stream<Protocol>(std::move(socket), &remote);
    }

    const Address& local() const noexcept override { return local_; }

    void close() noexcept override {
        if (closed_) return;
        closed_ = true;
        // The file first: who finds it must find somebody behind it.
        if (file_) file_->remove();
        keep_late();
        ErrorCode ignored;
        acceptor_.close(ignored);
    }

 private:
    struct Late {
        Socket socket;
        typename Protocol::endpoint peer;
    };

    void keep_late() {
        ErrorCode ec;
        acceptor_.non_blocking(true, ec);
        while (!ec && late_.size() < std::size_t(kBacklog)) {
            Late late{Socket(acceptor_.get_executor()), {}};
            acceptor_.accept(late.socket, late.peer, ec);
            if (!ec) late_.push_back(std::move(late));
        }
    }

    Result<std::unique_ptr<Stream>> take_late(Executor loop) {
        while (!late_.empty()) {
            Late late = std::move(late_.front());
            late_.pop_front();
            ErrorCode ec;
            const auto handle = late.socket.release(ec);
            if (ec) continue;
            Socket socket(loop);
            socket.assign(late.peer.protocol(), handle, ec);
            if (ec) {
                ::close(handle);
                continue;
            }
            const Address remote = address_of(late.peer);
            return make_stream<Protocol>(std::move(socket), &remote);
        }
        return fail(errc::closed, {});
    }

    Acceptor acceptor_;
    Address local_;
    std::optional<SocketFile> file_;
    std::deque<Late> late_;
    bool closed_ = false;
};

Error listen_error(const Address& address, const ErrorCode& ec, std::string_view detail) {
    return {ec, fmt::format("listen on {}: {}{}", address.to_string(), ec.message(), detail)};
}

/// Opens, binds and listens at one address; the acceptor stays closed where it fails.
ErrorCode open_tcp(
    SocketListener<Tcp>::Acceptor& acceptor, const Tcp::endpoint& endpoint, bool dual_stack
) {
    ErrorCode ec;
    acceptor.open(endpoint.protocol(), ec);
    if (ec) return ec;
    acceptor.set_option(Tcp::acceptor::reuse_address(true), ec);
    if (!ec && endpoint.address().is_v6()) {
        acceptor.set_option(asio::ip::v6_only(!dual_stack), ec);
    }
    if (!ec) acceptor.bind(endpoint, ec);
    if (!ec) acceptor.listen(kBacklog, ec);
    if (ec) {
        ErrorCode ignored;
        acceptor.close(ignored);
    }
    return ec;
}

Result<std::unique_ptr<Listener>> listen_tcp(Executor loop, const Address& address) {
    SocketListener<Tcp>::Acceptor acceptor(loop);
    ErrorCode ec;
    asio::ip::address bound;
    if (address.host.empty()) {
        // One v6 socket takes both; a machine without v6 gets a v4 one.
        bound = asio::ip::address_v6::any();
        ec = open_tcp(acceptor, {bound, address.port}, /*dual_stack=*/true);
        if (ec == asio::error::address_family_not_supported ||
            ec == boost::system::errc::address_not_available) {
            bound = asio::ip::address_v4::any();
            ec = open_tcp(acceptor, {bound, address.port}, /*dual_stack=*/false);
        }
    } else {
        auto addresses = detail::literals(address.host);
        if (addresses.empty()) {
            // Names to listen on come from a configuration, at start: the look-up may block.
            auto resolved = detail::resolve_blocking(address.host);
            if (!resolved) {
                return resolved.error().within(fmt::format("listen on {}", address.to_string()));
            }
            addresses = std::move(*resolved);
        }
        bound = addresses.front();
        ec = open_tcp(acceptor, {bound, address.port}, /*dual_stack=*/false);
    }
    if (ec == asio::error::address_in_use) {
        return listen_error(
            address, ec, describe_port_owner(PortKind::tcp_listener, bound, address.port)
        );
    }
    if (ec) return listen_error(address, ec, {});
    const auto local = acceptor.local_endpoint(ec);
    if (ec) return listen_error(address, ec, {});
    Address shown = address_of(local);
    if (address.host.empty()) shown.host.clear();
    return std::make_unique<SocketListener<Tcp>>(
        std::move(acceptor), std::move(shown), std::nullopt
    );
}

/// Makes room for a unix listener: removes a socket file that nobody listens on.
Result<> clear_socket_path(const Address& address) {
    struct stat status{};
    if (::lstat(address.path.c_str(), &status) != 0) return {};
    if (!S_ISSOCK(status.st_mode)) {
        const ErrorCode exists(EEXIST, boost::system::system_category());
        return listen_error(address, exists, ", and is not a socket");
    }
    asio::io_context unused(1);
    Unix::socket probe(unused);
    ErrorCode ec;
    probe.open(Unix(), ec);
    // A listener with a full backlog must answer "try again", not hold us up.
    if (!ec) probe.non_blocking(true, ec);
    if (!ec) probe.connect(Unix::endpoint(address.path), ec);
    if (ec == asio::error::connection_refused) {
        if (::unlink(address.path.c_str()) != 0) {
            return listen_error(address, detail::last_error(), ": cannot remove the stale socket");
        }
        return {};
    }
    if (ec && ec != asio::error::would_block && ec != asio::error::try_again) {
        return listen_error(address, ec, ": the path is taken by a socket that cannot be asked");
    }
    ucred owner{};
    socklen_t size = sizeof owner;
    const bool known =
        !ec && ::getsockopt(probe.native_handle(), SOL_SOCKET, SO_PEERCRED, &owner, &size) == 0;
    return listen_error(
        address, asio::error::address_in_use, known ? describe_process(owner.pid) : std::string()
    );
}

Result<std::unique_ptr<Listener>> listen_unix(Executor loop, const Address& address) {
    if (const auto cleared = clear_socket_path(address); !cleared) return cleared.error();
    SocketListener<Unix>::Acceptor acceptor(loop);
    ErrorCode ec;
    acceptor.open(Unix(), ec);
    if (!ec) acceptor.bind(Unix::endpoint(address.path), ec);
    if (ec) return listen_error(address, ec, {});
    SocketFile file(address.path);
    // Before listen: until then nobody can connect, whatever the umask was.
    if (::chmod(address.path.c_str(), S_IRUSR | S_IWUSR) != 0) ec = detail::last_error();
    if (!ec) acceptor.listen(kBacklog, ec);
    if (ec) {
        file.remove();
        return listen_error(address, ec, {});
    }
    return std::make_unique<SocketListener<Unix>>(std::move(acceptor), address, std::move(file));
}

Error dial_error(const Address& address, const Error& error) {
    return error.within(fmt::format("dial {}", address.to_string()));
}

Task<Result<std::unique_ptr<Stream>>> dial_unix(Executor loop, Address address) {
    SocketStream<Unix>::Socket socket(loop);
    const Unix::endpoint endpoint(address.path);
    const auto [ec] = co_await socket.async_connect(endpoint, use_tuple);
    if (ec) co_return dial_error(address, detail::operation_error(ec, /*closed=*/false));
    co_return make_stream<Unix>(std::move(socket), &address);
}

Task<Result<std::unique_ptr<Stream>>> dial_tcp(Executor loop, Address address) {
    auto addresses = detail::literals(address.host);
    if (addresses.empty()) {
        auto resolved = co_await detail::resolve(address.host);
        if (!resolved) co_return dial_error(address, resolved.error());
        addresses = std::move(*resolved);
    }
    Error last;
    for (const auto& candidate : addresses) {
        SocketStream<Tcp>::Socket socket(loop);
        const Tcp::endpoint endpoint(candidate, address.port);
        const auto [ec] = co_await socket.async_connect(endpoint, use_tuple);
        if (!ec) co_return make_stream<Tcp>(std::move(socket), nullptr);
        last = detail::operation_error(ec, /*closed=*/false);
        if (last == make_error_code(errc::cancelled)) break;
    }
    co_return dial_error(address, last);
}

}  // namespace

Result<std::unique_ptr<Listener>> SystemNetwork::listen(Executor loop, const Address& address) {
    switch (address.kind) {
        case Address::Kind::tcp:
            return listen_tcp(std::move(loop), address);
        case Address::Kind::unix_socket:
            return listen_unix(std::move(loop), address);
    }
    return fail(errc::unsupported, "unknown kind of address");
}

Task<Result<std::unique_ptr<Stream>>> SystemNetwork::dial(Executor loop, Address address) {
    switch (address.kind) {
        case Address::Kind::tcp:
            return dial_tcp(std::move(loop), std::move(address));
        case Address::Kind::unix_socket:
            return dial_unix(std::move(loop), std::move(address));
    }
    SKY_ASSERT(false);
}

}  // namespace skywire::net
