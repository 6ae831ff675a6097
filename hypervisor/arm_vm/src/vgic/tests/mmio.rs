//! Registers as the guest sees them.

use super::*;

#[test]
fn addresses_are_found_in_their_frames() {
    let vgic = Vgic::new(&config(Version::V3, 2)).unwrap();
    assert_eq!(vgic.locate(DIST), Some((Region::Dist, 0)));
    assert_eq!(vgic.locate(DIST + 0xffff), Some((Region::Dist, 0xffff)));
    assert_eq!(vgic.locate(DIST - 1), None);
    assert_eq!(vgic.locate(REDIST + 0x3_0100), Some((Region::Redist { vcpu: 1 }, 0x1_0100)));
    assert_eq!(vgic.locate(REDIST + 0x4_0000), None, "only two vCPUs");
    let vgic = Vgic::new(&config(Version::V2, 2)).unwrap();
    assert_eq!(vgic.locate(DIST + 0xfff), Some((Region::Dist, 0xfff)));
    assert_eq!(vgic.locate(DIST + 0x1000), None);
    assert_eq!(vgic.locate(REDIST), None);
}

#[test]
fn several_redistributor_regions_each_have_a_last_one() {
    let redists =
        &[RedistRegion { base: 0x1000_0000, nr_vcpus: 2 }, RedistRegion { base: 0x2000_0000, nr_vcpus: 9 }];
    let vgic = Vgic::new(&Config { redists, ..config(Version::V3, 5) }).unwrap();
    let last: Vec<_> = (0..5)
        .map(|vcpu| vgic.read(0, Region::Redist { vcpu }, 8, AccessSize::Double).unwrap() & 0x10 != 0)
        .collect();
    assert_eq!(last, [false, true, false, false, true]);
    assert_eq!(vgic.locate(0x2004_0008), Some((Region::Redist { vcpu: 4 }, 8)));
    assert_eq!(vgic.locate(0x2006_0000), None);
}

#[test]
fn version_3_identifies_itself() {
    let rig = Rig::new(Version::V3, 20, 4);
    assert_eq!(rig.read(0, Region::Dist, 0), 0x50);
    assert_eq!(rig.read(0, Region::Dist, 4), (9 << 19) | (7 << 5) | 2);
    assert_eq!(rig.read(0, Region::Dist, 8), 0x34c);
    assert_eq!(rig.read(0, Region::Dist, 0xffe8), 0x30);
    let own = Region::Redist { vcpu: 17 };
    assert_eq!(rig.vgic.read(0, own, 8, AccessSize::Double), Ok((0x101 << 32) | (17 << 8)));
    assert_eq!(rig.read(0, own, 0xc), 0x101);
    assert_eq!(rig.read(0, own, 8), 17 << 8);
    assert_eq!(rig.read(0, own, 0x14), 0, "awake");
    assert_eq!(rig.read(0, own, 0xffe8), 0x30);
    rig.dist(0, u32::MAX);
    assert_eq!(rig.read(0, Region::Dist, 0), 0x53);
}

#[test]
fn version_2_identifies_itself() {
    let rig = Rig::new(Version::V2, 4, 4);
    assert_eq!(rig.read(0, Region::Dist, 4), (3 << 5) | 2);
    assert_eq!(rig.read(0, Region::Dist, 8), 0x43b);
    assert_eq!(rig.read(0, Region::Dist, 0xfe8), 0x20);
    rig.dist(0, u32::MAX);
    assert_eq!(rig.read(0, Region::Dist, 0), 3);
}

#[test]
fn wrong_widths_abort_and_reserved_registers_are_zero() {
    for version in BOTH {
        let vgic = Vgic::new(&config(version, 2)).unwrap();
        for (offset, size) in [
            (0x4, AccessSize::Byte),
            (0x4, AccessSize::Double),
            (0x100, AccessSize::Half),
            (0x102, AccessSize::Word),
            (0x400, AccessSize::Half),
            (0xc01, AccessSize::Byte),
        ] {
            assert_eq!(vgic.read(0, Region::Dist, offset, size), Err(Abort), "{offset:#x} {size:?}");
            if offset >= 0x10 {
                assert_eq!(vgic.write(0, Region::Dist, offset, size, 0), Err(Abort), "{offset:#x} {size:?}");
            }
        }
        for offset in [0xc, 0x44, 0x60, 0xd00, 0xe00, 0xf40, 0x7fc] {
            assert_eq!(
                vgic.write(0, Region::Dist, offset, AccessSize::Word, 0xffff_ffff),
                Ok(Effects::default())
            );
            assert_eq!(vgic.read(0, Region::Dist, offset, AccessSize::Word), Ok(0), "{offset:#x}");
        }
    }
}

#[test]
fn interrupts_beyond_the_last_are_zero() {
    let rig = Rig::new(Version::V3, 1, 4);
    for offset in [0x10c, 0x20c, 0x400 + 96, 0xc18, 0x6000 + 8 * 96] {
        rig.dist(offset, u32::MAX);
        assert_eq!(rig.read(0, Region::Dist, offset), 0, "{offset:#x}");
    }
}

#[test]
fn private_interrupts_are_in_the_redistributor_with_version_3() {
    let rig = Rig::new(Version::V3, 2, 4);
    rig.dist(0x100, u32::MAX);
    rig.dist(0x400, u32::MAX);
    rig.dist(0x800, u32::MAX);
    for offset in [0x100, 0x400, 0x800, 0xc00, 0x6000] {
        assert_eq!(rig.read(0, Region::Dist, offset), 0, "{offset:#x}");
    }
    let (own, other) = (Region::Redist { vcpu: 0 }, Region::Redist { vcpu: 1 });
    assert_eq!(rig.read(0, own, 0x1_0100), 0xffff);
    rig.write(0, other, 0x1_0100, 1 << 27);
    assert_eq!(rig.read(0, other, 0x1_0180), 0x0800_ffff);
    assert_eq!(rig.read(0, own, 0x1_0180), 0xffff);
    assert_eq!(rig.read(0, own, 0x1_0080), u32::MAX, "group 1 from reset");
    rig.write(0, own, 0x1_0418, 0x80c0_ffa7);
    assert_eq!(rig.read(0, own, 0x1_0418), 0x80c0_f8a0, "five priority bits");
    assert_eq!(rig.vgic.read(0, own, 0x1_0419, AccessSize::Byte), Ok(0xf8));
    rig.write(0, own, 0x1_0c04, 2);
    assert_eq!(rig.read(0, own, 0x1_0c04), 2);
    rig.write(0, own, 0x1_0c00, 0);
    assert_eq!(rig.read(0, own, 0x1_0c00), 0xaaaa_aaaa, "software-generated interrupts are edges");
    assert_eq!(rig.read(0, own, 0x1_0104), 0, "only 32 interrupts");
}

#[test]
fn private_interrupts_are_banked_with_version_2() {
    let rig = Rig::new(Version::V2, 3, 4);
    rig.write(1, Region::Dist, 0x100, 1 << 20);
    assert_eq!(rig.read(1, Region::Dist, 0x100), 0x0010_ffff);
    assert_eq!(rig.read(0, Region::Dist, 0x100), 0xffff);
    assert_eq!(rig.read(2, Region::Dist, 0x800), 0x0404_0404);
    assert_eq!(rig.vgic.read(1, Region::Dist, 0x81f, AccessSize::Byte), Ok(2));
    rig.write(1, Region::Dist, 0x800, u32::MAX);
    assert_eq!(rig.read(1, Region::Dist, 0x800), 0x0202_0202);
    rig.dist(0x820, 0x0102_0406);
    assert_eq!(rig.read(0, Region::Dist, 0x820), 0x0102_0406);
    assert_eq!(rig.vgic.read(0, Region::Dist, 0x821, AccessSize::Byte), Ok(4));
}

#[test]
fn routes_are_read_back_whole_and_in_halves() {
    let rig = Rig::new(Version::V3, 2, 4);
    let at = 0x6000 + 8 * 33;
    rig.vgic.write(0, Region::Dist, at, AccessSize::Double, 0xffff_ff12_8034_5601).unwrap();
    assert_eq!(rig.vgic.read(0, Region::Dist, at, AccessSize::Double), Ok(0x12_8034_5601));
    assert_eq!(rig.read(0, Region::Dist, at + 4), 0x12);
    rig.dist(at + 4, 0);
    rig.dist(at, 1);
    assert_eq!(rig.vgic.read(0, Region::Dist, at, AccessSize::Double), Ok(1));
    assert_eq!(rig.vgic.read(0, Region::Dist, at + 4, AccessSize::Double), Err(Abort));
}

#[test]
fn pending_and_active_show_what_registers_hold() {
    let mut rig = Rig::enabled(Version::V3, 2, 4);
    rig.make_edge(40);
    rig.vgic.pulse(Line::Spi { intid: 40 });
    rig.enter(0);
    assert!(rig.vgic.needs_sync(Region::Dist, 0x204) && !rig.vgic.needs_sync(Region::Dist, 0x104));
    assert_eq!(rig.read(1, Region::Dist, 0x204), 1 << 8);
    assert_eq!(rig.read(1, Region::Dist, 0x304), 0);
    rig.cpus[0].acknowledge();
    assert_eq!(rig.vgic.stale_owners(1, Region::Dist, 0x304), VcpuSet::single(0));
    assert!(rig.vgic.has_work(0), "the kick makes it look");
    assert!(rig.vgic.stale_owners(0, Region::Dist, 0x304).is_empty(), "its own it reads back itself");
    assert!(rig.vgic.stale_owners(1, Region::Dist, 0x104).is_empty());
    rig.enter(0);
    assert_eq!(rig.read(1, Region::Dist, 0x304), 1 << 8);
    assert_eq!(rig.read(1, Region::Dist, 0x204), 0);
    rig.cpus[0].end(40);
    rig.sync(0);
    assert_eq!(rig.read(0, Region::Dist, 0x384), 0);
}

#[test]
fn private_pending_and_active_of_another_vcpu_are_stale_until_kicked() {
    let mut rig = Rig::enabled(Version::V3, 2, 4);
    rig.ppi(1, EVENT, true);
    rig.enter(1);
    rig.cpus[1].acknowledge();
    let other = Region::Redist { vcpu: 1 };
    assert!(rig.vgic.needs_sync(other, 0x1_0300) && !rig.vgic.needs_sync(other, 0x300));
    assert_eq!(rig.vgic.stale_owners(0, other, 0x1_0300), VcpuSet::single(1));
    rig.enter(1);
    assert_eq!(rig.read(0, other, 0x1_0300), 1 << EVENT);
}

#[test]
fn guest_sets_and_clears_pending_and_active_by_hand() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 2, 4);
        assert_eq!(rig.dist(0x204, 1 << 8).kicks, VcpuSet::single(0));
        assert_eq!(rig.read(0, Region::Dist, 0x284), 1 << 8);
        rig.dist(0x284, 1 << 8);
        assert_eq!(rig.take(0), None);
        rig.dist(0x304, 1 << 8);
        rig.dist(0x204, 1 << 8);
        rig.enter(0);
        let lr = rig.cpus[0].find(40).unwrap();
        assert!(lr.active, "shown, so that the guest can end it");
        rig.dist(0x384, 1 << 8);
        assert_eq!(rig.take_all(0), [40]);
        assert_eq!(rig.read(0, Region::Dist, 0x304), 0);
    }
}

#[test]
fn version_2_pending_senders_are_set_and_cleared_by_hand() {
    let mut rig = Rig::enabled(Version::V2, 4, 4);
    rig.dist(0x200, 0xffff);
    assert_eq!(rig.take(0), None, "not by the common register");
    rig.vgic.write(0, Region::Dist, 0xf23, AccessSize::Byte, 0b0110).unwrap();
    assert_eq!(rig.read(0, Region::Dist, 0xf20), 0b0110 << 24);
    rig.vgic.write(0, Region::Dist, 0xf13, AccessSize::Byte, 0b0010).unwrap();
    rig.enter(0);
    assert_eq!(rig.cpus[0].acknowledge(), Some((3, 2)));
    rig.cpus[0].end(3);
    rig.dist(0xf20, 0x0100_0000);
    rig.enter(0);
    rig.dist(0xf10, 0x0100_0000);
    assert_eq!(rig.take(0), None, "cleared while in a register");
    assert_eq!(rig.read(0, Region::Dist, 0x200), 0);
}
