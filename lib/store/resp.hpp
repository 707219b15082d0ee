#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct redisReader;

/// The protocol of Redis, version 2 (https://redis.io/docs/reference/protocol-spec), through
/// hiredis as a codec: no socket of hiredis is used.
namespace skywire::store {

/// A reply of the server.
struct Reply {
    enum class Kind { nil, string, status, error, integer, array };

    Kind kind = Kind::nil;
    /// Of string, status and error; any bytes.
    std::string text;
    std::int64_t integer = 0;
    std::vector<Reply> elements;
};

/// Appends one command as an array of bulk strings; any bytes are allowed in them.
void append_command(std::string& out, std::span<const std::string_view> words);
void append_command(std::string& out, std::initializer_list<std::string_view> words);

/// Cuts what the server sends into replies. After an error it must not be used any more.
class ReplyReader {
 public:
    /// A reply that takes more than `reply_bytes_max` on the wire is refused.
    explicit ReplyReader(std::size_t reply_bytes_max);
    ~ReplyReader();
    ReplyReader(const ReplyReader&) = delete;
    ReplyReader& operator=(const ReplyReader&) = delete;

    void feed(ByteSpan bytes);

    /// The next whole reply, or nothing until more is fed. Errors: errc::malformed,
    /// errc::out_of_range (above the bound, or nested more than 7 deep).
    Result<std::optional<Reply>> next();

 private:
    struct Free {
        void operator()(redisReader* reader) const noexcept;
    };
    std::unique_ptr<redisReader, Free> reader_;
    std::size_t reply_bytes_max_;
    /// Fed since the end of the last whole reply.
    std::size_t unanswered_bytes_ = 0;
};

}  // namespace skywire::store
