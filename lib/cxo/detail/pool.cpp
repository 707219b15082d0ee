#include "cxo/detail/pool.hpp"

#include <algorithm>
#include <new>

#include <sys/mman.h>

namespace skywire::cxo::detail {
namespace {

constexpr std::size_t kFirstBlock = std::size_t{2} << 10;
/// From here on straight from the system.
constexpr std::size_t kLargeBlock = std::size_t{64} << 10;
constexpr std::size_t kBlockMax = std::size_t{1} << 20;

}  // namespace

Pool::~Pool() = default;

void Pool::Unmap::operator()(std::byte* block) const noexcept {
    ::munmap(block, size);
}

bool Pool::is_ours(std::size_t size, std::size_t alignment) const noexcept {
    return !kHeapOnly && size == size_ && alignment <= alignof(Free);
}

void* Pool::do_allocate(std::size_t size, std::size_t alignment) {
    if (size_ == 0 && size >= sizeof(Free) && size % alignof(Free) == 0) size_ = size;
    if (!is_ours(size, alignment))
        return std::pmr::new_delete_resource()->allocate(size, alignment);
    if (free_ != nullptr) {
        Free* const place = free_;
        free_ = place->next;
        return place;
    }
    if (room_ < size) add_block();
    std::byte* const place = next_;
    next_ += size;
    room_ -= size;
    return place;
}

void Pool::do_deallocate(void* place, std::size_t size, std::size_t alignment) {
    if (!is_ours(size, alignment)) {
        std::pmr::new_delete_resource()->deallocate(place, size, alignment);
        return;
    }
    free_ = ::new (place) Free{free_};
}

void Pool::add_block() {
    const std::size_t size =
        std::clamp(2 * block_size_, std::max(kFirstBlock, size_), std::max(kBlockMax, size_));
    if (size < kLargeBlock) {
        small_.push_back(std::make_unique_for_overwrite<std::byte[]>(size));
        next_ = small_.back().get();
    } else {
        large_.reserve(large_.size() + 1);
        void* const block =
            ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED) throw std::bad_alloc();
        next_ = static_cast<std::byte*>(block);
        large_.push_back({next_, Unmap{size}});
    }
    block_size_ = room_ = size;
}

}  // namespace skywire::cxo::detail
