#include "mux/error.hpp"

#include <string>

namespace skywire::mux {
namespace {

struct Category final : boost::system::error_category {
    const char* name() const noexcept override { return "skywire.mux"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::ok:
                return "success";
            case errc::bad_frame:
                return "a frame of another version, of an unknown type or with impossible content";
            case errc::bad_stream_id:
                return "a stream id that is in use or belongs to the other side's numbers";
            case errc::window_exceeded:
                return "more data than the window allows";
            case errc::frame_too_long:
                return "a frame is longer than the protocol allows";
            case errc::peer_silent:
                return "a ping was not answered, or nothing was received, in time";
            case errc::open_timed_out:
                return "the peer did not accept a stream in time, which ends the session";
            case errc::going_away:
                return "the peer takes no more streams (go-away with reason 0), or we have sent "
                       "one";
            case errc::peer_error:
                return "the peer ended the session because of an error (go-away with another "
                       "reason)";
            case errc::too_many_streams:
                return "the session has as many streams as it may have";
            case errc::reset:
                return "the peer reset the stream";
            case errc::session_ended:
                return "the session under the stream has ended";
            case errc::write_timed_out:
                return "our output has not been taken by the peer in time";
            case errc::ids_exhausted:
                return "all stream ids are used up";
            case errc::close_timed_out:
                return "the peer did not end its direction of the stream in time after we had "
                       "ended ours";
        }
        return "unknown error " + std::to_string(value);
    }
};

}  // namespace

const boost::system::error_category& mux_category() noexcept {
    static const Category category;
    return category;
}

ErrorCode make_error_code(errc code) noexcept {
    return {static_cast<int>(code), mux_category()};
}

std::string_view reason(errc code) noexcept {
    switch (code) {
        case errc::ok:
            return "ok";
        case errc::bad_frame:
            return "bad_frame";
        case errc::bad_stream_id:
            return "bad_stream_id";
        case errc::window_exceeded:
            return "window_exceeded";
        case errc::frame_too_long:
            return "frame_too_long";
        case errc::peer_silent:
            return "peer_silent";
        case errc::open_timed_out:
            return "open_timed_out";
        case errc::going_away:
            return "going_away";
        case errc::peer_error:
            return "peer_error";
        case errc::too_many_streams:
            return "too_many_streams";
        case errc::reset:
            return "reset";
        case errc::session_ended:
            return "session_ended";
        case errc::write_timed_out:
            return "write_timed_out";
        case errc::ids_exhausted:
            return "ids_exhausted";
        case errc::close_timed_out:
            return "close_timed_out";
    }
    return "unknown";
}

}  // namespace skywire::mux
