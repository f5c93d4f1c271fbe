//! Packs what the program carries, and asks the linker to keep it small.

use std::env;
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::{Compression, GzBuilder};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR")?;
    let packed = Path::new(&out).join("packed");
    pack_all(Path::new("src/web/assets"), &packed)?;
    let document = Path::new("src/api/openapi.json");
    println!("cargo::rerun-if-changed={}", document.display());
    let text =
        fs::read_to_string(document)?.replacen("VERSION", &env::var("CARGO_PKG_VERSION")?, 1);
    pack(text.as_bytes(), &packed.join("openapi.json.gz"))?;
    ask_for_a_small_binary();
    Ok(())
}

/// Packs the files below a folder into files of the same names below another.
fn pack_all(from: &Path, to: &Path) -> Outcome {
    println!("cargo::rerun-if-changed={}", from.display());
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            pack_all(&entry.path(), &place)?;
        } else {
            let name = format!("{}.gz", place.display());
            pack(&fs::read(entry.path())?, Path::new(&name))?;
        }
    }
    Ok(())
}

/// The same bytes give the same file: it has no name and no time in it.
fn pack(bytes: &[u8], to: &Path) -> Outcome {
    let mut packer = GzBuilder::new().write(fs::File::create(to)?, Compression::best());
    packer.write_all(bytes)?;
    packer.finish()?;
    Ok(())
}

/// A static program that may lie anywhere in memory lists each pointer in its data, 24 bytes a
/// pointer; the short list takes a tenth of one. Rust's own musl reads it since 1.93, the version
/// that came with musl 1.2.5, and nothing would start with it before. Of functions whose code is the
/// same, one is kept, where the linker that comes with Rust is there to find them.
fn ask_for_a_small_binary() {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let musl = is("CARGO_CFG_TARGET_ENV", "musl")
        && (is("CARGO_CFG_TARGET_ARCH", "x86_64") || is("CARGO_CFG_TARGET_ARCH", "aarch64"));
    if !musl || minor_of_rust().is_none_or(|minor| minor < 93) {
        return;
    }
    let ask = |arg: &str| println!("cargo::rustc-link-arg-bins={arg}");
    match env::var("RUSTC_LINKER") {
        Err(_) => {
            ask("-Wl,-z,pack-relative-relocs");
            if let Some(folder) = folder_of_lld() {
                ask(&format!("-B{}", folder.display()));
                ask("-fuse-ld=lld");
                ask("-Wl,--icf=all");
            }
        }
        Ok(linker) if linker.ends_with("lld") => {
            ask("-zpack-relative-relocs");
            ask("--icf=all");
        }
        // What else links may bring a libc of its own.
        Ok(_) => {}
    }
}

/// Where rustup keeps the linker under the name by which a C compiler finds it.
fn folder_of_lld() -> Option<PathBuf> {
    let root = printed_by_rustc(&["--print", "sysroot"])?;
    let host = env::var("HOST").ok()?;
    let folder = Path::new(root.trim()).join("lib/rustlib").join(host).join("bin/gcc-ld");
    folder.join("ld.lld").exists().then_some(folder)
}

/// The 93 of `rustc 1.93.0 (…)`.
fn minor_of_rust() -> Option<u32> {
    printed_by_rustc(&["--version"])?.strip_prefix("rustc 1.")?.split('.').next()?.parse().ok()
}

fn printed_by_rustc(args: &[&str]) -> Option<String> {
    let printed = Command::new(env::var_os("RUSTC")?).args(args).output().ok()?.stdout;
    String::from_utf8(printed).ok()
}
