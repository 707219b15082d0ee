// Two sessions and a hostile link: the first bytes say what each side writes and when, the rest are
// datagrams for one of them. Windows hold, and the time always moves on.

#include "base/assert.hpp"
#include "net/kcp.hpp"

#include <algorithm>
#include <cstdint>

using namespace skywire;
using namespace skywire::net;

namespace {

void check(KcpSession& session, std::size_t datagrams_max) {
    const auto made = session.take_output();
    SKY_ASSERT(made.size() <= datagrams_max);
    for (const Bytes& datagram : made) {
        SKY_ASSERT(datagram.size() <= 1400);
        const auto head = read_kcp_head(datagram);
        SKY_ASSERT(head && head->conversation == session.conversation());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    ByteSpan bytes(reinterpret_cast<const std::byte*>(data), size);
    SteadyTime now{std::chrono::hours(1)};
    // A conversation that the input chooses, so that its segments may be ours.
    const auto first = read_kcp_head(bytes);
    const auto position = first ? read_kcp_position(bytes.first(KcpHead::kSize + first->length))
                                : std::optional<KcpPosition>();
    // One that begins in the middle goes on from there.
    const bool resumed = position && position->receive_next != 0;
    KcpSession session = resumed ? KcpSession(*position, now, {}, now)
                                 : KcpSession(first ? first->conversation : 7, now);
    while (!bytes.empty()) {
        const auto head = read_kcp_head(bytes);
        const std::size_t whole = head ? KcpHead::kSize + head->length : bytes.size();
        const std::size_t take = std::min(whole, bytes.size());
        (void)session.input(bytes.first(take), now);
        check(session, 40);
        bytes = bytes.subspan(take);
        now += std::chrono::milliseconds(17);
        if (session.writable()) session.write(as_bytes("message"), now);
        for (int i = 0; i < 3 && session.next_time() != SteadyTime::max(); ++i) {
            now = std::max(now, session.next_time());
            session.on_time(now);
            SKY_ASSERT(session.next_time() > now);
            check(session, 40);
        }
        std::size_t messages = 0;
        while (session.read())
            SKY_ASSERT(++messages <= 64);
    }
    return 0;
}
