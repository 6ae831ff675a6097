//! The client against a store behind a socket.

use std::time::Duration;
use xen_abi::Errno;
use xenstore_client::fake::FakeDaemon;
use xenstore_client::{Client, Error, Operations};
use xenstore_wire::{Access, Domid, Permission};

#[test]
fn nodes_are_written_listed_read_and_removed() {
    let server = FakeDaemon::default();
    let mut store = server.client();
    store.write("/a/b", b"bytes \0 and").unwrap();
    store.mkdir("/a/c").unwrap();
    assert_eq!(store.read("/a/b").unwrap(), b"bytes \0 and");
    assert_eq!(store.directory("/a").unwrap(), ["b", "c"]);
    assert_eq!(store.directory("/a/c").unwrap(), [""; 0]);
    store.rm("/a/b").unwrap();
    assert_eq!(store.read_optional("/a/b").unwrap(), None);
    let error = store.read("/a/b").unwrap_err();
    assert_eq!(error.to_string(), "xenstore refused Read of /a/b: ENOENT");
    assert!(matches!(store.write("/a\0b", ""), Err(Error::Nul(_))));
    assert!(matches!(store.write("/a", [0; 5000]), Err(Error::TooLong(_))));
}

#[test]
fn permissions_are_set_and_read() {
    let server = FakeDaemon::default();
    let mut store = server.client();
    store.write("/a", "").unwrap();
    let list = [(Domid(0), Access::NONE), (Domid(3), Access::BOTH)]
        .map(|(domid, access)| Permission { domid, access });
    store.set_permissions("/a", &list).unwrap();
    assert_eq!(store.permissions("/a").unwrap(), list);
}

#[test]
fn a_list_longer_than_a_message_comes_whole() {
    let server = FakeDaemon::default();
    let mut store = server.client();
    let names: Vec<String> = (0..600).map(|number| format!("a-rather-long-name-{number:04}")).collect();
    names.iter().for_each(|name| store.mkdir(&format!("/big/{name}")).unwrap());
    assert_eq!(store.directory("/big").unwrap(), names);
}

#[test]
fn many_nodes_are_read_at_once_in_order_and_what_follows_is_not_mixed_up() {
    let server = FakeDaemon::default();
    let mut store = server.client();
    (0..100).for_each(|number| store.write(&format!("/n/{number}"), [number; 4000]).unwrap());
    let paths: Vec<String> = (0..110).map(|number| format!("/n/{number}")).collect();
    let wanted: Vec<Option<Vec<u8>>> =
        (0..110).map(|number| (number < 100).then(|| vec![number; 4000])).collect();
    assert_eq!(store.read_all(&paths).unwrap(), wanted);
    assert_eq!(store.transaction(|transaction| transaction.read_all(&paths)).unwrap(), wanted);
    // A refusal in the midst, with answers behind it.
    let bad = [paths[0].clone(), "/bad//path".to_owned(), paths[1].clone()];
    assert_eq!(store.read_all(&bad).unwrap_err().errno(), Some(Errno::EINVAL));
    assert_eq!(store.read(&paths[2]).unwrap(), [2; 4000]);
    server.restart(|| {});
    assert_eq!(store.read_all(&paths).unwrap(), wanted);
}

#[test]
fn a_transaction_is_repeated_until_nobody_interferes() {
    let server = FakeDaemon::default();
    let (mut store, mut other) = (server.client(), server.client());
    store.write("/n", "1").unwrap();
    let mut runs = 0;
    store
        .transaction(|transaction| {
            let value = transaction.read_string("/n")?;
            runs += 1;
            if runs < 3 {
                other.write("/n", format!("{value}{runs}"))?;
            }
            transaction.write("/n", format!("{value}+"))
        })
        .unwrap();
    assert_eq!((runs, store.read_string("/n").unwrap()), (3, "112+".to_owned()));
}

#[test]
fn a_transaction_that_fails_leaves_nothing() {
    let server = FakeDaemon::default();
    let mut store = server.client();
    let outcome = store.transaction(|transaction| {
        transaction.write("/n", "1")?;
        transaction.read("/missing")
    });
    assert!(outcome.unwrap_err().is_not_found());
    assert_eq!(store.read_optional("/n").unwrap(), None);
}

#[test]
fn events_arrive_in_order_and_waiting_ends_in_time() {
    let server = FakeDaemon::default();
    let (mut store, mut other) = (server.client(), server.client());
    store.watch("/w", "token").unwrap();
    other.write("/w/x", "").unwrap();
    store.read_optional("/w").unwrap();
    let mut paths = Vec::new();
    while let Some(event) = store.wait_event(Some(Duration::from_millis(50))).unwrap() {
        assert_eq!(event.token, "token");
        paths.push(event.path);
    }
    assert_eq!(paths, ["/w", "/w/x"]);
    store.unwatch("/w", "token").unwrap();
    other.write("/w/x", "").unwrap();
    assert_eq!(store.wait_event(Some(Duration::ZERO)).unwrap(), None);
}

#[test]
fn events_that_come_together_with_an_answer_are_not_waited_for_in_vain() {
    let server = FakeDaemon::default();
    let mut store = server.client();
    for path in ["/a", "/b"] {
        store.watch(path, "t").unwrap();
    }
    for path in ["/a", "/b"] {
        let event = store.wait_event(Some(Duration::from_secs(5))).unwrap().unwrap();
        assert_eq!(event.path, path);
    }
}

#[test]
fn domains_are_introduced_and_released() {
    let server = FakeDaemon::default();
    let mut store = server.client();
    store.introduce(Domid(5), 1, 2).unwrap();
    assert!(store.is_introduced(Domid(5)).unwrap());
    assert_eq!(store.domain_path(Domid(5)).unwrap(), "/local/domain/5");
    store.release(Domid(5)).unwrap();
    assert!(store.release(Domid(5)).unwrap_err().is_not_found());
    assert_eq!(store.control(&["check"]).unwrap(), "OK");
}

#[test]
fn a_daemon_that_is_restarted_is_found_again_with_watches_set() {
    let server = FakeDaemon::default();
    let mut store = server.client();
    store.watch("/w", "token").unwrap();
    store.write("/kept", "1").unwrap();
    assert!(store.wait_event(Some(Duration::ZERO)).unwrap().is_some());
    server.restart(|| {});
    assert_eq!(store.read("/kept").unwrap(), b"1");
    server.client().write("/w", "2").unwrap();
    let event = store.wait_event(Some(Duration::from_secs(5))).unwrap().unwrap();
    assert_eq!((&*event.path, &*event.token), ("/w", "token"));
}

#[test]
fn a_transaction_starts_over_when_the_daemon_is_restarted() {
    let server = FakeDaemon::default();
    let mut store = server.client();
    let mut runs = 0;
    store
        .transaction(|transaction| {
            transaction.write("/n", format!("{runs}"))?;
            runs += 1;
            if runs == 1 {
                server.restart(|| {});
            }
            transaction.write("/m", "")
        })
        .unwrap();
    assert_eq!((runs, store.read_string("/n").unwrap()), (2, "1".to_owned()));
}

#[test]
fn where_nobody_listens_the_error_says_so() {
    let error = Client::connect("/nonexistent/socket").unwrap_err();
    assert!(std::error::Error::source(&error).is_none(), "the cause would be said twice");
    let error = error.to_string();
    assert!(error.starts_with("cannot connect to xenstore at /nonexistent/socket: "), "{error}");
    assert!(error.ends_with("is xenstored running?"), "{error}");
}
