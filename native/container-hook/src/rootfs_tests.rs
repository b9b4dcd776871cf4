use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;

struct Image(PathBuf);

impl Image {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("aq-rootfs-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("root/etc")).unwrap();
        fs::write(path.join("outside"), "outside").unwrap();
        Self(path)
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.join("root").join(inside)
    }

    fn open(&self) -> Rootfs {
        Rootfs::open(&self.0.join("root")).unwrap()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn links_lead_to_where_the_container_would_find_them() {
    let image = Image::new("links");
    fs::write(image.path("etc/file"), "inside").unwrap();
    fs::write(image.path("outside"), "root of the container").unwrap();
    for (link, to) in [
        ("absolute", "/etc/file"),
        ("above", "../../../../outside"),
        ("chain", "/absolute"),
    ] {
        symlink(to, image.path(link)).unwrap();
    }
    let rootfs = image.open();
    let read = |path| rootfs.read(path, 100).unwrap().unwrap();
    assert_eq!(read(c"/absolute"), b"inside");
    assert_eq!(read(c"/chain"), b"inside");
    assert_eq!(read(c"/../etc/../../etc/file"), b"inside");
    assert_eq!(read(c"/above"), b"root of the container");
}

#[test]
fn what_is_no_file_of_the_container_is_none() {
    let image = Image::new("none");
    symlink("loop", image.path("loop")).unwrap();
    symlink("/gone", image.path("dangling")).unwrap();
    symlink(format!("/proc/self/fd/{}", 0), image.path("descriptor")).unwrap();
    fs::create_dir(image.path("directory")).unwrap();
    let pipe = std::ffi::CString::new(image.path("pipe").to_str().unwrap()).unwrap();
    // SAFETY: a path that ends.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    let rootfs = image.open();
    for path in [
        c"/loop",
        c"/dangling",
        c"/descriptor",
        c"/directory",
        c"/pipe",
        c"/pipe/x",
        c"/nothing",
    ] {
        assert!(rootfs.read(path, 100).unwrap().is_none(), "{path:?}");
    }
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let image = Image::new("large");
    fs::write(image.path("file"), "12345").unwrap();
    let rootfs = image.open();
    assert_eq!(rootfs.read(c"/file", 5).unwrap().unwrap(), b"12345");
    assert_eq!(
        rootfs.read(c"/file", 4).unwrap_err().raw_os_error(),
        Some(libc::EFBIG)
    );
}

#[test]
fn what_is_mounted_over_it_is_no_file_of_the_image() {
    let root = Rootfs::open(Path::new("/")).unwrap();
    let mounted = c"/proc/self/status";
    assert!(root.find(mounted, Within::Container).unwrap().is_some());
    assert!(root.find(mounted, Within::Image).unwrap().is_none());
}
