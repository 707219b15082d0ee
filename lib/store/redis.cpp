#include "store/redis.hpp"

#include "store/redis_connection.hpp"

#include <limits>

#include <fmt/format.h>

namespace skywire::store {
namespace {

/// KEYS: those of the expectations, then those of the changes. ARGV: how many expectations; for
/// each
/// "=" and its value or "-" and ""; for each change its letter, its text and its lifetime in ms
/// ("0": none). Redis does not undo what a script has done when a later line fails: the kinds of
/// the keys are checked first, with what the batch itself changes.
constexpr std::string_view kScript = R"(
local expected = tonumber(ARGV[1])
for i = 1, expected do
  local value = redis.call('GET', KEYS[i])
  if ARGV[2 * i] == '=' then
    if value ~= ARGV[2 * i + 1] then return 0 end
  elseif value then
    return 0
  end
end
local kinds = {}
local first = 2 * expected + 2
for i = expected + 1, #KEYS do
  local op = ARGV[first + 3 * (i - expected - 1)]
  local key = KEYS[i]
  if op == 'S' then
    kinds[key] = 'string'
  elseif op == 'D' then
    kinds[key] = 'none'
  else
    local kind = kinds[key] or redis.call('TYPE', key).ok
    if kind ~= 'set' and kind ~= 'none' then
      return redis.error_reply('WRONGTYPE Operation against a key holding the wrong kind of value')
    end
    if op == 'A' then kind = 'set' end
    kinds[key] = kind
  end
end
for i = expected + 1, #KEYS do
  local at = first + 3 * (i - expected - 1)
  local op, text, ttl = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if op == 'S' then
    if ttl == '0' then
      redis.call('SET', KEYS[i], text)
    else
      redis.call('SET', KEYS[i], text, 'PX', ttl)
    end
  elseif op == 'D' then
    redis.call('DEL', KEYS[i])
  elseif op == 'A' then
    redis.call('SADD', KEYS[i], text)
  else
    redis.call('SREM', KEYS[i], text)
  end
end
return 1
)";

/// Whole milliseconds, rounded up: a lifetime never becomes none.
std::string milliseconds(Duration ttl) {
    return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(ttl).count());
}

void append(std::string& out, const SetValue& change) {
    if (change.ttl == Duration(0)) {
        append_command(out, {"SET", change.key, change.value});
    } else {
        append_command(out, {"SET", change.key, change.value, "PX", milliseconds(change.ttl)});
    }
}
void append(std::string& out, const Erase& change) {
    append_command(out, {"DEL", change.key});
}
void append(std::string& out, const AddToSet& change) {
    append_command(out, {"SADD", change.key, change.member});
}
void append(std::string& out, const RemoveFromSet& change) {
    append_command(out, {"SREM", change.key, change.member});
}

/// One change in the words of kScript.
struct ScriptWords {
    std::string_view key;
    std::string_view letter;
    std::string_view text;
    std::string ttl = "0";
};
ScriptWords script_words(const Change& change) {
    if (const auto* set = std::get_if<SetValue>(&change)) {
        return {set->key, "S", set->value, milliseconds(set->ttl)};
    }
    if (const auto* add = std::get_if<AddToSet>(&change)) return {add->key, "A", add->member};
    if (const auto* removed = std::get_if<RemoveFromSet>(&change)) {
        return {removed->key, "R", removed->member};
    }
    return {std::get<Erase>(change).key, "D", {}};
}

std::string script_command(const Batch& batch) {
    std::vector<ScriptWords> changes;
    changes.reserve(batch.changes.size());
    for (const Change& change : batch.changes)
        changes.push_back(script_words(change));

    const std::string keys = std::to_string(batch.expected.size() + changes.size());
    const std::string expected = std::to_string(batch.expected.size());
    std::vector<std::string_view> words{"EVAL", kScript, keys};
    for (const Expectation& one : batch.expected)
        words.push_back(one.key);
    for (const ScriptWords& change : changes)
        words.push_back(change.key);
    words.push_back(expected);
    for (const Expectation& one : batch.expected) {
        words.push_back(one.value ? "=" : "-");
        words.push_back(one.value ? std::string_view(*one.value) : std::string_view());
    }
    for (const ScriptWords& change : changes) {
        words.insert(words.end(), {change.letter, change.text, change.ttl});
    }
    std::string out;
    append_command(out, words);
    return out;
}

Error unexpected(std::string_view command) {
    return fail(
        errc::malformed, fmt::format("redis: {} got a reply of an unexpected type", command)
    );
}

Result<std::optional<std::string>> value_of(Reply& reply, std::string_view command) {
    if (reply.kind == Reply::Kind::nil) return std::optional<std::string>();
    if (reply.kind != Reply::Kind::string) return unexpected(command);
    return std::optional<std::string>(std::move(reply.text));
}

Result<std::vector<std::string>> strings_of(Reply& reply, std::string_view command) {
    if (reply.kind != Reply::Kind::array) return unexpected(command);
    std::vector<std::string> strings;
    strings.reserve(reply.elements.size());
    for (Reply& element : reply.elements) {
        if (element.kind != Reply::Kind::string) return unexpected(command);
        strings.push_back(std::move(element.text));
    }
    return strings;
}

Result<std::uint64_t> number_of(const Reply& reply, std::string_view command) {
    if (reply.kind != Reply::Kind::integer) return unexpected(command);
    if (reply.integer < 0) {
        return fail(errc::malformed, fmt::format("redis: {} gave a number below 0", command));
    }
    return static_cast<std::uint64_t>(reply.integer);
}

class RedisStore final : public Store {
 public:
    RedisStore(const net::Context& context, const RedisOptions& options)
        : faults_(context.faults),
          subject_(options.url.address.to_string()),
          password_(options.url.password),
          connection_(context, options) {}

    Task<Result<std::optional<std::string>>> get(std::string key) override {
        auto reply = co_await ask({"GET", key});
        if (!reply) co_return reply.error();
        co_return value_of(*reply, "GET");
    }

    Task<Result<std::vector<std::optional<std::string>>>> get_many(std::vector<std::string> keys
    ) override {
        if (keys.empty()) {
            if (const auto ready = check(); !ready) co_return ready.error();
            co_return std::vector<std::optional<std::string>>();
        }
        std::vector<std::string_view> words{"MGET"};
        words.insert(words.end(), keys.begin(), keys.end());
        auto reply = co_await ask(std::move(words));
        if (!reply) co_return reply.error();
        if (reply->kind != Reply::Kind::array || reply->elements.size() != keys.size()) {
            co_return unexpected("MGET");
        }
        std::vector<std::optional<std::string>> values;
        values.reserve(keys.size());
        for (Reply& element : reply->elements) {
            auto value = value_of(element, "MGET");
            if (!value) co_return value.error();
            values.push_back(std::move(*value));
        }
        co_return values;
    }

    Task<Result<bool>> apply(Batch batch) override {
        for (const Change& change : batch.changes) {
            const auto* set = std::get_if<SetValue>(&change);
            if (set != nullptr && set->ttl < Duration(0)) {
                co_return fail(errc::out_of_range, "a lifetime must not be negative");
            }
        }
        if (const auto ready = check(); !ready) co_return ready.error();
        if (!batch.expected.empty()) co_return co_await apply_script(std::move(batch));
        if (batch.changes.empty()) co_return true;
        co_return co_await apply_transaction(std::move(batch));
    }

    Task<Result<std::vector<std::string>>> members(std::string key) override {
        auto reply = co_await ask({"SMEMBERS", key});
        if (!reply) co_return reply.error();
        co_return strings_of(*reply, "SMEMBERS");
    }

    Task<Result<std::vector<std::string>>> sample(std::string key, std::size_t count) override {
        // A count below zero would mean: with repetitions.
        constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
        const std::string number = std::to_string(std::min(count, kMost));
        auto reply = co_await ask({"SRANDMEMBER", key, number});
        if (!reply) co_return reply.error();
        co_return strings_of(*reply, "SRANDMEMBER");
    }

    Task<Result<std::uint64_t>> count(std::string key) override {
        const auto reply = co_await ask({"SCARD", key});
        if (!reply) co_return reply.error();
        co_return number_of(*reply, "SCARD");
    }

    Task<Result<std::uint64_t>> increment(std::string key) override {
        const auto reply = co_await ask({"INCR", key});
        if (!reply) co_return reply.error();
        co_return number_of(*reply, "INCR");
    }

    Task<Result<>> ping() override {
        const auto reply = co_await ask({"PING"});
        if (!reply) co_return reply.error();
        if (reply->kind != Reply::Kind::status) co_return unexpected("PING");
        co_return Result<>();
    }

    std::string_view kind() const noexcept override { return "redis"; }

    Task<Result<>> close(SteadyTime deadline) override { return connection_.close(deadline); }

 private:
    Result<> check() { return faults_.check("store", subject_); }

    /// One command with one reply. The words are copied before anything suspends.
    Task<Result<Reply>> ask(std::vector<std::string_view> words) {
        if (const auto ready = check(); !ready) co_return ready.error();
        std::string command;
        append_command(command, words);
        co_return co_await connection_.call(std::move(command), 1);
    }

    Task<Result<bool>> apply_script(Batch batch) {
        const auto reply = co_await connection_.call(script_command(batch), 1);
        if (!reply) co_return reply.error();
        if (reply->kind != Reply::Kind::integer) co_return unexpected("EVAL");
        co_return reply->integer == 1;
    }

    Task<Result<bool>> apply_transaction(Batch batch) {
        const std::size_t changes = batch.changes.size();
        const bool several = changes > 1;
        std::string commands;
        if (several) append_command(commands, {"MULTI"});
        for (const Change& change : batch.changes) {
            std::visit([&](const auto& one) { append(commands, one); }, change);
        }
        if (several) append_command(commands, {"EXEC"});
        const auto reply =
            co_await connection_.call(std::move(commands), several ? changes + 2 : 1);
        if (!reply) co_return reply.error();
        if (!several) co_return true;
        if (reply->kind != Reply::Kind::array || reply->elements.size() != changes) {
            co_return unexpected("EXEC");
        }
        for (const Reply& element : reply->elements) {
            if (element.kind == Reply::Kind::error) {
                co_return error_of_reply(element.text, password_);
            }
        }
        co_return true;
    }

    Faults& faults_;
    std::string subject_;
    std::string password_;
    RedisConnection connection_;
};

}  // namespace

std::unique_ptr<Store> make_redis_store(const net::Context& context, RedisOptions options) {
    return std::make_unique<RedisStore>(context, options);
}

Task<Result<>> probe_redis(net::Context context, RedisOptions options) {
    const std::string url = options.url.to_string();
    auto stream = co_await connect_redis(context, std::move(options));
    if (!stream) {
        co_return fail(
            errc::unavailable, fmt::format("redis {}: {}", url, stream.error().message())
        );
    }
    (*stream)->close();
    co_return Result<>();
}

}  // namespace skywire::store
