//! Finding, naming, pausing, asking, waiting, destroying.

use std::thread;
use std::time::Duration;

use xen_ctrl::ShutdownReason;
use xenstore_client::Operations;

use super::id;
use crate::fake::FakeHost;
use crate::{DomainError, End, Request};

#[test]
fn domain_is_found_by_its_name_and_by_its_id() {
    let host = FakeHost::new();
    host.add_domain(7, "web");
    let mut tools = host.toolstack();
    assert_eq!(tools.find("web").unwrap().domid(), id(7));
    assert_eq!(tools.find("7").unwrap().name.as_deref(), Some("web"));
    assert_eq!(tools.domains().unwrap().len(), 2);
    for text in ["8", "mail", "", "40000", "99999", "-1"] {
        assert!(matches!(tools.find(text), Err(DomainError::NoSuchDomain(it)) if it == text), "{text}");
    }
}

#[test]
fn name_is_changed_in_both_places_and_belongs_to_one_domain() {
    let host = FakeHost::new();
    host.add_domain(7, "web");
    host.add_domain(8, "mail");
    let mut tools = host.toolstack();
    let error = tools.rename(id(8), "web").unwrap_err().to_string();
    assert_eq!(error, "the name web is taken by domain 7");
    tools.rename(id(8), "mail").unwrap();
    tools.rename(id(8), "post").unwrap();
    let uuid = tools.domain(id(8)).unwrap().uuid();
    assert_eq!(host.store().read_string(&format!("/vm/{uuid}/name")).unwrap(), "post");
    assert_eq!(tools.find("post").unwrap().domid(), id(8));
    for name in ["", "12", " web", "a/b", "a\nb", &"x".repeat(256)] {
        assert!(matches!(tools.rename(id(8), name), Err(DomainError::BadName(_))), "{name:?}");
    }
}

#[test]
fn two_pauses_are_one() {
    let host = FakeHost::new();
    host.add_domain(7, "web");
    let mut tools = host.toolstack();
    tools.pause(id(7)).unwrap();
    tools.pause(id(7)).unwrap();
    assert_eq!(host.domain(7, |domain| domain.pauses), Some(1));
    tools.unpause(id(7)).unwrap();
    tools.unpause(id(7)).unwrap();
    assert_eq!(host.domain(7, |domain| domain.pauses), Some(0));
    assert!(matches!(tools.pause(id(0)), Err(DomainError::Dom0("paused"))));
}

#[test]
fn request_is_done_when_the_guest_has_taken_it() {
    let host = FakeHost::new();
    host.add_domain(7, "web");
    let mut guest = host.store();
    guest.watch("/local/domain/7/control/shutdown", "guest").unwrap();
    let guest = thread::spawn(move || {
        loop {
            let _ = guest.wait_event(Some(Duration::from_secs(5))).unwrap().unwrap();
            let value = guest.read_string("/local/domain/7/control/shutdown").unwrap_or_default();
            if !value.is_empty() {
                guest.write("/local/domain/7/control/shutdown", "").unwrap();
                return value;
            }
        }
    });
    host.toolstack().request(id(7), Request::Reboot).unwrap();
    assert_eq!(guest.join().unwrap(), "reboot");
}

#[test]
fn request_that_nobody_takes_is_withdrawn() {
    let host = FakeHost::new();
    host.add_domain(7, "web");
    let mut tools = host.toolstack();
    let error = tools.request(id(7), Request::Poweroff).unwrap_err();
    assert!(matches!(error, DomainError::NoAnswer { request: "poweroff", .. }), "{error}");
    assert_eq!(host.store().read("/local/domain/7/control/shutdown").unwrap(), b"");
    tools.pause(id(7)).unwrap();
    let error = tools.request(id(7), Request::Poweroff).unwrap_err().to_string();
    assert_eq!(error, "domain 7 is paused, so it cannot answer (try: xl unpause)");
}

#[test]
fn wait_ends_when_the_domain_does() {
    let host = FakeHost::new();
    host.add_domain(7, "web");
    let mut tools = host.toolstack();
    let patience = Some(Duration::from_millis(50));
    let error = tools.wait_for_end(id(7), patience).unwrap_err();
    assert!(matches!(error, DomainError::StillRuns { .. }), "{error}");
    host.domain(7, |domain| domain.shutdown = Some(1));
    assert_eq!(tools.wait_for_end(id(7), None).unwrap(), End::ShutDown(ShutdownReason::Reboot));
    let error = tools.pause(id(7)).unwrap_err().to_string();
    assert_eq!(error, "domain 7 is shut down (try: xl destroy)");
    tools.destroy(id(7)).unwrap();
    assert_eq!(tools.wait_for_end(id(7), None).unwrap(), End::Destroyed);
    tools.wait_until_gone(id(7)).unwrap();
}

#[test]
fn destroyed_domain_leaves_nothing() {
    let host = FakeHost::new();
    let before = host.paths();
    host.add_domain(7, "web");
    let mut tools = host.toolstack();
    tools.rename(id(7), "mail").unwrap();
    tools.destroy(id(7)).unwrap();
    assert_eq!(host.domids(), [0]);
    assert_eq!(host.paths(), [before, vec!["/vm".to_owned()]].concat(), "the folder of all domains stays");
    assert!(matches!(tools.destroy(id(7)), Err(DomainError::NoSuchDomain(_))));
    assert!(matches!(tools.destroy(id(0)), Err(DomainError::Dom0(_))));
}

#[test]
fn nodes_of_a_domain_that_is_gone_can_be_destroyed() {
    let host = FakeHost::new();
    let mut store = host.store();
    store.write("/local/domain/9/name", "ghost").unwrap();
    store.write("/local/domain/9/vm", "/vm/1-2").unwrap();
    store.write("/vm/1-2/name", "ghost").unwrap();
    host.toolstack().destroy(id(9)).unwrap();
    assert!(host.paths().iter().all(|path| !path.contains("/9") && !path.contains("1-2")));
}

#[test]
fn memory_target_stays_below_what_the_domain_was_made_for() {
    let host = FakeHost::new();
    host.add_domain(7, "web");
    let mut tools = host.toolstack();
    assert!(matches!(tools.set_memory_target(id(7), 1), Err(DomainError::Node { .. })));
    tools.set_memory_max(id(7), 2048).unwrap();
    assert_eq!(host.domain(7, |domain| domain.max_kib), Some(2048 + 1024));
    let error = tools.set_memory_target(id(7), 2049).unwrap_err().to_string();
    assert_eq!(error, "memory in KiB of domain 7: 2049 is more than 2048");
    tools.set_memory_target(id(7), 1024).unwrap();
    assert_eq!(host.store().read_string("/local/domain/7/memory/target").unwrap(), "1024");
    assert_eq!(host.domain(7, |domain| domain.max_kib), Some(1024 + 1024));
    assert!(matches!(tools.set_memory_target(id(0), 1024), Err(DomainError::Dom0(_))));
}

#[test]
fn vcpus_are_made_available_from_the_first_on() {
    let host = FakeHost::new();
    host.add_domain(7, "web");
    let mut tools = host.toolstack();
    tools.set_vcpus(id(7), 1).unwrap();
    let mut store = host.store();
    let mut state = |vcpu| store.read_string(&format!("/local/domain/7/cpu/{vcpu}/availability")).unwrap();
    assert_eq!((state(0), state(1)), ("online".to_owned(), "offline".to_owned()));
    let error = tools.set_vcpus(id(7), 3).unwrap_err().to_string();
    assert_eq!(error, "number of vCPUs of domain 7: 3 is more than 2");
}
