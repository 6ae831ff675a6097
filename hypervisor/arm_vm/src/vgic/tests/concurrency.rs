//! Several CPUs at once: what is posted while the vCPU refreshes is seen.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const ROUNDS: u32 = 3000;

/// One poster announces a number, then raises its interrupt; the guest must in the end have seen the last number of
/// every poster after its interrupt.
#[test]
fn last_post_of_every_poster_is_delivered() {
    for version in BOTH {
        let mut rig = Rig::enabled(version, 2, 2);
        let mut cpu = rig.cpus.remove(0);
        let vgic = &rig.vgic;
        let announced: Vec<AtomicU32> = (0..3).map(|_| AtomicU32::new(0)).collect();
        let done = AtomicU32::new(0);
        let post = |kind: usize| match kind {
            0 => drop(vgic.pulse(Line::Spi { intid: 40 })),
            1 => drop(vgic.set_level(Line::Ppi { vcpu: 0, intid: EVENT }, true)),
            _ if version == Version::V3 => drop(vgic.send_sgi(1, SgiKind::Sgi1r, (3 << 24) | 1)),
            _ => drop(vgic.write(1, Region::Dist, 0xf00, AccessSize::Word, (1 << 16) | 3).unwrap()),
        };
        std::thread::scope(|scope| {
            for kind in 0..3 {
                let (announced, done, post) = (&announced, &done, &post);
                scope.spawn(move || {
                    for round in 1..=ROUNDS {
                        announced[kind].store(round, Ordering::Release);
                        post(kind);
                        // Another CPU reads registers and turns the interrupt off and on meanwhile.
                        if kind == 0 && round % 64 == 0 {
                            vgic.write(1, Region::Dist, 0x184, AccessSize::Word, 1 << 8).unwrap();
                            vgic.write(1, Region::Dist, 0x104, AccessSize::Word, 1 << 8).unwrap();
                        }
                    }
                    done.fetch_add(1, Ordering::Release);
                });
            }
            let mut seen = [0; 3];
            let start = Instant::now();
            loop {
                assert!(start.elapsed() < Duration::from_secs(60), "something never came: {seen:?}");
                let finished = done.load(Ordering::Acquire) == 3;
                if cpu.maintenance() {
                    vgic.request_refresh(0);
                }
                let worked = vgic.has_work(0);
                let Cpu { hw, ci, .. } = &mut cpu;
                if !worked {
                } else if let Some(value) = vgic
                    .refresh_again(0, || hw[0])
                    .or_else(|| vgic.refresh_single(0, ci, || hw[0], |_| false))
                {
                    hw[0] = value;
                } else {
                    cpu.read_back();
                    vgic.refresh(0, &mut cpu.ci, &mut |_| false);
                    cpu.write();
                }
                match cpu.acknowledge() {
                    Some((intid, _)) => {
                        let kind = match intid {
                            40 => 0,
                            EVENT => 1,
                            _ => 2,
                        };
                        seen[kind] = announced[kind].load(Ordering::Acquire);
                        cpu.end(intid);
                    }
                    None if finished && !worked && !vgic.has_work(0) => break,
                    None => std::thread::yield_now(),
                }
            }
            assert_eq!(seen, [ROUNDS; 3]);
        });
    }
}
