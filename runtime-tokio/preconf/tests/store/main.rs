//! What the program keeps on disk, as its operator meets it: crashes, disks that fail, directories of others, damage, and `preconf store`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

mod directory;
mod failing_disk;
mod scene;
