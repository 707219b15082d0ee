#pragma once

#include "net/context.hpp"
#include "store/memory.hpp"
#include "store/table.hpp"

#include <string>
#include <utility>

namespace skywire::store {

/// The calls of a Store answered from a Table: what the memory store and the snapshot share. None
/// of them suspends.
///
/// `subject` names the store at the fault point "store".
template <class Interface>
class TableStore : public Interface {
 public:
    TableStore(const net::Context& context, MemoryLimits limits, std::string subject)
        : context_(context),
          subject_(std::move(subject)),
          table_(limits.entries_max, context_.random.next_u64()) {}

    Task<Result<std::optional<std::string>>> get(std::string key) override {
        if (const auto ready = check(); !ready) co_return ready.error();
        co_return value_of(key);
    }

    Task<Result<std::vector<std::optional<std::string>>>> get_many(std::vector<std::string> keys
    ) override {
        if (const auto ready = check(); !ready) co_return ready.error();
        std::vector<std::optional<std::string>> values;
        values.reserve(keys.size());
        for (const std::string& key : keys) {
            // A set among the keys is no value, and no error here: as MGET has it.
            auto value = value_of(key);
            values.push_back(value ? std::move(*value) : std::nullopt);
        }
        co_return values;
    }

    Task<Result<bool>> apply(Batch batch) override {
        if (const auto ready = check(); !ready) co_return ready.error();
        co_return table_.apply(batch, context_.clock.now());
    }

    Task<Result<std::vector<std::string>>> members(std::string key) override {
        if (const auto ready = check(); !ready) co_return ready.error();
        const auto set = table_.members(key, context_.clock.now());
        if (!set) co_return set.error();
        if (*set == nullptr) co_return std::vector<std::string>();
        co_return (*set)->members();
    }

    Task<Result<std::vector<std::string>>> sample(std::string key, std::size_t count) override {
        if (const auto ready = check(); !ready) co_return ready.error();
        co_return table_.sample(key, count, context_.clock.now());
    }

    Task<Result<std::uint64_t>> count(std::string key) override {
        if (const auto ready = check(); !ready) co_return ready.error();
        const auto set = table_.members(key, context_.clock.now());
        if (!set) co_return set.error();
        co_return *set == nullptr ? 0 : (*set)->members().size();
    }

    Task<Result<std::uint64_t>> increment(std::string key) override {
        if (const auto ready = check(); !ready) co_return ready.error();
        co_return table_.increment(key, context_.clock.now());
    }

    Task<Result<>> ping() override { co_return check(); }

 protected:
    Result<> check() {
        if (closed_) return fail(errc::closed, "the store is closed");
        return context_.faults.check("store", subject_);
    }

    net::Context context_;
    std::string subject_;
    Table table_;
    bool closed_ = false;

 private:
    Result<std::optional<std::string>> value_of(const std::string& key) {
        const auto value = table_.get(key, context_.clock.now());
        if (!value) return value.error();
        if (*value == nullptr) return std::optional<std::string>();
        return std::optional<std::string>(**value);
    }
};

}  // namespace skywire::store
