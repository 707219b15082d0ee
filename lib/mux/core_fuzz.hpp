#pragma once

#include "base/assert.hpp"
#include "base/fuzz_script.hpp"
#include "mux/core.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

/// What the fuzz targets of both protocols share: an input is a script of bytes from the peer, of
/// what the user of the core does, and of time that passes. It is played twice, with the peer's
/// bytes cut in two ways; both must come out the same. A model of the streams stands beside the
/// core, and what the core tells and sends is checked against it.
namespace skywire::mux::fuzz {

/// A stream as the core's user may think of it.
struct Model {
    bool ours = false;
    /// `close` was called; and has returned.
    bool closing = false;
    bool closed = false;
    bool finished = false;
    unsigned fins = 0;
    std::uint64_t received = 0;
    std::uint64_t consumed = 0;
    /// What the core has told the peer: yamux, the sum of window updates; smux, the last total.
    std::uint64_t told = 0;
};

class Player : public CoreEvents, public CoreOutput {
 public:
    using Maker = std::unique_ptr<Core> (*)(const CoreOptions&, CoreOutput&, SteadyTime);

    static constexpr std::uint64_t kFirstWindow = 256 * 1024;

    /// `piece`: the largest part of the peer's bytes that the core gets at one time.
    void play(Maker make, ByteSpan input, std::size_t piece) {
        FuzzScript script(input);
        const unsigned head = script.byte();
        options_.role = head % 2 == 0 ? Role::client : Role::server;
        options_.streams_max = 1 + head / 2 % 8;
        whims_ = script.byte();
        piece_ = piece;
        core_ = make(options_, *this, now_);
        while (!script.done() && !ended_)
            step(script);
        if (!ended_) return;
        const std::size_t length = log.size();
        SKY_ASSERT(!core_->on_bytes(input.first(1), now_, *this) && log.size() == length);
        SKY_ASSERT(!core_->on_time(now_ + std::chrono::hours(1), *this) && log.size() == length);
    }

    /// All that came out, in order; data that follow each other are one.
    std::string log;

 protected:
    /// A frame of ours.
    virtual void check_frame(ByteSpan frame) = 0;
    /// How many bytes in all the peer may have sent.
    virtual std::uint64_t receivable(const Model& model) const = 0;

    Model* find(StreamId id) {
        const auto found = models_.find(id);
        return found == models_.end() ? nullptr : &found->second;
    }
    /// In begin_data: how much.
    std::size_t beginning_ = 0;
    /// In open: the stream has no model yet.
    bool opening_ = false;

 private:
    void step(FuzzScript& script) {
        data_of_.reset();
        const unsigned what = script.byte();
        if (what < 0x80) {
            feed(script.take(what + 1), piece_);
        } else if (what < 0x90) {
            // As large as payload may be, and not cut as finely.
            const std::size_t size = std::min(script.number() * 4, zeros_left_);
            zeros_left_ -= size;
            feed(Bytes(size), piece_ < 100 ? piece_ * 1000 : piece_);
        } else if (what < 0xa0) {
            now_ += std::chrono::milliseconds(script.number() * 4);
            settle(core_->on_time(now_, *this));
            SKY_ASSERT(ended_ || core_->next_time() > now_);
        } else {
            const StreamId id = pick(script.byte());
            act(what % 8, id, script);
        }
        if (!ended_) SKY_ASSERT(core_->streams() == models_.size());
        SKY_ASSERT(core_->streams() <= options_.streams_max);
        for (const auto& [id, model] : models_)
            SKY_ASSERT(!model.closed || core_->sendable(id) == 0);
    }

    void feed(ByteSpan bytes, std::size_t piece) {
        while (!bytes.empty() && !ended_) {
            const ByteSpan part = bytes.first(std::min(piece, bytes.size()));
            bytes = bytes.subspan(part.size());
            settle(core_->on_bytes(part, now_, *this));
        }
    }

    void settle(const Result<>& done) {
        if (done) return;
        ended_ = true;
        log += "end " + done.error().message();
    }

    /// One of the streams there are, or a number as it comes.
    StreamId pick(unsigned choice) const {
        if (models_.empty() || choice >= 0xf0) return choice;
        auto chosen = models_.begin();
        std::advance(chosen, choice % models_.size());
        return chosen->first;
    }

    void act(unsigned what, StreamId id, FuzzScript& script) {
        Model* model = find(id);
        switch (what) {
            case 0:
                return open();
            case 1:
                return core_->accept(id);
            case 2:
                return write(id, script.number() * 4);
            case 3: {
                std::size_t size = script.number() * 4;
                if (model != nullptr)
                    size = std::min<std::size_t>(size, model->received - model->consumed);
                if (model != nullptr) model->consumed += size;
                return core_->consumed(id, size);
            }
            case 4:
                return close(id);
            case 5:
                return reset(id);
            case 6:
                return core_->ping(now_);
            default:
                if (script.byte() > 0xf0) core_->go_away();
        }
    }

    void open() {
        opening_ = true;
        const auto id = core_->open(now_);
        opening_ = false;
        if (!id) return;
        Model model;
        model.ours = true;
        SKY_ASSERT(models_.emplace(*id, model).second);
    }

    void write(StreamId id, std::size_t most) {
        Model* model = find(id);
        const std::size_t sendable = core_->sendable(id);
        SKY_ASSERT(sendable == 0 || (model != nullptr && !model->closed));
        beginning_ = std::min(most, sendable);
        core_->begin_data(id, beginning_);
        beginning_ = 0;
    }

    void close(StreamId id) {
        Model* model = find(id);
        if (model != nullptr) model->closing = true;
        core_->close(id, now_);
        if (model == nullptr) return;
        model->closed = true;
        if (model->finished) models_.erase(id);
    }

    void reset(StreamId id) {
        core_->reset(id);
        models_.erase(id);
    }

    /// What the user does from within an event: the same however the bytes were cut.
    void on_whim(StreamId id) {
        whims_ = whims_ * 75 + 74;
        switch (whims_ / 64 % 16) {
            case 0:
                return close(id);
            case 1:
                return reset(id);
            case 2:
                return open();
            case 3:
                return write(id, 1000);
            case 4:
            case 5:
                return core_->accept(id);
            default:
                return;
        }
    }

    void note(const char* what, StreamId id) {
        log += what + std::to_string(id) + ";";
        data_of_.reset();
    }

    void on_stream(StreamId id) override {
        SKY_ASSERT(models_.emplace(id, Model{}).second);
        note("stream ", id);
        on_whim(id);
    }
    void on_refused(StreamId id) override {
        SKY_ASSERT(find(id) == nullptr);
        note("refused ", id);
    }
    void on_data(StreamId id, ByteSpan payload) override {
        Model* model = find(id);
        SKY_ASSERT(model != nullptr && !model->closed && !model->finished && !payload.empty());
        model->received += payload.size();
        SKY_ASSERT(model->received <= receivable(*model));
        SKY_ASSERT(model->received - model->consumed <= kFirstWindow);
        if (data_of_ != id) note("data ", id);
        data_of_ = id;
        log.append(as_text(payload));
    }
    void on_sendable(StreamId id) override {
        SKY_ASSERT(core_->sendable(id) > 0);
        note("sendable ", id);
        on_whim(id);
    }
    void on_accepted(StreamId id) override {
        SKY_ASSERT(find(id) != nullptr && find(id)->ours);
        note("accepted ", id);
        on_whim(id);
    }
    void on_finished(StreamId id) override {
        Model* model = find(id);
        SKY_ASSERT(model != nullptr && !model->finished);
        model->finished = true;
        if (model->closed) models_.erase(id);
        note("finished ", id);
        on_whim(id);
    }
    void on_reset(StreamId id, errc why) override {
        SKY_ASSERT(find(id) != nullptr);
        SKY_ASSERT(why == errc::reset || (why == errc::close_timed_out && find(id)->closed));
        models_.erase(id);
        note("reset ", id);
        on_whim(id);
    }
    void on_pong(Duration round_trip) override {
        SKY_ASSERT(round_trip >= Duration::zero());
        note("pong ", 0);
    }
    void on_go_away() override { note("go-away ", 0); }

    void on_frame(ByteSpan frame) override {
        check_frame(frame);
        log += "sent " + to_hex(frame) + ";";
        data_of_.reset();
    }

    CoreOptions options_;
    std::unique_ptr<Core> core_;
    SteadyTime now_{};
    std::map<StreamId, Model> models_;
    std::size_t piece_ = 1;
    std::uint32_t whims_ = 0;
    std::size_t zeros_left_ = 1024 * 1024;
    std::optional<StreamId> data_of_;
    bool ended_ = false;
};

template <class ThePlayer>
void play_both_ways(Player::Maker make, const std::uint8_t* data, std::size_t size) {
    const ByteSpan input = std::as_bytes(std::span(data, size));
    if (input.size() < 2) return;
    ThePlayer whole;
    whole.play(make, input, ~std::size_t{0});
    ThePlayer cut;
    cut.play(make, input, 1 + std::to_integer<std::size_t>(input[1]) % 13);
    SKY_ASSERT(whole.log == cut.log);
}

}  // namespace skywire::mux::fuzz
