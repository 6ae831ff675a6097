//! Which of Debian's packages the images are made of.

/// Package names; one that only points at a versioned package is followed ([`super::apt::PrivateApt::real_package`]).
///
/// Libraries are named one by one, since resolving `Depends` would bring python and systemd into a boot image.
/// [`crate::image`] checks that nothing an included program loads is missing.
pub const REQUESTED: &[&str] = &[
    "linux-image-arm64",
    "busybox-static",
    "xen-hypervisor-4.17-arm64",
    "xen-utils-4.17",
    "xen-utils-common",
    "xenstore-utils",
    "libxencall1",
    "libxendevicemodel1",
    "libxenevtchn1",
    "libxenforeignmemory1",
    "libxengnttab1",
    "libxenhypfs1",
    "libxenmisc4.17",
    "libxenstore4",
    "libxentoolcore1",
    "libxentoollog1",
    "libfdt1",
    "libuuid1",
    "libyajl2",
    "zlib1g",
    "libc6",
    "libgcc-s1",
    // Xen's hotplug scripts are bash and use flock.
    "bash",
    "libtinfo6",
    "util-linux",
    // script(1), which gives `xl console` a terminal.
    "bsdutils",
];

/// What comes from Debian's backports: a newer kernel.
pub const BACKPORTS: &[&str] = &["linux-image-arm64"];

#[cfg(test)]
mod tests {
    use super::REQUESTED;
    use std::collections::BTreeSet;

    #[test]
    fn no_package_is_requested_twice() {
        let distinct: BTreeSet<_> = REQUESTED.iter().collect();
        assert_eq!(distinct.len(), REQUESTED.len());
    }
}
