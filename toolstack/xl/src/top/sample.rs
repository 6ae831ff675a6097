//! One look at all domains, and what they used between two looks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use domain::{Domain, Toolstack, vcpus};

use super::host_devices::Moved;
use crate::cli::Sort;
use crate::commands::list::{KIB_PER_PAGE, state_words};
use crate::json;

/// What was seen.
pub(super) struct Sample {
    at: Instant,
    pub(super) domains: Vec<Domain>,
    pub(super) cpus: u32,
    pub(super) total_kib: u64,
    pub(super) free_kib: u64,
    moved: BTreeMap<u16, Moved>,
}

impl Sample {
    /// Looks. `back_ends` is the folder in which Linux shows devices.
    pub(super) fn take(tools: &mut Toolstack, back_ends: &Path, at: Instant) -> Result<Self> {
        let host = tools.ctrl().physinfo()?;
        let mut moved: BTreeMap<u16, Moved> = BTreeMap::new();
        // Without such a folder, as in tests, nothing is known of devices.
        for entry in fs::read_dir(back_ends).into_iter().flatten().flatten() {
            let device = entry.file_name().to_str().and_then(|name| Moved::of_device(back_ends, name));
            if let Some((domid, of_device)) = device {
                moved.entry(domid).or_default().add(of_device);
            }
        }
        Ok(Self {
            at,
            domains: tools.domains()?,
            cpus: host.nr_cpus,
            total_kib: host.total_pages.saturating_mul(KIB_PER_PAGE),
            free_kib: host.free_pages.saturating_mul(KIB_PER_PAGE),
            moved,
        })
    }

    /// Percent of one CPU that a domain used since the look before, if it was there.
    fn cpu_percent(&self, domain: &Domain, before: Option<&Self>) -> Option<f64> {
        let before = before?;
        // Domids come again.
        let is_same = |other: &&Domain| other.domid() == domain.domid() && other.uuid() == domain.uuid();
        let earlier = before.domains.iter().find(is_same)?;
        let used = domain.info.cpu_time_ns.saturating_sub(earlier.info.cpu_time_ns);
        let passed = self.at.saturating_duration_since(before.at).as_nanos();
        (passed > 0).then(|| (used as f64 * 1000.0 / passed as f64).round() / 10.0)
    }
}

/// The domains in this order, with what they used since the look before.
pub(super) fn rows(now: &Sample, before: Option<&Sample>, sort: Sort) -> Vec<json::TopDomain> {
    let mut rows: Vec<_> = now.domains.iter().map(|domain| row(now, domain, before)).collect();
    // Sorting is stable: what is equal stays in the order of ids.
    match sort {
        Sort::Cpu => rows.sort_by(|one, other| {
            let key = |row: &json::TopDomain| (row.cpu_percent.unwrap_or(0.0), row.cpu_time_ns as f64);
            let ((a, b), (c, d)) = (key(other), key(one));
            a.total_cmp(&c).then(b.total_cmp(&d))
        }),
        Sort::Memory => rows.sort_by_key(|row| std::cmp::Reverse(row.memory_kib)),
        Sort::Name => rows.sort_by(|one, other| one.name.cmp(&other.name)),
        Sort::Id => {}
    }
    rows
}

fn row(now: &Sample, domain: &Domain, before: Option<&Sample>) -> json::TopDomain {
    let info = &domain.info;
    let moved = now.moved.get(&domain.domid().get());
    json::TopDomain {
        domid: domain.domid().get(),
        name: domain.name.clone(),
        state: state_words(info),
        cpu_time_ns: info.cpu_time_ns,
        cpu_percent: now.cpu_percent(domain, before),
        memory_kib: info.total_pages.saturating_mul(KIB_PER_PAGE),
        max_memory_kib: info.max_pages.saturating_mul(KIB_PER_PAGE),
        vcpus: vcpus(info),
        network_sent_bytes: moved.map(|it| it.sent),
        network_received_bytes: moved.map(|it| it.received),
        disk_read_bytes: moved.map(|it| it.read),
        disk_written_bytes: moved.map(|it| it.written),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::fake::{FakeHost, TemporaryFolder};

    use super::*;

    fn sample(host: &FakeHost, back_ends: &Path) -> Sample {
        Sample::take(&mut host.toolstack(), back_ends, Instant::now()).unwrap()
    }

    fn host() -> FakeHost {
        let host = FakeHost::new();
        for (domid, name) in [(7, "web"), (8, "mail")] {
            host.add_domain(domid, name);
        }
        host.domain(8, |domain| domain.pages = 1 << 16);
        host
    }

    #[test]
    fn cpu_time_between_two_looks_is_a_share_of_one_cpu() {
        let host = host();
        let none = Path::new("/none");
        let before = sample(&host, none);
        let mut now = sample(&host, none);
        now.at = before.at + Duration::from_secs(2);
        now.domains[1].info.cpu_time_ns += 3_000_000_000;
        now.domains[2].info.handle = [9; 16];
        let share = |row: &json::TopDomain| (row.domid, row.cpu_percent);
        let shares: Vec<_> = rows(&now, Some(&before), Sort::Cpu).iter().map(share).collect();
        assert_eq!(shares, [(7, Some(150.0)), (0, Some(0.0)), (8, None)], "8 is another domain now");
        assert!(rows(&now, None, Sort::Id).iter().all(|row| row.cpu_percent.is_none()));
    }

    #[test]
    fn rows_are_sorted_as_asked() {
        let host = host();
        let now = sample(&host, Path::new("/none"));
        let ids = |sort| rows(&now, None, sort).iter().map(|row| row.domid).collect::<Vec<_>>();
        assert_eq!(ids(Sort::Id), [0, 7, 8]);
        assert_eq!(ids(Sort::Name), [0, 8, 7]);
        assert_eq!(ids(Sort::Memory), [8, 0, 7]);
        assert_eq!(ids(Sort::Cpu), [0, 7, 8], "all the same");
    }

    #[test]
    fn what_devices_moved_is_added_up_from_the_view_of_the_domain() {
        let folder = TemporaryFolder::new("back-ends");
        let counters = [
            ("vif-7-0/net/vif7.0/statistics/rx_bytes", "100\n"),
            ("vif-7-0/net/vif7.0/statistics/tx_bytes", "20"),
            ("vif-7-1/net/web1/statistics/rx_bytes", "1"),
            ("vif-7-1/net/web1/statistics/tx_bytes", "2"),
            ("vbd-7-51712/statistics/rd_sect", "3"),
            ("vbd-7-51712/statistics/wr_sect", "4"),
            ("vbd-8-51712/statistics/rd_sect", "none"),
            ("other", "5"),
        ];
        for (path, text) in counters {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let now = sample(&host(), folder.path());
        let rows = rows(&now, None, Sort::Id);
        let moved = |row: &json::TopDomain| {
            (row.network_sent_bytes, row.network_received_bytes, row.disk_read_bytes, row.disk_written_bytes)
        };
        assert_eq!(moved(&rows[1]), (Some(101), Some(22), Some(3 * 512), Some(4 * 512)));
        assert_eq!(moved(&rows[2]), (None, None, None, None));
    }
}
