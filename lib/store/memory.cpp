#include "store/memory.hpp"

#include "store/table.hpp"
#include "store/table_store.hpp"

namespace skywire::store {
namespace {

class MemoryStore final : public TableStore<Store> {
 public:
    MemoryStore(const net::Context& context, MemoryLimits limits)
        : TableStore(context, limits, "memory") {}

    std::string_view kind() const noexcept override { return "memory"; }

    Task<Result<>> close(SteadyTime) override {
        closed_ = true;
        co_return Result<>();
    }
};

}  // namespace

std::unique_ptr<Store> make_memory_store(const net::Context& context, MemoryLimits limits) {
    return std::make_unique<MemoryStore>(context, limits);
}

}  // namespace skywire::store
