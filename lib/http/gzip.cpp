#include "http/gzip.hpp"

#include "http/uri.hpp"

#include <algorithm>
#include <limits>

#include <zlib.h>

namespace skywire::http {
namespace {

std::string_view trimmed(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.remove_suffix(1);
    return text;
}

/// "0.75" as 750; a malformed weight counts as 0: not wanted.
int thousandths(std::string_view text) noexcept {
    if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return 0;
    if (text.size() > 1 && text[1] != '.') return 0;
    int weight = (text[0] - '0') * 1000;
    int unit = 100;
    for (std::size_t i = 2; i < text.size(); ++i, unit /= 10) {
        if (text[i] < '0' || text[i] > '9') return 0;
        weight += (text[i] - '0') * unit;
    }
    return weight > 1000 ? 0 : weight;
}

/// What zlib counts input and output in.
constexpr std::size_t kStepMax = std::numeric_limits<uInt>::max();
/// 15 = the largest window, + 16 = the gzip wrapping.
constexpr int kGzipWindowBits = 15 + 16;

Bytef* input_of(std::string_view text) noexcept {
    // zlib's next_in is const only with ZLIB_CONST; it does not write there.
    return reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
}

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) noexcept {
    int named = -1;
    int any = -1;
    int identity = -1;
    while (!accept_encoding.empty()) {
        const std::string_view item = accept_encoding.substr(0, accept_encoding.find(','));
        accept_encoding.remove_prefix(std::min(accept_encoding.size(), item.size() + 1));
        const auto semicolon = item.find(';');
        const std::string_view coding = trimmed(item.substr(0, semicolon));
        int weight = 1000;
        if (semicolon != std::string_view::npos) {
            const std::string_view parameter = trimmed(item.substr(semicolon + 1));
            const bool is_weight =
                parameter.size() > 2 && equal_ignoring_case(parameter.substr(0, 2), "q=");
            weight = is_weight ? thousandths(parameter.substr(2)) : 0;
        }
        if (equal_ignoring_case(coding, "gzip") || equal_ignoring_case(coding, "x-gzip")) {
            named = std::max(named, weight);
        } else if (coding == "*") {
            any = weight;
        } else if (equal_ignoring_case(coding, "identity")) {
            identity = weight;
        }
    }
    const int ours = named >= 0 ? named : any;
    return ours > 0 && ours >= identity;
}

std::optional<std::string> gzip(std::string_view text) {
    if (text.size() > kStepMax / 2) return std::nullopt;
    z_stream stream{};
    if (deflateInit2(&stream, 5, Z_DEFLATED, kGzipWindowBits, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return std::nullopt;
    std::string out(deflateBound(&stream, text.size()), '\0');
    stream.next_in = input_of(text);
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int end = deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    if (end != Z_STREAM_END) return std::nullopt;
    return out;
}

std::optional<std::string> gunzip(std::string_view compressed, std::size_t bytes_max) {
    if (compressed.size() > kStepMax) return std::nullopt;
    z_stream stream{};
    if (inflateInit2(&stream, kGzipWindowBits) != Z_OK) return std::nullopt;
    stream.next_in = input_of(compressed);
    stream.avail_in = static_cast<uInt>(compressed.size());
    std::string out;
    int end = Z_OK;
    while (end == Z_OK && out.size() <= bytes_max) {
        const std::size_t had = out.size();
        out.resize(had + std::min<std::size_t>(64 * 1024, bytes_max - had + 1));
        stream.next_out = reinterpret_cast<Bytef*>(out.data() + had);
        stream.avail_out = static_cast<uInt>(out.size() - had);
        end = inflate(&stream, Z_NO_FLUSH);
        out.resize(out.size() - stream.avail_out);
    }
    inflateEnd(&stream);
    if (end != Z_STREAM_END || out.size() > bytes_max) return std::nullopt;
    return out;
}

}  // namespace skywire::http
