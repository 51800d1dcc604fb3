//! Rebuilds the crate when a message file is added or removed, which the compiler does not notice.

fn main() {
    println!("cargo::rerun-if-changed=../templates/messages");
}
