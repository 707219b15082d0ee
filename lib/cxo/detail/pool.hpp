#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <vector>

namespace skywire::cxo::detail {

/// Memory for the nodes of one container that is large for a moment. Between nodes on the heap lie
/// objects that stay, and what the nodes leave behind stays resident: 115 MB after 32 copies had
/// fetched 10,000 leaves each at once. This has blocks of its own, small ones from the heap at
/// first, then larger ones that go back to the system with it.
class Pool final : public std::pmr::memory_resource {
 public:
#if defined(__SANITIZE_ADDRESS__)
    static constexpr bool kHeapOnly = true;
#elif defined(__has_feature)
    /// The sanitizer sees the use of what was given back only on the heap.
    static constexpr bool kHeapOnly = __has_feature(address_sanitizer);
#else
    static constexpr bool kHeapOnly = false;
#endif

    Pool() = default;
    ~Pool() override;
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

 private:
    struct Free {
        Free* next = nullptr;
    };
    struct Unmap {
        std::size_t size = 0;
        void operator()(std::byte* block) const noexcept;
    };

    void* do_allocate(std::size_t size, std::size_t alignment) override;
    void do_deallocate(void* place, std::size_t size, std::size_t alignment) override;
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
        return this == &other;
    }
    bool is_ours(std::size_t size, std::size_t alignment) const noexcept;
    void add_block();

    /// Of a node, the only one that there is here; others are the heap's.
    std::size_t size_ = 0;
    /// Given back.
    Free* free_ = nullptr;
    /// The rest of the last block.
    std::byte* next_ = nullptr;
    std::size_t room_ = 0;
    std::size_t block_size_ = 0;
    std::vector<std::unique_ptr<std::byte[]>> small_;
    std::vector<std::unique_ptr<std::byte, Unmap>> large_;
};

}  // namespace skywire::cxo::detail
