//! More than one thing to run: several DomUs, and fewer CPUs than vCPUs.

use anyhow::{Context, Result, ensure};
use std::thread::sleep;
use std::time::Duration;

use super::checks::{
    DOMAIN_CHANGE, console_log, ensure_guests, info_number, list, step, wait_for_boot, wait_for_memory,
};
use super::{demo, footprint};
use crate::machine::dom0::Dom0;
use crate::report;

const GUESTS: [&str; 3] = ["one", "two", "three"];
/// DomUs at once in a soak, each with a disk and an interface.
const MANY: usize = 20;
/// How long they are busy once the last has begun.
const BUSY_TIME: Duration = Duration::from_secs(60);

/// Three DomUs with disks and network at once, all busy, on four CPUs.
pub fn three_guests(dom0: &mut Dom0) -> Result<()> {
    let free = info_number(dom0, "free_memory")?;
    step("All four CPUs are there", || {
        let cpus = info_number(dom0, "nr_cpus")?;
        ensure!(cpus == 4, "{cpus} CPUs");
        let rows = list(dom0)?;
        ensure!(rows.iter().all(|row| row.vcpus == 4), "Dom0 has not one vCPU per CPU: {rows:?}");
        Ok(())
    })?;
    step("Three DomUs are created", || {
        for (number, name) in GUESTS.iter().enumerate() {
            dom0.run(&format!("make-disk {name}"))?;
            dom0.run_for(&create_command(name, number), DOMAIN_CHANGE)?;
        }
        for name in GUESTS {
            wait_for_boot(dom0, name, 1)?;
        }
        ensure_guests(dom0, &GUESTS)
    })?;
    step("All write to their disks at once", || {
        let write = "{ (mount -t ext2 /dev/xvda /mnt && dd if=/dev/urandom of=/mnt/noise bs=64k count=64 \
                     && sha256sum /mnt/noise >/run/sum && sync && touch /run/written) >/dev/null 2>&1 & }";
        for name in GUESTS {
            dom0.guest(name, write)?;
        }
        for name in GUESTS {
            dom0.wait_until(&format!("guest-run {name} 20 \"test -e /run/written\""), DOMAIN_CHANGE)?;
            dom0.guest(name, "echo 3 >/proc/sys/vm/drop_caches; sha256sum -c /run/sum")?;
        }
        Ok(())
    })?;
    step("All reach each other and Dom0", || {
        for (number, name) in GUESTS.iter().enumerate() {
            let next = address((number + 1) % GUESTS.len());
            dom0.guest(name, &format!("ping -c 2 -w 20 {next} && ping -c 2 -w 20 192.168.128.1"))?;
        }
        Ok(())
    })?;
    step("All shut down and give their memory back", || {
        dom0.run_for("xl shutdown -w -a", DOMAIN_CHANGE)?;
        for name in GUESTS {
            dom0.wait_until(&format!("! xl domid {name}"), DOMAIN_CHANGE)?;
        }
        ensure_guests(dom0, &[])?;
        wait_for_memory(dom0, free)
    })
}

/// Twenty DomUs at once, all busy with disk and network on fewer CPUs, which Dom0 needs as well.
pub fn twenty_guests(dom0: &mut Dom0) -> Result<()> {
    let names: Vec<String> = (0..MANY).map(|number| format!("many{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        dom0.run(&format!("make-disk {name}"))?;
    }
    step("One DomU to warm up", || {
        create_many(dom0, &names[..1])?;
        end_all(dom0, &names[..1])
    })?;
    footprint::remember(dom0)?;
    step(&format!("{MANY} DomUs are created"), || create_many(dom0, &names))?;
    step("All write to their disks, read them back, and send packets to Dom0 and to each other", || {
        for (number, name) in names.iter().enumerate() {
            dom0.guest(name, &busy(address((number + 1) % MANY).as_str()))?;
        }
        sleep(BUSY_TIME);
        let answer = dom0.run_for("ping -c 5 -w 60 192.168.128.20 && xl list", DOMAIN_CHANGE)?;
        report::quote("dom0", answer.lines().rev().nth(MANY + 2).unwrap_or_default());
        for name in &names {
            dom0.guest(name, "touch /run/stop")?;
        }
        let mut rounds = Vec::new();
        for name in &names {
            dom0.wait_until(&format!("guest-run {name} 60 \"test -e /run/stopped\""), DOMAIN_CHANGE)?;
            let text = dom0.guest(name, "test ! -e /run/bad && cat /run/rounds && umount /mnt")?;
            rounds.push(text.trim().parse::<u32>().with_context(|| format!("{name} counted {text:?}"))?);
        }
        let (least, most) = (rounds.iter().min().copied(), rounds.iter().max().copied());
        report::note(format!("{} to {} rounds", least.unwrap_or(0), most.unwrap_or(0)));
        Ok(())
    })?;
    step("All shut down, and nothing of them stays", || {
        end_all(dom0, &names)?;
        footprint::wait_until_as_before(dom0)
    })
}

/// What a DomU does until it is told to stop, round by round.
fn busy(neighbour: &str) -> String {
    format!(
        "{{ (mount -t ext2 /dev/xvda /mnt; n=0; until test -e /run/stop; do \
         dd if=/dev/urandom of=/mnt/noise bs=64k count=8 2>/dev/null; sha256sum /mnt/noise >/run/sum; sync; \
         echo 3 >/proc/sys/vm/drop_caches; sha256sum -c /run/sum || touch /run/bad; \
         for peer in 192.168.128.1 {neighbour}; do ping -c 3 -w 60 -s 1400 $peer || touch /run/bad; done; \
         n=$((n+1)); echo $n >/run/rounds; done; touch /run/stopped) >/dev/null 2>&1 & }}"
    )
}

fn create_many(dom0: &mut Dom0, names: &[&str]) -> Result<()> {
    for (number, name) in names.iter().enumerate() {
        let command = format!("{} memory=96 vcpus=1", create_command(name, number));
        dom0.run_for(&command, DOMAIN_CHANGE)?;
    }
    for name in names {
        wait_for_boot(dom0, name, 1)?;
    }
    ensure_guests(dom0, names)
}

fn end_all(dom0: &mut Dom0, names: &[&str]) -> Result<()> {
    dom0.run_for("xl shutdown -a", DOMAIN_CHANGE)?;
    for name in names {
        dom0.wait_until(&format!("! xl domid {name}"), DOMAIN_CHANGE)?;
        dom0.run(&format!("rm -f {}", console_log(name)))?;
    }
    ensure_guests(dom0, &[])
}

/// Dom0 and a DomU share the only CPU, and both get on.
pub fn shared_cpu(dom0: &mut Dom0) -> Result<()> {
    let free = info_number(dom0, "free_memory")?;
    step("There is one CPU", || {
        let cpus = info_number(dom0, "nr_cpus")?;
        ensure!(cpus == 1, "{cpus} CPUs");
        Ok(())
    })?;
    demo::start_guest(dom0)?;
    step("Both work while both vCPUs of the DomU spin", || {
        dom0.guest("demo", "for i in 1 2; do (timeout 15 sh -c \"while :; do :; done\" &) ; done")?;
        dom0.run("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")?;
        demo::ping_both_ways(dom0)
    })?;
    step("The DomU's own timers end that", || {
        dom0.wait_until("guest-run demo 20 \"! ps | grep -q [w]hile\"", DOMAIN_CHANGE)
    })?;
    step("xl destroy", || {
        dom0.run_for("xl destroy demo", DOMAIN_CHANGE)?;
        wait_for_memory(dom0, free)
    })
}

fn address(number: usize) -> String {
    format!("192.168.128.{}", 20 + number)
}

fn create_command(name: &str, number: usize) -> String {
    format!(
        "xl create /etc/xen/demo.cfg 'name=\"{name}\"' 'extra=\"console=hvc0 guest_ip={}\"' \
         'disk=[\"format=raw,vdev=xvda,access=rw,target=/var/lib/xen/images/{name}.img\"]' \
         'vif=[\"bridge=xenbr0,mac=00:16:3e:00:00:{:02}\"]'",
        address(number),
        20 + number
    )
}
