#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "gob/type.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace skywire::gob {

namespace detail {
class Cursor;
}

/// One value of a message that a Decoder has walked over once: its inner lengths are known to fit,
/// and no walk costs more than its size. A view: good as long as the message's bytes and the
/// Decoder.
///
/// Accessors of one kind asked of a value of another are errc::wrong_kind. For structs there is
/// StructReader (reader.hpp).
class Value {
 public:
    Kind kind() const noexcept { return type_->kind; }
    const Type& type() const noexcept { return *type_; }

    Result<bool> as_bool() const;
    Result<std::int64_t> as_int() const;
    Result<std::uint64_t> as_uint() const;
    Result<double> as_float() const;
    Result<std::string_view> as_text() const;
    Result<ByteSpan> as_bytes() const;
    /// What the type's own encoder made.
    Result<ByteSpan> as_opaque() const;

    /// The elements of an array or slice, one after another.
    class Elements {
     public:
        /// How many are still to come.
        std::size_t left() const noexcept { return left_; }
        /// Nothing at the end.
        std::optional<Value> next();

     private:
        friend class Value;
        const TypeTable* types_ = nullptr;
        const Type* element_ = nullptr;
        std::size_t left_ = 0;
        ByteSpan rest_;
    };
    Result<Elements> elements() const;

    /// The entries of a map.
    struct Entry;
    class Entries {
     public:
        std::size_t left() const noexcept { return left_; }
        std::optional<Entry> next();

     private:
        friend class Value;
        const TypeTable* types_ = nullptr;
        const Type* key_ = nullptr;
        const Type* element_ = nullptr;
        std::size_t left_ = 0;
        ByteSpan rest_;
    };
    Result<Entries> entries() const;

    /// The fields of a struct that are set; zero ones are not sent.
    struct Member;
    class Members {
     public:
        std::optional<Member> next();

     private:
        friend class Value;
        const TypeTable* types_ = nullptr;
        const Type* type_ = nullptr;
        std::size_t next_index_ = 0;
        ByteSpan rest_;
    };
    Result<Members> members() const;

    /// The type of a number in this value's stream; null where nothing describes it.
    const Type* type_of(TypeId id) const noexcept { return types_->find(id); }

 private:
    friend class Decoder;

    Value(const TypeTable& types, const Type& type, ByteSpan bytes) noexcept
        : types_(&types), type_(&type), bytes_(bytes) {}

    static Value take(const TypeTable& types, const Type& type, ByteSpan& rest);
    [[nodiscard]] Result<> demand(Kind kind) const;
    std::uint64_t number() const;
    ByteSpan counted() const;

    const TypeTable* types_;
    const Type* type_;
    ByteSpan bytes_;
};

struct Value::Entry {
    Value key;
    Value element;
};

struct Value::Member {
    std::size_t index;
    Value value;
};

/// An Error that says which kind was found.
Error wrong_kind(Kind expected, Kind found);

}  // namespace skywire::gob
