#include "framework/elf_symbols.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <span>

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

namespace skywire::framework {

namespace {

/// `count` records of a file's table; nothing where they do not lie inside of the file.
template <class Record>
std::vector<Record> records(std::span<const char> file, std::uint64_t offset, std::uint64_t count) {
    if (offset > file.size() || count > (file.size() - offset) / sizeof(Record)) return {};
    std::vector<Record> out(count);
    if (count > 0) std::memcpy(out.data(), file.data() + offset, count * sizeof(Record));
    return out;
}

std::string demangle(const char* name) {
    int status = 0;
    const std::unique_ptr<char, void (*)(void*)> readable(
        abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free
    );
    return status == 0 && readable ? readable.get() : name;
}

struct Placement {
    std::uint64_t load_address = 0;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

/// The loader names the program first.
int first_object(dl_phdr_info* info, std::size_t, void* out) {
    auto& placement = *static_cast<Placement*>(out);
    placement.load_address = info->dlpi_addr;
    placement.begin = UINT64_MAX;
    for (const auto& header : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
        if (header.p_type != PT_LOAD) continue;
        const std::uint64_t begin = info->dlpi_addr + header.p_vaddr;
        placement.begin = std::min(placement.begin, begin);
        placement.end = std::max(placement.end, begin + header.p_memsz);
    }
    return 1;
}

std::vector<char> read_own_file() {
    std::ifstream in("/proc/self/exe", std::ios::binary | std::ios::ate);
    if (!in) return {};
    std::vector<char> file(static_cast<std::size_t>(in.tellg()));
    in.seekg(0);
    in.read(file.data(), static_cast<std::streamsize>(file.size()));
    if (!in) return {};
    return file;
}

}  // namespace

ElfSymbols ElfSymbols::of_this_program() {
    ElfSymbols symbols;
    symbols.read(read_own_file());
    Placement placement;
    dl_iterate_phdr(first_object, &placement);
    symbols.load_address_ = placement.load_address;
    symbols.begin_ = placement.begin;
    symbols.end_ = placement.end;
    return symbols;
}

void ElfSymbols::read(const std::vector<char>& file) {
    const auto header = records<Elf64_Ehdr>(file, 0, 1);
    if (header.empty() || std::memcmp(header[0].e_ident, ELFMAG, SELFMAG) != 0) return;
    if (header[0].e_ident[EI_CLASS] != ELFCLASS64) return;
    const auto sections = records<Elf64_Shdr>(file, header[0].e_shoff, header[0].e_shnum);
    for (const Elf64_Shdr& section : sections) {
        if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
        const Elf64_Shdr& names = sections[section.sh_link];
        strings_ = records<char>(file, names.sh_offset, names.sh_size);
        const auto symbols =
            records<Elf64_Sym>(file, section.sh_offset, section.sh_size / sizeof(Elf64_Sym));
        for (const Elf64_Sym& symbol : symbols) {
            if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
            if (symbol.st_name >= strings_.size()) continue;
            functions_.push_back({symbol.st_value, symbol.st_size, symbol.st_name});
        }
        break;
    }
    // A name must end inside of its table.
    strings_.push_back('\0');
    std::sort(functions_.begin(), functions_.end(), [](const Function& a, const Function& b) {
        return a.start < b.start;
    });
}

std::string ElfSymbols::name(std::uintptr_t address) const {
    if (address >= begin_ && address < end_) {
        const std::uint64_t in_file = address - load_address_;
        auto place = std::upper_bound(
            functions_.begin(),
            functions_.end(),
            in_file,
            [](std::uint64_t wanted, const Function& each) { return wanted < each.start; }
        );
        if (place != functions_.begin()) {
            const Function& function = *std::prev(place);
            // Hand-written assembly has functions without a size.
            if (in_file < function.start + std::max<std::uint64_t>(function.size, 1)) {
                return demangle(strings_.data() + function.name);
            }
        }
    }
    Dl_info info{};
    const int found = dladdr(reinterpret_cast<const void*>(address), &info);
    return found != 0 && info.dli_sname != nullptr ? demangle(info.dli_sname) : "";
}

}  // namespace skywire::framework
