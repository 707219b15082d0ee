#include "rpc/message.hpp"

#include "gob/reader.hpp"
#include "gob/writer.hpp"
#include "rpc/error.hpp"

namespace skywire::gob {

template <>
struct Reads<rpc::Request> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, rpc::Request& into) {
        StructReader in(value);
        in.field("ServiceMethod", into.method);
        in.field("Seq", into.seq);
        return in.finish();
    }
};

template <>
struct Reads<rpc::Response> {
    static constexpr Kind kKind = Kind::structure;
    static Result<> read(const Value& value, rpc::Response& into) {
        StructReader in(value);
        in.field("ServiceMethod", into.method);
        in.field("Seq", into.seq);
        in.field("Error", into.error);
        return in.finish();
    }
};

}  // namespace skywire::gob

namespace skywire::rpc {
namespace {

constexpr gob::TypeId kRequest = 64;
constexpr gob::TypeId kResponse = 65;

gob::Type structure(std::string name, std::vector<gob::Field> fields) {
    gob::Type type;
    type.name = std::move(name);
    type.fields = std::move(fields);
    return type;
}

const Types& header_types() {
    static const Types types{
        {kRequest, structure("Request", {{"ServiceMethod", gob::kString}, {"Seq", gob::kUint}})},
        {kResponse,
         structure(
             "Response",
             {{"ServiceMethod", gob::kString}, {"Seq", gob::kUint}, {"Error", gob::kString}}
         )},
    };
    return types;
}

const gob::Type* type_of(const Types& types, gob::TypeId id) {
    const auto found = types.find(id);
    return found == types.end() ? nullptr : &found->second;
}

}  // namespace

const Types& built_in_types() {
    static const Types none;
    return none;
}

void Writes<bool>::write(Bytes& out, bool value) {
    gob::write_bool(out, value);
}

void Writes<std::uint64_t>::write(Bytes& out, std::uint64_t value) {
    gob::write_uint(out, value);
}

const Types& Writes<Nothing>::types() {
    static const Types types{{kType, structure("", {})}};
    return types;
}

void Writes<Nothing>::write(Bytes& out, const Nothing&) {
    gob::StructWriter(out).finish();
}

void Outgoing::append(Bytes& out, const Request& header, const Body& body) {
    Body head{kRequest, &header_types(), {}};
    gob::StructWriter fields(head.bytes);
    fields.text_field(0, header.method);
    fields.uint_field(1, header.seq);
    fields.finish();
    append(out, head);
    append(out, body);
}

void Outgoing::append(Bytes& out, const Response& header, const Body& body) {
    Body head{kResponse, &header_types(), {}};
    gob::StructWriter fields(head.bytes);
    fields.text_field(0, header.method);
    fields.uint_field(1, header.seq);
    fields.text_field(2, header.error);
    fields.finish();
    append(out, head);
    append(out, body);
}

void Outgoing::append(Bytes& out, const Body& body) {
    define(out, *body.types, body.type);
    const gob::Type* const type = type_of(*body.types, body.type);
    const bool single = type == nullptr || type->kind != gob::Kind::structure;
    gob::write_value(out, body.type, body.bytes, single);
}

/// A type stands before those it is made of, and those in the order in which it names them.
void Outgoing::define(Bytes& out, const Types& types, gob::TypeId id) {
    const gob::Type* const type = type_of(types, id);
    if (type == nullptr || !defined_.insert(id).second) return;
    gob::write_definition(out, id, *type);
    for (const gob::Field& field : type->fields)
        define(out, types, field.type);
    define(out, types, type->key);
    define(out, types, type->element);
}

template <class Header>
Result<std::optional<typename Incoming<Header>::Message>> Incoming<Header>::next(ByteSpan& input) {
    if (!header_) {
        const auto taken = decoder_.next(input);
        if (!taken) return taken.error();
        const std::optional<gob::Value>& value = *taken;
        if (!value) return std::optional<Message>();
        Header header;
        if (const auto read = gob::read(*value, header); !read) return read.error();
        if (header.method.size() > kMethodBytesMax) return Error(errc::name_too_long);
        header_ = std::move(header);
    }
    const auto taken = decoder_.next(input);
    if (!taken) return taken.error();
    const std::optional<gob::Value>& value = *taken;
    if (!value) return std::optional<Message>();
    std::optional<Message> message(Message{std::move(*header_), *value});
    header_.reset();
    return message;
}

template class Incoming<Request>;
template class Incoming<Response>;

}  // namespace skywire::rpc
