// Signed objects as they come out of a session: reading, checking, writing again.

#include "dmsg/stream_object.hpp"

#include <cstdlib>

using namespace skywire;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

template <class T>
void check_refusal(const Result<T>& result) {
    if (!result) check(dmsg::refusal_reason(result.error().code()) != "unknown");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteSpan bytes = std::as_bytes(std::span(data, size));
    const auto object = dmsg::SignedObject::from_bytes(Bytes(bytes.begin(), bytes.end()));
    check(object.has_value() == (size > crypto::Signature::kSize));
    if (!object) return 0;

    const auto request = dmsg::decode_request(object->payload());
    check_refusal(request);
    if (request) {
        const auto again = dmsg::decode_request(encode(*request));
        check(again && *again == *request);
        const auto verdict = dmsg::check_request_at_server(*object, *request, {request->source.pk});
        check_refusal(verdict);
        if (verdict) check(object->verify(request->source.pk).has_value());
    }

    const auto response = dmsg::decode_response(object->payload());
    check_refusal(response);
    if (response) {
        // Byte for byte: not-a-number equals nothing.
        const Bytes written = encode(*response);
        const auto again = dmsg::decode_response(written);
        check(again && encode(*again) == written);
    }

    const auto announce = dmsg::decode_announce(object->payload());
    check_refusal(announce);
    if (announce) {
        const auto again = dmsg::decode_announce(encode(*announce));
        check(again && *again == *announce);
    }
    return 0;
}
