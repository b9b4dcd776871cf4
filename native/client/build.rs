//! How the client is linked: the name that programs look for, and no way for another library to step in between.

fn main() {
    for argument in [
        "-soname,libcuda.so.1",
        "-z,defs",
        "-z,nodelete",
        "-z,now",
        // Only functions are exported, so that this is -Bsymbolic-functions, which not every linker knows.
        "-Bsymbolic",
    ] {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
