//! How the programs are linked: functions that a job calls stand together.
//!
//! DataFusion is a hundred megabytes of code, of which a job calls a few. Without an order these lie all over the
//! file, and half of it comes to be in memory. `build/symbols.order` names them; `.ci/symbol-order` writes it.
//! See `docs/decisions/0013`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The functions that a job calls, by their mangled names. Names that are not there are passed over.
const ORDER: &str = "build/symbols.order";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={ORDER}");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let is_release = is("PROFILE", "release");
    if is_release && is("TARGET", "x86_64-unknown-linux-gnu") && links_with_lld() {
        let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
        let order = root.join(ORDER);
        for argument in [
            format!("--symbol-ordering-file={}", order.display()),
            "--no-warn-symbol-ordering".to_owned(),
        ] {
            println!("cargo:rustc-link-arg-bins=-Xlinker");
            println!("cargo:rustc-link-arg-bins={argument}");
        }
    }
}

/// Whether the compiler brings its own linker and nobody has chosen another: only lld knows the option.
fn links_with_lld() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if env::var("RUSTC_LINKER").is_ok() || flags.contains("link") {
        return false;
    }
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let sysroot = Command::new(rustc).args(["--print", "sysroot"]).output();
    let sysroot = sysroot
        .ok()
        .and_then(|said| String::from_utf8(said.stdout).ok());
    sysroot.is_some_and(|sysroot| {
        let lld = "lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld/ld.lld";
        Path::new(sysroot.trim()).join(lld).exists()
    })
}
