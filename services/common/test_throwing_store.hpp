#pragma once

#include "store/store.hpp"

#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace skywire::services {

/// A store in front of another one, of which a call may end as where there is no memory.
class ThrowingStore final : public store::Store {
 public:
    /// `inner` outlives it.
    explicit ThrowingStore(store::Store& inner) : inner_(inner) {}

    /// The call behind the next `calls` ones throws, and no other.
    void throw_after(std::size_t calls) { left_ = calls; }
    /// It has thrown.
    bool thrown() const noexcept { return !left_; }

    Task<Result<std::optional<std::string>>> get(std::string key) override {
        check();
        return inner_.get(std::move(key));
    }
    Task<Result<std::vector<std::optional<std::string>>>> get_many(std::vector<std::string> keys
    ) override {
        check();
        return inner_.get_many(std::move(keys));
    }
    Task<Result<bool>> apply(store::Batch batch) override {
        check();
        return inner_.apply(std::move(batch));
    }
    Task<Result<std::vector<std::string>>> members(std::string key) override {
        check();
        return inner_.members(std::move(key));
    }
    Task<Result<std::vector<std::string>>> sample(std::string key, std::size_t count) override {
        check();
        return inner_.sample(std::move(key), count);
    }
    Task<Result<std::uint64_t>> count(std::string key) override {
        check();
        return inner_.count(std::move(key));
    }
    Task<Result<std::uint64_t>> increment(std::string key) override {
        check();
        return inner_.increment(std::move(key));
    }
    Task<Result<>> ping() override {
        check();
        return inner_.ping();
    }
    std::string_view kind() const noexcept override { return inner_.kind(); }
    Task<Result<>> close(SteadyTime deadline) override { return inner_.close(deadline); }

 private:
    void check() {
        if (!left_) return;
        if (*left_ > 0) {
            --*left_;
            return;
        }
        left_.reset();
        throw std::bad_alloc();
    }

    store::Store& inner_;
    std::optional<std::size_t> left_;
};

}  // namespace skywire::services
