// The smux core under any peer, any user and any cut of the bytes: see core_fuzz.hpp.

#include "mux/core_fuzz.hpp"
#include "mux/smux.hpp"

namespace {

using namespace skywire;
using namespace skywire::mux;
using namespace skywire::mux::smux;

class SmuxPlayer final : public fuzz::Player {
 private:
    std::uint64_t receivable(const fuzz::Model& model) const override {
        return std::max<std::uint64_t>(kFirstWindowBytes, model.told + kWindowBytes);
    }

    void check_frame(ByteSpan frame) override {
        SKY_ASSERT(frame.size() >= kHeaderBytes);
        const auto header = decode(frame.data());
        SKY_ASSERT(header.has_value());
        const bool update = header->command == Command::upd;
        SKY_ASSERT(frame.size() == kHeaderBytes + (update ? kUpdateBytes : 0));
        fuzz::Model* model = find(header->stream);
        switch (header->command) {
            case Command::syn:
                SKY_ASSERT(opening_ && model == nullptr && header->length == 0);
                return;
            case Command::fin:
                // Without a model: refused.
                SKY_ASSERT(header->length == 0);
                SKY_ASSERT(model == nullptr || ++model->fins == 1);
                return;
            case Command::psh:
                SKY_ASSERT(model != nullptr && !model->closed);
                SKY_ASSERT(header->length == beginning_ && beginning_ <= kPayloadMax);
                return;
            case Command::nop:
                SKY_ASSERT(header->stream == 0 && header->length == 0);
                return;
            case Command::upd:
                SKY_ASSERT(header->length == kUpdateBytes);
                return check_update(decode_update(frame.data() + kHeaderBytes), model);
        }
    }

    /// No script is long enough for a total above 2^32.
    static void check_update(const Update& update, fuzz::Model* model) {
        SKY_ASSERT(model != nullptr && update.window == kWindowBytes);
        SKY_ASSERT(update.consumed > model->told);
        model->told = update.consumed;
        // Only what nobody reads any more is given back unconsumed.
        if (!model->closing && !model->finished) SKY_ASSERT(model->told == model->consumed);
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::play_both_ways<SmuxPlayer>(make_smux, data, size);
    return 0;
}
