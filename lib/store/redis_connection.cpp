#include "store/redis_connection.hpp"

#include "base/assert.hpp"
#include "net/deadline.hpp"

#include <algorithm>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>

namespace skywire::store {
namespace {

constexpr std::size_t kReadBytes = 65536;
constexpr unsigned kBackoffDoublingsMax = 16;
constexpr std::chrono::seconds kEndingTime{1};

/// The replies of the handshake are short.
constexpr std::size_t kHandshakeBytesMax = 65536;

struct Meaning {
    std::string_view prefix;
    errc code;
    std::string_view sentence;
};

// Longest first where one begins like another.
constexpr Meaning kMeanings[] = {
    {"LOADING", errc::unavailable, "Redis is still loading its data"},
    {"READONLY", errc::unavailable, "Redis is a read-only replica: give the URL of the primary"},
    {"MASTERDOWN", errc::unavailable, "Redis is a replica that has lost its primary"},
    {"MISCONF", errc::unavailable, "Redis cannot save to disk and refuses changes"},
    {"BUSY", errc::unavailable, "Redis is busy with a script"},
    {"OOM", errc::limit_reached, "Redis has reached its memory limit (maxmemory)"},
    {"NOAUTH", errc::forbidden, "Redis asks for a password and none is configured"},
    {"WRONGPASS", errc::forbidden, "Redis refuses the user name or password"},
    {"ERR invalid password", errc::forbidden, "Redis refuses the password"},
    {"ERR AUTH", errc::forbidden, "Redis has no password set, but one is configured here"},
    {"NOPERM", errc::forbidden, "Redis does not let this user do this (its ACL)"},
    {"DENIED", errc::forbidden, "Redis runs in protected mode and refuses clients from outside"},
    {"MOVED", errc::unsupported, "Redis is part of a cluster: Redis Cluster is not supported"},
    {"ASK", errc::unsupported, "Redis is part of a cluster: Redis Cluster is not supported"},
    {"CROSSSLOT", errc::unsupported, "Redis is part of a cluster: Redis Cluster is not supported"},
    {"CLUSTERDOWN", errc::unsupported, "Redis is part of a cluster: Redis Cluster is not supported"
    },
    {"ERR unknown command", errc::unsupported, "Redis does not know a command we need"},
    {"ERR max number of clients", errc::unavailable, "Redis has too many clients (maxclients)"},
    {"ERR DB index", errc::out_of_range, "Redis has no database of this number"},
    {"WRONGTYPE", errc::malformed, "the key holds another kind of value"},
    {"ERR value is not an integer", errc::malformed, "the key holds no counter"},
    {"ERR increment or decrement would overflow", errc::malformed, "the counter is at its end"},
};

std::string without(std::string text, std::string_view secret) {
    if (secret.empty()) return text;
    for (std::size_t at = 0; (at = text.find(secret, at)) != std::string::npos;) {
        text.replace(at, secret.size(), "***");
        at += 3;
    }
    return text;
}

/// Reads `count` replies; the first error among them is the error. An object so that its buffers
/// outlive the reads.
class Handshake {
 public:
    Handshake(net::Stream& stream, const RedisOptions& options)
        : stream_(stream), options_(options), reader_(kHandshakeBytesMax) {}

    Task<Result<>> run() {
        const RedisUrl& url = options_.url;
        std::size_t expected = 1;
        if (!url.password.empty()) {
            if (url.user.empty()) append_command(commands_, {"AUTH", url.password});
            if (!url.user.empty()) append_command(commands_, {"AUTH", url.user, url.password});
            ++expected;
        }
        if (url.database != 0) {
            append_command(commands_, {"SELECT", std::to_string(url.database)});
            ++expected;
        }
        append_command(commands_, {"PING"});
        if (const auto sent = co_await stream_.write(as_bytes(commands_)); !sent) {
            co_return sent.error();
        }
        while (expected > 0) {
            auto reply = reader_.next();
            if (!reply) co_return reply.error();
            if (const std::optional<Reply> got = std::move(*reply); got) {
                --expected;
                if (got->kind == Reply::Kind::error) {
                    co_return error_of_reply(got->text, url.password);
                }
                continue;
            }
            const auto size = co_await stream_.read_some(buffer_);
            if (!size) co_return size.error();
            if (*size == 0) co_return fail(errc::closed, "the server closed the connection");
            reader_.feed(std::span(buffer_).first(*size));
        }
        co_return Result<>();
    }

 private:
    net::Stream& stream_;
    const RedisOptions& options_;
    ReplyReader reader_;
    std::string commands_;
    std::array<std::byte, 4096> buffer_{};
};

/// The resumption of a suspended coroutine, whatever its type. (asio::any_completion_handler
/// of 1.81 copies itself without end when it is moved inside a lambda.)
class Resumption {
 public:
    virtual ~Resumption() = default;
    virtual void run() = 0;
};

template <class Handler>
class ResumptionOf final : public Resumption {
 public:
    explicit ResumptionOf(Handler handler) : handler_(std::move(handler)) {}
    void run() override { std::move(handler_)(); }

 private:
    Handler handler_;
};

Task<Result<std::unique_ptr<net::Stream>>> dial_and_greet(
    net::Context context, RedisOptions options
) {
    auto stream = co_await context.network.dial(context.loop, options.url.address);
    if (!stream) co_return stream.error();
    Handshake handshake(**stream, options);
    const auto greeted = co_await handshake.run();
    if (!greeted) {
        (*stream)->close();
        co_return greeted.error();
    }
    co_return std::move(*stream);
}

}  // namespace

std::string_view to_string(RedisFailure failure) noexcept {
    switch (failure) {
        case RedisFailure::connect:
            return "connect";
        case RedisFailure::refused:
            return "refused";
        case RedisFailure::timeout:
            return "timeout";
        case RedisFailure::lost:
            return "lost";
        case RedisFailure::protocol:
            return "protocol";
        case RedisFailure::reply:
            return "reply";
        case RedisFailure::limit:
            return "limit";
    }
    return "unknown";
}

Error error_of_reply(std::string_view text, std::string_view password) {
    const std::string quoted = quote_peer_text(without(std::string(text), password));
    // Before Redis 7 the error of a command inside a script stands somewhere in the script's error.
    const bool of_script = text.starts_with("ERR Error running script");
    for (const Meaning& meaning : kMeanings) {
        const auto at = text.find(meaning.prefix);
        if (at != 0 && (!of_script || at == std::string_view::npos)) continue;
        return fail(meaning.code, fmt::format("{} (it said {})", meaning.sentence, quoted));
    }
    return fail(errc::unavailable, fmt::format("Redis answered with the error {}", quoted));
}

Task<Result<std::unique_ptr<net::Stream>>> connect_redis(
    net::Context context, RedisOptions options
) {
    const auto timeout = options.connect_timeout;
    const SteadyTime deadline = context.clock.now() + timeout;
    auto stream = co_await net::with_deadline(
        context.clock, deadline, dial_and_greet(context, std::move(options))
    );
    if (!stream && stream.error() == make_error_code(errc::timed_out)) {
        co_return fail(
            errc::timed_out, fmt::format("no answer within {}", format_duration(timeout))
        );
    }
    co_return stream;
}

/// A command under way and the coroutine that waits for it.
struct RedisConnection::Command {
    explicit Command(Executor loop_in) : loop(std::move(loop_in)) {}

    /// Returns once there is an outcome, or when the caller is cancelled. This object must live as
    /// long: the caller holds it.
    Task<> wait() {
        if (outcome) co_return;
        co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
            [this](auto handler) {
                slot = asio::get_associated_cancellation_slot(handler);
                if (slot.is_connected()) {
                    slot.assign([this](asio::cancellation_type) { resume(); });
                }
                waiter = std::make_unique<ResumptionOf<decltype(handler)>>(std::move(handler));
            },
            asio::use_awaitable
        );
    }

    void finish(Result<Reply> with) {
        outcome.emplace(std::move(with));
        resume();
    }

    void resume() {
        if (!waiter) return;
        asio::post(loop, [waiting = std::move(waiter), from = slot]() mutable {
            if (from.is_connected()) from.clear();
            waiting->run();
        });
    }

    Executor loop;
    std::size_t replies_left = 1;
    SteadyTime deadline;
    std::optional<Error> first_error;
    std::optional<Result<Reply>> outcome;
    std::unique_ptr<Resumption> waiter;
    asio::cancellation_slot slot;
};

/// One connection while it lives. Three coroutines work on it; `run` waits until all have ended.
struct RedisConnection::Link {
    Link(std::unique_ptr<net::Stream> stream_in, std::size_t reply_bytes_max)
        : stream(std::move(stream_in)), reader(reply_bytes_max), buffer(kReadBytes) {}

    std::unique_ptr<net::Stream> stream;
    ReplyReader reader;
    std::vector<std::byte> buffer;
    std::string writing;
    bool broken = false;
    unsigned running = 0;
};

RedisConnection::RedisConnection(const net::Context& context, RedisOptions options)
    : context_(context),
      options_(std::move(options)),
      to_write_(context_.loop),
      ended_(context_.loop),
      deadline_timer_(context_.loop, context_.clock),
      backoff_timer_(context_.loop, context_.clock),
      drain_timer_(context_.loop, context_.clock),
      sent_(context_.metrics.counter("store_redis_commands_total", "Calls sent to Redis")),
      reconnects_(context_.metrics.counter(
          "store_redis_reconnects_total", "Connections to Redis made after the first"
      )),
      pending_(context_.metrics.gauge(
          "store_redis_pending", "Calls to Redis under way or waiting to be sent"
      )),
      scope_(context_.loop) {
    scope_.spawn("redis", [this] { return run(); });
}

Task<Result<Reply>> RedisConnection::call(std::string commands, std::size_t replies) {
    if (closing_) co_return fail(errc::closed, "the store is closed");
    if (state_ == State::down) co_return unavailable(last_error_);
    if (commands_.size() >= options_.pending_max ||
        outgoing_.size() + commands.size() > options_.outgoing_bytes_max) {
        count(RedisFailure::limit);
        co_return fail(
            errc::limit_reached,
            fmt::format(
                "{} calls and {} bytes wait for Redis already", commands_.size(), outgoing_.size()
            )
        );
    }
    const auto command = std::make_shared<Command>(context_.loop);
    command->replies_left = replies;
    command->deadline = context_.clock.now() + options_.command_timeout;
    commands_.push_back(command);
    if (outgoing_.empty()) to_write_.notify();
    outgoing_ += commands;
    sent_.add();
    pending_.set(static_cast<double>(commands_.size()));

    co_await command->wait();
    // Cancelled: its place in the order stays, so that its reply is not taken for another's.
    auto outcome = std::move(command->outcome);
    if (!outcome) co_return fail(errc::cancelled, "the call to Redis was cancelled");
    co_return std::move(*outcome);
}

Task<Result<>> RedisConnection::close(SteadyTime deadline) {
    closing_ = true;
    while (!commands_.empty() && state_ != State::down && context_.clock.now() < deadline) {
        co_await drain_timer_.wait_until(deadline);
    }
    // All that runs waits for the network or a timer and ends as soon as it is asked to.
    const SteadyTime patience = std::max(deadline, context_.clock.now() + kEndingTime);
    const auto late = co_await scope_.close(context_.clock, patience, patience);
    state_ = State::closed;
    fail_all(fail(errc::closed, "the store is closed"));
    if (late.empty()) co_return Result<>();
    co_return fail(errc::timed_out, fmt::format("still running: {}", fmt::join(late, ", ")));
}

Task<> RedisConnection::run() {
    bool connected_before = false;
    unsigned failures = 0;
    for (;;) {
        auto stream = co_await connect_redis(context_, options_);
        if (stream) {
            if (connected_before) reconnects_.add();
            connected_before = true;
            log::info(context_.logger, "redis.connected", log::kv("url", options_.url.to_string()));
            const SteadyTime since = context_.clock.now();
            co_await serve(std::move(*stream));
            // A server that accepts and goes at once is tried less and less often, too.
            if (context_.clock.now() - since >= options_.reconnect_max) failures = 0;
        } else {
            const ErrorCode code = stream.error().code();
            const bool refused = code == errc::forbidden || code == errc::unsupported;
            count(refused ? RedisFailure::refused : RedisFailure::connect);
            if (failures == 0) {
                log::warn(
                    context_.logger,
                    "redis.unavailable",
                    log::kv("url", options_.url.to_string()),
                    log::kv("error", stream.error().message())
                );
            }
            last_error_ = stream.error();
            state_ = State::down;
            fail_all(unavailable(last_error_));
        }
        co_await backoff_timer_.wait_for(backoff(failures));
        ++failures;
    }
}

/// Works on the connection until it breaks and everything that used it has ended.
Task<> RedisConnection::serve(std::unique_ptr<net::Stream> stream) {
    const auto link = std::make_shared<Link>(std::move(stream), options_.reply_bytes_max);
    link->running = 3;
    state_ = State::up;
    // Calls that waited for the first connection: their time begins now.
    for (const auto& command : commands_) {
        command->deadline = context_.clock.now() + options_.command_timeout;
    }
    scope_.spawn("redis.write", [this, link] { return write_loop(link); });
    scope_.spawn("redis.read", [this, link] { return read_loop(link); });
    scope_.spawn("redis.deadlines", [this, link] { return deadline_loop(link); });
    while (link->running > 0)
        co_await ended_.wait();
}

/// The connection is of no use any more; nothing sent on it will be answered.
void RedisConnection::end(Link& link, RedisFailure failure, const Error& why) {
    if (!link.broken) {
        link.broken = true;
        link.stream->close();
        to_write_.notify();
        deadline_timer_.cancel();
        // Cancelled by close, which fails what is left by itself.
        if (!scope_.closing()) lost(failure, why);
    }
    --link.running;
    ended_.notify();
}

void RedisConnection::lost(RedisFailure failure, const Error& why) {
    state_ = State::down;
    last_error_ = why;
    count(failure);
    log::warn(
        context_.logger,
        "redis.lost",
        log::kv("url", options_.url.to_string()),
        log::kv("error", why.message()),
        log::kv("pending", commands_.size())
    );
    fail_all(unavailable(why));
}

Task<> RedisConnection::write_loop(std::shared_ptr<Link> link) {
    while (!link->broken) {
        if (outgoing_.empty()) {
            co_await to_write_.wait();
            continue;
        }
        link->writing.clear();
        std::swap(link->writing, outgoing_);
        const auto written = co_await link->stream->write(as_bytes(link->writing));
        if (!written) {
            end(*link, RedisFailure::lost, written.error());
            co_return;
        }
    }
    end(*link, RedisFailure::lost, {});
}

Task<> RedisConnection::read_loop(std::shared_ptr<Link> link) {
    for (;;) {
        const auto size = co_await link->stream->read_some(link->buffer);
        if (!size || *size == 0) {
            const Error why =
                size ? fail(errc::closed, "the server closed the connection") : size.error();
            end(*link, RedisFailure::lost, why);
            co_return;
        }
        link->reader.feed(std::span(link->buffer).first(*size));
        if (const auto taken = take_replies(*link); !taken) {
            end(*link, RedisFailure::protocol, taken.error());
            co_return;
        }
    }
}

Result<> RedisConnection::take_replies(Link& link) {
    for (;;) {
        auto reply = link.reader.next();
        if (!reply) return reply.error();
        std::optional<Reply> got = std::move(*reply);
        if (!got) return {};
        if (commands_.empty()) return fail(errc::malformed, "a reply that nothing asked for");
        take_reply(std::move(*got));
    }
}

void RedisConnection::take_reply(Reply reply) {
    const std::shared_ptr<Command> command = commands_.front();
    if (reply.kind == Reply::Kind::error && !command->first_error) {
        count(RedisFailure::reply);
        command->first_error = error_of_reply(reply.text, options_.url.password);
    }
    if (--command->replies_left > 0) return;
    commands_.pop_front();
    pending_.set(static_cast<double>(commands_.size()));
    if (auto failed = std::move(command->first_error); failed) {
        command->finish(std::move(*failed));
    } else {
        command->finish(std::move(reply));
    }
    if (commands_.empty() && closing_) drain_timer_.cancel();
}

/// Deadlines rise with the order of the commands: only the first can be the next to pass, and one
/// timer serves all. It is armed about once per command_timeout, however many commands there are.
Task<> RedisConnection::deadline_loop(std::shared_ptr<Link> link) {
    while (!link->broken) {
        const SteadyTime now = context_.clock.now();
        SteadyTime next = now + options_.command_timeout;
        if (!commands_.empty()) {
            next = commands_.front()->deadline;
            if (next <= now) {
                const auto why = fail(
                    errc::timed_out,
                    fmt::format("no reply within {}", format_duration(options_.command_timeout))
                );
                end(*link, RedisFailure::timeout, why);
                co_return;
            }
        }
        co_await deadline_timer_.wait_until(next);
    }
    end(*link, RedisFailure::lost, {});
}

void RedisConnection::fail_all(const Error& error) {
    outgoing_.clear();
    // What resumes runs later, from the loop: nobody queues a new command meanwhile.
    for (const auto& command : commands_)
        command->finish(error);
    commands_.clear();
    pending_.set(0);
    if (closing_) drain_timer_.cancel();
}

/// Doubles from reconnect_min to reconnect_max; the upper half of it is random, so that many
/// processes do not come back at the same moment.
Duration RedisConnection::backoff(unsigned failures) {
    const Duration doubled =
        options_.reconnect_min * (1U << std::min(failures, kBackoffDoublingsMax));
    const Duration whole = std::min<Duration>(doubled, options_.reconnect_max);
    const double part = 0.5 + 0.5 * context_.random.next_unit();
    return std::chrono::duration_cast<Duration>(whole * part);
}

Error RedisConnection::unavailable(const Error& why) const {
    return fail(
        errc::unavailable, fmt::format("redis {}: {}", options_.url.to_string(), why.message())
    );
}

void RedisConnection::count(RedisFailure failure) {
    context_.metrics
        .counter(
            "store_redis_errors_total",
            "Calls that failed and connections that broke",
            {{"reason", std::string(to_string(failure))}}
        )
        .add();
}

}  // namespace skywire::store
