#include "dmsg/stream_object.hpp"

#include "base/test.hpp"
#include "gob/error.hpp"
#include "gob/writer.hpp"

using namespace skywire;
using dmsg::Address;
using dmsg::Code;
using dmsg::Layout;
using dmsg::PeerAnnounce;
using dmsg::SignedObject;
using dmsg::StreamRequest;
using dmsg::StreamResponse;

namespace {

crypto::KeyPair alice() {
    return crypto::deterministic_key_pair("dmsg-spec-alice");
}
crypto::KeyPair bob() {
    return crypto::deterministic_key_pair("dmsg-spec-bob");
}

StreamRequest good_request() {
    StreamRequest request;
    request.timestamp = 1'700'000'000'123'456'789;
    request.source = {.pk = alice().public_key, .port = 49153};
    request.destination = {.pk = bob().public_key, .port = 80};
    request.noise_message = Bytes(49, std::byte{0xaa});
    return request;
}

SignedObject signed_request(const StreamRequest& request) {
    return SignedObject::sign(encode(request), alice().secret_key);
}

json::value find_case(std::string_view id) {
    const json::value file = test::vectors("dmsg/gob.json");
    for (const json::value& each : file.at("cases").as_array()) {
        if (test::text(each, "id") == id) return each;
    }
    throw std::runtime_error("no case " + std::string(id));
}

Bytes payload_of(std::string_view id) {
    return test::hex(test::text(find_case(id), "gob"));
}

Address address_in(const json::value& value) {
    return {
        .pk = crypto::PublicKey::from_text(test::text(value, "PK")).value(),
        .port = value.at("Port").to_number<std::uint16_t>()
    };
}

bool starts_with(std::string_view text, std::string_view prefix) {
    return text.substr(0, prefix.size()) == prefix;
}

Layout layout_of(const json::value& each) {
    return test::text(each, "vintage") == "2026" ? Layout::with_ip : Layout::basic;
}

/// Every signed object in a recorded session, once for each event.
std::vector<SignedObject> recorded_objects(const std::string& file_name) {
    const json::value file = test::vectors(file_name);
    std::vector<SignedObject> objects;
    for (const char* const leg : {"alice_leg", "bob_leg"}) {
        for (const json::value& event : file.at(leg).at("events").as_array()) {
            const auto* const object = event.as_object().if_contains("object");
            if (object == nullptr) continue;
            auto read = SignedObject::from_bytes(test::hex(test::text(*object, "plaintext")));
            REQUIRE(read);
            CHECK(to_hex(read->payload()) == test::text(*object, "gob"));
            CHECK(read->signature().to_text() == test::text(*object, "signature"));
            CHECK(to_hex(read->hash()) == test::text(*object, "sha256_of_plaintext"));
            objects.push_back(*read);
        }
    }
    return objects;
}

}  // namespace

TEST_CASE("stream objects: requests of all vintages are read, ours written byte for byte") {
    const json::value file = test::vectors("dmsg/gob.json");
    std::size_t read = 0;
    for (const json::value& each : file.at("cases").as_array()) {
        const std::string id = test::text(each, "id");
        if (!starts_with(id, "req")) continue;
        INFO(id);
        const Bytes payload = test::hex(test::text(each, "gob"));
        const auto request = dmsg::decode_request(payload);
        REQUIRE(request);
        const json::value& value = each.at("value");
        CHECK(request->timestamp == value.at("Timestamp").to_number<std::int64_t>());
        CHECK(request->source == address_in(value.at("SrcAddr")));
        CHECK(request->destination == address_in(value.at("DstAddr")));
        CHECK(to_hex(request->noise_message) == test::text(value, "NoiseMsg"));
        CHECK(request->ip_info == starts_with(id, "req26_ip"));
        CHECK(request->geo_info == (id == "req26_ipgeo"));
        // Another process numbers its types otherwise: ours are those of a fresh one.
        const std::string written = to_hex(encode(*request, layout_of(each)));
        CHECK((written == test::text(each, "gob")) == (id != "req25_prior"));
        CHECK(dmsg::decode_request(encode(*request)).value() == *request);
        ++read;
    }
    CHECK(read == 7);
}

TEST_CASE("stream objects: responses of all vintages are read, ours written byte for byte") {
    const json::value file = test::vectors("dmsg/gob.json");
    std::size_t read = 0;
    for (const json::value& each : file.at("cases").as_array()) {
        const std::string id = test::text(each, "id");
        if (!starts_with(id, "resp")) continue;
        INFO(id);
        const auto response = dmsg::decode_response(test::hex(test::text(each, "gob")));
        REQUIRE(response);
        const json::value& value = each.at("value");
        CHECK(to_hex(response->request_hash) == test::text(value, "ReqHash"));
        CHECK(response->accepted == value.at("Accepted").as_bool());
        CHECK(response->error_code == value.at("ErrCode").to_number<std::uint16_t>());
        CHECK(to_hex(response->noise_message) == test::text(value, "NoiseMsg"));
        const std::string written = to_hex(encode(*response, layout_of(each)));
        CHECK((written == test::text(each, "gob")) == (id != "resp25_prior"));
        CHECK(dmsg::decode_response(encode(*response)).value() == *response);
        ++read;
    }
    CHECK(read == 7);

    const auto mapped = dmsg::decode_response(payload_of("resp26_ip4in16")).value();
    CHECK(to_hex(mapped.ip) == "00000000000000000000ffffcb007109");
    const auto geo = dmsg::decode_response(payload_of("resp26_ip4geo")).value();
    CHECK(to_hex(geo.ip) == "cb007109");
    CHECK(geo.geo_country == "NL");
    CHECK(geo.geo_region == "NH");
    CHECK(geo.geo_latitude == 52.374);
    CHECK(geo.geo_longitude == -4.8897);
    CHECK(geo.layout() == Layout::with_ip);
}

TEST_CASE("stream objects: an announcement is read and written byte for byte") {
    const auto announce = dmsg::decode_announce(payload_of("announce26")).value();
    CHECK(announce == PeerAnnounce{1'700'000'000'123'456'789, alice().public_key});
    CHECK(encode(announce) == payload_of("announce26"));
    // A request is an announcement of nobody, and an announcement a request without addresses.
    CHECK(dmsg::decode_announce(payload_of("req25")).value().source.is_null());
    CHECK(dmsg::decode_request(payload_of("announce26")).value().source == Address());
    CHECK(dmsg::decode_announce(encode(PeerAnnounce())).value() == PeerAnnounce());
}

TEST_CASE("stream objects: requests and responses in recorded sessions pass the checks") {
    for (const char* const name : {"dmsg/session.json", "dmsg/session_smux.json"}) {
        INFO(name);
        const auto server =
            crypto::PublicKey::from_text(test::text(test::vectors(name).at("server"), "pubkey"))
                .value();
        const auto objects = recorded_objects(name);
        REQUIRE(objects.size() % 2 == 0);
        std::size_t look_ups = 0;
        for (std::size_t i = 0; i < objects.size(); i += 2) {
            const auto request = dmsg::decode_request(objects[i].payload());
            REQUIRE(request);
            CHECK(request->source.pk == alice().public_key);
            const auto& answerer = request->destination.pk;
            CHECK(dmsg::check_request_at_server(objects[i], *request, {alice().public_key}));
            CHECK(dmsg::check_request_at_responder(objects[i], *request, answerer));

            const auto response = dmsg::decode_response(objects[i + 1].payload());
            REQUIRE(response);
            CHECK(dmsg::check_response(objects[i + 1], *response, {objects[i].hash(), answerer}));
            if (request->ip_info) ++look_ups;
            CHECK(response->ip.empty() == !request->ip_info);
            CHECK((answerer == server) == request->ip_info);
        }
        CHECK(look_ups == (std::string_view(name).ends_with("smux.json") ? 1 : 0));
    }
}

TEST_CASE("stream objects: signing with the recorded nonce gives the recorded bytes") {
    const json::value file = test::vectors("dmsg/session.json");
    const auto object = recorded_objects("dmsg/session.json").front();
    bool found = false;
    for (const json::value& nonce_text : file.at("ecdsa_nonces_used").as_array()) {
        crypto::Digest nonce;
        const Bytes bytes = test::hex(std::string(nonce_text.as_string()));
        std::copy(bytes.begin(), bytes.end(), nonce.begin());
        const auto made = crypto::sign_digest_with_nonce(
            alice().secret_key, crypto::sha256(object.payload()), nonce
        );
        found = found || made.value() == object.signature();
    }
    CHECK(found);
    CHECK(
        encode(dmsg::decode_request(object.payload()).value()) ==
        Bytes(object.payload().begin(), object.payload().end())
    );
}

TEST_CASE("signed objects: every flipped byte is refused, and changes the hash") {
    const SignedObject good = signed_request(good_request());
    REQUIRE(good.verify(alice().public_key));
    for (std::size_t i = 0; i < good.bytes().size(); ++i) {
        for (const int mask : {0x01, 0x80, 0xff}) {
            INFO(i << " ^ " << mask);
            Bytes bytes = good.bytes();
            bytes[i] ^= static_cast<std::byte>(mask);
            const SignedObject damaged = SignedObject::from_bytes(bytes).value();
            CHECK_FALSE(damaged.verify(alice().public_key));
            CHECK(damaged.hash() != good.hash());
            // Read or refused; if read, then not accepted.
            if (const auto request = dmsg::decode_request(damaged.payload())) {
                const auto verdict =
                    dmsg::check_request_at_server(damaged, *request, {alice().public_key});
                REQUIRE_FALSE(verdict);
                CHECK(dmsg::refusal_reason(verdict.error().code()).starts_with("request_"));
            }
        }
    }
}

TEST_CASE("signed objects: a response's flipped bytes are refused by the server between") {
    const auto objects = recorded_objects("dmsg/session.json");
    const auto hash = objects[0].hash();
    for (std::size_t i = 0; i < objects[1].bytes().size(); ++i) {
        Bytes bytes = objects[1].bytes();
        bytes[i] ^= std::byte{1};
        const SignedObject damaged = SignedObject::from_bytes(bytes).value();
        const auto response = dmsg::decode_response(damaged.payload());
        if (!response) continue;
        INFO(i);
        const auto verdict = dmsg::check_response(damaged, *response, {hash, bob().public_key});
        REQUIRE_FALSE(verdict);
        const bool by_code = verdict.error() == make_error_code(Code::response_hash) ||
                             verdict.error() == make_error_code(Code::response_signature);
        CHECK(by_code);
    }
}

TEST_CASE("signed objects: no recovery id hurts the process") {
    const SignedObject good = signed_request(good_request());
    const auto recovery_id = good.bytes()[64];
    for (int id = 0; id < 256; ++id) {
        Bytes bytes = good.bytes();
        bytes[64] = static_cast<std::byte>(id);
        const SignedObject damaged = SignedObject::from_bytes(bytes).value();
        const auto verdict =
            dmsg::check_request_at_server(damaged, good_request(), {alice().public_key});
        CHECK(verdict.has_value() == (bytes[64] == recovery_id));
        if (!verdict) CHECK(verdict.error() == make_error_code(Code::request_signature));
    }
}

TEST_CASE("signed objects: cut short at every length they are refused") {
    const SignedObject good = signed_request(good_request());
    for (std::size_t size = 0; size < good.bytes().size(); ++size) {
        INFO(size);
        const auto begin = good.bytes().begin();
        const auto cut =
            SignedObject::from_bytes(Bytes(begin, begin + static_cast<std::ptrdiff_t>(size)));
        CHECK(cut.has_value() == (size > 65));
        if (!cut) {
            CHECK(cut.error() == make_error_code(Code::signed_object_invalid));
            continue;
        }
        CHECK_FALSE(cut->verify(alice().public_key));
        const auto request = dmsg::decode_request(cut->payload());
        REQUIRE_FALSE(request);
        CHECK(request.error() == make_error_code(gob::errc::truncated));
        CHECK(starts_with(request.error().message(), "stream request: gob: "));
    }
}

TEST_CASE("stream objects: each vector cut short is refused, with any byte flipped never a crash") {
    const json::value file = test::vectors("dmsg/gob.json");
    for (const json::value& each : file.at("cases").as_array()) {
        INFO(test::text(each, "id"));
        const Bytes payload = test::hex(test::text(each, "gob"));
        for (std::size_t i = 0; i < payload.size(); ++i) {
            const ByteSpan cut = ByteSpan(payload).first(i);
            CHECK_FALSE(dmsg::decode_request(cut));
            CHECK_FALSE(dmsg::decode_response(cut));
            CHECK_FALSE(dmsg::decode_announce(cut));
            for (const int mask : {0x01, 0x02, 0x40, 0x80, 0xff}) {
                Bytes damaged = payload;
                damaged[i] ^= static_cast<std::byte>(mask);
                if (auto read = dmsg::decode_request(damaged)) {
                    const auto again = dmsg::decode_request(encode(*read));
                    if (!again || *again != *read) FAIL("byte " << i << " ^ " << mask);
                } else if (dmsg::refusal_reason(read.error().code()) == "unknown") {
                    FAIL(read.error().message());
                }
                const auto response = dmsg::decode_response(damaged);
                if (!response && dmsg::refusal_reason(response.error().code()) == "unknown") {
                    FAIL(response.error().message());
                }
            }
        }
    }
}

TEST_CASE("request checks: each rule in the network's order with the network's code") {
    const auto server_says = [](const StreamRequest& request) {
        const auto object = SignedObject::sign(encode(request), bob().secret_key);
        const auto verdict = dmsg::check_request_at_server(object, request, {alice().public_key});
        REQUIRE_FALSE(verdict);
        return verdict.error();
    };
    // All wrong at once; then mended one by one, in order.
    StreamRequest request;
    CHECK(server_says(request) == make_error_code(Code::request_source_key));
    request.source.pk = alice().public_key;
    CHECK(server_says(request) == make_error_code(Code::request_source_port));
    request.source.port = 49153;
    CHECK(server_says(request) == make_error_code(Code::request_destination_key));
    request.destination.pk = bob().public_key;
    CHECK(server_says(request) == make_error_code(Code::request_destination_port));
    request.destination.port = 80;
    CHECK(server_says(request) == make_error_code(Code::request_timestamp));
    request.timestamp = -1;
    CHECK(server_says(request) == make_error_code(Code::request_timestamp));
    request.timestamp = 1;
    CHECK(server_says(request) == make_error_code(Code::request_signature));

    const SignedObject object = SignedObject::sign(encode(request), alice().secret_key);
    CHECK(dmsg::check_request_at_server(object, request, {alice().public_key}));
    // Another client's key: only a server may bring it.
    const auto foreign = dmsg::check_request_at_server(object, request, {bob().public_key});
    CHECK(foreign.error() == make_error_code(Code::request_source_key));
    CHECK(
        foreign.error().message() ==
        fmt::format(
            "dmsg error 302 - request has invalid source public key: {} in a session of {}",
            alice().public_key,
            bob().public_key
        )
    );
    const dmsg::RequestOrigin peer{.session_key = bob().public_key, .peer_server = true};
    CHECK(dmsg::check_request_at_server(object, request, peer));

    CHECK(dmsg::check_request_at_responder(object, request, bob().public_key));
    CHECK(
        dmsg::check_request_at_responder(object, request, alice().public_key).error() ==
        make_error_code(Code::request_destination_key)
    );
}

TEST_CASE("response checks: hash, signature, refusal, in this order") {
    const SignedObject request = signed_request(good_request());
    const dmsg::ResponseOrigin origin{request.hash(), bob().public_key};
    const auto says = [&](const StreamResponse& response, const crypto::KeyPair& signer) {
        const auto object = SignedObject::sign(encode(response), signer.secret_key);
        return dmsg::check_response(object, response, origin);
    };
    StreamResponse response;
    CHECK(says(response, alice()).error() == make_error_code(Code::response_hash));
    response.request_hash = request.hash();
    CHECK(says(response, alice()).error() == make_error_code(Code::response_signature));
    CHECK(says(response, bob()).error() == make_error_code(Code::response_rejected));
    response.error_code = 306;
    CHECK(says(response, bob()).error() == make_error_code(Code::no_listener));
    response.error_code = 999;
    CHECK(says(response, bob()).error().message() == "dmsg error 999 - unknown");
    CHECK(dmsg::refusal_reason(says(response, bob()).error().code()) == "unknown");
    response.accepted = true;
    CHECK(says(response, bob()));
}

TEST_CASE("announcement checks: the session's own key, a time, its signature") {
    const auto says = [](const PeerAnnounce& announce, const crypto::KeyPair& signer) {
        const auto object = SignedObject::sign(encode(announce), signer.secret_key);
        return dmsg::check_announce(object, announce, alice().public_key);
    };
    CHECK(says({5, alice().public_key}, alice()));
    CHECK(says({5, {}}, alice()).error() == make_error_code(Code::request_source_key));
    CHECK(says({5, bob().public_key}, bob()).error() == make_error_code(Code::request_source_key));
    CHECK(
        says({0, alice().public_key}, alice()).error() == make_error_code(Code::request_timestamp)
    );
    CHECK(says({5, alice().public_key}, bob()).error() == make_error_code(Code::request_signature));
}

namespace {

/// A request from a process of another make: its own numbers, order and kinds of fields.
class ForeignRequest {
 public:
    gob::TypeId key_kind_id = 1000;
    gob::Type key_type;
    std::vector<gob::Field> fields;
    std::vector<gob::Field> address_fields{{"Port", gob::kUint}, {"Extra", 1001}, {"PK", 1000}};

    ForeignRequest() {
        key_type.kind = gob::Kind::opaque;
        key_type.name = "cipher.PubKey";
        fields = {
            {"NoiseMsg", gob::kBytes},
            {"Unheard", 1001},
            {"DstAddr", 900},
            {"More", gob::kString},
            {"SrcAddr", 900},
            {"Timestamp", gob::kInt},
            {"Rest", gob::kFloat},
        };
    }

    Bytes encode(const StreamRequest& request, std::uint64_t port = 0) const {
        Bytes out;
        gob::write_definition(out, 900, structure("A", address_fields));
        gob::write_definition(out, 2000, structure("R", fields));
        gob::Type map;
        map.kind = gob::Kind::map;
        map.key = gob::kString;
        map.element = 1002;
        gob::write_definition(out, 1001, map);
        gob::Type list;
        list.kind = gob::Kind::slice;
        list.element = gob::kInt;
        gob::write_definition(out, 1002, list);
        gob::write_definition(out, key_kind_id, key_type);

        Bytes body;
        gob::StructWriter writer(body);
        writer.bytes_field(0, request.noise_message);
        writer.begin(1);
        write_extra(body);
        writer.begin(2);
        write_address(body, request.destination, port);
        writer.text_field(3, "DstAddr");
        writer.begin(4);
        write_address(body, request.source, 0);
        writer.int_field(5, request.timestamp);
        writer.float_field(6, 0.5);
        writer.finish();
        gob::write_value(out, 2000, body);
        return out;
    }

 private:
    static gob::Type structure(std::string name, std::vector<gob::Field> fields) {
        gob::Type type;
        type.name = std::move(name);
        type.fields = std::move(fields);
        return type;
    }

    static void write_extra(Bytes& out) {
        gob::write_uint(out, 1);
        gob::write_text(out, "key");
        gob::write_uint(out, 2);
        gob::write_int(out, -1);
        gob::write_int(out, 1'000'000);
    }

    static void write_address(Bytes& out, const Address& address, std::uint64_t port) {
        gob::StructWriter writer(out);
        writer.uint_field(0, port == 0 ? address.port : port);
        writer.begin(1);
        write_extra(out);
        writer.bytes_field(2, address.pk.bytes());
        writer.finish();
    }
};

}  // namespace

TEST_CASE("stream objects: members in another order, with others between, are found by name") {
    CHECK(dmsg::decode_request(ForeignRequest().encode(good_request())).value() == good_request());
}

TEST_CASE("stream objects: members of another kind or too wide are refused by name") {
    const StreamRequest request = good_request();
    const auto refused = [](const Bytes& payload) {
        const auto read = dmsg::decode_request(payload);
        REQUIRE_FALSE(read);
        return read.error();
    };
    const Error wide = refused(ForeignRequest().encode(request, 65536));
    CHECK(wide == make_error_code(gob::errc::out_of_range));
    CHECK(wide.message() == "stream request: DstAddr: Port: 65536 does not fit in 16 bits");

    ForeignRequest other;
    other.address_fields.back().type = gob::kBytes;
    Error error = refused(other.encode(request));
    CHECK(error == make_error_code(gob::errc::wrong_kind));
    CHECK(starts_with(error.message(), "stream request: SrcAddr: PK: bytes where "));

    // Declared is enough: the value need not be sent.
    other = ForeignRequest();
    other.fields.push_back({"IPinfo", gob::kString});
    error = refused(other.encode(request));
    CHECK(error == make_error_code(gob::errc::wrong_kind));
    CHECK(error.message() == "stream request: IPinfo: string where bool is expected");

    other.fields.back().type = 5000;
    CHECK(refused(other.encode(request)) == make_error_code(gob::errc::unknown_type));
    other.fields.back() = {"Timestamp", gob::kInt};
    CHECK(refused(other.encode(request)) == make_error_code(gob::errc::unknown_type));

    other = ForeignRequest();
    other.key_kind_id = 1003;
    CHECK(refused(other.encode(request)) == make_error_code(gob::errc::unknown_type));
}

TEST_CASE("stream objects: a key that is no point, and hashes of other lengths") {
    Bytes payload = encode(good_request());
    const crypto::PublicKey client = alice().public_key;
    const auto key = client.bytes();
    const auto at = std::search(payload.begin(), payload.end(), key.begin(), key.end());
    REQUIRE(at != payload.end());
    *at = std::byte{5};
    const auto read = dmsg::decode_request(payload);
    REQUIRE_FALSE(read);
    CHECK(read.error() == make_error_code(crypto::errc::invalid_public_key));
    CHECK(dmsg::refusal_reason(read.error().code()) == "invalid_key");

    Bytes out;
    gob::Type hash;
    hash.kind = gob::Kind::array;
    hash.element = gob::kUint;
    hash.length = 31;
    gob::Type type;
    type.fields = {{"ReqHash", 65}};
    gob::write_definition(out, 64, type);
    gob::write_definition(out, 65, hash);
    Bytes body;
    gob::StructWriter writer(body);
    writer.begin(0);
    gob::write_byte_array(body, Bytes(31));
    writer.finish();
    gob::write_value(out, 64, body);
    CHECK(
        dmsg::decode_response(out).error().message() ==
        "stream response: ReqHash: 31 elements where 32 are expected"
    );
}

TEST_CASE("stream objects: every reason has a label") {
    CHECK(dmsg::refusal_reason(make_error_code(Code::no_listener)) == "no_listener");
    CHECK(dmsg::refusal_reason(make_error_code(gob::errc::too_complex)) == "too_complex");
    CHECK(dmsg::refusal_reason(make_error_code(skywire::errc::malformed)) == "unknown");
}
