// The yamux core under any peer, any user and any cut of the bytes: see core_fuzz.hpp.

#include "mux/core_fuzz.hpp"
#include "mux/yamux.hpp"

namespace {

using namespace skywire;
using namespace skywire::mux;
using namespace skywire::mux::yamux;

class YamuxPlayer final : public fuzz::Player {
 private:
    std::uint64_t receivable(const fuzz::Model& model) const override {
        return kWindowBytes + model.told;
    }

    void check_frame(ByteSpan frame) override {
        SKY_ASSERT(frame.size() == kHeaderBytes);
        const auto header = decode(frame.data());
        SKY_ASSERT(header.has_value());
        fuzz::Model* model = find(header->stream);
        switch (header->type) {
            case Type::data:
                SKY_ASSERT(header->flags == 0 && header->length == beginning_);
                SKY_ASSERT(model != nullptr && !model->closed);
                return;
            case Type::window_update:
                return check_update(*header, model);
            case Type::ping:
                SKY_ASSERT(header->stream == 0);
                SKY_ASSERT(header->flags == kSyn || header->flags == kAck);
                return;
            case Type::go_away:
                SKY_ASSERT(header->stream == 0 && header->length <= 1 && header->flags == 0);
                return;
        }
    }

    void check_update(const Header& header, fuzz::Model* model) {
        switch (header.flags) {
            case 0:
                SKY_ASSERT(model != nullptr && header.length >= kWindowBytes / 2);
                model->told += header.length;
                // Only what nobody reads any more is given back unconsumed.
                if (!model->closing && !model->finished) SKY_ASSERT(model->told <= model->consumed);
                return;
            case kSyn:
                SKY_ASSERT(opening_ && model == nullptr);
                break;
            case kAck:
                SKY_ASSERT(model != nullptr && !model->ours && !model->closed);
                break;
            case kFin:
                SKY_ASSERT(model != nullptr && model->closing && ++model->fins == 1);
                break;
            default:
                SKY_ASSERT(header.flags == kRst);
        }
        SKY_ASSERT(header.length == 0);
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::play_both_ways<YamuxPlayer>(make_yamux, data, size);
    return 0;
}
