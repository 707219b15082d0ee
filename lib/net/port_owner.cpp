#include "net/port_owner.hpp"

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "net/endpoint.hpp"

#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

namespace skywire::net {
namespace {

namespace ip = boost::asio::ip;
namespace fs = std::filesystem;

// The state column: TCP_LISTEN, and what /proc/net/udp shows for a bound socket.
constexpr std::string_view kListening = "0A";

template <class Number>
std::optional<Number> parse_number(std::string_view text, int base) {
    Number value = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// 8 or 32 hex digits: words of 32 bits, each in the machine's byte order.
std::optional<ip::address> parse_proc_address(std::string_view digits) {
    Bytes bytes;
    if (!from_hex(digits, bytes) || (bytes.size() != 4 && bytes.size() != 16)) return std::nullopt;
    for (std::size_t i = 0; i < bytes.size(); i += 4) {
        std::uint32_t word = 0;
        for (std::size_t j = 0; j < 4; ++j) {
            word = word << 8 | std::to_integer<std::uint32_t>(bytes[i + j]);
        }
        std::memcpy(bytes.data() + i, &word, sizeof word);
    }
    if (bytes.size() == 4) {
        ip::address_v4::bytes_type v4;
        std::memcpy(v4.data(), bytes.data(), v4.size());
        return ip::address_v4(v4);
    }
    ip::address_v6::bytes_type v6;
    std::memcpy(v6.data(), bytes.data(), v6.size());
    return detail::plain(ip::address_v6(v6));
}

/// Whether sockets at both addresses are in each other's way.
bool overlap(const ip::address& a, const ip::address& b) {
    return a.is_unspecified() || b.is_unspecified() || a == b;
}

void collect_inodes(
    const char* table,
    PortKind kind,
    const ip::address& address,
    std::uint16_t port,
    std::set<std::uint64_t>& inodes
) {
    std::ifstream in(table);
    std::string line;
    std::getline(in, line);
    while (std::getline(in, line)) {
        // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...
        std::istringstream columns(line);
        std::string sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
        columns >> sl >> local >> remote >> state >> queues >> timer >> retransmits >> uid >>
            timeout >> inode;
        const auto colon = local.find(':');
        if (!columns || colon == std::string::npos) continue;
        if (kind == PortKind::tcp_listener && state != kListening) continue;
        if (parse_number<std::uint16_t>(std::string_view(local).substr(colon + 1), 16) != port) {
            continue;
        }
        const auto bound = parse_proc_address(std::string_view(local).substr(0, colon));
        const auto number = parse_number<std::uint64_t>(inode, 10);
        if (bound && number && overlap(*bound, detail::plain(address))) inodes.insert(*number);
    }
}

bool holds_socket(const fs::path& process, const std::set<std::uint64_t>& inodes) {
    constexpr std::string_view kPrefix = "socket:[";
    std::error_code ec;
    for (fs::directory_iterator it(process / "fd", ec), end; !ec && it != end; it.increment(ec)) {
        std::error_code unreadable;
        const std::string target = fs::read_symlink(it->path(), unreadable).string();
        if (unreadable || !target.starts_with(kPrefix) || target.back() != ']') continue;
        const std::string_view digits =
            std::string_view(target).substr(kPrefix.size(), target.size() - kPrefix.size() - 1);
        const auto inode = parse_number<std::uint64_t>(digits, 10);
        if (inode && inodes.contains(*inode)) return true;
    }
    return false;
}

/// The short name alone: arguments of a foreign process may hold secrets.
std::string command_of(const fs::path& process) {
    std::ifstream in(process / "comm");
    std::string command;
    std::getline(in, command);
    return quote_peer_text(command, 64);
}

std::string describe(const PortOwner& owner) {
    return fmt::format(" (held by process {}, {})", owner.pid, owner.command);
}

}  // namespace

std::optional<PortOwner> find_port_owner(
    PortKind kind, const ip::address& address, std::uint16_t port
) {
    std::set<std::uint64_t> inodes;
    switch (kind) {
        case PortKind::tcp_listener:
            collect_inodes("/proc/net/tcp", kind, address, port, inodes);
            collect_inodes("/proc/net/tcp6", kind, address, port, inodes);
            break;
        case PortKind::udp:
            collect_inodes("/proc/net/udp", kind, address, port, inodes);
            collect_inodes("/proc/net/udp6", kind, address, port, inodes);
            break;
    }
    if (inodes.empty()) return std::nullopt;
    std::error_code ec;
    for (fs::directory_iterator it("/proc", ec), end; !ec && it != end; it.increment(ec)) {
        const auto pid = parse_number<int>(it->path().filename().string(), 10);
        if (!pid || !holds_socket(it->path(), inodes)) continue;
        return PortOwner{*pid, command_of(it->path())};
    }
    return std::nullopt;
}

std::string describe_port_owner(PortKind kind, const ip::address& address, std::uint16_t port) {
    const auto owner = find_port_owner(kind, address, port);
    return owner ? describe(*owner) : std::string();
}

std::string describe_process(int pid) {
    if (pid <= 0) return {};
    return describe({pid, command_of(fs::path("/proc") / std::to_string(pid))});
}

}  // namespace skywire::net
