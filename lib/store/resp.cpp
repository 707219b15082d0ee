#include "store/resp.hpp"

#include <algorithm>
#include <new>

#include <fmt/format.h>
#include <hiredis/hiredis.h>

namespace skywire::store {
namespace {

/// An array announces its length first: not more than this is made room for on its word.
constexpr int kElementsReservedMax = 1024;

/// Where hiredis puts the reply of `task`: the root is ours to delete, the others are elements of
/// their parent. An element stays where it is while hiredis points to it: its parent grows only
/// once the element is complete.
Reply* make(const redisReadTask* task, Reply::Kind kind) {
    Reply* reply = nullptr;
    if (task->parent == nullptr) {
        reply = new Reply;
    } else {
        reply = &static_cast<Reply*>(task->parent->obj)->elements.emplace_back();
    }
    reply->kind = kind;
    return reply;
}

void* make_string(const redisReadTask* task, char* text, std::size_t size) {
    Reply::Kind kind = Reply::Kind::string;
    if (task->type == REDIS_REPLY_STATUS) kind = Reply::Kind::status;
    if (task->type == REDIS_REPLY_ERROR) kind = Reply::Kind::error;
    Reply* reply = make(task, kind);
    reply->text.assign(text, size);
    return reply;
}

void* make_array(const redisReadTask* task, int elements) {
    Reply* reply = make(task, Reply::Kind::array);
    reply->elements.reserve(static_cast<std::size_t>(std::clamp(elements, 0, kElementsReservedMax))
    );
    return reply;
}

void* make_integer(const redisReadTask* task, long long value) {
    Reply* reply = make(task, Reply::Kind::integer);
    reply->integer = value;
    return reply;
}

void* make_nil(const redisReadTask* task) {
    return make(task, Reply::Kind::nil);
}

void free_reply(void* reply) {
    delete static_cast<Reply*>(reply);
}

// hiredis asks for a pointer to something it does not change.
redisReplyObjectFunctions functions{make_string, make_array, make_integer, make_nil, free_reply};

}  // namespace

void append_command(std::string& out, std::span<const std::string_view> words) {
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    texts.reserve(words.size());
    sizes.reserve(words.size());
    for (const std::string_view word : words) {
        // The pointer of an empty view may be null, which memcpy must not get.
        texts.push_back(word.empty() ? "" : word.data());
        sizes.push_back(word.size());
    }
    char* command = nullptr;
    const int length = redisFormatCommandArgv(
        &command, static_cast<int>(words.size()), texts.data(), sizes.data()
    );
    if (length < 0) throw std::bad_alloc();
    out.append(command, static_cast<std::size_t>(length));
    redisFreeCommand(command);
}

void append_command(std::string& out, std::initializer_list<std::string_view> words) {
    append_command(out, std::span(words.begin(), words.size()));
}

void ReplyReader::Free::operator()(redisReader* reader) const noexcept {
    redisReaderFree(reader);
}

ReplyReader::ReplyReader(std::size_t reply_bytes_max)
    : reader_(redisReaderCreateWithFunctions(&functions)), reply_bytes_max_(reply_bytes_max) {
    if (!reader_) throw std::bad_alloc();
}

ReplyReader::~ReplyReader() = default;

void ReplyReader::feed(ByteSpan bytes) {
    const std::string_view text = as_text(bytes);
    redisReaderFeed(reader_.get(), text.data(), text.size());
    unanswered_bytes_ += text.size();
}

Result<std::optional<Reply>> ReplyReader::next() {
    void* made = nullptr;
    if (redisReaderGetReply(reader_.get(), &made) != REDIS_OK) {
        return fail(
            errc::malformed,
            fmt::format(
                "the server's reply is not understood: {}", quote_peer_text(reader_->errstr)
            )
        );
    }
    if (made != nullptr) {
        const std::unique_ptr<Reply> reply(static_cast<Reply*>(made));
        unanswered_bytes_ = reader_->len - reader_->pos;
        return std::optional<Reply>(std::move(*reply));
    }
    if (unanswered_bytes_ > reply_bytes_max_) {
        return fail(
            errc::out_of_range,
            fmt::format("the server's reply is larger than {} bytes", reply_bytes_max_)
        );
    }
    return std::optional<Reply>();
}

}  // namespace skywire::store
