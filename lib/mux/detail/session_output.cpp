// The writing half of a session: whose turn it is, frames, the writer.

#include "base/assert.hpp"
#include "mux/detail/session_state.hpp"

namespace skywire::mux {
namespace {

/// Parts of one gathered write: what a socket hands to the kernel in one call.
constexpr std::size_t kPartsMax = 64;
/// Payload under one header: a quarter of a window.
constexpr std::size_t kFrameMax = 64 * 1024;

}  // namespace

void Session::State::on_frame(ByteSpan frame) {
    if (carrier_closed_) return;
    output_.append(frame);
    wake_writer();
}

void Session::State::wake_writer() {
    if (carrier_closed_) return;
    writer_used_ = true;
    if (!writer_running_) {
        writer_running_ = true;
        spawn(write_loop());
    } else if (writer_waiting_) {
        writer_waiting_ = false;
        work_.notify();
    }
}

void Session::State::send(Impl& stream) {
    if (!stream.known || stream.SendingHook::is_linked() || stream.unsent() == 0) return;
    if (core->sendable(stream.id) == 0) {
        stream.queued.compact();
        return;
    }
    sending_.push_back(stream);
    wake_writer();
}

void Session::State::send_directly(Impl& stream) {
    while (sending_.empty() && output_size() < options_.output_max / 2) {
        const std::size_t before = stream.unsent();
        put(stream);
        if (stream.unsent() == before) break;
    }
    send(stream);
}

/// Moves the next frame's worth of a stream to the output.
void Session::State::put(Impl& stream) {
    const std::size_t frame_max = std::clamp<std::size_t>(options_.output_max / 4, 1, kFrameMax);
    const std::size_t size = std::min({stream.unsent(), core->sendable(stream.id), frame_max});
    if (size == 0) return;
    core->begin_data(stream.id, size);
    const std::size_t pushed = std::min(size, stream.queued.size());
    if (pushed > 0) {
        output_.append(stream.queued.take(pushed));
        if (stream.observer != nullptr) {
            stream.taken += pushed;
            tell(stream);
        }
    }
    copy_parts(stream, size - pushed);
}

void Session::State::copy_parts(Impl& stream, std::size_t size) {
    stream.parts_size -= size;
    while (size > 0) {
        const ByteSpan part = stream.parts.front().subspan(stream.part_done);
        const std::size_t count = std::min(size, part.size());
        output_.append(part.first(count));
        stream.part_done += count;
        size -= count;
        if (count == part.size()) {
            stream.parts = stream.parts.subspan(1);
            stream.part_done = 0;
        }
    }
}

/// After its turn a stream goes to the end of the line, waits for window, or is done.
void Session::State::settle(Impl& stream) {
    if (stream.unsent() > 0) {
        send(stream);
        return;
    }
    stream.can_write.notify();
    if (stream.closed) finish_close(stream);
}

void Session::State::finish_close(Impl& stream) {
    core->close(stream.id, clock_.now());
    forget(stream);
}

/// Streams are asked for their bytes only when the carrier is about to take them: what waits longer
/// is joined under one header.
void Session::State::fill() {
    while (!sending_.empty() && output_.size() < options_.output_max / 2) {
        const std::shared_ptr<Impl> stream = sending_.front().shared_from_this();
        sending_.pop_front();
        put(*stream);
        settle(*stream);
    }
}

/// Started by the first output; waits for more until the next tick finds that none has come.
Task<> Session::State::write_loop() {
    // Starts inside whatever made the output, which is not the place to tell anybody anything.
    co_await yield();
    std::array<ByteSpan, kPartsMax> parts;
    while (!carrier_closed_) {
        if (!ended) fill();
        deliver();
        if (output_.empty()) {
            if (!sending_.empty()) continue;
            if (ended || !writer_used_) break;
            writer_waiting_ = true;
            co_await work_.get(executor).wait();
            writer_waiting_ = false;
            continue;
        }
        writing_ = output_.take_pieces(kPartsMax);
        const std::size_t count = writing_.gather(parts);
        write_began_ = clock_.now();
        const auto written = co_await carrier->write_all(std::span(parts).first(count));
        write_began_.reset();
        writing_.clear();
        if (!written && !carrier_closed_) {
            end(written.error(), /*farewell=*/false);
        }
        if (output_size() <= options_.output_max) room_.notify();
    }
    writer_running_ = false;
    work_.reset();
    if (ended) close_carrier();
    deliver();
}

}  // namespace skywire::mux
