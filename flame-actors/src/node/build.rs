//! What tells one build of the application from another.

use std::fs::File;
use std::io::Read;
use std::sync::LazyLock;

use elf::ElfStream;
use elf::endian::AnyEndian;
use elf::note::Note;
use sha2::Digest;

use crate::report::report;

/// The executable's ELF build id, or the SHA-256 of the executable where it has none, in hexadecimal.
pub(crate) fn id() -> &'static str {
    static ID: LazyLock<String> = LazyLock::new(|| {
        elf_build_id().or_else(hash_of_executable).unwrap_or_else(|err| {
            report!(WARN, %err, "this executable cannot be read, so its build has no id");
            "unknown".to_owned()
        })
    });
    &ID
}

fn executable() -> std::io::Result<File> {
    // The file that runs, also after it was replaced on disk.
    File::open("/proc/self/exe").or_else(|_| File::open(std::env::current_exe()?))
}

fn elf_build_id() -> Result<String, std::io::Error> {
    let none = |reason: String| std::io::Error::other(reason);
    let mut file = ElfStream::<AnyEndian, _>::open_stream(executable()?).map_err(|err| none(err.to_string()))?;
    let headers: Vec<_> = file.segments().iter().filter(|header| header.p_type == elf::abi::PT_NOTE).copied().collect();
    for header in headers {
        let notes = file.segment_data_as_notes(&header).map_err(|err| none(err.to_string()))?;
        for note in notes {
            if let Note::GnuBuildId(id) = note {
                return Ok(hex(id.0));
            }
        }
    }
    Err(none("no build id".to_owned()))
}

fn hash_of_executable(_: std::io::Error) -> Result<String, std::io::Error> {
    let mut bytes = Vec::new();
    executable()?.read_to_end(&mut bytes)?;
    Ok(digest(&bytes))
}

/// The SHA-256 of these bytes, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&sha2::Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_build_id_is_the_same_twice_and_not_empty() {
        let id = super::id();
        assert!(id.len() >= 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
}
