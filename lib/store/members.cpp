#include "store/members.hpp"

#include "store/pieces.hpp"

#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

namespace skywire::store {

Task<Result<>> read_members(Store& store, std::string set, KeyOfMember key_of, TakeMember take) {
    auto members = co_await store.members(std::move(set));
    if (!members) co_return members.error();
    bool first = true;
    for (std::vector<std::string>& piece : pieces(std::move(*members))) {
        // A memory store answers without a wait.
        if (!std::exchange(first, false))
            co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
        std::vector<std::string> keys;
        keys.reserve(piece.size());
        for (const std::string& member : piece)
            keys.push_back(key_of(member));
        auto values = co_await store.get_many(std::move(keys));
        if (!values) co_return values.error();
        for (std::size_t i = 0; i < piece.size(); ++i)
            take(std::move(piece[i]), std::move((*values)[i]));
    }
    co_return Result<>();
}

Task<Result<std::size_t>> sweep_members(Store& store, std::string set, KeyOfMember key_of) {
    std::size_t left = 0;
    std::vector<std::string> absent;
    const auto read = co_await read_members(
        store,
        set,
        key_of,
        [&](std::string member, const std::optional<std::string>& value) {
            if (value) {
                ++left;
            } else {
                absent.push_back(std::move(member));
            }
        }
    );
    if (!read) co_return read.error();
    for (std::string& member : absent) {
        Batch batch;
        batch.expected.push_back({key_of(member), std::nullopt});
        batch.changes.emplace_back(RemoveFromSet{set, std::move(member)});
        const auto applied = co_await store.apply(std::move(batch));
        if (!applied) co_return applied.error();
    }
    co_return left;
}

}  // namespace skywire::store
