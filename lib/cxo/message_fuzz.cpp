// Messages, frames and Roots as a peer sends them: read, checked, written again byte for byte.

#include "cxo/message.hpp"

#include <cstdlib>

using namespace skywire;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

void check_refusal(const Error& error) {
    check(error.code() == errc::malformed || error.code() == errc::unsupported);
    check(!error.message().empty());
}

/// A longer list is cut.
bool is_whole(const cxo::Message& message) {
    const auto* const list = std::get_if<cxo::List>(&message);
    return list == nullptr || list->feeds.size() < cxo::kListMax;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteSpan bytes = std::as_bytes(std::span(data, size));
    const auto message = cxo::decode_message(bytes);
    if (!message) {
        check_refusal(message.error());
    } else if (is_whole(*message)) {
        check(std::ranges::equal(cxo::encode_message(*message), bytes));
        if (const auto* const root = std::get_if<cxo::SignedRoot>(&*message)) {
            const auto checked = cxo::check(*root);
            if (checked) check(encode(*checked) == root->value && checked->feed == root->feed);
        }
    }

    const auto frame = cxo::decode_frame(bytes);
    if (!frame) {
        check_refusal(frame.error());
    } else if (is_whole(frame->message)) {
        const Bytes again = cxo::encode_frame(*frame);
        check(std::ranges::equal(ByteSpan(again).subspan(4), bytes));
        const cxo::Type type = cxo::type_of(frame->message);
        const auto head = cxo::frame_head(frame->seq, frame->rseq, type, size - 9);
        check(std::ranges::equal(head, ByteSpan(again).first(cxo::kFrameHead)));
    }

    const auto root = cxo::decode_root(bytes);
    if (root)
        check(std::ranges::equal(encode(*root), bytes));
    else
        check_refusal(root.error());
    return 0;
}
