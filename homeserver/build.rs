//! The widget's pages are embedded from `widget/dist`: build again when they change.

use std::path::Path;

fn main() {
    // Not built yet: an empty folder, which Cargo can watch. A missing one would mean building anew every time.
    let dist = Path::new("../widget/dist");
    if !dist.exists() {
        let _: Result<(), _> = std::fs::create_dir_all(dist);
    }
    println!("cargo::rerun-if-changed=../widget/dist");
    println!("cargo::rerun-if-changed=build.rs");
}
