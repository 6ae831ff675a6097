//! Texts of devices: the manuals' examples, and what must be refused.
use proptest::prelude::*;

use super::*;

fn disk(spec: &str) -> Result<Disk, String> {
    Disk::parse(spec).map_err(|error| error.message)
}

fn vif(spec: &str) -> Result<Vif, String> {
    Vif::parse(spec).map_err(|error| error.message)
}

#[test]
fn equivalent_disks_of_the_manual_are_equal() {
    let writable = disk("format=raw, vdev=hda, access=rw, target=/dev/vg/guest-volume").unwrap();
    assert_eq!(writable.target.as_deref(), Some("/dev/vg/guest-volume"));
    assert!(!writable.read_only && !writable.cdrom);
    for same in [
        "/dev/vg/guest-volume,,hda",
        "/dev/vg/guest-volume,raw,hda,rw",
        "raw:/dev/vg/guest-volume,hda,w",
        "phy:/dev/vg/guest-volume,hda,w",
        "tap:aio:raw:/dev/vg/guest-volume,hda,w",
        "/dev/vg/guest-volume,,hda,rw,",
        "vdev=hda,,target=/dev/vg/guest-volume",
    ] {
        assert_eq!(disk(same).as_ref(), Ok(&writable), "{same}");
    }
    let cdrom = disk("format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/root/image.iso").unwrap();
    assert!(cdrom.read_only && cdrom.cdrom);
    for same in [
        "/root/image.iso,,hdc,cdrom",
        "/root/image.iso,,hdc,,cdrom",
        "/root/image.iso,raw,hdc,devtype=cdrom",
        "raw:/root/image.iso,hdc:cdrom,ro",
    ] {
        assert_eq!(disk(same).as_ref(), Ok(&cdrom), "{same}");
    }
    let empty = disk(",hdc:cdrom,r").unwrap();
    assert!(empty.target.is_none() && empty.cdrom);
    assert_eq!(disk(",empty,hdc,,cdrom"), Ok(empty.clone()));
    assert_eq!(disk("vdev=hdc,cdrom"), Ok(empty));
}

#[test]
fn target_by_name_takes_all_the_rest() {
    let odd = disk("vdev=xvda,target=/a,b=c:d, ").unwrap();
    assert_eq!(odd.target.as_deref(), Some("/a,b=c:d, "));
}

#[test]
fn all_parameters_of_a_disk_are_kept() {
    let disk = disk("script=block-iscsi,backend=storage,direct-io-safe,no-discard,untrusted,vdev=xvdb,access=r,target=iqn.x").unwrap();
    assert_eq!(disk.script.as_deref(), Some("block-iscsi"));
    assert_eq!(disk.backend.as_deref(), Some("storage"));
    assert!(disk.direct_io_safe && disk.read_only);
    assert_eq!((disk.discard, disk.trusted), (Some(false), Some(false)));
    assert_eq!(super::Disk::parse("iscsi:iqn.x,xvdb,r").unwrap().script.as_deref(), Some("block-iscsi"));
}

#[test]
fn bad_disks_say_why() {
    for (spec, message) in [
        ("", "no vdev"),
        ("/dev/x", "no vdev"),
        ("/dev/x,raw,", "no vdev"),
        ("vdev=xvda", "no target"),
        ("/dev/x,raw,xvd", "not a virtual disk"),
        ("/dev/x,raw,xvda,rx", "ro or rw"),
        ("/dev/x,raw,xvda,rw,more", "too many"),
        ("/dev/x,raw,xvda,target=/dev/y", "target is given twice"),
        ("/dev/x,raw,xvda,vdev=xvdb", "vdev is given twice"),
        ("/dev/x,qcow2,xvda", "qemu-img convert"),
        ("vhd:/dev/x,xvda", "vhd images need QEMU"),
        ("/dev/x,tar,xvda", "no image format"),
        ("/dev/x,raw,xvda,backendtype=qdisk", "QEMU"),
        ("/dev/x,raw,xvda,specification=virtio", "virtio"),
        ("/dev/x,raw,xvda,devtype=tape", "cdrom or disk"),
        ("/dev/x,raw,xvda:tape,w", "neither cdrom nor disk"),
        ("/dev/x,raw,xvda,acces=ro", "is `access` meant?"),
        ("/dev/x,raw,xvda,colo-host=h", "COLO"),
        ("what:/dev/x,xvda", "unknown prefix `what:`"),
        ("backend=,vdev=xvda,target=/dev/x", "empty"),
    ] {
        let error = disk(spec).unwrap_err();
        assert!(error.contains(message), "{spec}: {error}");
    }
}

#[test]
fn all_parameters_of_a_vif_are_kept() {
    let card = vif("mac=00:16:3E:74:3d:76, model=rtl8139,bridge=xenbr0,ip=10.0.0.1 10.0.0.2,vifname=web0,rate=1MB/s@20ms,\
                   backend=net,gatewaydev=eth0,mtu=9000,devid=3,untrusted,type=vif,script=vif-route")
    .unwrap();
    assert_eq!(card.mac.unwrap().to_string(), "00:16:3e:74:3d:76");
    assert_eq!(card.bridge.as_deref(), Some("xenbr0"));
    assert_eq!(card.ip.as_deref(), Some("10.0.0.1 10.0.0.2"));
    assert_eq!(card.vifname.as_deref(), Some("web0"));
    assert_eq!(card.rate.unwrap().bytes_per_interval(), 20_000);
    assert_eq!(card.backend.as_deref(), Some("net"));
    assert_eq!(card.gatewaydev.as_deref(), Some("eth0"));
    assert_eq!((card.mtu, card.devid, card.trusted), (Some(9000), Some(3), Some(false)));
    assert_eq!(card.script.as_deref(), Some("vif-route"));
    assert_eq!(vif(""), Ok(Vif::default()));
}

#[test]
fn bad_vifs_say_why() {
    for (spec, message) in [
        ("mac=xx", "six bytes"),
        ("brige=xenbr0", "is `bridge` meant?"),
        ("bridge", "no parameter `bridge`"),
        ("bridge=a,bridge=b", "bridge is given twice"),
        ("bridge=a-name-that-is-too-long", "network interface"),
        ("mtu=67", "not from 68 to 65535"),
        ("devid=-1", "not from 0"),
        ("type=ioemu", "HVM"),
        ("type=x", "type is vif"),
        ("rate=fast", "not a rate"),
        ("colo_compare_out=x", "COLO"),
    ] {
        let error = vif(spec).unwrap_err();
        assert!(error.contains(message), "{spec}: {error}");
    }
    // A script may want more than a bridge's name.
    assert!(vif("script=vif-openvswitch,bridge=ovsbr0.10:20-30,mtu=1500").is_ok());
}

#[test]
fn errors_point_to_the_parameter() {
    let error = Vif::parse("bridge=xenbr0, mac=zz").unwrap_err();
    assert_eq!(error.at, 19..21);
    let error = Disk::parse("/dev/x, qcow2,xvda").unwrap_err();
    assert_eq!(error.at, 8..13);
}

#[test]
fn errors_without_a_file_quote_the_parameter() {
    let error = "bridge=xenbr0,mac=zz".parse::<Vif>().unwrap_err().to_string();
    assert!(error.ends_with("(at `zz`)"), "{error}");
    let error = "/dev/x,raw".parse::<Disk>().unwrap_err().to_string();
    assert_eq!(error, "the disk has no vdev");
    assert!("/dev/x,raw,xvda,w".parse::<Disk>().is_ok());
}

#[test]
fn p9_needs_all_but_the_back_end() {
    let p9 = P9::parse("tag=share,security_model=none,path=/srv").unwrap();
    assert_eq!((p9.tag.as_str(), p9.path.as_str(), p9.backend), ("share", "/srv", None));
    for bad in [
        "",
        "tag=a,path=/x",
        "tag=a,security_model=none",
        "tag=a,path=/x,security_model=mapped",
        "tag",
        "x=y",
    ] {
        assert!(P9::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn channel_is_a_pty_or_a_socket() {
    let pty = Channel::parse("name=org.x, connection=pty ").unwrap();
    assert_eq!(pty.connection, Connection::Pty);
    let socket = Channel::parse("connection=socket,path=/run/s,name=a,backend=b").unwrap();
    assert_eq!(socket.connection, Connection::Socket { path: "/run/s".parse().unwrap() });
    for bad in [
        "",
        "name=a",
        "connection=pty",
        "name=a,connection=socket",
        "name=a,connection=tcp",
        "name=a,conection=pty",
    ] {
        assert!(Channel::parse(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(
        text in "\\PC{0,40}|((vdev|target|format|mac|bridge|tag|connection|phy|raw|cdrom|xvda|hdc)?[=:,/ a]{0,2}){0,8}"
    ) {
        let in_text = |error: SpecError| prop::test_runner::TestCaseResult::from(
            if error.at.start <= error.at.end && error.at.end <= text.len() { Ok(()) }
            else { Err(TestCaseError::fail(format!("{:?} is outside", error.at))) });
        if let Err(error) = Disk::parse(&text) { in_text(error)?; }
        if let Err(error) = Vif::parse(&text) { in_text(error)?; }
        if let Err(error) = P9::parse(&text) { in_text(error)?; }
        if let Err(error) = Channel::parse(&text) { in_text(error)?; }
    }

    #[test]
    fn disk_that_is_read_passes_its_own_check(
        text in "(/dev/x|target=/y|phy:/z|)(,(|raw|xvda|vdev=xvdb|ro|rw|cdrom|hdc:cdrom|access=r)){0,5}"
    ) {
        if let Ok(disk) = Disk::parse(&text) {
            prop_assert!(disk.check().is_ok());
            let json = serde_json::to_string(&disk).unwrap();
            prop_assert_eq!(serde_json::from_str::<Disk>(&json).unwrap(), disk);
        }
    }
}
