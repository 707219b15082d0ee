#pragma once

#include "mux/slice.hpp"
#include "noise/record.hpp"

#include <optional>
#include <span>

namespace skywire::dmsg::detail {

/// Opens the records of a stream out of the bytes that came, spec/dmsg.md section 3: straight into
/// the caller's buffer, from where they lie in memory that others share. Only a record that lies in
/// two pieces is put together first, and only a caller whose buffer is smaller than a record costs
/// one of our own. Nothing is held while nothing is there.
class FrameReader {
 public:
    explicit FrameReader(const noise::CipherKey& key) : opener_(key) {}

    void append(mux::ByteQueue bytes) { received_.append(std::move(bytes)); }

    /// As much plaintext as is there and fits; 0: more bytes are needed. The first error stays:
    /// noise::errc.
    [[nodiscard]] Result<std::size_t> read(std::span<std::byte> into);

    /// True where `read` has something to say: plaintext or an error.
    bool readable();

    /// The peer has ended: success between two records, errc::malformed inside of one. Only after
    /// `read` has answered 0.
    [[nodiscard]] Result<> end();

    /// Drops what was not read.
    void clear() noexcept;

 private:
    /// The size of the next record, once all of it lies in `received_`; empty ones are passed over.
    std::optional<std::size_t> next_record();
    Result<std::size_t> read_records(std::span<std::byte> into);
    /// Opens the record of that size at the front.
    Result<std::size_t> open_record(std::size_t size, std::span<std::byte> into);
    std::size_t read_held(std::span<std::byte> into);

    noise::RecordOpener opener_;
    mux::ByteQueue received_;
    /// Of the record that comes next, once its prefix is taken off `received_`.
    std::optional<std::size_t> length_;
    /// Plaintext that did not fit.
    Bytes held_;
    std::size_t held_from_ = 0;
    std::optional<Error> broken_;
};

}  // namespace skywire::dmsg::detail
